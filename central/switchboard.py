"""What one process of head office tells the others: PostgreSQL carries it (LISTEN, NOTIFY).

Two things travel: facts for live pages (the hub's, so that a browser hears of a sale whichever
process took it in), and which streams moved (so that a price set in one process is sent by another
at once). Nothing depends on it: heads are looked at every second anyway, and what is too large to
be carried is told as `lost`, at which pages read everything anew.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from protocol.node.database import Database
from protocol.node.hub import Fact, Hub
from protocol.node.sqljournal import Recorded

CHANNEL: Final = "tillmesh"
PAYLOAD_MAX: Final = 7_900  # PostgreSQL: below 8,000 bytes
WAITING_MAX: Final = 4_096
LISTEN_S: Final = 1.0
AGAIN_S: Final = 1.0
LOST: Final = Fact("lost", "{}")

log = structlog.get_logger("switchboard")


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One notification."""

    origin: str
    moved: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Call).decode


def packed(origin: str, moved: set[str], facts: Sequence[Fact]) -> list[str]:
    """As few payloads as carry all that; a fact that fits in none becomes `lost`."""
    calls: list[str] = []
    part: list[Fact] = []
    size = 200 + sum(len(s) + 3 for s in moved)
    streams = tuple(sorted(moved)) if size < PAYLOAD_MAX else ()
    size = size if streams else 200
    for fact in facts:
        fits = len(_encode(fact)) + 200 < PAYLOAD_MAX
        one = fact if fits else LOST
        more = len(_encode(one)) + 1
        if part and size + more > PAYLOAD_MAX:
            calls.append(_encode(Call(origin, streams, tuple(part))).decode())
            streams, part, size = (), [], 200
        part.append(one)
        size += more
    calls.append(_encode(Call(origin, streams, tuple(part))).decode())
    return calls


class Switchboard:
    """`start` after the hub and the listeners are in place; `look` hears what others appended."""

    def __init__(
        self, database: Database, hub: Hub, *, origin: str, look: Callable[[], int]
    ) -> None:
        self._database = database
        self._hub = hub
        self._origin = origin
        self._look = look
        self._waiting: queue.Queue[Fact | str | None] = queue.Queue(WAITING_MAX)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.listening = threading.Event()
        self.dropped = 0

    def start(self) -> None:
        """Two threads, a connection each."""
        self._hub.elsewhere = self._put
        for name, work in (("telling", self._tell), ("listening", self._listen)):
            thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End both."""
        self._hub.elsewhere = None
        self._stopping.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        for thread in self._threads:
            thread.join(timeout=5)

    def recorded(self, recorded: Sequence[Recorded]) -> None:
        """A listener of the books: tell the others which streams of head office moved."""
        for stream in {r.stored.stream for r in recorded}:
            if not stream.startswith("shop/"):
                self._put(stream)

    def _put(self, item: Fact | str) -> None:
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            self.dropped += 1

    def _run(self, work: Callable[[Any], None]) -> None:
        while not self._stopping.is_set():
            try:
                raw = self._database.write.raw_connection()
                driver: Any = raw.driver_connection
                raw.detach()  # ours alone: it listens as long as it lives
                try:
                    driver.autocommit = True
                    work(driver)
                finally:
                    driver.close()
            except Exception as fault:
                dbapi: Any = self._database.write.dialect.dbapi
                if not isinstance(fault, SQLAlchemyError | dbapi.Error):
                    raise
                log.warning("switchboard_waits", fault=type(fault).__name__)
                self._stopping.wait(AGAIN_S)

    def _tell(self, driver: Any) -> None:
        while not self._stopping.is_set():
            item = self._waiting.get()
            if item is None:
                return
            items = [item]
            while len(items) < 200:
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    return
                items.append(more)
            moved = {i for i in items if isinstance(i, str)}
            facts = [i for i in items if isinstance(i, Fact)]
            for payload in packed(self._origin, moved, facts):
                driver.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    def _listen(self, driver: Any) -> None:
        driver.execute(f"LISTEN {CHANNEL}")
        self.listening.set()
        while not self._stopping.is_set():
            for notice in driver.notifies(timeout=LISTEN_S):
                self._heard(notice.payload)
                if self._stopping.is_set():
                    return

    def _heard(self, payload: str) -> None:
        try:
            call = _decode(payload)
        except msgspec.MsgspecError:
            return  # another program's
        if call.origin == self._origin:
            return
        for fact in call.facts:
            self._hub.deliver(fact)
        if call.moved:
            self._look()
