"""What a shop's database must say after anything: whole sales only, and all that were answered."""

import sqlite3
from pathlib import Path

import msgspec

from edge.settings import TillSettings
from protocol.codec import body_of, decode
from protocol.events import SaleCompleted
from protocol.journal import Position, Stored, verify

TILLS = (TillSettings(id="1", printer="socket://127.0.0.1:9", drawer=True), TillSettings(id="2"))
OWN = "shop/s1"


class State(msgspec.Struct, frozen=True):
    """What one image of a shop's disk says; lists are in the order of the journal."""

    sales: list[str]
    receipts: list[str]


def rows(connection: sqlite3.Connection, sql: str) -> list[tuple]:
    return connection.execute(sql).fetchall()


def examine(database: Path) -> State:
    """Read an image as a shop would after the power is back; AssertionError names what is wrong.

    3 the chain; 5 tables and journal say the same; 6 receipt numbers without a gap; 11 a receipt
    for each sale and none without; 1 is for the caller, who knows what was answered.
    """
    connection = sqlite3.connect(database)
    try:
        return _examined(connection)
    finally:
        connection.close()


def _examined(c: sqlite3.Connection) -> State:
    assert rows(c, "PRAGMA integrity_check") == [("ok",)]
    journal = rows(
        c,
        "SELECT epoch, seq, hash, data FROM journal "
        f"WHERE stream = '{OWN}' AND branch = 0 ORDER BY seq",
    )
    events = [Stored(OWN, Position(e, s, h), bytes(d)) for e, s, h, d in journal]
    head = verify(OWN, events)
    kept_head = rows(c, f"SELECT epoch, seq, hash FROM stream_head WHERE stream = '{OWN}'")
    assert kept_head == ([(head.epoch, head.seq, head.hash)] if events else [])
    bodies = [body_of(decode(e.data)) for e in events]
    sold = [b for b in bodies if isinstance(b, SaleCompleted)]
    sales = [b.sale for b in sold]
    receipts = [b.receipt_number for b in sold]
    assert len(set(sales)) == len(sales), "a sale stands twice"
    numbers = [int(r.rpartition("-")[2]) for r in receipts]
    assert numbers == list(range(1, len(numbers) + 1)), numbers
    counter = rows(c, "SELECT counter FROM receipt_counter WHERE till = '1'")
    assert counter == ([(len(sold),)] if sold else []), counter
    table = rows(c, "SELECT sale FROM sale ORDER BY seq")
    assert [s for (s,) in table] == sales
    moved = sum(x.qty_milli for b in sold for x in b.lines)
    shelf = rows(c, "SELECT COALESCE(SUM(qty_milli), 0) FROM stock WHERE place = 'shop/s1'")
    assert shelf == [(-moved,)], "stock and sales disagree"
    both = "SUM(qty_milli + sold_milli)"
    every = rows(c, f"SELECT sku, {both} FROM stock GROUP BY sku HAVING {both} <> 0")
    assert every == [], "goods came from nowhere"
    running = rows(c, "SELECT SUM(sales), SUM(total_minor) FROM shift_running")
    if sold:
        assert running == [(len(sold), sum(b.total_minor for b in sold))]
    jobs = {job for (job,) in rows(c, "SELECT id FROM print_job")}
    assert {j for j in jobs if j.startswith("receipt-")} == {f"receipt-{s}" for s in sales}
    assert {j for j in jobs if j.startswith("kick-")} <= {f"kick-{s}" for s in sales}
    basket = rows(c, "SELECT sale FROM basket WHERE till = '1'")
    assert not basket or basket[0][0] not in sales, "a paid sale lies in the basket"
    return State(sales, receipts)
