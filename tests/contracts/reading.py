"""Keep batches as the replicator does, and look at what stands in the books."""

from collections.abc import Sequence

from sqlalchemy import select

from protocol.codec import decode
from protocol.journal import Position, Stored
from protocol.ledger import balances
from protocol.node.books import Books
from protocol.node.sqljournal import Recorded, SqlRecords, read_line
from protocol.node.tables import READ, digest_check, parked, shelf_digest
from protocol.replication import Accepted, Known, Verdict, judge
from tests.builders import make_batch


def keep(books: Books, stored: Sequence[Stored], *, prev: str = "") -> Verdict:
    """Judge and keep, as the replicator does."""
    with books.begin() as tx:
        verdict = judge(make_batch(stored, prev=prev), SqlRecords(tx))
        if isinstance(verdict, Accepted):
            books.keep(tx, verdict, at_ms=1)
    return verdict


def kept(books: Books, stored: Sequence[Stored], *, prev: str = "") -> Position:
    """Keep and demand that it was accepted or known; return the tip."""
    verdict = keep(books, stored, prev=prev)
    assert isinstance(verdict, Accepted | Known), verdict
    return verdict.tip


def line(books: Books, stream: str) -> list[tuple[int, str]]:
    """(seq, id) of the main line."""
    with books.database.reading() as c:
        return [(s.position.seq, decode(s.data).id) for s in read_line(c, stream, 0, limit=100_000)]


def snapshot(books: Books) -> dict[str, list[tuple[object, ...]]]:
    """All read tables, sorted; sums of zero are as good as no row."""
    found: dict[str, list[tuple[object, ...]]] = {}
    with books.database.reading() as c:
        for table in [*READ.values(), shelf_digest, digest_check, parked]:
            rows = [tuple(r) for r in c.execute(select(table))]
            found[table.name] = sorted(rows, key=repr)
    return found


def stock(books: Books) -> dict[tuple[str, str], int]:
    """(place, sku) -> thousandths."""
    table = READ["stock"]
    with books.database.reading() as c:
        return {
            (place, r.sku): qty
            for r in c.execute(select(table))
            for place, qty in balances(r.place, r.qty_milli, r.sold_milli)
        }


def parked_reasons(books: Books, stream: str) -> dict[int, str]:
    """seq -> why it was parked."""
    with books.database.reading() as c:
        rows = c.execute(select(parked).where(parked.c.stream == stream))
        return {r.seq: r.reason for r in rows}


def ids(recorded: Sequence[Recorded]) -> list[str]:
    """Ids, the epoch's first event left out."""
    return [r.envelope.id for r in recorded if r.envelope.type != "EpochStarted"]
