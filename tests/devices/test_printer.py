"""The printer driver against the strict virtual printer: status, fence, every kind of trouble."""

import contextlib

import pytest

import devices.printer as printer_module
from devices import lines, port
from devices.device import DeviceState
from devices.port import Cancel, DeviceLost, open_port
from devices.printer import Printer
from devices.printstatus import ReplyDecoder, decode_status
from devices.receipt import Cut, Kick, Text, profile, render
from tests.devices.waiting import wait_for

WIDE = profile("80mm-48col")
HELLO = render([Text("你好"), Cut()], WIDE)


def _is(printer, state, code=""):
    condition = printer.state()
    return condition.state is state and condition.code == code


@pytest.fixture
def ready(till_printer, eventually):
    eventually(lambda: _is(till_printer, DeviceState.UP))
    return till_printer


def test_confirmed_means_printed(ready, vprinter):
    outcome = ready.print(HELLO).result(timeout=60)
    assert outcome.kind == "confirmed"
    assert vprinter.receipts() == ["你好"]


def test_many_jobs_keep_their_order(ready, vprinter):
    futures = [ready.print(render([Text(f"n {n}"), Cut()], WIDE)) for n in range(20)]
    assert {f.result(timeout=60).kind for f in futures} == {"confirmed"}
    assert vprinter.receipts() == [f"n {n}" for n in range(20)]


def test_no_wait_of_the_driver_is_longer_than_five_seconds():
    """What it may wait for with nothing happening: a connection, room, an answer."""
    assert port.CONNECT_S < 5
    assert lines.SEND_S < 5
    assert printer_module.HEARTBEAT_S + printer_module.MISSES_MAX * printer_module.ANSWER_S < 3


@pytest.fixture
def quick(monkeypatch):
    """Ask for the status ten times as often."""
    monkeypatch.setattr("devices.printer.HEARTBEAT_S", 0.1)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("knob", "code"),
    [
        ({"paper": 0}, "PRINTER_PAPER_OUT"),
        ({"cover_open": True}, "PRINTER_COVER_OPEN"),
        ({"cutter_jam": True}, "PRINTER_FAULT"),
        ({"offline": True}, "PRINTER_OFFLINE"),
    ],
)
def test_trouble_is_told_and_nothing_is_sent(ready, vprinter, eventually, knob, code):
    vprinter.set(**knob)
    outcome = ready.print(HELLO).result(timeout=60)
    assert (outcome.kind, outcome.code) == ("not_sent", code)
    assert _is(ready, DeviceState.DEGRADED, code)
    assert ready.state().sentence("zh-CN") != ready.state().sentence("en")
    vprinter.set(paper=2, cover_open=False, cutter_jam=False, offline=False)
    eventually(lambda: _is(ready, DeviceState.UP))
    assert ready.print(HELLO).result(timeout=60).kind == "confirmed"
    assert vprinter.receipts() == ["你好"]


def test_paper_low_still_prints(ready, vprinter, eventually):
    vprinter.set(paper=1)
    assert ready.print(HELLO).result(timeout=60).kind == "confirmed"
    eventually(lambda: _is(ready, DeviceState.DEGRADED, "PRINTER_PAPER_LOW"))


def test_paper_out_in_the_middle_waits_for_paper(ready, vprinter, eventually):
    vprinter.set(lines_left=3)
    data = render([*(Text(f"line {n}") for n in range(6)), Cut()], WIDE)
    future = ready.print(data)
    eventually(lambda: _is(ready, DeviceState.DEGRADED, "PRINTER_PAPER_OUT"))
    assert not future.done()
    vprinter.set(paper=2)
    assert future.result(timeout=60).kind == "confirmed"
    assert vprinter.receipts() == ["\n".join(f"line {n}" for n in range(6))]


def test_the_drawer_opens_now_or_not_at_all(ready, vprinter):
    kick = render([Kick()], WIDE)
    assert ready.print(kick).result(timeout=60).kind == "confirmed"
    assert vprinter.kicks == 1
    vprinter.set(paper=0)
    assert ready.print(kick).result(timeout=60).kind == "not_sent"
    vprinter.set(paper=2)
    assert ready.print(HELLO).result(timeout=60).kind == "confirmed"
    assert vprinter.kicks == 1


def test_power_cut_in_the_middle_is_unknown(ready, vprinter, eventually):
    vprinter.die_at(len(HELLO) // 2 + 12)
    outcome = ready.print(HELLO).result(timeout=60)
    assert (outcome.kind, outcome.lost) == ("unknown", True)
    eventually(lambda: ready.state().state is DeviceState.DOWN)
    with pytest.raises(DeviceLost):
        ready.print(HELLO).result(timeout=60)
    vprinter.power_on()
    eventually(lambda: _is(ready, DeviceState.UP))
    assert ready.print(HELLO).result(timeout=60).kind == "confirmed"


def test_mute_printer_is_silent_not_plenty(vprinter, events, eventually):
    vprinter.trouble(mute=True)
    printer = Printer("till-1", vprinter.url, profile=WIDE, on_event=events.put)
    printer.start()
    eventually(lambda: _is(printer, DeviceState.UNKNOWN, "PRINTER_SILENT"))
    outcome = printer.print(HELLO).result(timeout=60)
    assert (outcome.kind, outcome.code) == ("not_sent", "PRINTER_SILENT")
    assert vprinter.receipts() == []
    vprinter.trouble(mute=False)
    eventually(lambda: _is(printer, DeviceState.UP))
    vprinter.trouble(mute=True)
    eventually(lambda: printer.state().code == "PRINTER_SILENT")
    printer.stop()


def test_going_silent_with_a_job_is_unknown(ready, vprinter):
    vprinter.trouble(stalled=True)
    outcome = ready.print(HELLO).result(timeout=60)
    assert outcome.kind in {"unknown", "not_sent"}
    vprinter.trouble(stalled=False)


def test_garbage_is_not_believed(ready, vprinter, eventually):
    vprinter.trouble(garbage=True)
    eventually(lambda: ready.state().state in {DeviceState.UNKNOWN, DeviceState.DOWN})
    with contextlib.suppress(DeviceLost):
        assert ready.print(HELLO).result(timeout=60).kind == "not_sent"
    assert vprinter.receipts() == []
    vprinter.trouble(garbage=False)
    eventually(lambda: _is(ready, DeviceState.UP))


def test_a_second_till_is_refused(ready, vprinter, events):
    second = Printer("till-2", vprinter.url, profile=WIDE, on_event=events.put)
    second.start()
    wait_for(lambda: second.state().code == "DEVICE_BUSY")
    assert second.state().state is DeviceState.DOWN
    assert ready.print(HELLO).result(timeout=60).kind == "confirmed"
    second.stop()


def test_fence_with_id_and_profile_without_fence(vprinter, events, eventually):
    for name, kind in (("80mm-48col-epson", "confirmed"), ("80mm-48col-mute", "sent")):
        eventually(lambda: not vprinter.connected)
        printer = Printer("p", vprinter.url, profile=profile(name), on_event=events.put)
        printer.start()
        eventually(lambda p=printer: p.state().state is not DeviceState.DOWN)
        assert printer.print(HELLO).result(timeout=60).kind == kind
        printer.stop()
    eventually(lambda: len(vprinter.receipts()) == 2)


def test_device_file(tmp_path, events, eventually):
    path = tmp_path / "lp0"
    path.write_bytes(b"")
    printer = Printer("p", f"file://{path}", profile=WIDE, on_event=events.put)
    printer.start()
    eventually(lambda: printer.state().state is DeviceState.UNKNOWN)
    assert printer.print(HELLO).result(timeout=60).kind == "sent"
    printer.stop()
    assert path.read_bytes().startswith(HELLO)


def test_stop_with_a_job_on_its_way(ready, vprinter):
    vprinter.set(lines_left=1)
    data = render([*(Text(f"line {n}") for n in range(6)), Cut()], WIDE)
    future = ready.print(data)
    wait_for(lambda: vprinter.brain.knobs.paper == 0)
    ready.stop()
    assert future.result(timeout=60).kind == "unknown"


def test_replies_are_told_apart_however_they_come():
    data = b"\x12\x00\x37\x22abcd\x00\x1e\x03\xff"
    whole = ReplyDecoder().feed(data)
    split = ReplyDecoder()
    assert [r for byte in data for r in split.feed(bytes([byte]))] == whole
    assert [r.kind for r in whole] == ["status", "sensor", "fence", "status", "sensor", "garbage"]
    assert whole[2].fence == b"abcd"


def test_status_bits():
    idle = decode_status(dict.fromkeys((1, 2, 3, 4), 0x12))
    assert (idle.offline, idle.cover_open, idle.fault, idle.paper) == (False, False, False, "ok")
    assert decode_status({}).paper is None
    assert decode_status({4: 0x7E}).paper == "out"
    assert decode_status({2: 0x32}).paper == "out"
    assert decode_status({2: 0x16}).cover_open
    assert decode_status({3: 0x1A}).fault


def test_nobody_else_gets_in_while_a_port_is_open(vprinter):
    cancel = Cancel()
    opened = open_port(vprinter.url, cancel)
    opened.write(b"\x10\x04\x01")
    assert opened.read(60) == b"\x12"
    opened.close()
    cancel.close()
