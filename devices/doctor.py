"""One verdict with a reason per device: what `tillmesh-edge doctor` says about hardware.

    for verdict in examine([DeviceSettings("till-1", "printer", "socket://192.168.1.50:9100")]):
        print(verdict.ok, verdict.sentence("zh-CN"))

Each device is opened with its real driver, asked how it is, and given back; nothing is printed
unless a test page is wanted, and no drawer opens. A device that the running node owns answers that
it is held.
"""

import time
from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from devices.device import Condition, DeviceState
from devices.display import Display
from devices.label import LabelPrinter
from devices.port import DeviceLost, OpenPort, open_port
from devices.printer import Printer
from devices.receipt import (
    QR,
    Barcode,
    Block,
    Cut,
    Feed,
    Profile,
    Row,
    Rule,
    Text,
    profile,
    render,
)
from devices.scale import Scale
from devices.scanner import Scanner
from protocol.errors import TillmeshError, sentence

PATIENCE_S: Final = 3.0
PRINT_S: Final = 30.0


class DeviceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One device of a shop's settings. `profile` is for printers, `protocol` for scales."""

    name: str
    kind: Literal["printer", "scanner", "scale", "display", "label"]
    url: str
    profile: str = "80mm-48col"
    protocol: Literal["mettler", "cas"] = "mettler"


class _Examined(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...

    def state(self) -> Condition: ...


class Verdict(msgspec.Struct, frozen=True):
    """How one device is; `ok` when a till can work with it now."""

    device: str
    kind: str
    url: str
    ok: bool
    code: str
    params: dict[str, Any]

    def sentence(self, language: str) -> str:
        """The reason for people."""
        return sentence(self.code, self.params, language)


def examine(
    settings: Sequence[DeviceSettings],
    *,
    patience_s: float = PATIENCE_S,
    test_page: bool = False,
    open_port: OpenPort = open_port,
) -> list[Verdict]:
    """Try all devices side by side; returns within about `patience_s` seconds.

    With `test_page` each printer that is ready prints one, and its verdict is what became of it.
    """
    drivers: list[_Examined | TillmeshError] = []
    for one in settings:
        try:
            drivers.append(_driver(one, open_port))
        except TillmeshError as error:
            drivers.append(error)
    for driver in drivers:
        if not isinstance(driver, TillmeshError):
            driver.start()
    deadline = time.monotonic() + patience_s
    verdicts = [
        _verdict(one, driver, deadline) for one, driver in zip(settings, drivers, strict=True)
    ]
    if test_page:
        verdicts = [
            _print(verdict, driver) if verdict.ok and isinstance(driver, Printer) else verdict
            for verdict, driver in zip(verdicts, drivers, strict=True)
        ]
    for driver in drivers:
        if not isinstance(driver, TillmeshError):
            driver.stop()
    return verdicts


def _print(verdict: Verdict, printer: Printer) -> Verdict:
    """What became of a test page; the driver itself bounds the wait."""
    data = render(sample_page(verdict.device, printer.profile), printer.profile)
    params: dict[str, Any] = {"device": verdict.device}
    try:
        outcome = printer.print(data).result(PRINT_S)
    except DeviceLost as lost:
        return msgspec.structs.replace(verdict, ok=False, code=lost.code, params=lost.params)
    except TimeoutError:
        return msgspec.structs.replace(verdict, ok=False, code="PRINT_UNCONFIRMED", params=params)
    if outcome.kind == "confirmed":
        return msgspec.structs.replace(verdict, code="DEVICE_PRINTED", params=params)
    if outcome.kind == "sent":
        return msgspec.structs.replace(verdict, code="DEVICE_MUTE", params=params)
    return msgspec.structs.replace(verdict, ok=False, code=outcome.code, params=outcome.params)


def sample_page(name: str, to: Profile) -> list[Block]:
    """A page on which an eye finds what is wrong: width, Chinese, sizes, codes, the cut."""
    ruler = "".join(str(n % 10) for n in range(1, to.columns + 1))
    return [
        Text("Tillmesh", align="center", bold=True, wide=True, tall=True),
        Text(f"测试页 Test page: {name}", align="center"),
        Rule("="),
        Text(ruler),
        Row("左 left", "右 right"),
        Row("合计 TOTAL", "¥1234.56", bold=True, wide=True, tall=True),
        Text("，。、；：？！“”（）《》—…￥℃①★", align="center"),
        Text("鿏 𠮷", align="center"),
        Barcode("TM-TEST-1"),
        QR("https://tillmesh.example/测试"),
        Feed(),
        Cut(),
    ]


def _ignore(event: object) -> None:
    """The doctor reads states, not events."""


def _driver(one: DeviceSettings, port: OpenPort) -> _Examined:
    if one.kind == "printer":
        found = profile(one.profile)
        return Printer(one.name, one.url, profile=found, on_event=_ignore, open_port=port)
    if one.kind == "scale":
        return Scale(one.name, one.url, protocol=one.protocol, on_event=_ignore, open_port=port)
    if one.kind == "scanner":
        return Scanner(one.name, one.url, on_event=_ignore)
    if one.kind == "display":
        return Display(one.name, one.url, on_event=_ignore, open_port=port)
    return LabelPrinter(one.name, one.url, on_event=_ignore, open_port=port)


def _verdict(one: DeviceSettings, driver: _Examined | TillmeshError, deadline: float) -> Verdict:
    if isinstance(driver, TillmeshError):
        return Verdict(one.name, one.kind, one.url, False, driver.code, driver.params)
    condition = driver.state()
    while _undecided(condition) and time.monotonic() < deadline:
        time.sleep(0.02)
        condition = driver.state()
    ok = condition.state in {DeviceState.UP, DeviceState.UNKNOWN} or (
        condition.code == "PRINTER_PAPER_LOW"
    )
    if condition.code == "PRINTER_SILENT":
        ok = False
    code = condition.code or ("DEVICE_OK" if condition.state is DeviceState.UP else "DEVICE_MUTE")
    params = {"device": one.name} | condition.params
    return Verdict(one.name, one.kind, one.url, ok, code, params)


def _undecided(condition: Condition) -> bool:
    """Down may still come up: a cable settles, another program lets go."""
    return condition.state is DeviceState.DOWN
