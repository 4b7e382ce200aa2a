"""One verdict with a reason per device; and every device fault has its words."""

import re
import socket
from pathlib import Path

from devices.doctor import DeviceSettings, examine
from devices.sim.vdisplay import VirtualDisplay
from devices.sim.vprinter import VirtualPrinter
from devices.sim.vscale import VirtualScale
from devices.sim.vserial import VirtualScanner
from protocol.errors import SENTENCES

CODE = re.compile(
    r'"((?:DEVICE|PRINTER|PRINT|SCANNER|SCAN|DRAWER|SCALE|LABEL)_[A-Z_0-9]+)"',
)
HERE = Path(__file__).parents[2] / "devices"


def test_verdicts(vprinter, tmp_path):
    vprinter.set(paper=0)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()[1]
    plain = tmp_path / "lp0"
    plain.write_bytes(b"")
    with VirtualScanner() as gun, VirtualScale() as pan, VirtualDisplay() as pole:
        pan.start()
        verdicts = examine(
            [
                DeviceSettings("t1", "printer", vprinter.url),
                DeviceSettings("t2", "printer", f"socket://127.0.0.1:{dead}"),
                DeviceSettings("t3", "printer", f"file://{plain}"),
                DeviceSettings("t4", "printer", vprinter.url, profile="none"),
                DeviceSettings("g1", "scanner", gun.path),
                DeviceSettings("g2", "scanner", f"{tmp_path}/none"),
                DeviceSettings("w1", "scale", pan.path),
                DeviceSettings("d1", "display", pole.path),
                DeviceSettings("l1", "label", f"socket://127.0.0.1:{dead}"),
            ],
            patience_s=5.0,
        )
    found = {v.device: (v.ok, v.code) for v in verdicts}
    assert found == {
        "t1": (False, "PRINTER_PAPER_OUT"),
        "t2": (False, "DEVICE_REFUSED"),
        "t3": (True, "DEVICE_MUTE"),
        "t4": (False, "PROFILE_UNKNOWN"),
        "g1": (True, "DEVICE_OK"),
        "g2": (False, "DEVICE_MISSING"),
        "w1": (True, "DEVICE_OK"),
        "d1": (True, "DEVICE_OK"),
        "l1": (False, "DEVICE_REFUSED"),
    }
    for verdict in verdicts:
        assert verdict.device in verdict.sentence("en") or verdict.code == "PROFILE_UNKNOWN"
        assert verdict.sentence("zh-CN") != verdict.sentence("en")
    assert vprinter.receipts() == []
    assert vprinter.kicks == 0


def test_a_test_page_on_each_printer_that_is_ready(vprinter):
    narrow = VirtualPrinter(columns=32, dots=384)
    narrow.start()
    narrow.set(cover_open=True)
    verdicts = examine(
        [
            DeviceSettings("t1", "printer", vprinter.url),
            DeviceSettings("t2", "printer", narrow.url, profile="58mm-32col"),
        ],
        test_page=True,
    )
    assert [(v.ok, v.code) for v in verdicts] == [
        (True, "DEVICE_PRINTED"),
        (False, "PRINTER_COVER_OPEN"),
    ]
    assert "测试页 Test page: t1" in vprinter.receipts()[0]
    assert "￥1234.56" in vprinter.receipts()[0]
    assert vprinter.kicks == 0
    assert narrow.receipts() == []
    narrow.set(cover_open=False)
    (verdict,) = examine(
        [DeviceSettings("t2", "printer", narrow.url, profile="58mm-32col-mute")], test_page=True
    )
    assert (verdict.ok, verdict.code) == (True, "DEVICE_MUTE")
    narrow.stop()
    assert narrow.faults == []


def test_every_fault_says_what_happened_what_works_and_what_to_do():
    for code, pair in SENTENCES.items():
        if not code.startswith(("DEVICE_", "PRINTER_", "PRINT_", "DRAWER_", "LOGO_")):
            continue
        english, chinese = pair
        assert english.count(".") >= 2 or code in {"DEVICE_OK", "DEVICE_PRINTED"}, code
        assert len(chinese) >= 12, code
        assert set(re.findall(r"{(\w+)}", english)) == set(re.findall(r"{(\w+)}", chinese)), code
    for code in ("DEVICE_LOST", "DEVICE_TAKEN", "PRINTER_PAPER_OUT", "PRINTER_GARBLED"):
        assert "Selling goes on" in SENTENCES[code][0]
        assert "收银不受影响" in SENTENCES[code][1]


def test_every_code_in_the_floor_has_its_sentences():
    used = set()
    for path in HERE.glob("*.py"):
        if path.name != "faults.py":
            text = path.read_text(encoding="utf-8")
            used |= set(CODE.findall(text))
    assert used
    assert used <= SENTENCES.keys()
