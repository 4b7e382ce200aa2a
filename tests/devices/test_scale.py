"""Scales on real ptys: only what may be sold by, once per item."""

import queue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import DeviceState
from devices.scale import ItemGate, Scale, ScaleReading, Weighed, code_hash, read_cas, read_mettler
from devices.sim.vscale import VirtualScale


@pytest.fixture(params=["mettler", "cas"])
def pan(request):
    with VirtualScale(protocol=request.param) as virtual:
        virtual.start()
        yield virtual
    assert virtual.faults == []


@pytest.fixture
def scale(pan, events, eventually, monkeypatch):
    monkeypatch.setattr("devices.scale.POLL_S", 0.02)
    device = Scale("s1", pan.path, protocol=pan._protocol, on_event=events.put)
    device._driver.tick_s = 0.02
    device.start()
    device.enable()
    eventually(lambda: device.live() == ScaleReading("stable", 0))
    yield device
    device.stop()


def _weight(events, within_s=2.0):
    while True:
        event = events.get(timeout=within_s)
        if isinstance(event, Weighed):
            return event.grams


def _no_weight(events):
    with pytest.raises(queue.Empty):
        _weight(events, 0.25)


def test_an_item_counts_once_and_after_an_empty_pan_again(scale, pan, events, eventually):
    pan.put(536)
    assert _weight(events) == 536
    _no_weight(events)
    pan.put(800)  # more on top: the pan was not empty
    _no_weight(events)
    pan.put(0)
    eventually(lambda: scale.live() == ScaleReading("stable", 0))
    _no_weight(events)
    pan.put(250)
    assert _weight(events) == 250


def test_what_is_no_weight(scale, pan, events, eventually):
    pan.put(300, moving=True)
    eventually(lambda: scale.live().kind == "unstable")
    pan.put(-20)
    eventually(lambda: scale.live().kind == "negative")
    pan.put(16_000)
    eventually(lambda: scale.state().code == "SCALE_OVERLOAD")
    pan.put(300)
    pan.broken = True
    eventually(lambda: scale.state().code == "SCALE_GARBLED")
    _no_weight(events)
    pan.broken = False
    assert _weight(events) == 300
    assert scale.state().state is DeviceState.UP


def test_split_frames_and_disabled(scale, pan, events, eventually):
    pan.split = True
    pan.put(1234)
    assert _weight(events) == 1234
    pan.put(0)
    eventually(lambda: scale.live() == ScaleReading("stable", 0))
    scale.disable()
    pan.put(99)
    eventually(lambda: scale.live() == ScaleReading("stable", 99))
    _no_weight(events)


def test_unplug_and_silence(scale, pan, events, eventually, monkeypatch):
    monkeypatch.setattr("devices.scale.SILENCE_S", 0.3)
    for n in range(5):
        pan.unplug()
        eventually(lambda: scale.state().state is DeviceState.DOWN)
        pan.put(0)
        pan.plug()
        eventually(lambda: scale.live() == ScaleReading("stable", 0))
        eventually(lambda: scale._driver._gate._empty_since)
        pan.put(100 + n)
        assert _weight(events) == 100 + n
        pan.put(0)
    pan.mute = True
    eventually(lambda: scale.state().code == "SCALE_SILENT")
    assert "s1" in scale.state().sentence("zh-CN")
    pan.mute = False
    eventually(lambda: scale.state().state is DeviceState.UP)


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
    assert read_cas(good) == ScaleReading("stable", 536)
    for at in range(len(good)):
        damaged = good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :]
        assert read_cas(damaged).kind == "broken"
        assert read_cas(good[:at]).kind == "broken"


@given(st.binary(max_size=30))
def test_noise_is_never_a_weight_by_chance_of_a_crash(noise):
    assert read_mettler(noise).kind in {"stable", "unstable", "negative", "overload", "broken"}
    assert read_cas(noise).kind in {"stable", "unstable", "negative", "overload", "broken"}


READINGS = st.builds(
    ScaleReading,
    st.sampled_from(["stable", "unstable", "negative", "overload", "broken"]),
    st.sampled_from([0, 100, 200]),
)


@given(st.lists(READINGS, max_size=60))
def test_between_two_items_the_pan_was_empty(readings):
    gate = ItemGate()
    emptied = False
    for reading in readings:
        if reading == ScaleReading("stable", 0):
            emptied = True
        if gate.take(reading) is not None:
            assert emptied
            assert reading.kind == "stable"
            assert reading.grams > 0
            emptied = False


def test_the_published_hash_is_of_the_file():
    assert len(code_hash()) == 64
