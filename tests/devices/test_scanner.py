"""The scanner on real ptys: framing, refusals, enable and hold, unplug and replug."""

import os
import queue
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import Data, DeviceState, Refused, Status
from devices.scanner import CODE_BYTES_MAX, Framer, Scanner
from devices.sim.vserial import VirtualScanner


@pytest.fixture
def gun():
    with VirtualScanner() as virtual:
        yield virtual


@pytest.fixture
def scanner(gun, events, eventually):
    device = Scanner("gun-1", gun.path, on_event=events.put)
    device.start()
    device.enable()
    eventually(lambda: device.state().state is DeviceState.UP)
    while not isinstance(events.get(timeout=30), Status):
        pass
    yield device
    device.stop()


def test_a_code_comes_whole(scanner, gun, events):
    for n in range(100):
        gun.scan(f"69010280{n:05d}")
        event = events.get(timeout=30)
        assert event.value == f"69010280{n:05d}"
        assert event.t_mono > 0


def test_a_burst_keeps_its_order_and_equal_codes_stay_two(scanner, gun, events):
    codes = ["6901028075831", "6901028075831", "x\x1dy", "end"] * 10
    gun.send(b"".join(code.encode() + b"\r\n" for code in codes))
    assert [events.get(timeout=30).value for _ in codes] == codes


@pytest.mark.parametrize(
    ("noise", "code"),
    [
        (b"9" * 4096 + b"\r", "SCAN_TOO_LONG"),
        (b"\xff\xfe\x80\r", "SCAN_BINARY"),
        (b"12\x0034\r", "SCAN_BINARY"),
        (b"  \r", "SCAN_EMPTY"),
        (b"no end", "SCAN_NO_END"),
    ],
)
def test_a_bad_scan_is_refused_and_the_next_works(scanner, gun, events, noise, code):
    for at in range(0, len(noise), 1000):
        gun.send(noise[at : at + 1000])
        time.sleep(0.02)
    event = events.get(timeout=30)
    assert isinstance(event, Refused)
    assert event.code == code
    gun.scan("6901028075831")
    assert events.get(timeout=30).value == "6901028075831"


def test_nobody_looks_nothing_is_taken(scanner, gun, events):
    scanner.disable()
    gun.scan("6901028075831")
    event = events.get(timeout=30)
    assert (type(event), event.code) == (Refused, "SCANNER_OFF")
    scanner.enable()
    gun.scan("next")
    assert events.get(timeout=30).value == "next"


def test_a_dialog_holds_scans_in_order(scanner, gun, events):
    scanner.disable(hold=True)
    for n in range(5):
        gun.scan(f"held {n}")
    time.sleep(0.1)
    assert events.empty()
    scanner.enable()
    assert [events.get(timeout=30).value for _ in range(5)] == [f"held {n}" for n in range(5)]


def test_held_scans_are_bounded(scanner, gun, events, monkeypatch):
    monkeypatch.setattr("devices.scanner.HELD_MAX", 3)
    scanner.disable(hold=True)
    for n in range(4):
        gun.scan(f"held {n}")
    assert events.get(timeout=30).code == "SCANNER_OVERRUN"


def test_auto_disable_gives_one_at_a_time(gun, events, eventually):
    device = Scanner("gun-1", gun.path, on_event=events.put, auto_disable=True)
    device.start()
    device.enable()
    eventually(lambda: device.state().state is DeviceState.UP)
    events.get(timeout=30)
    gun.scan("one")
    gun.scan("two")
    assert events.get(timeout=30).value == "one"
    time.sleep(0.1)
    assert events.empty()
    device.enable()
    assert events.get(timeout=30).value == "two"
    device.stop()


def _replug(gun, scanner, events, rounds):
    """Pull the cable in the middle of a code, again and again."""
    threads = files = 0
    for n in range(rounds):
        if n == 2:
            threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
        gun.scan(f"code {n}")
        assert events.get(timeout=30).value == f"code {n}"
        gun.send(b"half")
        gun.unplug()
        down = events.get(timeout=30)
        assert isinstance(down, Status)
        assert down.new.state is DeviceState.DOWN
        gun.plug()
        while scanner.state().state is not DeviceState.UP:
            event = events.get(timeout=30)
            assert isinstance(event, Status)
        while not events.empty():
            assert isinstance(events.get_nowait(), Status)
    assert threading.active_count() == threads
    assert abs(len(list(Path("/proc/self/fd").iterdir())) - files) <= 1


def test_replug_50_times(scanner, gun, events):
    _replug(gun, scanner, events, 50)


@pytest.mark.nightly
def test_replug_1000_times(scanner, gun, events):
    _replug(gun, scanner, events, 1000)


def test_lost_scanner_says_what_to_do(scanner, gun, events, eventually):
    gun.unplug()
    eventually(lambda: scanner.state().state is DeviceState.DOWN)
    first = events.get(timeout=30)
    assert first.new.code in {"SCANNER_LOST", "DEVICE_MISSING"}
    assert first.new.sentence("zh-CN")


def test_a_second_reader_is_refused(scanner, gun):
    other: queue.Queue[object] = queue.Queue()
    second = Scanner("gun-2", gun.path, on_event=other.put)
    second.start()
    status = other.get(timeout=30)
    assert status.new.code == "DEVICE_BUSY"
    second.stop()


@given(st.lists(st.from_regex(r"[ -~]{1,30}", fullmatch=True), max_size=10), st.randoms())
def test_framing_does_not_depend_on_the_split(codes, chance):
    codes = [code for code in codes if code.strip()]
    stream = "".join(code + "\r" for code in codes).encode()
    framer, found, at = Framer(), [], 0
    while at < len(stream):
        size = chance.randint(1, 9)
        found += framer.feed(stream[at : at + size])
        at += size
    assert found == [("code", code) for code in codes]


@given(st.binary(max_size=CODE_BYTES_MAX * 2))
def test_any_noise_and_the_next_code_works(noise):
    framer = Framer()
    framer.feed(noise)
    framer.feed(b"\r")
    assert framer.feed(b"6901028075831\r") == [("code", "6901028075831")]


def test_os_is_told_to_keep_others_out(scanner, gun):
    assert os.path.islink(gun.path)  # noqa: PTH114
    assert Data("a", "b", 0.0).device == "a"
