"""Frames of a card terminal: whole however they are split, refused when they are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import cardterminal as card
from devices.cardterminal import Frame, FrameBroken, Frames, bcd, encode

fields = st.fixed_dictionaries(
    {},
    optional={
        card.AMOUNT: st.binary(min_size=6, max_size=6),
        card.TRACE: st.binary(min_size=3, max_size=3),
        card.RESULT: st.binary(min_size=1, max_size=1),
        card.TEXT: st.binary(max_size=400),
    },
)
frames = st.lists(
    st.builds(Frame, st.tuples(st.integers(0, 255), st.integers(0, 255)), fields), max_size=5
)


@given(frames, st.lists(st.integers(1, 7), min_size=1, max_size=30))
def test_frames_are_whole_however_they_are_split(sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(encode(frame) for frame in sent)
    reader, got, at, n = Frames(), [], 0, 0
    while at < len(data):
        size = cuts[n % len(cuts)]
        got += reader.feed(data[at : at + size])
        at, n = at + size, n + 1
    assert got == sent


@given(st.binary(max_size=600))
def test_noise_is_refused_or_waits(noise: bytes) -> None:
    reader = Frames()
    try:
        for frame in reader.feed(noise):
            frame.number(card.AMOUNT)
    except FrameBroken:
        pass


@given(st.integers(0, 999_999_999_999))
def test_amounts_as_digits(amount: int) -> None:
    assert Frame((0, 0), {card.AMOUNT: bcd(amount, 6)}).number(card.AMOUNT) == amount


def test_what_does_not_fit() -> None:
    with pytest.raises(FrameBroken):
        bcd(10**12, 6)
    with pytest.raises(FrameBroken):
        bcd(-1, 3)
    with pytest.raises(FrameBroken):
        Frames().feed(b"\x04\x0f\xff\xff\xff")
