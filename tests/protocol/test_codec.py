"""Events as bytes: encoded once, read by everybody, lifted when old, refused when nobody could."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import events as ev
from protocol.codec import EVENT_BYTES_MAX, INTEGER_MAX, Envelope, body_of, decode, encode
from protocol.errors import Corrupt, Refusal
from protocol.events import registry
from tests.builders import EPOCHS, any_body, draft, received, sale

WHERE = {"stream": "shop/a", "epoch": EPOCHS[0], "seq": 7}


@given(any_body())
def test_every_body_round_trips(body: ev.Event) -> None:
    envelope = decode(encode(draft(body, "id-1", till="T1", actor="li", cause="c"), **WHERE))
    assert body_of(envelope) == body
    assert (envelope.stream, envelope.epoch, envelope.seq) == ("shop/a", EPOCHS[0], 7)
    assert (envelope.till, envelope.actor, envelope.cause) == ("T1", "li", "c")
    assert (envelope.ts, envelope.u, envelope.clk) == (1_793_500_000_000, 5, "trusted")


def _envelope(**changes: object) -> bytes:
    values: dict[str, object] = {
        "stream": "shop/a",
        "epoch": EPOCHS[0],
        "seq": 1,
        "type": "CashMoved",
        "tv": 1,
        "id": "x",
        "ts": 5,
        "body": {"shift": "s", "till": "t", "amount_minor": 1, "reason": "r"},
    }
    return msgspec.json.encode({**values, **changes})


def test_unknown_fields_survive_byte_for_byte() -> None:
    """Fields of a later version, in any order, with 1.50 and odd spaces: bytes are the truth."""
    data = (
        b'{"new":[1.50, {"a":1e2}],"body": {"later" : 1.50,"shift":"s","till":"t",'
        b'"amount_minor":1,"reason":"r"} ,"seq":1,"ts":5,"id":"x","tv":1,"type":"CashMoved",'
        b'"epoch":"%s","stream":"shop/a"}' % EPOCHS[0].encode()
    )
    envelope = decode(data)
    assert bytes(envelope.body).startswith(b'{"later" : 1.50')
    body = body_of(envelope)
    assert isinstance(body, ev.CashMoved)
    assert body.amount_minor == 1


def test_an_unknown_type_is_carried_and_changes_nothing() -> None:
    assert body_of(decode(_envelope(type="Telepathy", body=[1, 2]))) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 0},
        {"seq": -1},
        {"seq": INTEGER_MAX + 1},
        {"seq": 10**30},
        {"seq": 1.5},
        {"seq": "1"},
        {"seq": None},
        {"ts": -1},
        {"ts": INTEGER_MAX + 1},
        {"u": -1},
        {"u": 10**30},
        {"epoch": ""},
        {"epoch": "0" * 17},
        {"stream": "x" * 201},
        {"id": "a\0b"},
        {"type": "a\0"},
        {"clk": "x" * 201},
        {"actor": "\0"},
        {"till": 5},
        {"body": {}, "id": None},
    ],
)
def test_an_envelope_out_of_range_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Corrupt) as caught:
        decode(_envelope(**changes))
    assert caught.value.code == "EVENT_UNREADABLE"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        _envelope() + b"x",
        _envelope()[:-1],
        _envelope().replace(b'"id":"x"', b'"id":"\xff"'),
        _envelope().replace(b'"id":"x"', b'"id":"\xe4"'),
        _envelope().replace(b'"id":"x"', b'"id":"\\ud800"'),
        _envelope().replace(b'"seq":1', b'"seq":' + b"9" * 6000),
        _envelope().replace(b'"id":"x"', b'"id":"x","z":' + b"[" * 50_000 + b"]" * 50_000),
    ],
)
def test_garbage_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(Corrupt) as caught:
        decode(data)
    assert caught.value.code == "EVENT_UNREADABLE"
    assert caught.value.sentence("zh")


@given(st.binary(max_size=200))
def test_any_bytes_are_judged_without_a_crash(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_flipped_byte_is_read_or_refused(at: int, value: int) -> None:
    data = bytearray(encode(draft(sale(), "x"), **WHERE))
    data[at % len(data)] = value
    try:
        body_of(decode(bytes(data)))
    except Corrupt:
        return


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"shift":1,"till":"t","amount_minor":1,"reason":"r"}',
        b'{"shift":"s","till":"t","amount_minor":1.0,"reason":"r"}',
        b'{"shift":"s","till":"t","amount_minor":true,"reason":"r"}',
        b'{"shift":"\xff","till":"t","amount_minor":1,"reason":"r"}',
        b'{"shift":"s","till":"t","amount_minor":%s,"reason":"r"}' % (b"9" * 6000),
    ],
)
def test_a_body_of_another_shape_is_unreadable(body: bytes) -> None:
    e = decode(_envelope())
    with pytest.raises(Corrupt) as caught:
        body_of(msgspec.structs.replace(e, body=msgspec.Raw(body)))
    assert caught.value.code == "EVENT_UNREADABLE"


def test_a_deep_body_is_unreadable() -> None:
    deep = b'{"rule":"r","version":1,"document":{"a":' + b"[" * 40_000 + b"]" * 40_000 + b"}}"
    e = msgspec.structs.replace(decode(_envelope()), type="PromotionPublished")
    with pytest.raises(Corrupt):
        body_of(msgspec.structs.replace(e, body=msgspec.Raw(deep)))


def test_oversize_is_refused_before_anything_is_saved() -> None:
    lines = tuple(ev.Moved(sku=f"sku-{n}", qty_milli=1000) for n in range(4000))
    body = ev.GoodsReceived(document="d", supplier="s", lines=lines)
    with pytest.raises(Refusal) as caught:
        encode(draft(body, "x"), **WHERE)
    assert caught.value.code == "EVENT_TOO_LARGE"
    assert str(EVENT_BYTES_MAX) in str(caught.value)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (received(sku="a\0b"), {}),
        (received(sku="\ud800"), {}),
        (received(qty_milli=2**60), {}),
        (received(qty_milli=-(2**60)), {}),
        (received(qty_milli=2**70), {}),
        (received(qty_milli=1.5), {}),  # type: ignore[arg-type]
        (received(sku=None), {}),  # type: ignore[arg-type]
        (received(), {"actor": "x" * 201}),
        (received(), {"till": "\0"}),
        (received(), {"cause": "\udc00"}),
        (sale(context={"n": 10**20}), {}),
        (sale(context={"n": ["\0"]}), {}),
        (sale(context={"x\0": 1}), {}),
        (sale(context={"set": object()}), {}),
        (ev.Moved(sku="a", qty_milli=1), {}),
    ],
)
def test_the_writer_never_writes_what_nobody_could_read(
    body: ev.Event, fields: dict[str, str]
) -> None:
    with pytest.raises(Refusal) as caught:
        encode(draft(body, "x", **fields), **WHERE)
    assert caught.value.code == "EVENT_UNWRITABLE"


def test_long_digits_in_texts_are_fine() -> None:
    body = sale(context={"card": "9" * 40, "text": "\\u0000", "n": INTEGER_MAX})
    assert body_of(decode(encode(draft(body, "x"), **WHERE))) == body


class Toy(registry.Event, frozen=True, kw_only=True):
    """An event that has been through two changes."""

    amount_minor: int
    currency: str


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Toy` is at version 3: 1 had `yuan`, 2 had `amount` in fen, 3 says the currency."""
    monkeypatch.setitem(registry.TYPES, "Toy", Toy)
    monkeypatch.setitem(registry.VERSION, "Toy", 3)
    monkeypatch.setitem(registry.UPCASTS, ("Toy", 1), lambda b: {"amount": b["yuan"] * 100})
    monkeypatch.setitem(
        registry.UPCASTS, ("Toy", 2), lambda b: {"amount_minor": b["amount"], "currency": "CNY"}
    )


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("version", "body"),
    [(1, {"yuan": 5}), (2, {"amount": 500}), (3, {"amount_minor": 500, "currency": "CNY"})],
)
def test_every_old_version_is_lifted(version: int, body: dict[str, object]) -> None:
    e = decode(_envelope(type="Toy", tv=version, body=body))
    assert body_of(e) == Toy(amount_minor=500, currency="CNY")


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("version", "body"),
    [
        (4, {"amount_minor": 500, "currency": "CNY"}),  # later: the fields may mean another thing
        (0, {"yuan": 5}),
        (-(10**9), {"yuan": 5}),
        (1, {"yen": 5}),  # the upcaster stumbles
        (1, {"yuan": None}),
        (2, {"amount": "much"}),
        (1, []),
    ],
)
def test_what_cannot_be_lifted_is_unreadable(version: int, body: object) -> None:
    e = decode(_envelope(type="Toy", tv=version, body=body))
    with pytest.raises(Corrupt) as caught:
        body_of(e)
    assert caught.value.code == "EVENT_UNREADABLE"


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        registry.register(ev.SaleCompleted)


def test_an_envelope_has_a_body_to_be_read() -> None:
    data = msgspec.json.encode(
        {
            "stream": "s",
            "epoch": EPOCHS[0],
            "seq": 1,
            "type": "CashMoved",
            "tv": 1,
            "id": "x",
            "ts": 5,
        }
    )
    assert isinstance(decode(data), Envelope)
    with pytest.raises(Corrupt):
        body_of(decode(data))
