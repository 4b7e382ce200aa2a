"""A keyboard-wedge scanner grabbed on this machine: its keys come here, and nowhere else.

    scanner = "evdev:///dev/input/by-id/usb-Honeywell_1450g-event-kbd"      (a shop's settings)

Second choice after a serial line: no page needs the focus and no input method gets in between, but
the keys must be turned back into the code that was printed. That is done with a US key map, which
is what scanners type unless somebody changed it. The port gives bytes, Enter as CR, so that the
scanner's own framing, refusals and re-plugging hold for it too.

Needs the package `evdev` (extra `evdev`) and the right to read the device (group `input`).
"""

import contextlib
import importlib
from collections.abc import Iterable
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from devices.port import Cancel, DeviceLost, Port, open_port, wait
from protocol.errors import define

define(
    {
        "EVDEV_MISSING": (
            "{device} needs the package evdev, which is not installed. Selling goes on: type codes "
            "or use a serial scanner. Install tillmesh[evdev].",
            "设备 {device} 需要 evdev 软件包，尚未安装。收银不受影响，可手工输入或用串口扫码枪。"
            "请安装 tillmesh[evdev]。",
        ),
    }
)

SCHEME: Final = "evdev"
EV_SYN: Final = 0x00
EV_KEY: Final = 0x01
SYN_DROPPED: Final = 3
UP: Final = 0  # values of a key event; 1 is down, 2 is held down
_SHIFTS: Final = frozenset({42, 54})
_CAPS: Final = 58
_CONTROLS: Final = frozenset({29, 97})
_ENTERS: Final = frozenset({28, 96})  # of the keys and of the number pad
LOST: Final = b"\x00"  # no code has it: the scanner refuses what a lost key left behind
_ROWS: Final = (  # first key code of a row, plain, with Shift
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (16, "qwertyuiop[]", "QWERTYUIOP{}"),
    (30, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (57, " ", " "),
    (71, "789-456+1230.", "789-456+1230."),
)
_SINGLES: Final = {55: ("*", "*"), 98: ("/", "/"), 15: ("\t", "\t")}
KEYS: Final[dict[int, tuple[str, str]]] = _SINGLES | {
    first + at: pair
    for first, plain, shifted in _ROWS
    for at, pair in enumerate(zip(plain, shifted, strict=True))
}


class KeyEvent(Protocol):
    """What `evdev.InputEvent` has."""

    type: int
    code: int
    value: int


class KeyDecoder:
    """Key events in, bytes out. Pure.

    Control with a letter is the control byte (scanners type GS as Ctrl+]). Caps lock is followed.
    """

    def __init__(self) -> None:
        self._shifts: set[int] = set()
        self._controls: set[int] = set()
        self._caps = False
        self._skipping = False

    def feed(self, events: Iterable[KeyEvent]) -> bytes:
        """The bytes that these events type, Enter as CR."""
        return b"".join(map(self._one, events))

    def _one(self, event: KeyEvent) -> bytes:
        if event.type == EV_SYN:
            return self._synced(event.code)
        if event.type != EV_KEY or self._skipping:
            return b""
        if event.code in _SHIFTS:
            self._hold(self._shifts, event)
        elif event.code in _CONTROLS:
            self._hold(self._controls, event)
        elif event.value != UP:
            return self._typed(event.code)
        return b""

    def _synced(self, code: int) -> bytes:
        """The kernel lost events: until the next report nothing is whole, and modifiers are off."""
        if code == SYN_DROPPED:
            self._skipping = True
            self._shifts.clear()
            self._controls.clear()
            return LOST
        self._skipping = False
        return b""

    @staticmethod
    def _hold(held: set[int], event: KeyEvent) -> None:
        if event.value == UP:
            held.discard(event.code)
        else:
            held.add(event.code)

    def _typed(self, code: int) -> bytes:
        if code == _CAPS:
            self._caps = not self._caps
            return b""
        if code in _ENTERS:
            return b"\r"
        plain, shifted = KEYS.get(code, ("", ""))
        if self._controls:
            return bytes([ord(plain.upper()) & 0x1F]) if plain.upper() in _CONTROLLED else b""
        upper = bool(self._shifts) != (self._caps and plain.isalpha())
        return (shifted if upper else plain).encode("ascii")


_CONTROLLED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ[]\\")


class EvdevPort:
    """An `evdev.InputDevice` that is grabbed, as a port that gives the bytes it types."""

    answers = True

    def __init__(self, url: str, cancel: Cancel, device: Any) -> None:
        self.url = url
        self._cancel = cancel
        self._device = device
        self._decoder = KeyDecoder()

    def fileno(self) -> int:
        """Of the device."""
        return int(self._device.fd)

    def write(self, data: bytes) -> None:
        """A keyboard takes nothing."""

    def unsent(self) -> int:
        """Nothing ever waits."""
        return 0

    def read(self, timeout_s: float = 0.0) -> bytes:
        """What was typed; b"" when only keys were let go; DeviceLost when it is unplugged."""
        try:
            if self.fileno() not in wait([self, self._cancel], timeout_s=timeout_s):
                return b""
            return self._decoder.feed(self._device.read())
        except BlockingIOError:
            return b""
        except OSError as error:
            raise DeviceLost("DEVICE_LOST", device=self.url, detail=str(error)) from error

    def close(self) -> None:
        """Let the keys go to the system again; never raises."""
        for step in (self._device.ungrab, self._device.close):
            with contextlib.suppress(OSError):
                step()


def open_scanner_port(url: str, cancel: Cancel) -> Port:
    """`devices.port.open_port`, and `evdev:///dev/input/...` besides."""
    parts = urlsplit(url)
    if parts.scheme != SCHEME:
        return open_port(url, cancel)
    try:
        library: Any = importlib.import_module("evdev")
    except ImportError:
        raise DeviceLost("EVDEV_MISSING", device=url) from None
    device = None
    try:
        device = library.InputDevice(parts.path)
        device.grab()
    except FileNotFoundError as error:
        raise DeviceLost("DEVICE_MISSING", device=url) from error
    except PermissionError as error:
        raise DeviceLost("DEVICE_FORBIDDEN", device=url) from error
    except OSError as error:
        if device is not None:  # it opened, and another program has grabbed it
            device.close()
            raise DeviceLost("DEVICE_BUSY", device=url) from error
        raise DeviceLost("DEVICE_LOST", device=url, detail=str(error)) from error
    return EvdevPort(url, cancel, device)
