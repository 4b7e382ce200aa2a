"""Where a node keeps its high-water mark: a small row, every minute; and its journal, every sale.

An event that was written with a trusted clock is itself a mark, in the same commit as the sale. So
nothing is added to a sale: at a start the events after the row's `seq` are looked at.
"""

from typing import Final

import msgspec
from sqlalchemy import select

from protocol.clock import ClockState
from protocol.clockstatus import Last, Mark
from protocol.codec import decode
from protocol.errors import TillmeshError
from protocol.node.books import Books
from protocol.node.sqljournal import SqlRecords
from protocol.node.tables import journal

NAME: Final = "high_water"
EVENTS_MAX: Final = 500  # a minute's worth, and more


def recall(books: Books, stream: str) -> Last:
    """What was certain last, by the row and by the node's own events after it."""
    with books.database.reading() as connection:
        row = books.state(connection, NAME)
        try:
            mark = msgspec.json.decode(row, type=Mark) if row else Mark()
        except msgspec.DecodeError:
            mark = Mark()  # the journal still knows
        after = connection.execute(
            select(journal.c.data)
            .where(journal.c.stream == stream, journal.c.seq > mark.seq, journal.c.branch == 0)
            .order_by(journal.c.seq.desc())
            .limit(EVENTS_MAX)
        ).scalars()
        told_ms = max((_trusted_ms(data) for data in after), default=0)
    return Last(mark=mark, told_ms=told_ms)


def _trusted_ms(data: bytes) -> int:
    try:
        envelope = decode(data)
        return envelope.ts if ClockState(envelope.clk).trusted else 0
    except (TillmeshError, ValueError):  # `verify` names a damaged row; the clock goes on
        return 0


def remember(books: Books, stream: str, mark: Mark) -> None:
    """Write the row, with the newest event of the node's own stream."""
    with books.begin() as tx:
        head = SqlRecords(tx).head(stream)
        kept = msgspec.structs.replace(mark, seq=head.seq)
        books.set_state(tx, NAME, msgspec.json.encode(kept).decode())
