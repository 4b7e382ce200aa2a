"""Event <-> bytes. The writer encodes once; those bytes travel, are stored and are hashed.

Nobody encodes an event again (msgspec writes 1.5 and 1.50 differently), so fields that this version
does not know survive, and old versions are lifted only after the chain has been verified.
"""

from typing import Any

import msgspec

from protocol.clock import Reading
from protocol.errors import Corrupt, Refusal, define
from protocol.events import TYPES, VERSION, Event, lift

INTEGER_MAX = 2**53  # every peer, database and browser holds these exactly
TEXT_MAX = 200
EPOCH_DIGITS = 16
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
_DECODERS = {name: msgspec.json.Decoder(kind).decode for name, kind in TYPES.items()}


def encode(draft: Draft, *, stream: str, epoch: str, seq: int) -> bytes:
    """The event's bytes, for ever. Raises EVENT_TOO_LARGE."""
    kind = type(draft.body).__name__
    data = _encode(
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
    if len(data) > EVENT_BYTES_MAX:
        raise Refusal("EVENT_TOO_LARGE", size=len(data), limit=EVENT_BYTES_MAX)
    return data


def decode(data: bytes) -> Envelope:
    """The envelope; the body stays raw. Raises EVENT_UNREADABLE."""
    try:
        e = _decode_envelope(data)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise Corrupt("EVENT_UNREADABLE", detail=str(fault)[:200]) from None
    for text in (e.stream, e.epoch, e.type, e.id, e.clk, e.till, e.actor, e.cause):
        if len(text) > TEXT_MAX or "\0" in text:
            raise Corrupt("EVENT_UNREADABLE", detail="a name is too long or holds a NUL")
    if not 0 < e.seq <= INTEGER_MAX or not 0 <= e.ts <= INTEGER_MAX or len(e.epoch) != EPOCH_DIGITS:
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
            return _DECODERS[kind](envelope.body)
        return msgspec.convert(lift(kind, envelope.tv, _decode_any(envelope.body)), TYPES[kind])
    except (msgspec.DecodeError, RecursionError) as fault:
        raise Corrupt("EVENT_UNREADABLE", detail=f"{kind}: {fault}"[:200]) from None
    except KeyError:
        raise Corrupt(
            "EVENT_UNREADABLE", detail=f"{kind} version {envelope.tv} is not known here"
        ) from None
