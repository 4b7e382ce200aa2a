"""Hear what another process of head office appended: a command line beside the running server.

Listeners are told of commits of their own process only; this thread compares the heads of head
office's streams once a second and tells them what it finds beyond.
"""

import threading
import time
from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy import select

from protocol.errors import Unavailable
from protocol.node.books import Books, opened
from protocol.node.ntpclock import wall_ms
from protocol.node.partitioning import make_ahead
from protocol.node.sqljournal import Recorded, read_line
from protocol.node.tables import stream_head

EVERY_S: Final = 1.0
MONTHS_S: Final = 3_600.0
CHUNK: Final = 200
log = structlog.get_logger("overhearing")


class Overhearing:
    """`start` after all listeners are in place."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._heard: dict[str, int] = self._heads()
        self._looking = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        books.listeners.append(self._own)

    def _heads(self) -> dict[str, int]:
        query = select(stream_head.c.stream, stream_head.c.seq).where(
            stream_head.c.stream.not_like("shop/%")
        )
        with self._books.database.reading() as connection:
            return {row.stream: row.seq for row in connection.execute(query)}

    def _own(self, recorded: Sequence[Recorded]) -> None:
        for event in recorded:
            stream, seq = event.stored.stream, event.envelope.seq
            if not stream.startswith("shop/"):
                self._heard[stream] = max(seq, self._heard.get(stream, 0))

    def look(self) -> int:
        """Tell the listeners what is new; return how many events that was."""
        with self._looking:
            return self._look()

    def _look(self) -> int:
        count = 0
        for stream, head in self._heads().items():
            while (after := self._heard.get(stream, 0)) < head:
                with self._books.database.reading() as connection:
                    rows = read_line(connection, stream, after, limit=CHUNK)
                recorded = [opened(stored)[0] for stored in rows]
                if not recorded:
                    break
                for listener in self._books.listeners:
                    listener(recorded)
                count += len(recorded)
        return count

    def start(self) -> None:
        """Look in the background."""
        self._thread = threading.Thread(target=self._run, name="overhearing", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def make_months(self) -> list[str]:
        """The journal's coming months, on PostgreSQL."""
        if self._books.database.sqlite:
            return []
        with self._books.database.begin() as tx:
            return make_ahead(tx, wall_ms())

    def _run(self) -> None:
        months_at = 0.0
        while not self._stopping.wait(EVERY_S):
            try:
                self.look()
                if time.monotonic() - months_at > MONTHS_S:
                    months_at = time.monotonic()
                    for name in self.make_months():
                        log.info("month_made", partition=name)
            except Unavailable as fault:  # the database is away: look again later
                log.warning("overhearing_waits", fault=type(fault).__name__)
