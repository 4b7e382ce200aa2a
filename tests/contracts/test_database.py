"""A database that fails says so in words, before any money is taken."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

import protocol.node.database as database_module
from protocol.errors import Unavailable
from protocol.ids import NodeId
from protocol.node.books import Books
from protocol.node.database import PRAGMAS, Database, _connected
from protocol.node.sqljournal import SqlJournal, SqlRecords
from tests.builders import EPOCHS, books_at, draft, received
from tests.servers import postgres_server

OpenDatabase = Callable[[str], Database]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "books.db"


@pytest.fixture
def shop(file: Path, open_database: OpenDatabase) -> Books:
    return books_at(open_database(f"sqlite:///{file}"), "a")


def _sell(books: Books, name: str, *, size: int = 10) -> None:
    with books.begin() as tx:
        books.record(tx, {"shop/a": [draft(received("x" * size), name)]})


def test_every_connection_has_its_pragmas(shop: Books) -> None:
    for engine in (shop.database.write, shop.database.read):
        with engine.connect() as c:
            for name, value in PRAGMAS.items():
                assert c.exec_driver_sql(f"PRAGMA {name}").scalar() == value


def test_a_database_that_cannot_keep_its_word_is_refused() -> None:
    memory = sqlite3.connect(":memory:")
    with pytest.raises(Unavailable) as caught:
        _connected(memory, None)
    memory.close()
    assert caught.value.code == "DATABASE_UNFIT"


def test_a_full_disk_refuses_and_keeps_what_was_there(shop: Books) -> None:
    _sell(shop, "before")
    with shop.database.write.connect() as c:
        pages = c.exec_driver_sql("PRAGMA page_count").scalar()
        c.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    def sell_on() -> None:
        for n in range(2000):
            _sell(shop, f"big-{n}")

    with pytest.raises(Unavailable) as caught:
        sell_on()
    assert caught.value.code == "DISK_FULL"
    assert not shop.database.healthy
    with shop.database.write.connect() as c:
        c.exec_driver_sql("PRAGMA max_page_count=100000")
    _sell(shop, "after")
    assert shop.database.healthy
    assert shop.verify() == []


def test_a_lock_held_too_long_is_busy_in_words(shop: Books, file: Path) -> None:
    with shop.database.write.connect() as c:
        c.exec_driver_sql("PRAGMA busy_timeout=20").fetchall()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as caught:
        _sell(shop, "x")
    assert caught.value.code == "DATABASE_BUSY"
    other.execute("COMMIT")
    other.close()
    _sell(shop, "x")


def test_a_broken_file_is_a_disk_fault_in_words(file: Path, open_database: OpenDatabase) -> None:
    first = books_at(open_database(f"sqlite:///{file}"), "a")
    _sell(first, "x")
    first.database.close()
    last = sqlite3.connect(file)
    last.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    last.close()
    size = file.stat().st_size
    with file.open("r+b") as f:
        f.seek(4096)
        f.write(b"\xaa" * (size - 4096))
    again = Database(f"sqlite:///{file}")
    try:
        with pytest.raises(Unavailable) as caught:
            _sell(Books(again, SqlJournal(NodeId("a"), EPOCHS[1])), "y")
    finally:
        again.close()
    assert caught.value.code == "DISK_FAULT"


def test_a_file_that_cannot_be_read_is_told_in_words(
    file: Path, open_database: OpenDatabase
) -> None:
    """A till that only looks at its basket must not answer with a crash."""
    first = books_at(open_database(f"sqlite:///{file}"), "a")
    _sell(first, "x")
    first.database.close()
    last = sqlite3.connect(file)
    last.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    last.close()
    with file.open("r+b") as f:
        f.seek(4096)
        f.write(b"\xaa" * (file.stat().st_size - 4096))
    again = open_database(f"sqlite:///{file}")
    with pytest.raises(Unavailable) as caught, again.reading() as connection:
        connection.exec_driver_sql("SELECT * FROM journal").all()
    assert caught.value.code == "DISK_FAULT"


def test_our_own_mistakes_are_not_the_disks(shop: Books) -> None:
    with pytest.raises(IntegrityError), shop.database.begin() as tx:
        tx.exec_driver_sql("INSERT INTO stream_head (stream) VALUES (NULL)")
    assert shop.database.healthy


def test_readers_do_not_wait_for_the_writer(shop: Books) -> None:
    _sell(shop, "x")
    with shop.database.begin() as tx:
        shop.set_state(tx, "a", "1")
        with shop.database.reading() as c:
            assert shop.state(c, "a") == ""


def test_a_reader_hears_in_words_that_its_server_stopped(open_database: OpenDatabase) -> None:
    """Stopped in the middle of a read, away, starting: each has a code, and then it reads again."""
    with postgres_server(durable=True) as server:
        books = books_at(open_database(server.fresh_database()), "central")
        _sell(books, "x")
        with books.database.reading() as connection:
            sold = SqlRecords(connection).head("shop/a").seq
        reading = threading.Event()
        faults: list[Exception] = []

        def read_long() -> None:
            try:
                with books.database.reading() as connection:
                    connection.exec_driver_sql("SELECT 1")
                    reading.set()
                    connection.exec_driver_sql("SELECT pg_sleep(600)")
            except Exception as fault:  # noqa: BLE001 - whatever it is, the test judges it
                faults.append(fault)

        reader = threading.Thread(target=read_long)
        reader.start()
        assert reading.wait(60)
        server.stop()
        reader.join(60)
        assert [getattr(fault, "code", fault) for fault in faults] == ["DATABASE_AWAY"]
        with pytest.raises(Unavailable, match="DATABASE_AWAY"), books.database.reading():
            pass
        server.start()
        with books.database.reading() as connection:
            assert SqlRecords(connection).head("shop/a").seq == sold
        assert books.verify() == []


def test_a_crowd_of_readers_is_turned_away_in_words(
    database_url: str, open_database: OpenDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "POOL_S", 0.2)
    database = open_database(database_url)
    with ExitStack() as crowd:

        def crowd_in() -> None:
            for _ in range(200):
                crowd.enter_context(database.reading())

        with pytest.raises(Unavailable) as caught:
            crowd_in()
        assert caught.value.code == "DATABASE_CROWDED"
        assert "{" not in caught.value.sentence("zh")
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1
    assert database.healthy


def test_a_server_that_is_away_is_named(open_database: OpenDatabase) -> None:
    with postgres_server(durable=True) as server:  # a killed one must keep its tables
        books = books_at(open_database(server.fresh_database()), "central")
        _sell(books, "x")
        server.kill()
        with pytest.raises(Unavailable) as caught:
            _sell(books, "y")
        assert caught.value.code == "DATABASE_AWAY"
        assert "tillmesh" in caught.value.sentence("en")
        server.start()
        _sell(books, "y")
        assert books.verify() == []
