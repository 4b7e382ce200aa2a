"""A node's books: the one place where events become truth and read tables, in one transaction.

    with books.begin() as tx:
        books.record(tx, {stream: [draft]})      # as the writer
        tx.execute(...)                          # work tables that belong to the same moment

Listeners hear of what was committed, after the commit, and must only enqueue.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog
from sqlalchemy import Connection, delete, func, select

from protocol.codec import Draft, body_of, decode
from protocol.errors import Corrupt, Refusal, TillmeshError, Unavailable
from protocol.folds import fold
from protocol.journal import Placed, Stored
from protocol.node.database import Database
from protocol.node.partitioning import partition
from protocol.node.projecting import Fold, empty_read_tables, park, project, shelf_proof
from protocol.node.snapshots import Seal, check_file, file_of, load_tables, read_tail, set_base
from protocol.node.sqljournal import Recorded, SqlJournal, set_head, upsert, walk
from protocol.node.tables import (
    READ_VERSION,
    node_state,
    read,
    refused,
    stream_base,
    stream_head,
    truth,
)
from protocol.node.verifying import Fault, verify
from protocol.node.writing import Shelf
from protocol.replication import Accepted

REFUSED_ROWS_MAX = 1_000
Listener = Callable[[Sequence[Recorded]], None]
log = structlog.get_logger("books")


class Refused(msgspec.Struct, frozen=True):
    """A message that was not taken: where it came from, why, and its first bytes."""

    at_ms: int
    topic: str
    code: str
    detail: str
    sample: bytes


def opened(stored: Stored) -> tuple[Recorded, TillmeshError | None]:
    """Decode for the folds; a body that cannot be read comes with its fault."""
    envelope = stored.envelope if isinstance(stored, Placed) else decode(stored.data)
    try:
        return Recorded(envelope, body_of(envelope), stored), None
    except Corrupt as fault:
        return Recorded(envelope, None, stored), fault


class Books:
    """Journal and read tables of one node over one database."""

    def __init__(
        self, database: Database, journal_of: SqlJournal, *, fold_one: Fold = fold
    ) -> None:
        self.database = database
        self.journal = journal_of
        self.listeners: list[Listener] = []
        self._fold = fold_one
        self._local = threading.local()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction; listeners are told after its commit."""
        self._local.recorded, self._local.shelves = [], []
        with self.database.begin() as tx:
            yield tx
        recorded, self._local.recorded = self._local.recorded, []
        if recorded:
            for listener in self.listeners:
                try:
                    listener(recorded)
                except Exception:  # it is committed: nobody may be told otherwise
                    log.exception("listener_failed")
        self._local.shelves = []

    @property
    def shelves(self) -> Sequence[Shelf]:
        """For a listener: what the commit that it is told of made of each shelf that it changed.

        Nothing when the commit was another process's.
        """
        found: list[Shelf] = getattr(self._local, "shelves", [])
        return found

    def record(self, tx: Connection, drafts: Mapping[str, Sequence[Draft]]) -> list[Recorded]:
        """Append as the writer and project; a draft whose id stands in the stream is left out."""
        recorded = self.journal.append(tx, drafts)
        shelves = self._local.shelves
        project(tx, recorded, fold_one=self._fold, writer=True, shelves=shelves)
        self._local.recorded += recorded
        return recorded

    def keep(self, tx: Connection, verdict: Accepted, *, at_ms: int) -> list[Recorded]:
        """Store and project what replication accepted, with its cursor."""
        pairs = [opened(stored) for stored in verdict.events]
        self.journal.keep(tx, verdict, [r.envelope for r, _ in pairs], at_ms=at_ms)
        for event, fault in pairs:
            if fault:
                park(tx, event, fault)
        recorded = [event for event, _ in pairs]
        project(tx, recorded, fold_one=self._fold, shelves=self._local.shelves)
        self._local.recorded += recorded
        return recorded

    def extend(self, tx: Connection, verdicts: Sequence[Accepted]) -> list[Recorded]:
        """Store and project batches that follow their cursors (locked by the caller), together."""
        recorded: list[Recorded] = []
        faults: list[tuple[Recorded, TillmeshError]] = []

        def opening() -> Iterator[Recorded]:
            for verdict in verdicts:
                for stored in verdict.events:
                    event, fault = opened(stored)
                    recorded.append(event)
                    if fault:
                        faults.append((event, fault))
                    yield event

        self.journal.extend(tx, opening())
        for event, fault in faults:
            park(tx, event, fault)
        project(tx, recorded, fold_one=self._fold, shelves=self._local.shelves)
        self._local.recorded += recorded
        return recorded

    def refuse(self, topic: str, payload: bytes, fault: TillmeshError, *, at_ms: int) -> None:
        """Keep a refused message's reason and first bytes."""
        self.keep_refused([Refused(at_ms, topic, fault.code, fault.sentence("en"), payload)])

    def keep_refused(self, messages: Sequence[Refused]) -> None:
        """Keep reasons and first bytes in one commit; only the newest thousand stay."""
        rows = [
            {
                "at_ms": one.at_ms,
                "topic": one.topic[:200].replace("\0", ""),
                "code": one.code,
                "detail": one.detail[:1000].replace("\0", ""),
                "sample": one.sample[:400],
            }
            for one in messages
        ]
        with self.database.begin() as tx:
            tx.execute(refused.insert(), rows)
            newest = tx.execute(select(func.max(refused.c.n))).scalar() or 0
            tx.execute(delete(refused).where(refused.c.n <= newest - REFUSED_ROWS_MAX))

    def create(self) -> None:
        """Make missing tables (fresh nodes and tests; migrations bring older nodes up)."""
        truth.create_all(self.database.write)
        read.create_all(self.database.write)
        with self.database.begin() as tx:
            partition(tx, int(time.time() * 1000))

    def streams(self, connection: Connection) -> list[str]:
        """All streams in this journal, by name."""
        return list(
            connection.execute(
                select(stream_head.c.stream).order_by(stream_head.c.stream)
            ).scalars()
        )

    def verify(self) -> list[Fault]:
        """Walk every chain and compare heads; return the first wrong row of each stream."""
        with self.database.reading() as connection:
            return verify(connection)

    def rebuild(self, *, order: Callable[[list[str]], Iterable[str]] = sorted) -> int:
        """Empty the read tables and fold the whole journal again; return the number of events."""
        with self.database.begin() as tx:
            empty_read_tables(tx)
            count = self.fold_into(tx, tx, self._start_from_base(tx), order(self.streams(tx)))
            self.set_state(tx, "read_version", str(READ_VERSION))
        return count

    def fold_into(
        self,
        tx: Connection,
        source: Connection,
        folded: Mapping[str, int],
        streams: Iterable[str],
    ) -> int:
        """Fold what the journal of `source` holds after the sequences in `folded`; count it."""
        count = 0
        for stream in streams:
            for chunk in walk(source, stream, after_seq=folded.get(stream, 0)):
                pairs = [opened(stored) for stored in chunk]
                for event, fault in pairs:
                    if fault:
                        park(tx, event, fault)
                project(tx, [event for event, _ in pairs], fold_one=self._fold)
                count += len(chunk)
        return count

    @property
    def path(self) -> Path:
        """The database file; what belongs to it lies beside it."""
        return Path(self.database.write.url.database or "")

    def base(self, connection: Connection) -> Seal | None:
        """The seal of the snapshot that these books start from; None when they are whole."""
        sealed = self.state(connection, "base_seal")
        return msgspec.json.decode(sealed, type=Seal) if sealed else None

    def _start_from_base(self, tx: Connection) -> dict[str, int]:
        """Load the snapshot, if there is one; say up to where it holds each stream."""
        seal = self.base(tx)
        if seal is None:
            if tx.execute(select(stream_base.c.stream).limit(1)).first() is not None:
                raise Unavailable("SNAPSHOT_MISSING", path=str(self.path.parent))
            return {}
        if seal.read_version != READ_VERSION:
            raise Refusal("SNAPSHOT_VERSION", found=seal.read_version, wanted=READ_VERSION)
        file = file_of(self.path, seal)
        check_file(file, seal)  # what it says can be read nowhere else
        load_tables(tx, file)
        return {stream: at.seq for stream, at in seal.positions.items()}

    def begin_at(self, tx: Connection, seal: Seal, streams: Iterable[str]) -> None:
        """From now on a rebuild starts from this snapshot, and these streams begin there.

        Its file lies beside the database already. What stands before the places may be deleted.
        """
        set_base(tx, {s: seal.positions[s] for s in streams if seal.positions[s].seq})
        self.set_state(tx, "base_seal", msgspec.json.encode(seal).decode())

    def adopt(self, seal: Seal, own_stream: str) -> int:
        """Start empty books from a checked snapshot, whole or not at all; return the events.

        Its file lies beside the database.

        Refusal SNAPSHOT_NOT_EMPTY, Corrupt SNAPSHOT_DAMAGED.
        """
        count, file = 0, file_of(self.path, seal)
        with self.database.begin() as tx:
            if self.streams(tx):
                raise Refusal("SNAPSHOT_NOT_EMPTY")
            empty_read_tables(tx)
            load_tables(tx, file)
            self.begin_at(tx, seal, seal.positions)
            for stream, head in seal.heads.items():
                if head.seq:
                    set_head(tx, stream, head)
            for chunk in read_tail(file, own_stream):
                pairs = [opened(stored) for stored, _ in chunk]
                self.journal.put(tx, [(r, b) for (r, _), (_, b) in zip(pairs, chunk, strict=True)])
                for event, fault in pairs:
                    if fault:
                        park(tx, event, fault)
                project(tx, [event for event, _ in pairs], fold_one=self._fold)
                count += len(chunk)
            faults = verify(tx)
            if faults:
                detail = f"{faults[0].stream} event {faults[0].seq}: {faults[0].detail}"
                raise Corrupt("SNAPSHOT_DAMAGED", path=str(file), detail=detail[:150])
            self.set_state(tx, "read_version", str(READ_VERSION))
        return count

    def rebuild_if_older(self) -> bool:
        """At boot: fold anew when a fold or a read table has changed since.

        Refusal SNAPSHOT_VERSION, and nothing is changed, when the snapshot that the books start
        from is of another version.
        """
        with self.database.reading() as connection:
            version = self.state(connection, "read_version")
            empty = not self.streams(connection)
            seal = self.base(connection)
        if version == str(READ_VERSION):
            return False
        if seal is not None and seal.read_version != READ_VERSION:
            raise Refusal("SNAPSHOT_VERSION", found=seal.read_version, wanted=READ_VERSION)
        if not empty or version:
            with self.database.begin() as tx:
                read.drop_all(tx)
                read.create_all(tx)
        self.rebuild()
        return not empty

    def state(self, connection: Connection, name: str) -> str:
        """A small persisted fact of this node; empty when unset."""
        return (
            connection.execute(select(node_state.c.value).where(node_state.c.name == name)).scalar()
            or ""
        )

    def set_state(self, tx: Connection, name: str, value: str) -> None:
        """Persist a small fact."""
        tx.execute(
            upsert(tx, node_state).on_conflict_do_update(
                index_elements=["name"], set_={"value": value}
            ),
            {"name": name, "value": value},
        )

    def proof(self, place: str) -> tuple[str, int]:
        """Digest and product count of a shelf."""
        with self.database.reading() as connection:
            return shelf_proof(connection, place)
