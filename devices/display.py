"""The pole display that faces the customer: two lines of twenty.

    display = Display("t1", "/dev/serial/by-id/usb-..", on_event=queue.put)
    display.start()
    display.show("面包", "¥5.00")       # never blocks; only the newest picture counts

Two dialects (`DisplayKind`): ESC/POS line displays and CD5220. Most have no Chinese in their ROM:
unless `gb` says otherwise a line is reduced to ASCII, and one that has none left stays blank, which
is better than garbage; amounts always show. Source of the sequences: devices.md section 4.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from devices import gbtext
from devices.device import UP, Condition, Device, Event, resolve
from devices.port import DeviceLost, OpenPort, Port, open_port

if TYPE_CHECKING:
    from concurrent.futures import Future

COLUMNS: Final = 20


class DisplayKind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a display is.

    `shared`: on a printer's pass-through (ESC = selects it); `gb`: its ROM has Chinese.
    """

    dialect: Literal["escpos", "cd5220"] = "escpos"
    shared: bool = False
    gb: bool = False


_CLEAR: Final = b"\x0c"  # in CD5220 also the only way out of its string mode
_INIT: Final = b"\x1b@"


def encode_lines(top: str, bottom: str, kind: DisplayKind) -> bytes:
    """The bytes that make a display show two lines; the bottom one stands at the right edge."""
    first = _fit(top, right=False, gb=kind.gb)
    second = _fit(bottom, right=True, gb=kind.gb)
    if kind.dialect == "cd5220":
        return _CLEAR + b"\x1bQA" + first + b"\r\x1bQB" + second + b"\r"
    return _CLEAR + first + second


def _fit(text: str, *, right: bool, gb: bool) -> bytes:
    text = gbtext.fold(text)
    if not gb:
        text = "".join(ch for ch in text if ch.isascii()).strip()
    return gbtext.encode(gbtext.pad(text, COLUMNS, right=right))


class _Driver:
    tick_s = 5.0

    def __init__(self, kind: DisplayKind) -> None:
        self._kind = kind
        self._gate = threading.Lock()
        self._lines = ("", "")

    def set(self, lines: tuple[str, str]) -> None:
        with self._gate:
            self._lines = lines

    def opened(self, owner: Device, port: Port) -> None:
        self._port = port
        port.write(self._selected(_INIT))
        self._draw()
        owner.become(UP)

    def _selected(self, data: bytes) -> bytes:
        """On a line shared with a printer: speak to the display, then back to the printer."""
        return b"\x1b=\x02" + data + b"\x1b=\x01" if self._kind.shared else data

    def _draw(self) -> None:
        with self._gate:
            top, bottom = self._lines
        self._port.write(self._selected(encode_lines(top, bottom, self._kind)))

    def received(self, data: bytes) -> None:
        pass  # displays do not answer

    def perform(self, command: object, future: "Future[Any]") -> None:  # noqa: ARG002
        self._draw()
        resolve(future, None)

    def tick(self) -> None:
        pass

    def closed(self, reason: DeviceLost) -> None:
        pass


class Display:
    """One pole display. After a replug it shows the last picture again."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        on_event: Callable[[Event], None],
        kind: DisplayKind | None = None,
        open_port: OpenPort = open_port,
    ) -> None:
        self.name = name
        self._driver = _Driver(kind or DisplayKind())
        self._device = Device(
            name, url, driver=self._driver, on_event=on_event, open_port=open_port
        )

    def start(self) -> None:
        """Own the line from now on; returns at once."""
        self._device.start()

    def stop(self) -> None:
        """Give the line back within a second."""
        self._device.stop()

    def show(self, top: str, bottom: str) -> None:
        """Show two lines; what a display that is down missed is shown when it comes back."""
        self._driver.set((top, bottom))
        self._device.submit("draw")

    def state(self) -> Condition:
        """UP or DOWN, with the reason."""
        return self._device.state()
