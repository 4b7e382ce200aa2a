"""One event stream per browser: what changed, the moment it was committed.

At most `STREAMS_MAX` streams; one more is told to come back later and polls `/api/now` instead.
A ping every 15 s frees the thread of a browser that went away; `close` ends all at shutdown. A page
carries the mark at which it was drawn: what happened before it listened is read anew.
"""

import queue
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Final, cast

import msgspec
from flask import Blueprint, Flask, Response, current_app, g

from central.compose import HeadOffice
from central.web.office import office, signed_in
from central.web.session import needs
from protocol.errors import Unavailable, define
from protocol.node.hub import Fact

STREAMS_MAX: Final = 200
PING_S: Final = 15.0
EXTENSION: Final = "tillmesh.live"
STOP: Final = "stop"
TOPICS: Final = frozenset(  # what pages act on; the rest of the hub's facts stays inside
    {"sale", "stock", "transfer", "catalogue", "price", "promotion", "rules", "people", "store"}
    | {"repriced", "shop", "ack", "link", "lost"}
)

pages = Blueprint("live", __name__)
_encode = msgspec.json.Encoder().encode

define(
    {
        "STREAMS_FULL": (
            "Too many browsers watch at once. This page asks every few seconds instead.",
            "同时查看的浏览器过多。本页面改为每隔几秒查询一次。",
        ),
    }
)


class Seat:
    """One browser's place."""

    def __init__(self, browser: str) -> None:
        self.browser = browser
        self.ended = threading.Event()
        self.waiting: queue.Queue[Fact] | None = None

    def end(self) -> None:
        """Let its stream stop now."""
        self.ended.set()
        if self.waiting is not None:
            with suppress(queue.Full):  # then it is awake anyway
                self.waiting.put_nowait(Fact(STOP, "{}"))


class Streams:
    """The open streams. A browser has one: its newest ends the one before, at once.

    Without that, every click would leave a dead stream behind until the next write finds it out.
    """

    def __init__(self, limit: int = STREAMS_MAX) -> None:
        self.limit = limit
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._seats: dict[str, Seat] = {}
        self._open = 0

    def take(self, browser: str) -> Seat:
        """Enter, or raise STREAMS_FULL."""
        with self._lock:
            before = self._seats.get(browser)
            free = self.limit if before is None else self.limit + 1
            if self._open >= free or self.closing.is_set():
                raise Unavailable("STREAMS_FULL")
            seat = self._seats[browser] = Seat(browser)
            self._open += 1
        if before is not None:
            before.end()
        return seat

    def give_back(self, seat: Seat) -> None:
        """Leave."""
        with self._lock:
            self._open -= 1
            if self._seats.get(seat.browser) is seat:
                del self._seats[seat.browser]

    @property
    def count(self) -> int:
        """How many are open."""
        with self._lock:
            return self._open


def mark() -> str:
    """How far the facts had been told when this request began; so before it read anything."""
    if "mark" not in g:
        g.mark = office().hub.mark
    return cast("str", g.mark)


def _keep_mark() -> None:
    mark()


def install(app: Flask) -> None:
    """Give the application its streams."""
    app.extensions[EXTENSION] = Streams()
    app.before_request(_keep_mark)
    app.jinja_env.globals.update(mark=mark)


def close(app: Flask) -> None:
    """End all streams now (at shutdown)."""
    streams = cast("Streams", app.extensions[EXTENSION])
    streams.closing.set()
    cast("HeadOffice", app.extensions["tillmesh"]).hub.publish(STOP, {})


def _message(topic: str, data: bytes) -> bytes:
    return b'data: {"topic":' + _encode(topic) + b',"data":' + data + b"}\n\n"


def _ping(head_office: HeadOffice) -> bytes:
    return _message(
        "ping", _encode({"now": head_office.clock.read().at_ms, "mark": head_office.hub.mark})
    )


def _next(waiting: "queue.Queue[Fact]", until: float) -> Fact | None:
    try:
        return waiting.get(timeout=max(0.0, until - time.monotonic()))
    except queue.Empty:
        return None


def _facts(head_office: HeadOffice, streams: Streams, seat: Seat) -> Generator[bytes]:
    try:
        with head_office.hub.subscribe() as waiting:
            seat.waiting = waiting
            yield b"retry: 3000\n\n" + _ping(head_office)
            ping_at = time.monotonic() + PING_S
            while not streams.closing.is_set() and not seat.ended.is_set():
                fact = _next(waiting, ping_at)
                if fact is not None and fact.topic in TOPICS:
                    yield _message(fact.topic, fact.data.encode())
                if time.monotonic() >= ping_at:
                    if head_office.accounts.session(seat.browser) is None:
                        return
                    yield _ping(head_office)
                    ping_at = time.monotonic() + PING_S
    finally:
        streams.give_back(seat)


class _Body:
    """An iterator whose place is given back even when nobody ever asked it for a line."""

    def __init__(self, streams: Streams, seat: Seat, lines: Generator[bytes]) -> None:
        self._streams = streams
        self._seat = seat
        self._lines = lines
        self._begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._begun = True
        return next(self._lines)

    def close(self) -> None:
        if self._begun:
            self._lines.close()
        else:
            self._begun = True
            self._streams.give_back(self._seat)


@pages.get("/live")
@needs("see_chain")
def stream() -> Response:
    """Server-Sent Events: `{"topic": ..., "data": ...}` per message."""
    streams = cast("Streams", current_app.extensions[EXTENSION])
    seat = streams.take(signed_in().token)
    body = _Body(streams, seat, _facts(office(), streams, seat))
    return Response(
        body,
        mimetype="text/event-stream",
        headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"},
    )
