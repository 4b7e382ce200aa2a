"""A printer that is slow, shared, half deaf, on a serial line: right state and words, one paper."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Picture

from devices.device import DeviceState, Status
from devices.printer import Printer
from devices.receipt import Cut, Image, Text, profile, render
from devices.sim.vprinter import VirtualPrinter
from tests.devices.waiting import wait_for

WIDE = profile("80mm-48col")
EPSON = profile("80mm-48col-epson")
HELLO = render([Text("你好"), Cut()], WIDE)
LONG = 120  # seconds: only a test that fails waits for it


def _descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def _up(printer):
    return printer.state().state is DeviceState.UP


@pytest.fixture
def serial():
    made = VirtualPrinter(serial=True)
    made.start()
    yield made
    made.stop()
    assert made.faults == []


def test_a_serial_printer_prints_is_unplugged_and_comes_back(serial, events):
    printer = Printer("till-1", serial.url, profile=WIDE, on_event=events.put)
    printer.start()
    for _ in range(5):
        wait_for(lambda: _up(printer))
        assert printer.print(HELLO).result(LONG).kind == "confirmed"
        serial.unplug()
        wait_for(lambda: printer.state().state is DeviceState.DOWN)
        assert printer.state().code in {"DEVICE_LOST", "DEVICE_MISSING"}
        serial.plug()
    wait_for(lambda: _up(printer))
    printer.stop()
    assert serial.receipts() == ["你好"] * 5


def test_a_serial_printer_that_is_cut_off_leaves_its_job_unknown(serial, events):
    printer = Printer("till-1", serial.url, profile=WIDE, on_event=events.put)
    printer.start()
    wait_for(lambda: _up(printer))
    serial.set(lines_left=1)
    future = printer.print(render([*(Text(f"{n}") for n in range(9)), Cut()], WIDE))
    wait_for(lambda: serial.brain.knobs.paper == 0)
    serial.power_off()
    assert future.result(LONG).kind == "unknown"
    printer.stop()


@pytest.fixture
def slow():
    made = VirtualPrinter(buffer_bytes=8192)
    made.start()
    yield made
    made.stop()
    assert made.faults == []


def test_a_slow_printer_is_not_a_silent_one(slow, events, monkeypatch):
    """The questions stand behind a picture that takes longer than silence may last."""
    monkeypatch.setattr("devices.printer.ANSWER_S", 1.2)
    printer = Printer("till-1", slow.url, profile=WIDE, on_event=events.put)
    printer.start()
    wait_for(lambda: _up(printer))
    out = io.BytesIO()
    Picture.effect_noise((576, 1900), 90).save(out, format="PNG")
    slow.trouble(bytes_per_s=32_000)
    outcome = printer.print(render([Image(out.getvalue()), Cut()], WIDE)).result(LONG)
    assert outcome.kind == "confirmed"
    states = [e.new.state for e in list(events.queue) if isinstance(e, Status)]
    printer.stop()
    assert len(slow.receipts()) == 1
    assert states == [DeviceState.UP]


def test_a_fence_is_answered_only_when_the_paper_is_out(vprinter, till_printer):
    wait_for(lambda: _up(till_printer))
    vprinter.trouble(answer_s=600)
    future = till_printer.print(HELLO)
    wait_for(vprinter.receipts)
    assert not future.done()
    vprinter.trouble(answer_s=0.0)
    till_printer.stop()
    assert future.result(LONG).kind == "unknown"


def test_a_printer_without_the_long_fence_is_asked_the_short_one(vprinter, events, monkeypatch):
    monkeypatch.setattr("devices.printer.FENCE_S", 0.2)
    vprinter.set(long_fence=False)
    asked = []
    vprinter.tap = asked.append
    printer = Printer("till-1", vprinter.url, profile=EPSON, on_event=events.put)
    printer.start()
    wait_for(lambda: _up(printer))
    assert printer.print(HELLO).result(LONG).kind == "confirmed"
    assert b"\x1d(H" in b"".join(asked)
    asked.clear()
    assert printer.print(HELLO).result(LONG).kind == "confirmed"
    assert b"\x1d(H" not in b"".join(asked)
    printer.stop()
    assert vprinter.receipts() == ["你好", "你好"]


def test_a_late_answer_is_no_answer_to_the_next_question(listener, events, monkeypatch):
    """Its drawer bit (04) would read as an open cover, were it taken for the second answer."""
    monkeypatch.setattr("devices.printer.ANSWER_S", 0.3)
    url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
    printer = Printer("till-1", url, profile=WIDE, on_event=events.put)
    printer.start()
    peer, _ = listener.accept()
    with peer:
        peer.settimeout(LONG)
        heard = b""
        while heard.count(b"\x10\x04\x01") < 2:  # the first question was given up
            heard += peer.recv(100)
        peer.sendall(b"\x16\x16")  # both answers at last: drawer pin high, all well
        while not _up(printer):
            heard = peer.recv(100)
            for number in (2, 3, 4):
                peer.sendall(b"\x12" * heard.count(bytes([0x10, 0x04, number])))
        printer.stop()
    codes = {e.new.code for e in list(events.queue) if isinstance(e, Status)}
    assert "PRINTER_COVER_OPEN" not in codes


HOLDER = """
import sys, time
from devices.device import DeviceState
from devices.printer import Printer
from devices.receipt import profile
printer = Printer("till-1", sys.argv[1], profile=profile("80mm-48col"), on_event=lambda e: None)
printer.start()
while printer.state().state is not DeviceState.UP:
    time.sleep(0.01)
print("up", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["socket", "serial"])
def test_of_two_processes_the_second_is_refused_in_clear_words(kind, events):
    virtual = VirtualPrinter(serial=kind == "serial")
    virtual.start()
    second = Printer("till-2", virtual.url, profile=WIDE, on_event=events.put)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, virtual.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stdout.readline() == "up\n"
        second.start()
        wait_for(lambda: second.state().code == "DEVICE_BUSY")
        assert second.state().state is DeviceState.DOWN
        assert "held by another program on this machine" in second.state().sentence("en")
        assert "被本机其他程序占用" in second.state().sentence("zh-CN")
        first.kill()
    wait_for(lambda: _up(second))  # the claim went with its holder
    assert second.print(HELLO).result(LONG).kind == "confirmed"
    second.stop()
    virtual.stop()
    assert virtual.faults == []


def test_a_till_of_another_machine_is_told_apart_from_a_dead_printer(listener, events):
    """The printer takes the connection and drops it: its one place is taken."""
    url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
    printer = Printer("till-1", url, profile=WIDE, on_event=events.put)
    printer.start()
    listener.accept()[0].close()
    wait_for(lambda: printer.state().code == "DEVICE_TAKEN")
    assert "another till or computer holds it" in printer.state().sentence("en")
    printer.stop()


def test_a_thousand_losses_leave_no_thread_and_no_descriptor(vprinter, events):
    """The fixture counts both; fifty rounds are enough to see one that grows."""
    printer = Printer("till-1", vprinter.url, profile=WIDE, on_event=events.put)
    printer.start()
    wait_for(lambda: _up(printer))
    before = _descriptors()
    for _ in range(50):
        vprinter.unplug()
        wait_for(lambda: printer.state().state is DeviceState.DOWN)
        vprinter.plug()
        wait_for(lambda: _up(printer))
    wait_for(lambda: _descriptors() <= before)
    printer.stop()
