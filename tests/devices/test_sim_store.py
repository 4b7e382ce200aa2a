"""The virtual shop as a whole, and its page in a real browser."""

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import pytest

from devices.device import DeviceState
from devices.display import Display
from devices.label import LabelPrinter, LabelSize, ShelfLabel, draw_label, to_tspl
from devices.payhttp import HttpProvider
from devices.payment import PayRequest
from devices.printer import Printer
from devices.receipt import Cut, Kick, Text, profile, render
from devices.scale import Scale
from devices.scanner import Scanner
from devices.sim.store import Kit, VirtualShop

WIDE = profile("80mm-48col")


@pytest.fixture
def shop():
    with VirtualShop(["t1", "t2"], name="面包店", goods=[("牛角包", "6901028075831")]) as virtual:
        yield virtual
    assert virtual.faults() == {}


@pytest.fixture
def printer(shop, events, eventually, monkeypatch):
    monkeypatch.setattr("devices.printer.HEARTBEAT_S", 0.1)
    device = Printer("p1", shop.printer_url("t1"), profile=WIDE, on_event=events.put)
    device.start()
    eventually(lambda: device.state().state is DeviceState.UP)
    yield device
    device.stop()


def _get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def _post(url, headers=None, **fields):
    data = urllib.parse.urlencode(fields).encode()
    request = urllib.request.Request(url, data=data, headers=headers or {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status


def test_real_drivers_on_virtual_devices(shop, printer, events, eventually):
    scanner = Scanner("s1", shop.scanner_url("t1"), on_event=events.put)
    scanner.start()
    scanner.enable()
    eventually(lambda: scanner.state().state is DeviceState.UP)
    while not events.empty():
        events.get_nowait()
    _post(shop.page_url + "till/t1/scan", code="6901028075831")
    assert events.get(timeout=60).value == "6901028075831"
    printer.print(render([Text("你好"), Cut(), Kick()], WIDE)).result(timeout=60)
    assert shop.receipts("t1") == ["你好"]
    assert shop.receipts("t2") == []
    state = json.loads(_get(shop.page_url + "state.json"))
    assert state["tills"][0]["drawer"] == 1
    assert state["tills"][0]["papers"][0]["text"] == "你好"
    assert _get(shop.page_url + "paper/t1/0.png").startswith(b"\x89PNG")
    scanner.stop()


def test_buttons_do_what_hands_do(shop, printer, eventually):
    for action, code in (
        ("paper-out", "PRINTER_PAPER_OUT"),
        ("paper-in", ""),
        ("cover-open", "PRINTER_COVER_OPEN"),
        ("cover-close", ""),
        ("paper-low", "PRINTER_PAPER_LOW"),
        ("paper-in", ""),
        ("jam", "PRINTER_FAULT"),
        ("jam-clear", ""),
        ("mute", "PRINTER_SILENT"),
        ("speak", ""),
    ):
        _post(f"{shop.page_url}till/t1/{action}")
        eventually(lambda expected=code: printer.state().code == expected)
    _post(shop.page_url + "till/t1/cable-out")
    eventually(lambda: printer.state().state is DeviceState.DOWN)
    _post(shop.page_url + "till/t1/cable-in")
    eventually(lambda: printer.state().state is DeviceState.UP)
    _post(shop.page_url + "till/t1/power-off")
    eventually(lambda: printer.state().state is DeviceState.DOWN)
    _post(shop.page_url + "till/t1/power-on")
    eventually(lambda: printer.state().state is DeviceState.UP)
    _post(shop.page_url + "till/t2/unplug")
    assert not shop.scan("t2", "1")
    _post(shop.page_url + "till/t2/plug")
    assert shop.tills["t2"].scanner.plugged


@pytest.mark.parametrize("path", ["till/t9/plug", "till/t1/explode"])
def test_unknown_buttons_are_refused(shop, path):
    with pytest.raises(urllib.error.HTTPError) as caught:
        _post(shop.page_url + path)
    assert caught.value.code == 404
    caught.value.close()


def test_other_sites_cannot_press_buttons(shop):
    with pytest.raises(urllib.error.HTTPError) as caught:
        _post(shop.page_url + "till/t1/power-off", headers={"Origin": "http://evil.example"})
    assert caught.value.code == 403
    caught.value.close()
    assert shop.tills["t1"].printer.powered


def test_a_full_shop_weighs_shows_labels_and_collects(events, eventually):
    with VirtualShop(["t1"], kit=Kit(full=True)) as shop:
        scale = Scale("w", shop.scale_url("t1"), protocol="mettler", on_event=events.put)
        display = Display("d", shop.display_url("t1"), on_event=events.put)
        labels = LabelPrinter("l", shop.labels.url, on_event=events.put)
        for device in (scale, display, labels):
            device.start()
        eventually(lambda: scale.live().reading.kind == "stable")
        eventually(lambda: labels.state().state is DeviceState.UP)
        _post(shop.page_url + "till/t1/weigh", code="536")
        eventually(lambda: scale.live().item == 536)
        display.show("Bun", "5.00")
        eventually(lambda: shop.tills["t1"].display.screen.lines()[0].strip() == "Bun")
        size = LabelSize(40, 30)
        picture = draw_label(ShelfLabel(name="面包", price_minor=500), size)
        labels.send(to_tspl(picture, size)).result(timeout=60)
        eventually(lambda: len(shop.labels.labels) == 1)
        assert _get(shop.page_url + "label/0.png").startswith(b"\x89PNG")
        _post(shop.page_url + "payments/scan-pay", behaviour="refused")
        request = PayRequest(attempt_id="a", amount_minor=500, pay_code="281234567890123456")
        assert HttpProvider(shop.provider.url).pay(request).kind == "refused"
        for device in (scale, display, labels):
            device.stop()
        assert shop.faults() == {}


def test_stable_scanner_paths_in_a_folder(tmp_path):
    with VirtualShop(["t1"], folder=str(tmp_path / "shop")) as shop:
        assert shop.scanner_url("t1") == str(tmp_path / "shop" / "scanner-t1")


def test_command_line():
    process = subprocess.Popen(
        [sys.executable, "-m", "devices.sim", "--port", "0", "--tills", "a,b", "--shop", "X"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        page = process.stdout.readline().split()[1]
        assert process.stdout.readline().startswith("a ")
        assert "X" in _get(page).decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_command_line_with_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "devices.sim", "--port", port],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert "Choose another" in done.stderr
