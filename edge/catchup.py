"""A shop that is far behind head office's shared streams takes a snapshot instead of every event.

Selling goes on: rows of products, prices and the like are written a few hundred at a time, each by
the rule of the folds (the higher rank stays), so that they commute with events that come meanwhile.
One small transaction then moves the cursors and swaps the promotions. Whatever goes wrong, the
events come one by one as ever.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import structlog
from sqlalchemy import Connection, select

from edge.fetching import obtain
from edge.node import ShopNode
from edge.safekeeping import held_alone
from protocol.errors import Corrupt, TillmeshError, define
from protocol.folds import ROWS, Put
from protocol.ids import ALL, to_stream
from protocol.node.signing import NodeKey
from protocol.node.snapshots import Seal, agreed, file_of, rows_in
from protocol.node.sqljournal import SqlRecords, set_head
from protocol.node.tables import fork
from protocol.node.writing import write
from protocol.wire import Manifest

FAR: Final = 10_000  # events; fewer come faster one by one
WORTH: Final = 1_000  # that are still lacking when the snapshot is here
PORTION: Final = 500  # rows written while the tills wait
PAUSE_S: Final = 0.005
# What this shop and `to/{store}` say: those streams are not leapt over.
NOT_SHARED: Final = frozenset({"sale", "shift", "stock_move"})
AT_ONCE: Final = frozenset({"promotion"})  # with the cursor: rules apply whole or not at all

define(
    {
        "SNAPSHOT_UNFIT": (
            "Head office's snapshot does not fit this shop's books in {stream}. Nothing was "
            "changed; everything comes event by event.",
            "总部快照与本店账簿在 {stream} 中不符，没有任何更改，数据将逐条到达。",
        ),
    }
)
log = structlog.get_logger("catchup")


class Leapt(msgspec.Struct, frozen=True):
    """Events that were spared by stream, rows written, and how long a till waited at most."""

    spared: dict[str, int]
    rows: int
    longest_s: float
    seconds: float


class Catchup:
    """Start it; `told` each manifest. `leapt` is called after the books have leapt forward."""

    def __init__(self, node: ShopNode, key: NodeKey, leapt: Callable[[Leapt], None]) -> None:
        self._node, self._key, self._leapt = node, key, leapt
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def told(self, made: Manifest) -> None:
        """In the replication thread: only compares, and wakes."""
        with self._node.books.database.reading() as connection:
            ours = SqlRecords(connection).head(made.stream).seq
        if made.seq - ours > FAR and self._node.settings.head_office:
            self._wake.set()

    def start(self) -> None:
        """Wait for a manifest that says that much is lacking."""
        self._thread = threading.Thread(target=self._run, name="catchup", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, between two portions."""
        self._stopping = True
        self._wake.set()
        if self._thread:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if self._stopping:
                return
            self._wake.clear()
            folder = Path(self._node.settings.data_dir)
            try:
                with held_alone(folder, name="lock-snapshot", busy="SNAPSHOT_BUSY"):
                    done = self.leap()
            except TillmeshError as fault:  # head office is away, or of another version
                log.warning("snapshot_not_taken", code=fault.code, reason=fault.sentence("en"))
            except Exception:
                log.exception("snapshot_not_taken")
            else:
                if done is not None:
                    log.info("caught_up", **msgspec.to_builtins(done))

    def leap(self) -> Leapt | None:
        """Fetch and leap now; None when it was not worth it, or the node stops.

        What `obtain` raises; Corrupt SNAPSHOT_UNFIT. Then the cursors stand where they stood.
        """
        started, node = time.monotonic(), self._node
        with node.books.database.reading() as connection:
            records = SqlRecords(connection)
            mine = {s: records.head(s).seq for s in (node.stream, str(to_stream(node.store)))}
        seal = obtain(node.settings, self._key, node.books, upto=mine)
        with node.books.database.reading() as connection:
            ahead = _ahead(connection, seal, node.stream)
        if max(ahead.values(), default=0) < WORTH:
            return None
        file, rows, longest = file_of(node.books.path, seal), 0, 0.0
        for portion in _portions(file, lambda table: table not in NOT_SHARED | AT_ONCE):
            if self._stopping:
                return None
            longest = max(longest, self._write(portion))
            rows += len(portion)
            time.sleep(PAUSE_S)
        last = [put for portion in _portions(file, AT_ONCE.__contains__) for put in portion]
        began = time.monotonic()
        with node.books.database.begin() as tx:
            ahead = _ahead(tx, seal, node.stream)
            write(tx, last)
            node.books.begin_at(tx, seal, ahead)
            for stream in ahead:
                set_head(tx, stream, seal.positions[stream])
        longest = max(longest, time.monotonic() - began)
        done = Leapt(ahead, rows + len(last), longest, time.monotonic() - started)
        self._leapt(done)
        return done

    def _write(self, portion: list[Put]) -> float:
        began = time.monotonic()
        with self._node.books.database.begin() as tx:
            write(tx, portion)
        return time.monotonic() - began


def _ahead(connection: Connection, seal: Seal, own: str) -> dict[str, int]:
    """Shared streams that the snapshot holds further, and by how many events; SNAPSHOT_UNFIT."""
    records, ahead = SqlRecords(connection), {}
    parted = set(connection.execute(select(fork.c.stream).distinct()).scalars())
    for stream, at in seal.positions.items():
        lacking = at.seq - records.head(stream).seq
        shared = stream == ALL or stream.startswith("zone/")
        if shared and lacking > 0 and stream not in parted:
            ahead[stream] = lacking
        elif not agreed(records, seal, stream) or at.seq < records.low(stream):
            raise Corrupt("SNAPSHOT_UNFIT", stream=stream)
    if own not in seal.positions:
        raise Corrupt("SNAPSHOT_UNFIT", stream=own)
    return ahead


def _portions(file: Path, wanted: Callable[[str], bool]) -> Iterator[list[Put]]:
    """The rows of the tables that hold rows with a rank, as the folds would write them."""
    for table, rows in rows_in(file):
        if table not in ROWS or not wanted(table):
            continue
        keys = len(ROWS[table][0])
        puts = [Put(table, tuple(r[:keys]), tuple(r[keys:-1]), r[-1]) for r in rows]
        for start in range(0, len(puts), PORTION):
            yield puts[start : start + PORTION]
