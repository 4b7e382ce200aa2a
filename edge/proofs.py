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

from edge.node import ShopNode
from protocol.clock import Reading
from protocol.codec import Draft
from protocol.errors import TillmeshError
from protocol.events import StockDigest
from protocol.journal import Position
from protocol.node.projecting import shelf_proof
from protocol.node.sqljournal import Recorded, SqlRecords

EVERY_EVENTS: Final = 500
HEAD_S: Final = 0.5
WELCOME_S: Final = 5.0  # selling never waits for it
RETURN_S: Final = 60.0  # while events that were lost come back


def stock_digest_draft(tx: Connection, node: ShopNode, at: Reading) -> Draft:
    """The shelf's digest as it stands in this transaction."""
    digest, products = shelf_proof(tx, node.shelf)
    return node.draft(StockDigest(digest=digest, products=products), at=at)


class Prover:
    """Counts this shop's events and appends the digest when it is due."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node
        self._since = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._path = Path(node.settings.data_dir) / "last-head"

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
        try:
            seen = msgspec.json.decode(self._path.read_bytes(), type=Position)
        except (OSError, msgspec.DecodeError):
            return False
        if not seen.seq:
            return False
        with self._node.books.database.reading() as connection:
            records = SqlRecords(connection)
            head = records.head(self._node.stream)
            return head.seq < seen.seq or (
                records.hash_at(self._node.stream, seen.seq) != seen.hash
            )

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
