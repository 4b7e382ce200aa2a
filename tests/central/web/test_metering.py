"""Head office says whether it is alive, and gives its figures to this machine only."""

from collections.abc import Callable

from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from central.compose import HeadOffice
from tests.central.web.bakery import Shop
from tests.central.web.conftest import Person

AFAR = {"REMOTE_ADDR": "203.0.113.9"}


def test_figures_of_every_shop(app: Flask, office: HeadOffice, shops: dict[str, Shop]) -> None:
    answer = app.test_client().get("/metrics")
    assert answer.status_code == 200
    found = {f.name: f for f in text_string_to_metric_families(answer.text)}
    lags = {s.labels["store"] for s in found["tillmesh_repricing_lag_events"].samples}
    assert lags == {s.store for s in office.stores.stores()}
    for name in ("link_up", "resends", "parked_events", "inbox_messages", "window_batches_min"):
        assert f"tillmesh_{name}" in found
    assert found["tillmesh_clock_trusted"].samples[0].value in {0.0, 1.0}
    events = found["tillmesh_journal_events"].samples[0].value
    assert events > 0
    assert shops


def test_strangers_get_neither_figures_nor_parts(
    app: Flask, person: Callable[[str], Person]
) -> None:
    client = app.test_client()
    answer = client.get("/metrics", environ_base=AFAR)
    assert answer.status_code == 403
    assert "METRICS_CLOSED" in answer.text
    through = client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
    assert through.status_code == 403
    assert set(client.get("/healthz", environ_base=AFAR).json) == {"alive"}


def test_health_tells_the_database_from_the_broker(app: Flask, office: HeadOffice) -> None:
    answer = app.test_client().get("/healthz")
    assert answer.status_code == 200
    assert answer.json == {"alive": True, "broker": False, "database": True, "threads": True}
    office.books.database.healthy = False
    try:
        answer = app.test_client().get("/healthz")
        assert answer.status_code == 503
        assert not answer.json["alive"]
    finally:
        office.books.database.healthy = True
