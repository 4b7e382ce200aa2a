"""PostgreSQL stops under head office's pages: a sentence, never a crash, and back by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask.testing import FlaskClient

from central.compose import HeadOffice
from central.web import create_app
from tests.central.web import bakery
from tests.central.web.conftest import Person
from tests.servers import PostgresServer, postgres_server

STATIC = ("/static/", "/openapi", "/authority.pem")  # asks no database
ENDLESS = ("/live",)
FORM = {"group": "rolls", "name_zh": "小面包", "name_en": "Rolls"}


@contextmanager
def office_on(server: PostgresServer, folder: Path) -> Iterator[HeadOffice]:
    office = bakery.open_office(folder, server.fresh_database())
    try:
        bakery.add_accounts(office)
        bakery.live_a_day(office, bakery.add_chain(office), sales=3)
        yield office
    finally:
        office.books.database.close()


def paths(person: Person) -> list[str]:
    """Every page and call that can be asked without knowing an id, and one of each with."""
    rules = person.client.application.url_map.iter_rules()
    plain = {r.rule for r in rules if "GET" in (r.methods or ()) and not r.arguments}
    one = {"/products/P0101", "/stores/north", "/stock/P0101"}
    return sorted(p for p in plain | one if not p.startswith(STATIC + ENDLESS))


def answers(client: FlaskClient, wanted: list[str]) -> dict[str, int]:
    return {path: client.get(path).status_code for path in wanted}


def test_pages_say_that_the_database_is_away_and_come_back(tmp_path: Path) -> None:
    with postgres_server(durable=True) as server, office_on(server, tmp_path) as office:
        person = Person(create_app(office), "zhao")
        client, wanted = person.client, paths(person)
        before = answers(client, wanted)
        assert len(wanted) > 30
        assert max(before.values()) < 500, before
        sold = client.get("/api/sales").json
        server.stop()
        for path in wanted:
            said = client.get(path, headers={"Accept-Language": "en"})
            assert said.status_code == 503, (path, said.text[:500])
            if path not in {"/metrics", "/healthz"}:
                assert "DATABASE_AWAY" in said.text, (path, said.text[:500])
                assert said.headers["Retry-After"], path
        saved = client.post("/groups", data={"csrf": person.csrf, **FORM})
        assert (saved.status_code, "DATABASE_AWAY" in saved.text) == (503, True)
        server.start()
        assert answers(client, wanted) == before
        assert client.get("/api/sales").json == sold
        assert client.post("/groups", data={"csrf": person.csrf, **FORM}).status_code == 302
        assert office.books.verify() == []
