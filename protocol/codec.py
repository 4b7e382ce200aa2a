"""Event <-> bytes. The writer encodes once; those bytes travel, are stored and are hashed.

Nobody encodes an event again (msgspec writes 1.5 and 1.50 differently), so fields that this version
does not know survive, and old versions are lifted only after the chain has been verified.
"""

import re
from functools import cache
from typing import Any

import msgspec

from protocol.clock import Reading
from protocol.errors import Corrupt, Refusal, define
from protocol.events import TYPES, VERSION, Event, lift

INTEGER_MAX = 2**53  # every peer, database and browser holds these exactly
TEXT_MAX = 200
EPOCH_DIGITS = 16
DEPTH_MAX = 32  # readers stop at some depth that depends on their stack
EVENT_BYTES_MAX = 100_000  # below the 128 KiB of a message, header included

define(
    {
        "EVENT_UNREADABLE": (
            "Event bytes cannot be read: {detail}.",
            "无法读取事件内容：{detail}。",
        ),
        "EVENT_TOO_LARGE": (
            "This document is too large to be sent ({size} bytes, {limit} at most). Nothing was "
            "saved. Split it into smaller ones.",
            "此单据过大，无法发送（{size} 字节，上限 {limit}）。没有保存。请拆成几张单据。",
        ),
        "EVENT_UNWRITABLE": (
            "This cannot be recorded, because nobody could read it again: {detail}. Nothing was "
            "saved.",
            "无法记录，因为之后将无法读取：{detail}。没有保存。",
        ),
    }
)


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands around a body. `body` holds the bytes as they came."""

    stream: str
    epoch: str
    seq: int
    type: str
    tv: int
    id: str
    ts: int  # ms, by the writer's judged clock
    u: int = 0  # uncertainty, ms
    clk: str = "trusted"
    till: str = ""
    actor: str = ""
    cause: str = ""
    body: msgspec.Raw = msgspec.Raw()


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An event before the journal gives it its place."""

    id: str
    body: Event
    at: Reading
    till: str = ""
    actor: str = ""
    cause: str = ""


_encode = msgspec.json.Encoder().encode
_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_SUSPECT = re.compile(rb"\\u0000|[0-9]{16}")  # perhaps a NUL, perhaps a huge integer


@cache
def _decoder(kind: type[Event]) -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(kind)


def check_plain(value: object, depth: int = 0) -> None:
    """Raise EVENT_UNREADABLE for what some peer would not hold: NUL, huge integer, deep nesting."""
    bad = depth > DEPTH_MAX
    if isinstance(value, str):
        bad |= "\0" in value
    elif isinstance(value, int):
        bad |= abs(value) > INTEGER_MAX
    elif isinstance(value, dict | list) and not bad:
        inside = value if isinstance(value, list) else [*value, *value.values()]
        for item in inside:
            check_plain(item, depth + 1)
    if bad:
        raise Corrupt("EVENT_UNREADABLE", detail=f"a value nobody can store: {value!r:.60}")


def encode(draft: Draft, *, stream: str, epoch: str, seq: int) -> bytes:
    """The event's bytes, for ever; what others could not read back is refused here.

    Raises EVENT_TOO_LARGE or EVENT_UNWRITABLE.
    """
    try:
        data = _bytes(draft, stream, epoch, seq)
        if len(data) <= EVENT_BYTES_MAX:
            body_of(decode(data))
            if _SUSPECT.search(data) or data.count(b"[") + data.count(b"{") > DEPTH_MAX:
                check_plain(_decode_any(data))
            return data
    except Corrupt as fault:
        raise Refusal("EVENT_UNWRITABLE", detail=fault.params["detail"]) from None
    except (ValueError, TypeError, OverflowError) as fault:  # a lone surrogate, no JSON type
        raise Refusal("EVENT_UNWRITABLE", detail=str(fault)[:200]) from None
    raise Refusal("EVENT_TOO_LARGE", size=len(data), limit=EVENT_BYTES_MAX)


def _bytes(draft: Draft, stream: str, epoch: str, seq: int) -> bytes:
    kind = type(draft.body).__name__
    if kind not in TYPES:
        raise TypeError(f"{kind} is not registered")
    return _encode(
        Envelope(
            stream=stream,
            epoch=epoch,
            seq=seq,
            type=kind,
            tv=VERSION[kind],
            id=draft.id,
            ts=draft.at.at_ms,
            u=draft.at.u_ms,
            clk=draft.at.state.value,
            till=draft.till,
            actor=draft.actor,
            cause=draft.cause,
            body=msgspec.Raw(_encode(draft.body)),
        )
    )


def decode(data: bytes) -> Envelope:
    """The envelope; the body stays raw. Raises EVENT_UNREADABLE."""
    try:
        e = _decode_envelope(data)
    except (ValueError, RecursionError) as fault:  # DecodeError, and UnicodeDecodeError
        raise Corrupt("EVENT_UNREADABLE", detail=str(fault)[:200]) from None
    names = (e.stream, e.epoch, e.type, e.id, e.clk, e.till, e.actor, e.cause)
    if max(map(len, names)) > TEXT_MAX or "\0" in "".join(names):
        raise Corrupt("EVENT_UNREADABLE", detail="a name is too long or holds a NUL")
    if (
        not 0 < e.seq <= INTEGER_MAX
        or not 0 <= e.ts <= INTEGER_MAX
        or not 0 <= e.u <= INTEGER_MAX
        or len(e.epoch) != EPOCH_DIGITS
    ):
        raise Corrupt("EVENT_UNREADABLE", detail="sequence, time or epoch out of range")
    return e


def body_of(envelope: Envelope) -> Event | None:
    """The typed body, lifted to the present version; None for a type this version does not know.

    Raises EVENT_UNREADABLE when the body is not of its type, or comes from a later version.
    """
    kind = envelope.type
    if kind not in TYPES:
        return None
    try:
        if envelope.tv == VERSION[kind]:
            return _decoder(TYPES[kind]).decode(envelope.body)
        old = _decode_any(envelope.body)
    except (ValueError, RecursionError) as fault:
        raise Corrupt("EVENT_UNREADABLE", detail=f"{kind}: {fault}"[:200]) from None
    try:
        return msgspec.convert(lift(kind, envelope.tv, old), TYPES[kind])
    except Exception as fault:  # noqa: BLE001 - an upcaster may stumble over anything
        detail = f"{kind} version {envelope.tv} cannot be lifted: {fault!r}"[:200]
        raise Corrupt("EVENT_UNREADABLE", detail=detail) from None
