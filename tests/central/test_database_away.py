"""PostgreSQL dies under a running head office: its followers wait, and go on when it is back."""

import time
from collections.abc import Callable
from pathlib import Path

from central.compose import HeadOffice, compose
from central.overhearing import Overhearing
from central.settings import Names, Settings
from protocol.ids import ALL
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.signing import make_key
from protocol.node.sqljournal import SqlJournal
from tests.builders import draft
from tests.central.conftest import TestClock
from tests.servers import postgres_server


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def _appended_elsewhere(office: HeadOffice, name: str) -> None:
    """What a command line beside the running server would say."""
    from protocol.events import GroupDefined  # noqa: PLC0415 - beside what it is for

    database = Database(office.desk.settings.database_url)
    journal = SqlJournal(office.books.journal.node, office.books.journal.epoch)
    books = Books(database, journal)
    with books.begin() as tx:
        books.record(tx, {ALL: [draft(GroupDefined(group=name, name={"en": name}), name)]})
    database.close()


def test_followers_outlive_the_database(tmp_path: Path) -> None:
    with postgres_server(durable=True) as server:
        settings = Settings(
            chain="bakery",
            name=Names(zh="小麦", en="Wheat"),
            data_dir=tmp_path,
            database_url=server.fresh_database(),
        )
        make_key(settings.key_path)
        office = compose(settings, clock=TestClock())
        heard: list[str] = []
        office.books.listeners.append(
            lambda recorded: heard.extend(r.envelope.id for r in recorded)
        )
        overhearing: Overhearing = office.overhearing
        try:
            overhearing.start()
            office.repricing.start()
            _appended_elsewhere(office, "before")
            until(lambda: "before" in heard)
            server.kill()
            for _ in range(2):  # both threads have met the dead server at least once
                office.repricing._wake.set()
                until(lambda: not office.repricing._wake.is_set())
            time.sleep(1.5)  # overhearing looks once a second
            server.start()
            _appended_elsewhere(office, "after")
            until(lambda: "after" in heard)
            office.repricing._wake.set()
            until(lambda: not office.repricing._wake.is_set())
        finally:
            overhearing.stop()
            office.repricing.stop()
            office.books.database.close()
