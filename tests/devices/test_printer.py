"""The printer driver against the strict virtual printer: status, fence, every kind of trouble."""

import contextlib
import time

import pytest

from devices.device import DeviceState
from devices.port import Cancel, DeviceLost, open_port
from devices.printer import Printer
from devices.printstatus import ReplyDecoder, decode_status
from devices.receipt import Cut, Kick, Text, profile, render

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
    outcome = ready.print(HELLO).result(timeout=3)
    assert outcome.kind == "confirmed"
    assert vprinter.receipts() == ["你好"]


def test_many_jobs_keep_their_order(ready, vprinter):
    futures = [ready.print(render([Text(f"n {n}"), Cut()], WIDE)) for n in range(20)]
    assert {f.result(timeout=5).kind for f in futures} == {"confirmed"}
    assert vprinter.receipts() == [f"n {n}" for n in range(20)]


def test_first_byte_is_quick_and_a_job_too(ready):
    ready.print(HELLO).result(timeout=3)
    spent = []
    for _ in range(20):
        started = time.perf_counter()
        ready.print(HELLO).result(timeout=3)
        spent.append(time.perf_counter() - started)
    assert sorted(spent)[10] < 0.1  # 10 ms is the goal on an idle machine; here it shares two cores


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
    outcome = ready.print(HELLO).result(timeout=3)
    assert (outcome.kind, outcome.code) == ("not_sent", code)
    assert _is(ready, DeviceState.DEGRADED, code)
    assert ready.state().sentence("zh-CN") != ready.state().sentence("en")
    vprinter.set(paper=2, cover_open=False, cutter_jam=False, offline=False)
    eventually(lambda: _is(ready, DeviceState.UP))
    assert ready.print(HELLO).result(timeout=3).kind == "confirmed"
    assert vprinter.receipts() == ["你好"]


def test_paper_low_still_prints(ready, vprinter, eventually):
    vprinter.set(paper=1)
    assert ready.print(HELLO).result(timeout=30).kind == "confirmed"
    eventually(lambda: _is(ready, DeviceState.DEGRADED, "PRINTER_PAPER_LOW"))


def test_paper_out_in_the_middle_waits_for_paper(ready, vprinter, eventually):
    vprinter.set(lines_left=3)
    data = render([*(Text(f"line {n}") for n in range(6)), Cut()], WIDE)
    future = ready.print(data)
    eventually(lambda: _is(ready, DeviceState.DEGRADED, "PRINTER_PAPER_OUT"))
    assert not future.done()
    vprinter.set(paper=2)
    assert future.result(timeout=3).kind == "confirmed"
    assert vprinter.receipts() == ["\n".join(f"line {n}" for n in range(6))]


def test_the_drawer_opens_now_or_not_at_all(ready, vprinter):
    kick = render([Kick()], WIDE)
    assert ready.print(kick).result(timeout=3).kind == "confirmed"
    assert vprinter.kicks == 1
    vprinter.set(paper=0)
    assert ready.print(kick).result(timeout=3).kind == "not_sent"
    vprinter.set(paper=2)
    assert ready.print(HELLO).result(timeout=3).kind == "confirmed"
    assert vprinter.kicks == 1


def test_power_cut_in_the_middle_is_unknown(ready, vprinter, eventually):
    vprinter.die_at(len(HELLO) // 2 + 12)
    outcome = ready.print(HELLO).result(timeout=3)
    assert (outcome.kind, outcome.lost) == ("unknown", True)
    eventually(lambda: ready.state().state is DeviceState.DOWN)
    with pytest.raises(DeviceLost):
        ready.print(HELLO).result(timeout=1)
    vprinter.power_on()
    eventually(lambda: _is(ready, DeviceState.UP))
    assert ready.print(HELLO).result(timeout=3).kind == "confirmed"


def test_mute_printer_is_silent_not_plenty(vprinter, events, eventually):
    vprinter.trouble(mute=True)
    printer = Printer("till-1", vprinter.url, profile=WIDE, on_event=events.put)
    printer.start()
    eventually(lambda: _is(printer, DeviceState.UNKNOWN, "PRINTER_SILENT"))
    outcome = printer.print(HELLO).result(timeout=4)
    assert (outcome.kind, outcome.code) == ("not_sent", "PRINTER_SILENT")
    assert vprinter.receipts() == []
    vprinter.trouble(mute=False)
    eventually(lambda: _is(printer, DeviceState.UP))
    vprinter.trouble(mute=True)
    eventually(lambda: printer.state().code == "PRINTER_SILENT", within_s=8)
    printer.stop()


def test_going_silent_with_a_job_is_unknown_within_five_seconds(ready, vprinter):
    started = time.monotonic()
    vprinter.trouble(stalled=True)
    outcome = ready.print(HELLO).result(timeout=8)
    assert time.monotonic() - started < 5
    assert outcome.kind in {"unknown", "not_sent"}
    vprinter.trouble(stalled=False)


def test_garbage_is_not_believed(ready, vprinter, eventually):
    vprinter.trouble(garbage=True)
    eventually(lambda: ready.state().state in {DeviceState.UNKNOWN, DeviceState.DOWN})
    with contextlib.suppress(DeviceLost):
        assert ready.print(HELLO).result(timeout=4).kind == "not_sent"
    assert vprinter.receipts() == []
    vprinter.trouble(garbage=False)
    eventually(lambda: _is(ready, DeviceState.UP))


def test_a_second_till_is_refused(ready, vprinter, events):
    second = Printer("till-2", vprinter.url, profile=WIDE, on_event=events.put)
    second.start()
    time.sleep(0.4)
    assert second.state().state is DeviceState.DOWN
    assert ready.print(HELLO).result(timeout=3).kind == "confirmed"
    second.stop()


def test_fence_with_id_and_profile_without_fence(vprinter, events, eventually):
    for name, kind in (("80mm-48col-epson", "confirmed"), ("80mm-48col-mute", "sent")):
        eventually(lambda: not vprinter.connected)
        printer = Printer("p", vprinter.url, profile=profile(name), on_event=events.put)
        printer.start()
        eventually(lambda p=printer: p.state().state is not DeviceState.DOWN)
        assert printer.print(HELLO).result(timeout=3).kind == kind
        printer.stop()
    eventually(lambda: len(vprinter.receipts()) == 2)


def test_device_file(tmp_path, events, eventually):
    path = tmp_path / "lp0"
    path.write_bytes(b"")
    printer = Printer("p", f"file://{path}", profile=WIDE, on_event=events.put)
    printer.start()
    eventually(lambda: printer.state().state is DeviceState.UNKNOWN)
    assert printer.print(HELLO).result(timeout=3).kind == "sent"
    printer.stop()
    assert path.read_bytes().startswith(HELLO)


def test_stop_with_a_job_on_its_way(ready, vprinter):
    vprinter.set(lines_left=1)
    data = render([*(Text(f"line {n}") for n in range(6)), Cut()], WIDE)
    future = ready.print(data)
    time.sleep(0.2)
    started = time.monotonic()
    ready.stop()
    assert time.monotonic() - started < 1
    assert future.result(timeout=0).kind == "unknown"


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
    port = open_port(vprinter.url, cancel)
    port.write(b"\x10\x04\x01")
    assert port.read(2) == b"\x12"
    port.close()
    cancel.close()
