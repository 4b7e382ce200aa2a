"""Walk every chain in a journal and name the first row that is not what it must be.

Bytes, places and hashes must agree, and so must what is stored beside the bytes (type, id, time,
branch). An end that was cut off together with its head shows only against a peer or a signed head.
"""

from collections.abc import Iterator

import msgspec
from sqlalchemy import Connection, Row, func, select

from protocol.codec import Envelope, decode
from protocol.errors import Corrupt
from protocol.journal import ORIGIN, Position, chain, check_follows, parent_of
from protocol.node.sqljournal import PAST_ALL_EPOCHS, SqlRecords
from protocol.node.tables import journal, stream_head

CHUNK = 1000


class Fault(msgspec.Struct, frozen=True):
    """One wrong place that `verify` found."""

    stream: str
    seq: int
    code: str
    detail: str


def verify(connection: Connection) -> list[Fault]:
    """The first wrong row of each stream; empty when all is as it was written."""
    headed = connection.execute(select(stream_head.c.stream).order_by(stream_head.c.stream))
    streams = list(headed.scalars())
    faults = [fault for s in streams if (fault := _Walk(connection, s).fault())]
    faults += [
        Fault(stream, 0, "CHAIN_BROKEN", "a stream without a head")
        for stream in connection.execute(select(journal.c.stream).distinct()).scalars()
        if stream not in streams
    ]
    return faults


class _Walk:
    """One stream, in (sequence, epoch) order, branches included."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self.stream = stream
        self.seq = 0
        self._connection = connection
        self._records = SqlRecords(connection)
        base = self._records.base(stream)  # a sealed snapshot holds what lies before it
        self._epochs: dict[str, Position] = {base.epoch: base}  # the last event of each so far
        self._lines: dict[int, Position] = {0: base}  # the last event of each branch so far
        self._base = base

    def fault(self) -> Fault | None:
        try:
            for row in self._rows():
                self.seq = row.seq
                self._check(row)
            self._check_head()
        except Corrupt as fault:
            return Fault(self.stream, self.seq, fault.code, str(fault.params["detail"]))
        except (ValueError, TypeError) as fault:  # a column holds another type altogether
            return Fault(self.stream, self.seq, "CHAIN_BROKEN", f"unreadable: {fault}")
        return None

    def _rows(self) -> Iterator[Row[tuple[object, ...]]]:
        seq, epoch = (self._base.seq, PAST_ALL_EPOCHS) if self._base.seq else (-1, "")
        while True:
            later = (journal.c.seq > seq) | ((journal.c.seq == seq) & (journal.c.epoch > epoch))
            rows = self._connection.execute(
                select(journal)
                .where(journal.c.stream == self.stream, later)
                .order_by(journal.c.seq, journal.c.epoch)
                .limit(CHUNK)
            ).all()
            yield from rows
            if len(rows) < CHUNK:
                return
            seq, epoch = rows[-1].seq, rows[-1].epoch

    def _broken(self, detail: str) -> Corrupt:
        return Corrupt("CHAIN_BROKEN", stream=self.stream, seq=self.seq, detail=detail)

    def _check(self, row: Row[tuple[object, ...]]) -> None:
        if not isinstance(row.data, bytes):
            raise self._broken("its bytes are text")
        envelope = decode(row.data)
        previous = self._previous(envelope)
        check_follows(envelope, previous, self.stream)
        place = Position(envelope.epoch, envelope.seq, chain(previous.hash, row.data))
        if place != Position(row.epoch, row.seq, row.hash):
            raise self._broken("the stored place or hash is not the one its bytes give")
        if (envelope.type, envelope.id, envelope.ts) != (row.type, row.id, row.at_ms):
            raise self._broken("the stored type, id or time is not the one in its bytes")
        self._check_branch(row.branch, previous, place)
        self._epochs[envelope.epoch] = self._lines[row.branch] = place

    def _previous(self, envelope: Envelope) -> Position:
        named = parent_of(envelope)
        previous = self._epochs.get(envelope.epoch) if named is None else named
        if previous is None:
            raise self._broken("its epoch has no start")
        known = named in {None, ORIGIN} or (
            self._records.find(self.stream, previous.hash) == previous
        )
        if not known:
            raise self._broken("its parent is missing")
        return previous

    def _check_branch(self, branch: int, previous: Position, place: Position) -> None:
        """A branch is one line; a side branch begins where its parent has another child."""
        line = self._lines.get(branch)
        if line is not None and line != previous:
            raise self._broken("it does not follow the line that it stands on")
        if line is None and not self._has_sibling(previous, place):
            raise self._broken("it stands on a branch that begins nowhere")

    def _has_sibling(self, parent: Position, place: Position) -> bool:
        rows = self._connection.execute(
            select(journal.c.hash, journal.c.data).where(
                journal.c.stream == self.stream,
                journal.c.seq == place.seq,
                journal.c.hash != place.hash,
            )
        )
        return any(chain(parent.hash, row.data) == row.hash for row in rows)

    def _check_head(self) -> None:
        head = self._records.head(self.stream)
        self.seq = head.seq
        if head != ORIGIN and self._records.find(self.stream, head.hash) != head:
            raise self._broken("the head's event is not in the journal")
        on_main = (journal.c.stream == self.stream) & (journal.c.branch == 0)
        on_main &= journal.c.seq > self._base.seq
        highest = self._connection.execute(select(func.max(journal.c.seq)).where(on_main)).scalar()
        if (highest or self._base.seq) != head.seq:
            raise self._broken(f"events go on to {highest} after the head")
