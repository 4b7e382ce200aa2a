"""The messages between nodes, as JSON. Sizes are capped before anything is decoded.

A batch carries the writer's event bytes untouched (`msgspec.Raw`). It is signed (Ed25519) by the
sending node over its header and the last hash, which the chain ties to every byte of every event.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec

from protocol.errors import Corrupt, define

PROTOCOL = 1
MESSAGE_BYTES_MAX = 128 * 1024
BATCH_EVENTS_MAX = 100
BATCH_BYTES_MAX = 64_000

NUMBER_MAX = 2**53  # what every peer, database and browser holds exactly
Count = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
Number = Annotated[int, msgspec.Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=200, pattern=r"\A[^\0]*\Z")]

SENTENCE_MAX: Final = 500
Sentence = Annotated[str, msgspec.Meta(max_length=SENTENCE_MAX, pattern=r"\A[^\0]*\Z")]
Pem = Annotated[str, msgspec.Meta(max_length=8_000, pattern=r"\A[ -~\n]*\Z")]

Sign = Callable[[bytes], str]
Check = Callable[[bytes, str], bool]

define(
    {
        "MESSAGE_UNREADABLE": (
            "A message was refused: {detail}.",
            "已拒绝一条消息：{detail}。",
        ),
        "SIGNATURE_WRONG": (
            "A batch for {stream} carries no valid signature of {node}. It was refused and kept "
            "aside; check who can write to the broker.",
            "{stream} 的一批事件没有 {node} 的有效签名，已拒绝并留存。请检查谁能写入消息服务器。",
        ),
    }
)


class Clk(msgspec.Struct, frozen=True):
    """The sender's clock: state, distance to the receiver's if known, uncertainty."""

    state: Text
    u_ms: Count
    at_ms: Count


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A run of events of one stream and one epoch, as it travels."""

    p: Number = PROTOCOL
    ct: Text = "json"
    node: Text  # who sends and signs
    epoch: Text
    stream: Text
    first: Count
    n: Count
    prev: Text  # hash before the first event
    last: Text  # hash of the last event
    sent: Count
    clk: Clk
    sig: Text = ""
    events: tuple[msgspec.Raw, ...]

    def signed_part(self) -> bytes:
        """The bytes under the signature: all but `sig` and the events, which `last` covers."""
        clk = self.clk
        return _encode(
            (
                self.p,
                self.ct,
                self.node,
                self.epoch,
                self.stream,
                self.first,
                self.n,
                self.prev,
                self.last,
                self.sent,
                clk.state,
                clk.u_ms,
                clk.at_ms,
            )
        )


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """How far a follower holds a stream; also the cumulative acknowledgement, sent after COMMIT."""

    stream: Text
    epoch: Text
    upto: Count
    hash: Text
    status: Text = "ok"  # ok, gap, fork, refused, stale_epoch, lacks, busy, welcome
    credit: Count = 400  # events that may be in flight
    reason: Text = ""


# A node follows four streams. Each cursor costs its reader some questions to the database, so a
# message full of them must not hold up everybody else.
Cursors = Annotated[tuple[Cursor, ...], msgspec.Meta(max_length=32)]


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """Acknowledgements of one follower, signed like a batch."""

    p: Number = PROTOCOL
    node: Text
    sess: Text
    now: Count
    cursors: Cursors
    sig: Text = ""

    def signed_part(self) -> bytes:
        """The bytes under the signature."""
        return _encode((self.p, self.node, self.sess, self.now, self.cursors))


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Birth of a connection: what this node writes, and how far it follows the other side."""

    p: Number = PROTOCOL
    alive: bool = True
    node: Text
    sess: Text
    epoch: Text
    heads: Cursors  # streams this node writes
    cursors: Cursors  # streams this node follows
    version: Text = ""
    now: Count = 0
    low: Annotated[dict[Text, Count], msgspec.Meta(max_length=8)] = {}
    sig: Text = ""

    def signed_part(self) -> bytes:
        """The bytes under the signature; without `low` when there is none, as older peers sign.

        `low`: stream -> the oldest event that this node still holds, where it does not hold all.
        """
        whole = (
            self.p,
            self.alive,
            self.node,
            self.sess,
            self.epoch,
            self.heads,
            self.cursors,
            self.version,
            self.now,
        )
        return _encode((*whole, sorted(self.low.items())) if self.low else whole)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """How far a shared stream of head office is; retained, so that whoever comes late can tell.

    Snapshots are made for one shop when it asks: `ask` is where, and its seal says size and hash.
    """

    p: Number = PROTOCOL
    node: Text
    epoch: Text
    stream: Text
    seq: Count
    hash: Text
    now: Count
    ask: Text  # path on head office's HTTPS, with {store} for the shop's id
    sig: Text = ""

    def signed_part(self) -> bytes:
        """The bytes under the signature."""
        return _encode(
            (self.p, self.node, self.epoch, self.stream, self.seq, self.hash, self.now, self.ask)
        )


class ScreenClock(msgspec.Struct, frozen=True, kw_only=True):
    """A till's browser whose clock differs from the shop's; it is shown, never used."""

    till: Text
    off_ms: Number  # its time minus the shop's
    zone: Text


class ClockFacts(msgspec.Struct, frozen=True, kw_only=True):
    """On what a shop's clock stands."""

    basis: Text = ""  # none, sources, manager, continued, hardware
    since_ms: Count = 0  # when its state began
    code: Text = ""  # why it is not trusted
    params: Annotated[dict[Text, Text], msgspec.Meta(max_length=8)] = {}
    used: Count = 0  # sources it stands on
    asked: Count = 0
    contested: bool = False  # sources speak against it, and somebody has to decide
    stepped_ms: Number = 0  # the last correction of more than 5 s
    stepped_at_ms: Count = 0
    central_off_ms: Number | None = None  # head office's time minus its own, at least
    zone: Text = ""
    tzdata: Text = ""
    screens: Annotated[tuple[ScreenClock, ...], msgspec.Meta(max_length=50)] = ()


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a node that is not well, in words: another version may know other parts."""

    state: Text  # warn, bad
    code: Text = ""
    name_en: Text = ""  # of the part, with its till
    name_zh: Text = ""
    en: Sentence = ""
    zh: Sentence = ""

    def name(self, language: str) -> str:
        """The part's name; "" when the node sent no words."""
        return self.name_zh if language.startswith("zh") else self.name_en

    def sentence(self, language: str) -> str:
        """What is the matter."""
        return self.zh if language.startswith("zh") else self.en


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Every 15 s: how the node is."""

    p: Number = PROTOCOL
    node: Text
    sess: Text
    now: Count
    head: Count
    acked: Count
    clk: Clk
    cursors: Cursors = ()
    health: Annotated[dict[Text, Text], msgspec.Meta(max_length=64)] = {}  # part -> state and code
    complaints: Annotated[dict[Text, Complaint], msgspec.Meta(max_length=64)] = {}  # the same, said
    disk_free: Count = 0
    unsynced: Count = 0
    version: Text = ""
    clock: ClockFacts | None = None


class StockFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Neighbours' stock: absolute figures at a position; a newer position wins."""

    p: Number = PROTOCOL
    store: Text
    epoch: Text
    upto: Count
    at: Count
    full: bool = False
    figures: tuple[tuple[Text, Number], ...]  # (sku, on hand in thousandths)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A question to head office, answered on `rsp`."""

    p: Number = PROTOCOL
    node: Text
    kind: Text  # stock: the full picture of the neighbours' shelves


class Beacon(msgspec.Struct, frozen=True, kw_only=True):
    """Head office's time, every 10 s, signed."""

    p: Number = PROTOCOL
    node: Text
    clk: Clk
    sig: Text = ""

    def signed_part(self) -> bytes:
        """The bytes under the signature."""
        return _encode((self.p, self.node, self.clk.state, self.clk.u_ms, self.clk.at_ms))


class CertificateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A shop wants a new certificate before its old one ends."""

    p: Number = PROTOCOL
    node: Text
    csr: Pem
    sig: Text = ""

    def signed_part(self) -> bytes:
        """The bytes under the signature."""
        return _encode((self.p, self.node, self.csr))


class CertificateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Head office's answer to one shop; the certificate says for which key it is."""

    p: Number = PROTOCOL
    node: Text  # head office
    certificate: Pem
    sig: Text = ""

    def signed_part(self) -> bytes:
        """The bytes under the signature."""
        return _encode((self.p, self.node, self.certificate))


Signed = Batch | Ack | Hello | Manifest | Beacon | CertificateRequest | CertificateAnswer
M = TypeVar(
    "M",
    Batch,
    Ack,
    Hello,
    Manifest,
    Heartbeat,
    StockFigures,
    Request,
    Beacon,
    CertificateRequest,
    CertificateAnswer,
)
S = TypeVar("S", Batch, Ack, Hello, Manifest, Beacon, CertificateRequest, CertificateAnswer)

_encode = msgspec.json.Encoder().encode
_DECODERS: Final[dict[type, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (
        Batch,
        Ack,
        Hello,
        Manifest,
        Heartbeat,
        StockFigures,
        Request,
        Beacon,
        CertificateRequest,
        CertificateAnswer,
    )
}


def encode(message: msgspec.Struct) -> bytes:
    """The message's bytes; MESSAGE_UNREADABLE if larger than any peer would take."""
    data = _encode(message)
    if len(data) > MESSAGE_BYTES_MAX:
        raise Corrupt(
            "MESSAGE_UNREADABLE", detail=f"{len(data)} bytes, {MESSAGE_BYTES_MAX} at most"
        )
    return data


def decode(kind: type[M], data: bytes) -> M:
    """Read a message of this kind; MESSAGE_UNREADABLE with what is wrong."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise Corrupt(
            "MESSAGE_UNREADABLE", detail=f"{len(data)} bytes, {MESSAGE_BYTES_MAX} at most"
        )
    try:
        message: M = _DECODERS[kind].decode(data)
    except (ValueError, RecursionError) as fault:  # DecodeError, and UnicodeDecodeError
        raise Corrupt("MESSAGE_UNREADABLE", detail=str(fault)[:200]) from None
    return message


def sign(message: S, signer: Sign) -> S:
    """The message with its signature."""
    return msgspec.structs.replace(message, sig=signer(message.signed_part()))


def check_signature(message: Signed, check: Check, *, stream: str = "") -> None:
    """Raise SIGNATURE_WRONG unless `check` knows the key that signed."""
    if not check(message.signed_part(), message.sig):
        raise Corrupt("SIGNATURE_WRONG", stream=stream or "-", node=message.node)
