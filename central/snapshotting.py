"""Sealed snapshots for shops: made on demand in a thread, kept in a file, handed out over HTTP.

The tables are folded from the shop's own streams in a scratch database, by the same folds as in
the shop, so what it gets is what it would have made itself. Head office's streams are in it up to
their heads, the shop's own journal up to 35 days ago, and from there on event by event, because a
shop keeps so much and its tills ask for it. What was said to this shop alone ends 35 days ago too:
the rest comes over the wire with head office's signature, because after a restore of head office
nobody else could give it back.
"""

import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec
import structlog
from sqlalchemy import func, select

from central.recording import Desk
from central.stores import Stores
from protocol.clock import DAY_MS
from protocol.errors import Unavailable, define
from protocol.ids import ALL, shop_stream, to_stream, zone_stream
from protocol.journal import ORIGIN, Position
from protocol.node.books import opened
from protocol.node.database import Database
from protocol.node.projecting import park, project
from protocol.node.signing import NodeKey
from protocol.node.snapshots import Seal, file_digest, tail_of, write_file
from protocol.node.sqljournal import SqlRecords, walk
from protocol.node.swapping import clear_leftovers
from protocol.node.tables import READ_VERSION, fork, journal, parked, read, truth

KEEP_MS: Final = 35 * DAY_MS
FRESH_S: Final = 600.0  # a snapshot younger than this is handed out again ...
TAIL_MAX: Final = 1_000  # ... unless more than this happened at head office since
EVERYTHING: Final[Mapping[str, int]] = {}
define(
    {
        "SNAPSHOT_NOT_MADE": (
            "Head office could not make the snapshot of {store} ({detail}). The shop starts "
            "without it: everything comes event by event.",
            "总部无法生成 {store} 的快照（{detail}）。门店将不用快照启动，数据逐条到达。",
        ),
    }
)
log = structlog.get_logger("snapshots")


class Snapshots:
    """Makes them one at a time; `wanted` never waits."""

    def __init__(self, desk: Desk, stores: Stores, key: NodeKey) -> None:
        self._desk, self._stores, self._key = desk, stores, key
        self._folder = desk.settings.data_dir / "snapshots"
        self._lock = threading.Lock()
        self._making: set[str] = set()
        self._made_s: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._turn = threading.Lock()

    def path(self, store: str) -> Path:
        """The file of a shop's newest snapshot."""
        return self._folder / f"{store}.snapshot"

    def wanted(self, store: str, upto: Mapping[str, int] = EVERYTHING) -> Seal | None:
        """The seal of a recent snapshot; None while one is being made.

        `upto`: stream -> fold no event after this one: the shop folds those itself.
        """
        with self._lock:
            if store in self._making:
                return None
            if time.monotonic() - self._made_s.get(store, -FRESH_S) < FRESH_S:
                seal = self._seal(store)
                if self._still_good(seal, upto):
                    return seal
            if (fault := self._failed.pop(store, "")) != "":
                raise Unavailable("SNAPSHOT_NOT_MADE", store=store, detail=fault)
            self._making.add(store)
        threading.Thread(
            target=self._make_aside, args=(store, upto), name="snapshot", daemon=True
        ).start()
        return None

    def _seal(self, store: str) -> Seal:
        return msgspec.json.decode(self.path(store).with_suffix(".seal").read_bytes(), type=Seal)

    def _still_good(self, seal: Seal, upto: Mapping[str, int]) -> bool:
        """Does it hold all of the shop's own journal, and nearly all of head office's?

        A machine that starts from less than its own journal would fork it with its first sale. One
        that has books asks for no more than it has.
        """
        own = shop_stream(seal.store)
        with self._desk.books.database.reading() as connection:
            records = SqlRecords(connection)
            heads = {stream: records.head(stream) for stream in seal.heads}
        shared = {stream for stream in heads if stream not in {own, to_stream(seal.store)}}
        behind = [
            min(heads[stream].seq, upto.get(stream, heads[stream].seq)) - seal.heads[stream].seq
            for stream in shared
        ]
        fits = all(at.seq <= upto.get(s, at.seq) for s, at in seal.positions.items())
        whole = own in upto or heads[own] == seal.heads[own]
        return fits and whole and all(0 <= n <= TAIL_MAX for n in behind)

    def _make_aside(self, store: str, upto: Mapping[str, int]) -> None:
        try:
            with self._turn:
                self.make(store, upto)
            self._made_s[store] = time.monotonic()
        except Exception as fault:
            log.exception("snapshot_failed", store=store)
            self._failed[store] = f"{type(fault).__name__}: {fault}"[:200]
        finally:
            with self._lock:
                self._making.discard(store)

    def make(self, store: str, upto: Mapping[str, int] = EVERYTHING) -> Seal:
        """Make one now, as `wanted` says. Refusal HQ_STORE_UNKNOWN."""
        found = self._stores.store(store)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        clear_leftovers(self._folder, f".{store}-*")
        work = self._folder / f".{store}-{time.monotonic_ns():x}"
        work.mkdir(mode=0o700)
        own = shop_stream(store)
        try:
            limits = self._limits([ALL, zone_stream(found.zone)], own, to_stream(store))
            limits = {stream: min(seq, upto.get(stream, seq)) for stream, seq in limits.items()}
            while (less := self._fold(work, limits)) is not None:
                limits = less
            return self._write(work, store, limits, tail=own not in upto)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _limits(self, down: Iterable[str], own: str, private: str) -> dict[str, int]:
        """Up to which sequence each stream is folded."""
        old_ms = self._desk.clock.read().at_ms - KEEP_MS
        c = journal.c
        with self._desk.books.database.reading() as connection:
            records = SqlRecords(connection)
            limits = {stream: records.head(stream).seq for stream in down}
            old, limits[private] = (
                connection.execute(
                    select(func.coalesce(func.max(c.seq), 0)).where(
                        c.stream == stream,
                        c.branch == 0,
                        c.at_ms < old_ms,
                        c.seq <= records.head(stream).seq,
                    )
                ).scalar_one()
                for stream in (own, private)
            )
            parted = connection.execute(
                select(func.min(fork.c.parent_seq)).where(fork.c.stream == own)
            ).scalar()
        limits[own] = min(old, int(parted)) if parted is not None else old
        return limits

    def _fold(self, work: Path, limits: dict[str, int]) -> dict[str, int] | None:
        """Fold into a fresh scratch; lower limits when an event before them cannot be folded."""
        (work / "scratch.db").unlink(missing_ok=True)
        scratch = Database(f"sqlite:///{work / 'scratch.db'}")
        try:
            truth.create_all(scratch.write)
            read.create_all(scratch.write)
            with self._desk.books.database.reading() as source, scratch.begin() as tx:
                for stream, limit in limits.items():
                    for chunk in walk(source, stream):
                        pairs = [opened(s) for s in chunk if s.position.seq <= limit]
                        for event, fault in pairs:
                            if fault:
                                park(tx, event, fault)
                        project(tx, [event for event, _ in pairs])
                        if len(pairs) < len(chunk):
                            break
                first = select(parked.c.stream, func.min(parked.c.seq)).group_by(parked.c.stream)
                faults = {stream: int(seq) - 1 for stream, seq in tx.execute(first)}
        finally:
            scratch.close()
        return {**limits, **faults} if faults else None

    def _write(self, work: Path, store: str, limits: dict[str, int], *, tail: bool) -> Seal:
        own = shop_stream(store)
        scratch = Database(f"sqlite:///{work / 'scratch.db'}")
        file = work / "snapshot"
        try:
            with self._desk.books.database.reading() as source, scratch.reading() as tables:
                records = SqlRecords(source)
                positions = {s: _at(records, s, seq) for s, seq in limits.items()}
                events = tail_of(source, own, limits[own]) if tail else ()
                digests = write_file(file, tables, events)
                heads = {**positions, own: records.head(own)} if tail else positions
        finally:
            scratch.close()
        seal = Seal(
            store=store,
            at_ms=self._desk.clock.read().at_ms,
            read_version=READ_VERSION,
            positions=positions,
            heads=heads,
            digests=digests,
            sha256=file_digest(file),
            size=file.stat().st_size,
        )
        seal = msgspec.structs.replace(seal, sig=self._key.sign(seal.signed_part()))
        (work / "seal").write_bytes(msgspec.json.encode(seal))
        file.replace(self.path(store))
        (work / "seal").replace(self.path(store).with_suffix(".seal"))
        return seal


def _at(records: SqlRecords, stream: str, seq: int) -> Position:
    """The event at a sequence of the main line."""
    hash_ = records.hash_at(stream, seq) if seq else None
    found = records.find(stream, hash_) if hash_ else None
    return found or ORIGIN
