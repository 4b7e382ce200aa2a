"""The journal alone, beside bare SQLite on the same disk."""

import random
import sqlite3
import tempfile
from pathlib import Path

from sqlalchemy import select

from protocol.clock import ClockState, Reading
from protocol.codec import Draft
from protocol.events import SaleCompleted, SaleLine, Tender
from protocol.journal import ORIGIN, chain
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.sqljournal import SqlJournal
from protocol.node.tables import journal
from tests.bench.figures import spread, timed

AT = Reading(1_795_000_000_000, 5, ClockState.TRUSTED)
EVENTS = 3_000


def sale(n: int, store: str = "") -> SaleCompleted:
    draw = random.Random(f"{store}{n}")
    lines = tuple(
        SaleLine(
            sku=f"P{draw.randrange(2000):04d}",
            code=f"690123450{i:04d}",
            name={"zh": "红豆面包", "en": "Red bean bread"},
            group="bread",
            qty_milli=1000,
            unit_price_minor=600,
            price_version="all@7",
            gross_minor=600,
        )
        for i in range(10)
    )
    return SaleCompleted(
        sale=f"{store}s{n}",
        receipt_number=f"1-1-{n:06d}",
        till="1",
        shift="x",
        cashier="li",
        business_date="2026-11-23",
        currency="CNY",
        lines=lines,
        tenders=(Tender(kind="cash", amount_minor=6000, given_minor=6000),),
        total_minor=6000,
        discount_minor=0,
        change_minor=0,
        tax=(),
        rules_hash="0" * 64,
        engine=1,
        context={},
    )


def raw_commits(path: Path, count: int) -> list[float]:
    """One row of a sale's size per commit, WAL + FULL."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode=wal").fetchall()
    connection.execute("pragma synchronous=full").fetchall()
    connection.execute("create table t(n integer primary key, body blob)")
    body = b"x" * 2_500

    def one(n: int) -> None:
        connection.execute("begin immediate")
        connection.execute("insert into t values (?, ?)", (n, body))
        connection.execute("commit")

    times = [timed(lambda n=n: one(n)) for n in range(count)]
    connection.close()
    return times


def hashed(books: Books) -> None:
    """Every hash from the one before and the bytes, and nothing else."""
    with books.database.reading() as connection:
        rows = connection.execute(select(journal.c.hash, journal.c.data).order_by(journal.c.seq))
        before = ORIGIN.hash
        for row in rows:
            if chain(before, row.data) != row.hash:
                raise AssertionError("the chain is broken")
            before = row.hash


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        raw = raw_commits(Path(folder) / "raw.db", 1_000)
        books = Books(Database(f"sqlite:///{folder}/books.db"), SqlJournal("S1", "a" * 16))
        books.create()

        def one(n: int) -> None:
            with books.begin() as tx:
                books.record(tx, {"shop/S1": [Draft(id=f"s{n}", body=sale(n), at=AT)]})

        singles = [timed(lambda n=n: one(n)) for n in range(500)]
        for start in range(500, EVENTS, 100):
            with books.begin() as tx:
                drafts = [Draft(id=f"s{n}", body=sale(n), at=AT) for n in range(start, start + 100)]
                books.record(tx, {"shop/S1": drafts})
        verify_s = timed(books.verify)
        hash_s = timed(lambda: hashed(books))
        rebuild_s = timed(books.rebuild)
        books.database.close()
    return [
        ("baseline: bare SQLite commit, 2.5 kB row, WAL + FULL", spread(raw)),
        ("append + project one 10-line sale, durable", spread(singles)),
        ("verify (all: bytes, places, branches, chain)", f"{EVENTS / verify_s:,.0f} events/s"),
        ("the hash chain alone, rows read (goal 100,000)", f"{EVENTS / hash_s:,.0f} events/s"),
        ("rebuild of the read tables, 10-line sales", f"{EVENTS / rebuild_s:,.0f} events/s"),
    ]
