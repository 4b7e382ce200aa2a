"""The scan corpus, our own codes, and anything at all."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devices.note import (
    NOTE_BYTES_MAX,
    ReceiptCode,
    TransferNote,
    decode_note,
    encode_note,
    receipt_code,
)
from devices.scan import Gs1, Gtin, InStorePrefix, PayCode, Rcn, Unknown, mask, read
from protocol.errors import SENTENCES, Corrupt, Refusal

CORPUS = json.loads(
    (Path(__file__).parents[1] / "data" / "devices" / "scans.json").read_text(encoding="utf-8")
)
PREFIXES = [
    InStorePrefix("21", "price"),
    InStorePrefix("22", "weight"),
    InStorePrefix("23", "price", value_digits=4, inner_check=True),
]


@pytest.mark.parametrize("case", CORPUS, ids=[case["why"] for case in CORPUS])
def test_corpus(case):
    scan = read(case["raw"], prefixes=PREFIXES, tender=case.get("tender", False))
    found = json.loads(msgspec.json.encode(scan))
    assert {key: found[key] for key in case["is"]} == case["is"]


def test_keys_find_a_code_at_any_length():
    assert read("036000291452").keys == ("036000291452", "0036000291452", "00036000291452")
    assert read("16901028075838").keys == ("16901028075838",)
    assert "012345000065" in read("01234565").keys  # UPC-E as its UPC-A, and as it is printed
    assert read("]E401234565").keys[-1] == "00000001234565"
    assert isinstance(read("2199999000001"[:12] + "8"), Gtin | Unknown)


def test_without_a_table_an_in_store_code_is_a_restricted_number():
    scan = read("2112345012506")
    assert isinstance(scan, Gtin)
    assert scan.restricted
    assert read("2112345012506", prefixes=PREFIXES).keys == ("2112345", "12345", "12345")


def test_wrong_prefix_table_is_refused():
    for wrong in (("31", 5), ("2x", 5), ("21", 4)):
        with pytest.raises(Refusal):
            InStorePrefix(wrong[0], "price", item_digits=wrong[1])


SOME = st.text(max_size=80) | st.text(alphabet="0123456789]ECdQ()\x1d:/*#TM1R", max_size=60)


@given(SOME, st.booleans())
@example("(01)", False)
@example("]C1", False)
@example("\x1d\x1d", False)
@example("TM1:T:::#0000", False)
def test_anything_has_a_meaning_or_a_reason(raw, tender):
    scan = read(raw, prefixes=PREFIXES, tender=tender)
    if isinstance(scan, Unknown):
        assert scan.code in SENTENCES
        for language in ("en", "zh-CN"):
            assert scan.sentence(language) not in {"", scan.code}
    if isinstance(scan, PayCode):
        assert tender


@pytest.mark.parametrize("text", ["http://[", "https://a]b/01/06901028075831", "http://[::1/01/1"])
def test_an_address_that_is_none_is_a_foreign_link(text):
    assert read(text).code == "SCAN_FOREIGN_LINK"


@given(st.binary(max_size=80))
def test_noise_from_a_cable(noise):
    read(noise.decode("latin-1"), prefixes=PREFIXES)


@given(st.integers(0, 99999), st.integers(0, 99999), st.sampled_from(["21", "22"]))
def test_scale_labels(item, value, prefix):
    body = f"{prefix}{item:05d}{value:05d}"
    digit = -sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(body)) % 10
    scan = read(f"{body}{digit}", prefixes=PREFIXES)
    assert isinstance(scan, Rcn)
    assert scan.item == f"{item:05d}"
    assert (scan.price_minor if prefix == "21" else scan.weight_g) == value
    wrong = read(f"{body}{(digit + 1) % 10}", prefixes=PREFIXES)
    assert (wrong.code, wrong.params["expected"]) == ("SCAN_CHECK_DIGIT", digit)


IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,11}", fullmatch=True)


@given(IDS, IDS, IDS, st.lists(st.tuples(IDS, st.integers(1, 10**9)), min_size=1, max_size=40))
def test_a_note_survives_its_code(transfer, source, target, lines):
    text = encode_note(transfer, source=source, target=target, lines=lines)
    assert len(text) <= NOTE_BYTES_MAX
    assert decode_note(text) == TransferNote(transfer, source, target, tuple(lines))
    assert read("]Q1" + text + "\r") == decode_note(text)


@given(st.data())
def test_a_damaged_note_is_never_half_read(data):
    text = encode_note("TR-7", source="s1", target="s2", lines=[("bun", 10_000), ("milk", 500)])
    at = data.draw(st.integers(6, len(text) - 1))
    damaged = text[:at] + data.draw(st.sampled_from(["", "x", "9"])) + text[at + 1 :]
    if damaged != text:
        scan = read(damaged)
        assert isinstance(scan, Unknown)
        assert scan.code == "SCAN_NOTE_BROKEN"
    cut = read(text[:at])
    assert isinstance(cut, Unknown)


def test_note_bounds():
    with pytest.raises(Refusal, match="NOTE_TOO_LONG"):
        encode_note("T", source="a", target="b", lines=[(f"sku-{n}", 1) for n in range(201)])
    with pytest.raises(Refusal, match="NOTE_TOO_LONG"):
        encode_note("T", source="a", target="b", lines=[])
    with pytest.raises(Refusal, match="ID_UNREADABLE"):
        encode_note("T:1", source="a", target="b", lines=[("x", 1)])
    zero = encode_note("T", source="a", target="b", lines=[("x", 0)])
    with pytest.raises(Corrupt):
        decode_note(zero)


def test_receipt_code_round_trip():
    assert read("]C0" + receipt_code("T1-3-000123")) == ReceiptCode("T1-3-000123")
    assert isinstance(read("TMR:"), Unknown)


def test_gs1_fields_are_exact():
    scan = read("]C10106901028075831392212345")
    assert isinstance(scan, Gs1)
    assert scan.price_minor == 12345
    assert read("]C101069010280758313104012345").weight_g is None  # finer than a gram: as read only


@pytest.mark.parametrize("last", range(10))
@pytest.mark.parametrize("aim", ["", "]C0", "]Q1"])
def test_a_pay_code_that_is_a_pallet_by_chance_is_a_pay_code(last, aim):
    """Each tenth payment code has the check digit of an SSCC."""
    for provider, body in (("wechat", "13451234567890123"), ("alipay", "28123456789012345")):
        text = f"{body}{last}"
        assert read(aim + text, prefixes=PREFIXES, tender=True) == PayCode(provider, text)
        early = read(aim + text, prefixes=PREFIXES)
        assert isinstance(early, Unknown)
        assert early.code == "SCAN_PAY_CODE_EARLY"
        assert text not in repr(early)  # it is money
        assert mask(aim + text) == text[:4] + "…"
        gs1 = read("]C1" + text, prefixes=PREFIXES, tender=True)  # a phone shows no GS1-128
        assert not isinstance(gs1, PayCode)


@given(st.text(max_size=60))
def test_masking_hides_payment_codes_and_nothing_else(raw):
    paid = isinstance(read(raw, tender=True), PayCode)
    assert (mask(raw) != raw) == paid
