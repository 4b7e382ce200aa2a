"""One stream of Server-Sent Events per browser, from the node's hub.

The number of streams is capped below the server's threads; the next one is told to come back later
(503 with Retry-After) and polls meanwhile. A ping every 15 s lets dead clients free their thread.
"""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
from flask import Blueprint, Response, current_app
from flask_babel import force_locale

from devices.spool import KICK, JobState, PrintJob
from edge.compose import Shop
from edge.web.status import read_status
from edge.web.tongue import _
from edge.web.visitor import LANGUAGES, PAIRED, needs, shop, visitor
from protocol.node.hub import Fact

STREAMS_MAX: Final = 64
PING_S: Final = 15.0
SETTLE_S: Final = 0.25  # facts that come close together redraw the header once
RETRY_S: Final = 5
TOPICS: Final = (  # what a page can hear; the scripts get this list
    "status", "basket", "scan", "paycode", "payment", "weigh", "held", "spool", "stock", "sale",
    "transfer",
    "neighbours", "lost", "bye", "ping",
)  # fmt: skip
HEADER_TOPICS: Final = frozenset(
    {
        "link",
        "clock",
        "health",
        "rules",
        "prices",
        "scanner",
        "scale",
        "display",
        "printer",
        "queue",
        "people",
    }
)
TILL_ONLY: Final = frozenset({"basket", "scan", "paycode", "weigh"})  # no business of other screens
STOP: Final = Fact("stop", "{}")

live = Blueprint("live", __name__)


class Streams:
    """All open streams of the process; `close` ends them so that a stop takes no time."""

    def __init__(self, limit: int = STREAMS_MAX) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._open: set[queue.Queue[Fact]] = set()
        self._closed = False

    def enter(self, facts: "queue.Queue[Fact]") -> bool:
        """Take a place; False when all are taken or the node is stopping."""
        with self._lock:
            if self._closed or len(self._open) >= self.limit:
                return False
            self._open.add(facts)
            return True

    def leave(self, facts: "queue.Queue[Fact]") -> None:
        """Give the place back."""
        with self._lock:
            self._open.discard(facts)

    @property
    def count(self) -> int:
        """How many are open now."""
        with self._lock:
            return len(self._open)

    def close(self) -> None:
        """End all streams, refuse new ones."""
        with self._lock:
            self._closed = True
            waiting = list(self._open)
        for facts in waiting:
            with suppress(queue.Full):
                facts.put_nowait(STOP)


def streams() -> Streams:
    """Those of this application."""
    found: Streams = current_app.extensions["tillmesh_streams"]
    return found


def frame(topic: str, data: str) -> bytes:
    """One event as it goes over the wire."""
    return f"event: {topic}\ndata: {data}\n\n".encode()


def _spool_says(job: PrintJob | None) -> str:
    if job is None:
        return ""
    return {
        JobState.QUEUED: _("Receipt waits for the printer; the sale is safe"),
        JobState.SENDING: _("Receipt is being printed"),
        JobState.SENT: _("Receipt sent to the printer"),
        JobState.CONFIRMED: _("Receipt printed"),
        JobState.UNKNOWN: _("Receipt sent; the printer has not confirmed it"),
        JobState.FAILED: _("Receipt not printed; print it again when the printer is ready"),
    }[job.state]


class Stream:
    """One browser's stream: facts in, frames out."""

    def __init__(self, app: Any, node: Shop, *, till: str, language: str) -> None:
        self._app = app
        self._node = node
        self._till = till
        self._language = language
        self._ping_at = time.monotonic()
        self._header_at: float | None = None  # when to redraw the header

    def frames(self, facts: "queue.Queue[Fact]") -> Iterator[bytes]:
        """Until the client or the node goes away."""
        yield b"retry: 1500\n\n"
        yield self._status()
        while True:
            try:
                fact = facts.get(timeout=self._wait_s())
            except queue.Empty:
                fact = None
            if fact is STOP:
                yield frame("bye", "{}")
                return
            if fact is not None:
                yield from self._tell(fact)
            yield from self._timed()

    def _wait_s(self) -> float:
        due = [self._ping_at + PING_S]
        if self._header_at is not None:
            due.append(self._header_at)
        return max(0.01, min(due) - time.monotonic())

    def _timed(self) -> Iterator[bytes]:
        now = time.monotonic()
        if self._header_at is not None and now >= self._header_at:
            self._header_at = None
            yield self._status()
        if now >= self._ping_at + PING_S:
            self._ping_at = now
            yield frame("ping", "{}")
            yield self._status()

    def _tell(self, fact: Fact) -> Iterator[bytes]:
        topic, _slash, till = fact.topic.partition("/")
        if till and till != self._till and (self._till or topic in TILL_ONLY):
            return
        if topic in TOPICS:
            yield frame(topic, fact.data)
        if topic == "printer" and till and self._till:
            yield self._spool()
        if topic in HEADER_TOPICS or topic in {"sale", "transfer", "stock"}:
            self._header_at = self._header_at or time.monotonic() + SETTLE_S

    def _status(self) -> bytes:
        with self._app.app_context(), force_locale(LANGUAGES[self._language]):
            status = read_status(self._till, self._language)
        return frame("status", msgspec.json.encode(status).decode())

    def _spool(self) -> bytes:
        with self._app.app_context(), force_locale(LANGUAGES[self._language]):
            jobs = self._node.printing.jobs(self._till, limit=4)
            says = _spool_says(next((job for job in jobs if job.kind != KICK), None))
        return frame("spool", msgspec.json.encode({"says": says}).decode())


@live.get("/live")
@needs(PAIRED)
def stream() -> Response:
    """The stream; a till's facts go to the browsers that are paired with it."""
    who, node = visitor(), shop()
    app: Any = current_app
    app = app._get_current_object()  # noqa: SLF001  the generator outlives the request
    places = streams()
    one = Stream(app, node, till=who.till, language=who.language)
    subscription = node.hub.subscribe()
    facts = subscription.__enter__()
    if not places.enter(facts):
        subscription.__exit__(None, None, None)
        return _full()

    def run() -> Iterator[bytes]:
        yield from one.frames(facts)

    answer = Response(run(), mimetype="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"
    done = threading.Event()

    def gone() -> None:
        if done.is_set():
            return
        done.set()
        places.leave(facts)
        subscription.__exit__(None, None, None)

    answer.call_on_close(gone)
    return answer


def _full() -> Response:
    answer = Response(
        msgspec.json.encode(
            {"code": "BUSY", "message": _("All live places are taken; the page asks again.")}
        ),
        status=503,
        mimetype="application/json",
    )
    answer.headers["Retry-After"] = str(RETRY_S)
    return answer


@live.get("/live/now")
@needs(PAIRED)
def now() -> Response:
    """The header once, for pages that poll."""
    who = visitor()
    status = read_status(who.till, who.language)
    return Response(msgspec.json.encode(status), mimetype="application/json")
