"""The file that decides weights: frames, which item counts, tare, units, and its published hash."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.sim.vscale import VirtualScale
from devices.weighing import (
    UNIT_GRAMS,
    ItemGate,
    ScaleReading,
    code_hash,
    in_grams,
    in_unit,
    net_of,
    read_cas,
    read_mettler,
)
from protocol.errors import SENTENCES, Refusal

ROOT = Path(__file__).parents[2]
KINDS = ["stable", "unstable", "negative", "overload", "broken"]


@pytest.mark.parametrize(
    ("frame", "kind", "grams"),
    [
        (b"\x0200.535\r", "stable", 535),
        (b"\x0212.345N\r", "stable", 12345),
        (b"\x02?A\r", "unstable", 0),
        (b"\x02?B\r", "overload", 0),
        (b"\x02?D\r", "negative", 0),
        (b"\x0200.5\r", "broken", 0),
        (b"00.535\r", "broken", 0),
        (b"\x02E\rhello\r", "broken", 0),
        (b"", "broken", 0),
    ],
)
def test_mettler_frames(frame, kind, grams):
    assert read_mettler(frame) == ScaleReading(kind, grams)
    parity = bytes(b | 0x80 if b.bit_count() % 2 else b for b in frame)
    assert read_mettler(parity) == ScaleReading(kind, grams)


def test_cas_frames_with_a_wrong_checksum_are_broken():
    with VirtualScale(protocol="cas") as virtual:
        virtual.put(536)
        good = virtual.answer(b"\x11")
        virtual.put(-20)
        assert read_cas(virtual.answer(b"\x11")).kind == "negative"
        virtual.put(536, moving=True)
        assert read_cas(virtual.answer(b"\x11")).kind == "unstable"
        virtual.put(20_000)
        assert read_cas(virtual.answer(b"\x11")).kind == "overload"
    assert read_cas(good) == ScaleReading("stable", 536)
    for at in range(len(good)):
        damaged = good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :]
        assert read_cas(damaged).kind == "broken"
        assert read_cas(good[:at]).kind == "broken"


@given(st.binary(max_size=30))
def test_noise_is_never_a_crash(noise):
    assert read_mettler(noise).kind in KINDS
    assert read_cas(noise).kind in KINDS


READINGS = st.builds(ScaleReading, st.sampled_from(KINDS), st.sampled_from([0, 100, 200]))


@given(st.lists(st.tuples(READINGS, st.booleans()), max_size=60))
def test_an_item_is_stable_agreed_and_the_pan_was_empty_between_two(steps):
    gate, emptied, before = ItemGate(), False, None
    for reading, sell in steps:
        gate.take(reading)
        if reading == ScaleReading("stable", 0):
            emptied = True
        if gate.item is not None:
            assert emptied
            assert reading == before == ScaleReading("stable", gate.item)
            assert gate.item > 0
            if sell:
                gate.sold(gate.emptied)
                assert gate.why_not == "WEIGHT_NOT_ZEROED"
                emptied = False
        else:
            assert gate.why_not in SENTENCES
        before = reading


def test_more_on_top_of_what_was_sold_is_no_item_and_a_late_word_uses_no_other():
    gate = ItemGate()
    for grams in (0, 536, 536):
        gate.take(ScaleReading("stable", grams))
    first = gate.emptied
    gate.sold(first)
    for grams in (800, 800):
        gate.take(ScaleReading("stable", grams))
    assert gate.why_not == "WEIGHT_NOT_ZEROED"
    for grams in (0, 250, 250):
        gate.take(ScaleReading("stable", grams))
    gate.sold(first)
    assert gate.item == 250


@given(st.integers(1, 30_000), st.integers(-5, 40_000))
def test_a_tare_leaves_something_or_is_refused(gross, tare):
    if 0 <= tare < gross:
        assert net_of(gross, tare) == gross - tare > 0
    else:
        with pytest.raises(Refusal, match="WEIGHT_TARE"):
            net_of(gross, tare)


@given(st.integers(0, 30_000), st.sampled_from(sorted(UNIT_GRAMS)))
def test_grams_in_a_unit_are_exact(grams, unit):
    assert in_unit(grams, unit) * UNIT_GRAMS[unit] == grams * 1000
    assert in_grams(in_unit(grams, unit), unit) == grams


def test_a_unit_that_is_no_weight_is_refused():
    with pytest.raises(Refusal, match="WEIGHT_UNIT"):
        in_unit(500, "pc")


def test_the_published_hash_is_of_the_file():
    page = (ROOT / "docs" / "weighing.md").read_text(encoding="utf-8")
    published = re.findall(r"`([0-9a-f]{64})`", page)
    assert published[:1] == [code_hash()], "devices/weighing.py changed: publish its new hash"
