"""Refused messages on their way into the books: the first of each kind, and how many followed.

A kind is a topic and a code. A flood must not fill the table alone, nor cost a commit a message.
"""

import time

import msgspec

from protocol.errors import TillmeshError, Unavailable
from protocol.node.books import Books, Refused

WRITE_S = 0.25
WINDOW_S = 2.0
ROWS_A_WINDOW = 10  # of one kind
KINDS_A_WINDOW = 100
GREETINGS_S = 2.0
GREETINGS_MAX = 10  # of one peer, in that time


class _Seen(msgspec.Struct):
    rows: int
    more: int
    last: Refused


class Refusals:
    """Used by the replication thread alone."""

    def __init__(self, books: Books) -> None:
        self.count = 0
        self._books = books
        self._pending: list[Refused] = []
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._window_at = 0.0
        self._written_at = 0.0

    def add(self, topic: str, payload: bytes, fault: TillmeshError, *, at_ms: int) -> bool:
        """Note a refusal; True when it gets a row of its own, False when it is only counted."""
        self.count += 1
        row = Refused(at_ms, topic[:200], fault.code, fault.sentence("en"), payload[:400])
        if (row.topic, row.code) not in self._seen and len(self._seen) >= KINDS_A_WINDOW:
            row = Refused(at_ms, "-", row.code, row.detail, row.sample)
        seen = self._seen.setdefault((row.topic, row.code), _Seen(0, 0, row))
        seen.last = row
        if seen.rows >= ROWS_A_WINDOW:
            seen.more += 1
            return False
        seen.rows += 1
        self._pending.append(row)
        return True

    def write(self, now_s: float, *, all_of_them: bool = False) -> None:
        """Put into the books what is due; what a sick disk refuses waits."""
        if all_of_them or now_s - self._window_at >= WINDOW_S:
            self._window_at = now_s
            for seen in self._seen.values():
                if seen.more:
                    detail = f"{seen.more} more on this topic; the last one: {seen.last.detail}"
                    self._pending.append(msgspec.structs.replace(seen.last, detail=detail))
            self._seen = {}
        if not self._pending or not (all_of_them or now_s - self._written_at >= WRITE_S):
            return
        self._written_at = now_s
        try:
            self._books.keep_refused(self._pending)
            self._pending = []
        except Unavailable:
            del self._pending[KINDS_A_WINDOW:]


class Greetings:
    """Every greeting starts all streams anew, so nobody may greet without end."""

    def __init__(self) -> None:
        self._lately: dict[str, list[float]] = {}  # peer -> when

    def may(self, peer: str) -> bool:
        """Count one; whoever is not answered greets again."""
        now = time.monotonic()
        recent = [t for t in self._lately.get(peer, ()) if now - t < GREETINGS_S]
        if len(recent) < GREETINGS_MAX:
            recent.append(now)
        self._lately[peer] = recent
        return recent[-1] == now
