"""The shop says whether it is alive, and gives its figures to its own machine only."""

from prometheus_client.parser import text_string_to_metric_families

from tests.edge.web.conftest import Site

AFAR = {"REMOTE_ADDR": "203.0.113.9"}


def test_figures_of_the_shop(site: Site) -> None:
    answer = site.app.test_client().get("/metrics")
    assert answer.status_code == 200
    found = {f.name: f for f in text_string_to_metric_families(answer.text)}
    for name in ("unsynced_events", "link_up", "clock_trusted", "disk_free_bytes", "part_ok"):
        assert f"tillmesh_{name}" in found
    parts = {s.labels["part"] for s in found["tillmesh_part_ok"].samples}
    assert {"disk", "database", "clock"} <= parts


def test_strangers_learn_only_whether_it_lives(site: Site) -> None:
    client = site.app.test_client()
    assert client.get("/metrics", environ_base=AFAR).status_code == 403
    answer = client.get("/healthz", environ_base=AFAR)
    assert answer.status_code == 200
    assert answer.json == {"alive": True}
    assert client.get("/healthz").json["broker"] is False
