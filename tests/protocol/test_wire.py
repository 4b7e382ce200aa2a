"""Messages: capped before decoding, refused in words, and every field under the signature."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import wire
from protocol.errors import Corrupt
from protocol.node import signing
from protocol.wire import Ack, Batch, Beacon, Clk, Cursor, Heartbeat, Hello, Manifest, StockFigures
from tests.builders import EPOCHS, branch, received

CLK = Clk("trusted", 5, 1_793_500_000_000)
CURSOR = Cursor(stream="shop/a", epoch=EPOCHS[0], upto=3, hash="a" * 64)
EVENTS = branch("shop/a", [received()])
BATCH = Batch(
    node="a",
    epoch=EPOCHS[0],
    stream="shop/a",
    first=1,
    n=2,
    prev="0" * 64,
    last=EVENTS[-1].position.hash,
    sent=5,
    clk=CLK,
    events=tuple(msgspec.Raw(e.data) for e in EVENTS),
)
ACK = Ack(node="a", sess="s", now=5, cursors=(CURSOR,))
HELLO = Hello(node="a", sess="s", epoch=EPOCHS[0], heads=(CURSOR,), cursors=(), version="1")
LOW = msgspec.structs.replace(HELLO, low={"shop/a": 3})
MANIFEST = Manifest(
    node="central", epoch=EPOCHS[0], stream="all", seq=3, hash="a" * 64, now=5, ask="/node"
)
BEACON = Beacon(node="central", clk=CLK)
BEAT = Heartbeat(node="a", sess="s", now=1, head=1, acked=0, clk=CLK, health={"printer": "ok"})
FIGURES = StockFigures(store="a", epoch=EPOCHS[0], upto=1, at=1, figures=(("bun", 5),))
KINDS = [Batch, Ack, Hello, Manifest, Heartbeat, StockFigures, Beacon]
MESSAGES: list[Any] = [BATCH, ACK, HELLO, LOW, MANIFEST, BEAT, FIGURES, BEACON]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_messages_round_trip(message: Any) -> None:
    read = wire.decode(type(message), wire.encode(message))
    if isinstance(message, Batch):
        assert [bytes(e) for e in read.events] == [e.data for e in EVENTS]
        read = msgspec.structs.replace(read, events=message.events)
    assert read == message


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"\0",
        b"\xff",
        b'{"node":"\xff"}',
        b'{"node":"\xe4","p":1}',
        b'{"p":' + b"9" * 6000 + b"}",
        b"[" * 60_000 + b"]" * 60_000,
        b" " * (wire.MESSAGE_BYTES_MAX + 1),
    ],
)
def test_garbage_is_refused_in_words(kind: type[Any], data: bytes) -> None:
    with pytest.raises(Corrupt) as caught:
        wire.decode(kind, data)
    assert caught.value.code == "MESSAGE_UNREADABLE"
    assert len(caught.value.sentence("en")) < 400


@given(st.binary(max_size=300), st.sampled_from(KINDS))
def test_any_bytes_are_judged_without_a_crash(data: bytes, kind: type[Any]) -> None:
    with pytest.raises(Corrupt):
        wire.decode(kind, data)


@given(st.data(), st.sampled_from(MESSAGES))
def test_a_damaged_message_is_read_or_refused(data: st.DataObject, message: Any) -> None:
    bad = bytearray(wire.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = wire.decode(type(message), bytes(bad))
        if hasattr(read, "signed_part"):
            assert isinstance(read.signed_part(), bytes)
    except Corrupt:
        return


def test_nothing_larger_than_a_peer_takes_is_sent() -> None:
    big = msgspec.structs.replace(BATCH, events=(msgspec.Raw(b'"' + b"x" * 140_000 + b'"'),))
    with pytest.raises(Corrupt, match="at most"):
        wire.encode(big)


@pytest.mark.parametrize(
    ("message", "field"), [(ACK, "cursors"), (HELLO, "heads"), (BEAT, "cursors")]
)
def test_nobody_is_asked_about_hundreds_of_places_at_once(message: Any, field: str) -> None:
    many = msgspec.structs.replace(message, **{field: (CURSOR,) * 33})
    with pytest.raises(Corrupt, match="MESSAGE_UNREADABLE"):
        wire.decode(type(message), wire.encode(many))


def test_a_number_that_no_database_holds_is_refused() -> None:
    for number in (b"9" * 400, b"9223372036854775808", b"-1"):
        with pytest.raises(Corrupt) as caught:
            wire.decode(Ack, b'{"node":"a","sess":"s","now":%s,"cursors":[]}' % number)
        assert caught.value.code == "MESSAGE_UNREADABLE"
    with pytest.raises(Corrupt):
        wire.decode(Ack, b'{"node":"a","sess":"\\u0000","now":1,"cursors":[]}')


def _other(value: Any) -> Any:
    """A value of the same type that is not the same."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "x"
        case tuple():
            return (*value, *(value or (CURSOR,)))
        case dict():
            return {**value, "zone/z": 9}
        case msgspec.Struct():
            name = value.__struct_fields__[-1]
            return msgspec.structs.replace(value, **{name: _other(getattr(value, name))})
        case _:
            raise TypeError(value)


def _fields(message: Any) -> list[str]:
    return [f for f in message.__struct_fields__ if f not in {"sig", "events"}]


SIGNED: list[Any] = [BATCH, ACK, HELLO, LOW, MANIFEST, BEACON]
CASES = [(m, f) for m in SIGNED for f in _fields(m)]


@pytest.mark.parametrize(("message", "field"), CASES, ids=lambda x: str(x)[:12])
def test_the_signature_covers_every_field(message: Any, field: str) -> None:
    changed = msgspec.structs.replace(message, **{field: _other(getattr(message, field))})
    assert changed.signed_part() != message.signed_part(), field


@pytest.mark.parametrize("field", CURSOR.__struct_fields__)
def test_the_signature_covers_every_field_of_a_cursor(field: str) -> None:
    cursor = msgspec.structs.replace(CURSOR, **{field: _other(getattr(CURSOR, field))})
    for message, name in ((ACK, "cursors"), (HELLO, "heads"), (HELLO, "cursors")):
        changed = msgspec.structs.replace(message, **{name: (cursor,)})
        same = msgspec.structs.replace(message, **{name: (CURSOR,)})
        assert changed.signed_part() != same.signed_part()


@pytest.mark.parametrize("field", CLK.__struct_fields__)
def test_the_signature_covers_the_clock(field: str) -> None:
    clk = msgspec.structs.replace(CLK, **{field: _other(getattr(CLK, field))})
    for message in (BATCH, BEACON):
        assert msgspec.structs.replace(message, clk=clk).signed_part() != message.signed_part()


def test_no_two_kinds_of_message_share_a_signature() -> None:
    parts = [m.signed_part() for m in SIGNED]
    assert len(set(parts)) == len(parts)
    shapes = {len(msgspec.json.decode(p)) for p in parts}
    assert len(shapes) >= len(parts) - 1


def test_a_hello_without_low_is_signed_as_by_older_peers() -> None:
    """They know nothing of it: what they sign and check has nine parts."""
    assert len(msgspec.json.decode(HELLO.signed_part())) == 9
    older = msgspec.json.decode(wire.encode(HELLO))
    del older["low"]
    assert wire.decode(Hello, msgspec.json.encode(older)) == HELLO


def test_keys_sign_and_strangers_do_not(tmp_path: Any) -> None:
    key = signing.make_key(tmp_path / "node.key")
    assert (tmp_path / "node.key").stat().st_mode & 0o777 == 0o600
    again = signing.make_key(tmp_path / "node.key")
    other = signing.make_key(tmp_path / "other.key")
    signed = wire.sign(BATCH, key.sign)
    wire.check_signature(signed, lambda d, s: signing.check(again.public_hex, d, s))
    for public in (other.public_hex, "", "zz", "00", "é"):
        with pytest.raises(Corrupt) as caught:
            wire.check_signature(
                signed, lambda d, s, p=public: signing.check(p, d, s), stream="shop/a"
            )
        assert caught.value.code == "SIGNATURE_WRONG"
    for sig in ("", "zz", "00", signed.sig[:-2], signed.sig + "00", "é" * 128):
        assert not signing.check(key.public_hex, signed.signed_part(), sig)
    (tmp_path / "broken.key").write_bytes(b"short")
    for name in ("broken.key", "none.key"):
        with pytest.raises(Exception, match="KEY_MISSING"):
            signing.load_key(tmp_path / name)
