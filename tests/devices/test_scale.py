"""Scales on real ptys: only what may be sold by, once per item, whatever happens to the cable."""

import itertools
import queue
import threading
from pathlib import Path

import pytest

from devices.device import DeviceState, Status
from devices.port import DeviceLost
from devices.scale import Live, Scale
from devices.sim.vscale import VirtualScale
from devices.weighing import ScaleReading
from protocol.errors import Refusal

PATIENCE_S = 30.0
EMPTY = ScaleReading("stable", 0)


@pytest.fixture(params=["mettler", "cas"])
def pan(request):
    with VirtualScale(protocol=request.param) as virtual:
        virtual.start()
        yield virtual
    assert virtual.faults == []


@pytest.fixture
def lives():
    return queue.Queue()


@pytest.fixture
def scale(pan, events, lives, eventually, monkeypatch):
    monkeypatch.setattr("devices.scale.POLL_S", 0.02)
    device = Scale("s1", pan.path, protocol=pan._protocol, on_event=events.put, on_live=lives.put)
    device._driver.tick_s = 0.02
    device.start()
    eventually(lambda: device.live().reading == EMPTY, within_s=PATIENCE_S)
    yield device
    device.stop()


def _sell(scale, eventually):
    """Take what lies on the pan, as the till does."""
    eventually(lambda: scale.live().item, within_s=PATIENCE_S)
    offer = scale.offer().result(timeout=PATIENCE_S)
    scale.sold(offer)
    return offer.grams


def _why(scale):
    with pytest.raises((Refusal, DeviceLost)) as refused:
        scale.offer().result(timeout=PATIENCE_S)
    return refused.value.code


def test_an_item_is_sold_once_and_after_an_empty_pan_another(scale, pan, eventually):
    assert _why(scale) == "WEIGHT_NOTHING"
    pan.put(536)
    assert _sell(scale, eventually) == 536
    eventually(lambda: scale.live().why_not == "WEIGHT_NOT_ZEROED", within_s=PATIENCE_S)
    pan.put(800)  # more on top: the pan was not empty
    eventually(lambda: scale.live().reading.grams == 800, within_s=PATIENCE_S)
    assert _why(scale) == "WEIGHT_NOT_ZEROED"
    pan.put(0)
    eventually(lambda: scale.live().reading == EMPTY, within_s=PATIENCE_S)
    pan.put(250)
    assert _sell(scale, eventually) == 250


def test_goods_that_lie_there_before_they_are_named_count(scale, pan, eventually):
    pan.put(420)
    eventually(lambda: scale.live().item == 420, within_s=PATIENCE_S)
    assert [scale.offer().result(timeout=PATIENCE_S).grams for _ in range(3)] == [420] * 3
    assert _sell(scale, eventually) == 420


@pytest.mark.parametrize(
    ("grams", "moving", "code"),
    [
        (300, True, "WEIGHT_MOVES"),
        (-20, False, "WEIGHT_NEGATIVE"),
        (16_000, False, "WEIGHT_OVERLOAD"),
    ],
)
def test_what_is_no_weight_is_refused_with_its_reason(scale, pan, eventually, grams, moving, code):
    pan.put(grams, moving=moving)
    eventually(lambda: scale.live().why_not == code, within_s=PATIENCE_S)
    assert _why(scale) == code
    pan.put(300)
    assert _sell(scale, eventually) == 300
    assert scale.state().state is DeviceState.UP


def test_wrong_checksums_and_noise_degrade_it_and_it_comes_back(scale, pan, eventually):
    pan.put(300)
    pan.broken = True
    eventually(lambda: scale.state().code == "SCALE_GARBLED", within_s=PATIENCE_S)
    assert _why(scale) == "WEIGHT_GARBLED"
    pan.broken = False
    assert _sell(scale, eventually) == 300


def test_split_frames(scale, pan, eventually):
    pan.split = True
    pan.put(1234)
    assert _sell(scale, eventually) == 1234


def test_the_screen_hears_of_changes_only(scale, pan, lives, eventually):
    pan.put(777)
    eventually(lambda: scale.live().item == 777, within_s=PATIENCE_S)
    heard = []
    while not lives.empty():
        heard.append(lives.get_nowait())
    assert heard[-1] == Live(ScaleReading("stable", 777), 777, "")
    assert all(a != b for a, b in itertools.pairwise(heard))


def test_silence_is_told_and_ends(scale, pan, eventually, monkeypatch):
    monkeypatch.setattr("devices.scale.SILENCE_S", 0.3)
    pan.mute = True
    eventually(lambda: scale.state().code == "SCALE_SILENT", within_s=PATIENCE_S)
    assert _why(scale) == "SCALE_SILENT"
    assert "s1" in scale.state().sentence("zh-CN")
    pan.mute = False
    eventually(lambda: scale.state().state is DeviceState.UP, within_s=PATIENCE_S)


def _replug(pan, scale, events, eventually, rounds):
    """Pull the cable with goods on the pan, again and again: each is sold once, at its weight."""
    threads = files = 0
    for n in range(rounds):
        if n == 2:
            threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
        pan.put(100 + n)
        assert _sell(scale, eventually) == 100 + n
        pan.put(5000 + n)
        pan.unplug()
        eventually(lambda: scale.state().state is DeviceState.DOWN, within_s=PATIENCE_S)
        assert _why(scale) in {"DEVICE_LOST", "DEVICE_MISSING"}
        pan.put(0)
        pan.plug()
        eventually(lambda: scale.live().reading == EMPTY, within_s=PATIENCE_S)
        while not events.empty():
            assert isinstance(events.get_nowait(), Status)
    assert threading.active_count() == threads
    assert abs(len(list(Path("/proc/self/fd").iterdir())) - files) <= 1


def test_replug_50_times(scale, pan, events, eventually):
    _replug(pan, scale, events, eventually, 50)


@pytest.mark.nightly
def test_replug_1000_times(scale, pan, events, eventually):
    _replug(pan, scale, events, eventually, 1000)
