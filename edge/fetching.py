"""A shop that starts empty: fetch the sealed snapshot from head office, check it, start from it.

What was fetched of the file is kept, so an interrupted download goes on where it stopped.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from edge.backup import AHEAD
from edge.settings import Settings
from protocol.errors import TillmeshError, Unavailable, define
from protocol.ids import shop_stream
from protocol.node import certificates
from protocol.node.books import Books
from protocol.node.ntpclock import wall_ms
from protocol.node.signing import NodeKey
from protocol.node.snapshots import Seal, check_file, check_seal

CONNECT_S: Final = 5.0
WAIT_S: Final = 900.0  # a large chain's snapshot takes a while to make
PIECE: Final = 1 << 20

define(
    {
        "SNAPSHOT_AWAY": (
            "Head office at {url} gave no snapshot ({detail}). The shop can start without it: "
            "everything then comes event by event.",
            "总部 {url} 未提供快照（{detail}）。门店可以不用快照启动，数据将逐条到达。",
        ),
    }
)


class Fetched(msgspec.Struct, frozen=True):
    """What came, and how long it took."""

    events: int
    size: int
    seconds: float


class _Asking:
    """Signed questions to head office; its clock counts, ours may be wrong."""

    def __init__(self, settings: Settings, key: NodeKey) -> None:
        self.url = _address(settings)
        self._key, self._store = key, settings.store
        self._where = urlsplit(self.url)
        self._context: ssl.SSLContext | None = None
        if self._where.scheme == "https":
            own = settings.authority_path.exists()
            self._context = (
                certificates.client_context(settings.authority_path, settings.pair_path)
                if own
                else ssl.create_default_context()
            )
        self._ahead_ms = 0

    @contextmanager
    def get(self, path: str, start: int = 0) -> Iterator[http.client.HTTPResponse]:
        """GET with the shop's signature, from a byte on."""
        for last in (False, True):
            with closing(self._line()) as line:
                line.request("GET", f"/node/{self._store}/{path}", headers=self._headers(start))
                answer = line.getresponse()
                if last or answer.status != http.HTTPStatus.CONFLICT:
                    yield answer
                    return
                self._ahead_ms = int(json.loads(answer.read(PIECE))["now"]) - wall_ms()

    def _line(self) -> http.client.HTTPConnection:
        host, port = self._where.hostname or "", self._where.port
        if self._context is None:
            return http.client.HTTPConnection(host, port, timeout=CONNECT_S)
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_S, context=self._context)

    def _headers(self, start: int) -> dict[str, str]:
        at = wall_ms() + self._ahead_ms
        sig = self._key.sign(f"snapshot {self._store} {at}".encode())
        ranged = {"Range": f"bytes={start}-"} if start else {}
        return {"X-Node-At": str(at), "X-Node-Sig": sig, **ranged}


def fetch(
    settings: Settings, key: NodeKey, books: Books, *, say: Callable[[str], None] = lambda _: None
) -> Fetched:
    """Start empty books from head office's snapshot; receipts go on under a new generation.

    Unavailable SNAPSHOT_AWAY; Corrupt SNAPSHOT_DAMAGED (what was fetched is thrown away).
    """
    started = time.monotonic()
    part = books.base_path.with_suffix(".part")
    try:
        asking = _Asking(settings, key)
        seal = _seal(asking, settings.store, say)
        check_seal(seal, settings.central_public_key, store=settings.store)
        _download(asking, seal, part, say)
    except (OSError, http.client.HTTPException, ValueError, KeyError) as fault:
        detail = str(fault)[:120] or type(fault).__name__
        raise Unavailable("SNAPSHOT_AWAY", url=_address(settings), detail=detail) from None
    try:
        check_file(part, seal)
    except Exception:
        part.unlink()
        raise
    # The file first: books that begin at a base need it. Without them it means nothing.
    part.replace(books.base_path)
    own = shop_stream(settings.store)
    if seal.heads[own].seq:  # a shop that has sold before, on another machine
        (Path(settings.data_dir) / "last-head").write_bytes(msgspec.json.encode(AHEAD))
    count = books.adopt(seal, own, books.base_path)
    return Fetched(count, seal.size, time.monotonic() - started)


def _seal(asking: _Asking, store: str, say: Callable[[str], None]) -> Seal:
    until, told = time.monotonic() + WAIT_S, False
    while True:
        with asking.get("snapshot") as answer:
            if answer.status == http.HTTPStatus.OK:
                return msgspec.json.decode(answer.read(PIECE), type=Seal)
            if answer.status != http.HTTPStatus.ACCEPTED or time.monotonic() > until:
                told_why = answer.read(300).decode(errors="replace")
                raise OSError(f"HTTP {answer.status}: {told_why}")
        if not told:
            say(f"head office makes a snapshot for {store} ...")
            told = True
        time.sleep(0.2)


def _download(asking: _Asking, seal: Seal, part: Path, say: Callable[[str], None]) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have > seal.size:
        part.unlink()
        have = 0
    if have == seal.size:
        return
    with asking.get("snapshot/file", start=have) as answer:
        if answer.status == http.HTTPStatus.OK:
            have = 0  # the whole file comes
        elif answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            raise OSError(f"HTTP {answer.status}")
        say(f"fetching {seal.size - have} bytes ...")
        with part.open("ab" if have else "wb") as file:
            while data := answer.read(PIECE):
                file.write(data)
    if part.stat().st_size < seal.size:
        raise OSError("the line broke; the next try goes on from here")


def is_empty(books: Books) -> bool:
    """Has this shop no books yet?"""
    with books.database.reading() as connection:
        return not books.streams(connection)


def fetch_if_empty(
    settings: Settings, key: NodeKey, books: Books, *, say: Callable[[str], None] = lambda _: None
) -> Fetched | None:
    """At a start: fetch when there are no books. Silence or a refusal is said and stops nobody."""
    if not _address(settings) or not is_empty(books):
        return None
    try:
        came = fetch(settings, key, books, say=say)
    except TillmeshError as fault:
        say(fault.sentence("en"))
        return None
    say(f"started from head office's snapshot: {came.size} bytes in {came.seconds:.1f} s")
    return came


def _address(settings: Settings) -> str:
    """Head office's HTTPS once this machine is enrolled, else its pages."""
    enrolled = settings.central_https and settings.authority_path.exists()
    return settings.central_https if enrolled else settings.central_http
