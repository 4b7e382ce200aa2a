"""Rules of the journal: stream, epoch, sequence, hash chain.

A stream is a tree of events keyed by hash. Each event names its place (stream, epoch, seq); its
hash is SHA-256 over the previous hash and its own bytes. `seq` goes on over epochs; the first event
of an epoch is `EpochStarted` and names its parent. One parent with two children is a fork: both
branches are kept.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256

import msgspec

from protocol.codec import Envelope, body_of, decode
from protocol.errors import Corrupt, define
from protocol.events import EpochStarted

GENESIS = "0" * 64

define(
    {
        "CHAIN_BROKEN": (
            "Journal {stream}, event {seq}: {detail}. The record was altered or damaged; keep the "
            "files and restore from the other side.",
            "日志 {stream} 第 {seq} 条：{detail}。记录被篡改或损坏；请保留文件并从另一端恢复。",
        ),
    }
)


class Position(msgspec.Struct, frozen=True):
    """A place in a stream; `hash` is 64 hex digits. Seq 0 is before the first event."""

    epoch: str
    seq: int
    hash: str


ORIGIN = Position("", 0, GENESIS)
_HASH = re.compile(r"[0-9a-f]{64}")


class Stored(msgspec.Struct, frozen=True):
    """An event at its place, with its bytes as written."""

    stream: str
    position: Position
    data: bytes


class Placed(Stored, frozen=True, eq=False):
    """The same event, read already: whoever checked its place need not read it again."""

    envelope: Envelope

    def __eq__(self, other: object) -> bool:
        """The same place and bytes; what was read from them adds nothing."""
        mine = (self.stream, self.position, self.data)
        return isinstance(other, Stored) and mine == (other.stream, other.position, other.data)

    def __hash__(self) -> int:
        """As equality has it."""
        return hash((self.stream, self.position, self.data))


def chain(previous: str, data: bytes) -> str:
    """The hash of an event that follows `previous`."""
    return sha256(bytes.fromhex(previous) + data).hexdigest()


def check_hash(text: str, *, stream: str, seq: int) -> str:
    """Return `text` if it is 64 lower-case hex digits, else raise CHAIN_BROKEN."""
    if not _HASH.fullmatch(text):
        raise Corrupt("CHAIN_BROKEN", stream=stream, seq=seq, detail="a hash is not 64 hex digits")
    return text


def parent_of(envelope: Envelope) -> Position | None:
    """The parent that the first event of an epoch names; None for any other event."""
    if envelope.type != EpochStarted.__name__:
        return None
    body = body_of(envelope)
    if not isinstance(body, EpochStarted):  # pragma: no cover - the type says it is
        return None
    check_hash(body.parent_hash, stream=envelope.stream, seq=envelope.seq)
    parent = Position(body.parent_epoch, body.parent_seq, body.parent_hash)
    if parent.seq == 0 and parent != ORIGIN:
        raise Corrupt(
            "CHAIN_BROKEN", stream=envelope.stream, seq=1, detail="a parent before the first event"
        )
    return parent


def check_follows(envelope: Envelope, previous: Position, stream: str) -> None:
    """Raise CHAIN_BROKEN unless the event may stand right after `previous`."""
    problem = ""
    if envelope.stream != stream:
        problem = f"it belongs to {envelope.stream}"
    elif envelope.seq != previous.seq + 1:
        problem = f"expected sequence {previous.seq + 1}, got {envelope.seq}"
    elif envelope.type == EpochStarted.__name__:
        if parent_of(envelope) != previous:
            problem = "the epoch names another parent"
    elif envelope.epoch != previous.epoch:
        problem = f"epoch {envelope.epoch} starts without saying so"
    if problem:
        raise Corrupt("CHAIN_BROKEN", stream=stream, seq=envelope.seq, detail=problem)


def link(stream: str, previous: Position, events: Iterable[bytes]) -> Iterator[Placed]:
    """Check and place events that follow `previous`, one after the other."""
    for data in events:
        envelope = decode(data)
        check_follows(envelope, previous, stream)
        previous = Position(envelope.epoch, envelope.seq, chain(previous.hash, data))
        yield Placed(stream, previous, data, envelope)


def verify(stream: str, rows: Iterable[Stored], start: Position = ORIGIN) -> Position:
    """Walk a stored branch; return its head or raise CHAIN_BROKEN at the first wrong row."""
    for row in rows:
        for placed in link(stream, start, [row.data]):
            if placed.position != row.position:
                raise Corrupt(
                    "CHAIN_BROKEN",
                    stream=stream,
                    seq=row.position.seq,
                    detail="the stored place or hash is not the one its bytes give",
                )
            start = placed.position
    return start
