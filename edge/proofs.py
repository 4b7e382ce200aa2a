"""Proof of agreement: the digest of the shelf, appended at boot, at shift close, every 500 events.

The same thread keeps `last-head` beside the database: where the journal stood when it was last
seen. A database that is behind it was restored from a backup, so receipts start a new generation.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Connection

from edge.backup import AHEAD
from edge.node import ShopNode
from edge.settings import Settings
from protocol.clock import Reading
from protocol.codec import Draft
from protocol.errors import TillmeshError
from protocol.events import StockDigest
from protocol.ids import shop_stream
from protocol.journal import Position
from protocol.node.books import Books
from protocol.node.projecting import shelf_proof
from protocol.node.sqljournal import Recorded, SqlRecords

LAST_HEAD: Final = "last-head"
EVERY_EVENTS: Final = 500
HEAD_S: Final = 0.5
WELCOME_S: Final = 5.0  # selling never waits for it
RETURN_S: Final = 60.0  # while events that were lost come back


def stock_digest_draft(tx: Connection, node: ShopNode, at: Reading) -> Draft:
    """The shelf's digest as it stands in this transaction."""
    digest, products = shelf_proof(tx, node.shelf)
    return node.draft(StockDigest(digest=digest, products=products), at=at)


def _seen(path: Path) -> Position | None:
    """Where the journal was last seen; None when nobody knows."""
    try:
        seen = msgspec.json.decode(path.read_bytes(), type=Position)
    except (OSError, msgspec.DecodeError):
        return None
    return seen if seen.seq else None


def _parted(books: Books, stream: str, seen: Position) -> bool:
    with books.database.reading() as connection:
        records = SqlRecords(connection)
        return records.head(stream).seq < seen.seq or (
            records.hash_at(stream, seen.seq) != seen.hash
        )


def behind_last_head(settings: Settings, books: Books) -> str:
    """What is wrong with an own journal that lacks what it held; empty when nothing is.

    A copy that was just put back is behind too, and says so in its `last-head`: nothing is wrong.
    """
    stream, seen = shop_stream(settings.store), _seen(Path(settings.data_dir) / LAST_HEAD)
    if seen is None or seen == AHEAD or not _parted(books, stream, seen):
        return ""
    with books.database.reading() as connection:
        head = SqlRecords(connection).head(stream)
    first = min(head.seq + 1, seen.seq)
    return (
        f"event {first}: the journal ends at {head.seq}, but event {seen.seq} "
        f"with hash {seen.hash[:16]} was written. The file was set back, replaced or emptied. "
        "Start the shop while head office can be reached: it gives back what it has."
    )


class Prover:
    """Counts this shop's events and appends the digest when it is due."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node
        self._since = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._path = Path(node.settings.data_dir) / LAST_HEAD

    def heard(self, recorded: Sequence[Recorded]) -> None:
        """Listener of the books: only counts and wakes."""
        own = [r for r in recorded if r.stored.stream == self._node.stream]
        if any(isinstance(r.body, StockDigest) for r in own):
            self._since = 0
        self._since += len(own)
        if any(r.stored.position.epoch != self._node.books.journal.epoch for r in own):
            self._since += EVERY_EVENTS  # events came back from head office: show that we agree
        if own:
            self._wake.set()

    def prove(self) -> None:
        """Append the digest now."""
        with self._node.books.begin() as tx:
            draft = stock_digest_draft(tx, self._node, self._node.clock.read())
            self._node.books.record(tx, {self._node.stream: [draft]})

    def was_restored(self) -> bool:
        """Is the journal behind, or beside, where it was last seen?"""
        seen = _seen(self._path)
        return seen is not None and _parted(self._node.books, self._node.stream, seen)

    def keep_head(self) -> None:
        """Write down where the journal stands."""
        with self._node.books.database.reading() as connection:
            head = SqlRecords(connection).head(self._node.stream)
        fresh = self._path.with_suffix(".new")
        with suppress(OSError):  # a full disk is told elsewhere; the mark may lag
            fresh.write_bytes(msgspec.json.encode(head))
            fresh.replace(self._path)

    def _boot(self, welcomed: threading.Event, first: Callable[[], None]) -> None:
        start = moved = time.monotonic()
        seen = self._since
        while not welcomed.wait(0.1) and not self._stopping.is_set():
            now = time.monotonic()
            if self._since != seen:  # our own events come back
                seen, moved = self._since, now
            if now - moved > WELCOME_S or now - start > RETURN_S:
                break
        if not self._stopping.is_set():
            first()
            with suppress(TillmeshError):  # due again at the next event
                self.prove()

    def _run(self, welcomed: threading.Event, first: Callable[[], None]) -> None:
        self._boot(welcomed, first)
        while not self._stopping.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._stopping.wait(HEAD_S):
                return
            self.keep_head()
            if self._since >= EVERY_EVENTS:
                with suppress(TillmeshError):  # due again at the next event
                    self.prove()

    def start(self, welcomed: threading.Event, *, first: Callable[[], None]) -> None:
        """Begin, once head office has said how far it holds our journal.

        Or after five seconds of its silence. `first` runs before the boot digest.
        """
        self._thread = threading.Thread(
            target=self._run, args=(welcomed, first), name="proofs", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End, with the head written down."""
        self._stopping.set()
        self._wake.set()
        if self._thread:
            self._thread.join(timeout=5)
            self.keep_head()
