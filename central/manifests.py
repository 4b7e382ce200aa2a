"""How far head office's shared streams are, retained at the broker for whoever comes late.

A shop that is far behind asks for a snapshot instead of thousands of events. Snapshots are made
for one shop when it asks, so the manifest says where to ask, and the seal says size and hash.
"""

from collections.abc import Callable, Iterable
from typing import Final

from protocol import wire
from protocol.clock import Clock
from protocol.ids import CENTRAL
from protocol.node.books import Books
from protocol.node.signing import NodeKey
from protocol.node.sqljournal import SqlRecords
from protocol.wire import Manifest

ASK: Final = "/node/{store}/snapshot"
LOOK_S: Final = 10.0
STEP: Final = 1_000  # events, and a manifest is renewed
Publish = Callable[[Manifest], bool]


class Manifests:
    """Used by the replication thread alone."""

    def __init__(self, books: Books, key: NodeKey, clock: Clock) -> None:
        self._books, self._key, self._clock = books, key, clock
        self._told: dict[str, int] = {}  # stream -> the sequence that was published
        self._looked_s = -LOOK_S

    def linked(self) -> None:
        """A new connection, perhaps to a broker that lost what it retained: all are told again."""
        self._told.clear()
        self._looked_s = -LOOK_S

    def look(self, now_s: float, streams: Callable[[], Iterable[str]], publish: Publish) -> None:
        """Publish what is new or has moved on by a thousand events."""
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        for stream in sorted(streams()):
            made = self._of(stream)
            told = self._told.get(stream)
            fresh = told is None or not told <= made.seq < told + STEP
            if fresh and publish(made):
                self._told[stream] = made.seq

    def _of(self, stream: str) -> Manifest:
        with self._books.database.reading() as connection:
            head = SqlRecords(connection).head(stream)
        made = Manifest(
            node=CENTRAL,
            epoch=head.epoch,
            stream=stream,
            seq=head.seq,
            hash=head.hash,
            now=self._clock.read().at_ms,
            ask=ASK,
        )
        return wire.sign(made, self._key.sign)
