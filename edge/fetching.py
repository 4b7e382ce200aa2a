"""A shop that starts empty: fetch the sealed snapshot from head office, check it, start from it.

What was fetched of the file is kept, so an interrupted download goes on where it stopped.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from edge.backup import AHEAD
from edge.settings import Settings
from protocol.errors import Corrupt, TillmeshError, Unavailable, define
from protocol.ids import shop_stream
from protocol.node import certificates
from protocol.node.books import Books
from protocol.node.ntpclock import wall_ms
from protocol.node.signing import NodeKey
from protocol.node.snapshots import Seal, agreed, check_file, check_seal, forget_files, put_file
from protocol.node.sqljournal import SqlRecords

CONNECT_S: Final = 5.0
WAIT_S: Final = 900.0  # a large chain's snapshot takes a while to make
PIECE: Final = 1 << 20

define(
    {
        "SNAPSHOT_BUSY": (
            "Another program works with a snapshot in {path} already. Wait until it is done.",
            "另一个程序正在使用 {path} 中的快照，请等待其完成。",
        ),
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
        self.url = settings.head_office
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


def obtain(
    settings: Settings,
    key: NodeKey,
    books: Books,
    *,
    upto: Mapping[str, int] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Seal:
    """Get a snapshot from head office, checked, beside the database; its seal.

    `upto`: stream -> it shall hold no event after this one. Unavailable SNAPSHOT_AWAY; Corrupt
    SNAPSHOT_DAMAGED (what was fetched is thrown away).
    """
    part = books.path.with_name("base.part")
    with books.database.reading() as connection:
        forget_files(books.path, books.base(connection))
    try:
        asking = _Asking(settings, key)
        seal = _seal(asking, settings.store, upto, say)
        check_seal(seal, settings.central_public_key, store=settings.store)
        _download(asking, seal, part, say)
    except (OSError, http.client.HTTPException, ValueError, KeyError) as fault:
        detail = str(fault)[:120] or type(fault).__name__
        raise Unavailable("SNAPSHOT_AWAY", url=settings.head_office, detail=detail) from None
    try:
        check_file(part, seal)
    except Exception:
        part.unlink()
        raise
    put_file(part, books.path, seal)
    return seal


def fetch(
    settings: Settings, key: NodeKey, books: Books, *, say: Callable[[str], None] = lambda _: None
) -> Fetched:
    """Start empty books from head office's snapshot; receipts go on under a new generation."""
    started = time.monotonic()
    # The file first: books that begin at a base need it. Without them it means nothing.
    seal = obtain(settings, key, books, say=say)
    own = shop_stream(settings.store)
    if seal.heads[own].seq:  # a shop that has sold before, on another machine
        (Path(settings.data_dir) / "last-head").write_bytes(msgspec.json.encode(AHEAD))
    count = books.adopt(seal, own)
    return Fetched(count, seal.size, time.monotonic() - started)


def _seal(
    asking: _Asking, store: str, upto: Mapping[str, int] | None, say: Callable[[str], None]
) -> Seal:
    until, told = time.monotonic() + WAIT_S, False
    limits = ",".join(f"{stream}:{seq}" for stream, seq in sorted((upto or {}).items()))
    while True:
        with asking.get("snapshot" + (f"?upto={limits}" if limits else "")) as answer:
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


def held_here(books: Books, own: str) -> dict[str, int]:
    """Up to where these books hold each stream that a snapshot of theirs has."""
    with books.database.reading() as connection:
        records = SqlRecords(connection)
        return {s: records.head(s).seq for s in {*books.streams(connection), own}}


def renew_base(
    settings: Settings, key: NodeKey, books: Books, *, say: Callable[[str], None] = lambda _: None
) -> None:
    """After an update: a snapshot of this version in place of the one that the books start from.

    Raises what `obtain` raises, and Corrupt SNAPSHOT_DAMAGED when it does not fit these books.
    """
    own = shop_stream(settings.store)
    seal = obtain(settings, key, books, upto=held_here(books, own), say=say)
    with books.database.begin() as tx:
        records = SqlRecords(tx)
        for stream, at in seal.positions.items():
            if not agreed(records, seal, stream) or at.seq < records.low(stream):
                raise Corrupt("SNAPSHOT_DAMAGED", path=stream, detail="it does not fit the books")
        books.begin_at(tx, seal, [])


def is_empty(books: Books) -> bool:
    """Has this shop no books yet?"""
    with books.database.reading() as connection:
        return not books.streams(connection)


def fetch_if_empty(
    settings: Settings, key: NodeKey, books: Books, *, say: Callable[[str], None] = lambda _: None
) -> Fetched | None:
    """At a start: fetch when there are no books. Silence or a refusal is said and stops nobody."""
    if not settings.head_office or not is_empty(books):
        return None
    try:
        came = fetch(settings, key, books, say=say)
    except TillmeshError as fault:
        say(fault.sentence("en"))
        return None
    say(f"started from head office's snapshot: {came.size} bytes in {came.seconds:.1f} s")
    return came
