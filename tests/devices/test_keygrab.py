"""Key events of a keyboard-wedge scanner become the codes that were printed."""

import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.keygrab import (
    EV_KEY,
    EV_SYN,
    KEYS,
    LOST,
    SYN_DROPPED,
    KeyDecoder,
    open_scanner_port,
)
from devices.port import Cancel, DeviceLost
from devices.scanner import Framer
from protocol.errors import SENTENCES

SHIFT, CONTROL, ENTER, CAPS = 42, 29, 28, 58
WHERE = {plain: (code, False) for code, (plain, _) in KEYS.items() if code not in range(71, 84)} | {
    shifted: (code, True)
    for code, (plain, shifted) in KEYS.items()
    if shifted != plain and code not in range(71, 84)
}
PRINTABLE = [ch for ch in string.printable if ch.isprintable()]


class Event(msgspec.Struct):
    """As `evdev.InputEvent` has them."""

    type: int
    code: int
    value: int


def press(code: int) -> list[Event]:
    """Down, held (autorepeat is off in scanners), up, each in its report."""
    sync = Event(EV_SYN, 0, 0)
    return [Event(4, 4, code), Event(EV_KEY, code, 1), sync, Event(EV_KEY, code, 0), sync]


def typed(text: str) -> list[Event]:
    """What a scanner with a US layout sends for this text."""
    events: list[Event] = []
    for ch in text:
        if ch == "\r":
            events += press(ENTER)
        elif ch == "\x1d":  # GS, as scanners type it: Ctrl+]
            events += [Event(EV_KEY, CONTROL, 1), *press(27), Event(EV_KEY, CONTROL, 0)]
        else:
            code, shifted = WHERE[ch]
            held = [Event(EV_KEY, SHIFT, 1)] if shifted else []
            events += [*held, *press(code), *([Event(EV_KEY, SHIFT, 0)] if shifted else [])]
    return events


def test_every_printable_character_has_a_key():
    assert set(PRINTABLE) <= set(WHERE)


def test_a_gs1_code_with_its_aim_id_and_gs():
    text = "]C10106901028075831\x1d10LOT-42\r"
    assert KeyDecoder().feed(typed(text)) == text.encode()


def test_a_link_and_the_number_pad():
    link = "https://id.gs1.org/01/06901028075831/10/A?17=261231\r"
    assert KeyDecoder().feed(typed(link)) == link.encode()
    pad = [79, 80, 81, 75, 76, 77, 71, 72, 73, 82, 83, 74, 78, 55, 98, 96]
    events = [event for code in pad for event in press(code)]
    assert KeyDecoder().feed(events) == b"1234567890.-+*/\r"


@given(st.lists(st.sampled_from(PRINTABLE), max_size=60), st.randoms())
def test_whatever_is_typed_comes_out_however_it_is_split(chars, chance):
    text = "".join(chars) + "\r"
    events, decoder, found = typed(text), KeyDecoder(), b""
    while events:
        size = chance.randint(1, 7)
        found += decoder.feed(events[:size])
        events = events[size:]
    assert found == text.encode()


def test_caps_lock_is_followed_and_unknown_keys_type_nothing():
    decoder = KeyDecoder()
    assert decoder.feed([*press(CAPS), *typed("aB1"), *press(CAPS), *typed("a")]) == b"Ab1a"
    assert decoder.feed([*press(200), *press(1), Event(2, 0, 5)]) == b""
    held = [Event(EV_KEY, CONTROL, 1), *press(2), *press(97), Event(EV_KEY, CONTROL, 0)]
    assert decoder.feed(held) == b""


def test_lost_events_spoil_one_code_and_the_next_works():
    decoder, framer = KeyDecoder(), Framer()
    dropped = [Event(EV_SYN, SYN_DROPPED, 0), *press(WHERE["7"][0])[:2], Event(EV_SYN, 0, 0)]
    events = [
        *typed("690"), Event(EV_KEY, SHIFT, 1), *dropped, *typed("31\r"), *typed("6901028075831\r"),
    ]  # fmt: skip
    raw = decoder.feed(events)
    assert LOST in raw
    assert framer.feed(raw) == [("SCAN_BINARY", ""), ("code", "6901028075831")]


@given(st.lists(st.builds(Event, st.integers(0, 5), st.integers(0, 767), st.integers(0, 2))))
def test_any_events_are_bytes(events):
    assert isinstance(KeyDecoder().feed(events), bytes)


def test_what_cannot_be_grabbed_says_why(tmp_path):
    cancel = Cancel()
    with pytest.raises(DeviceLost) as lost:
        open_scanner_port(f"evdev://{tmp_path}/event9", cancel)
    assert lost.value.code in {"EVDEV_MISSING", "DEVICE_MISSING"}
    assert lost.value.code in SENTENCES
    with pytest.raises(DeviceLost, match="DEVICE_MISSING"):
        open_scanner_port(f"{tmp_path}/tty", cancel)
    cancel.close()
