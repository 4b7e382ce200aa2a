"""A serial barcode scanner: bytes in, whole codes out, in order, only while somebody takes them.

    scanner = Scanner("till-1", "/dev/serial/by-id/usb-..", on_event=queue.put)
    scanner.start(); scanner.enable()
    # queue: Data(device, "6901028075831", t_mono), Refused(...), Status(...)

A scanner that types like a keyboard is grabbed by `evdev:///dev/input/...` (`devices.keygrab`).
Set the scanner to: AIM id as prefix, CR as suffix, GS unchanged. CR or LF ends a code. A code that
is too long, binary or without an end is refused with a reason and the next one works. What was half
read when the cable went is dropped: two codes are never joined. No debounce: two equal codes are
two pieces.

Enabled, codes go out first in, first out. `disable(hold=True)` (a dialog is open) keeps them for
the next `enable`; `disable()` (the till's page is gone) refuses them, for goods must not land in a
basket that nobody sees.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from devices.device import UP, Condition, Data, Device, Event, Refused, Status, reject
from devices.keygrab import open_scanner_port
from devices.port import DeviceLost, OpenPort, Port
from protocol.errors import Unavailable

if TYPE_CHECKING:
    from concurrent.futures import Future

CODE_BYTES_MAX: Final = 2048
HELD_MAX: Final = 100
SILENCE_S: Final = 0.5  # a code without its CR for so long has none
_ENDS: Final = frozenset(b"\r\n")
_ALLOWED_CONTROLS: Final = frozenset("\t\x04\x1d\x1e")  # AIM data carries GS, RS and EOT


class Framer:
    """Cuts a byte stream into codes. Pure: `feed` returns ("code", text) or (error code, "")."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """Codes completed by `data`, and refusals, in order."""
        found = []
        for byte in data:
            if byte in _ENDS:
                if not self._skipping and self._buffer:
                    found.append(self._judge(bytes(self._buffer)))
                self.drop()
            elif self._skipping:
                continue
            elif len(self._buffer) >= CODE_BYTES_MAX:
                self._skipping = True
                found.append(("SCAN_TOO_LONG", ""))
            else:
                self._buffer.append(byte)
        return found

    @property
    def pending(self) -> bool:
        """Is a code begun and not ended?"""
        return bool(self._buffer) or self._skipping

    def drop(self) -> bool:
        """Forget what is begun; True when there was something not yet refused."""
        begun = bool(self._buffer) and not self._skipping
        self._buffer.clear()
        self._skipping = False
        return begun

    @staticmethod
    def _judge(code: bytes) -> tuple[str, str]:
        try:
            text = code.decode("utf-8")
        except UnicodeDecodeError:
            return ("SCAN_BINARY", "")
        if not text.strip(" \t"):
            return ("SCAN_EMPTY", "")
        if not all(ch.isprintable() or ch in _ALLOWED_CONTROLS for ch in text):
            return ("SCAN_BINARY", "")
        return ("code", text)


class _Driver:
    """Owner thread, but for `gate` and what it guards: enable and disable come from others."""

    tick_s = 0.1

    def __init__(self, *, auto_disable: bool, clock: Callable[[], float]) -> None:
        self._framer = Framer()
        self._clock = clock
        self._last_byte = 0.0
        self._auto_disable = auto_disable
        self._gate = threading.Lock()
        self._enabled = False
        self._holding = False
        self._held: deque[Data] = deque()
        self._owner: Device | None = None

    def opened(self, owner: Device, port: Port) -> None:  # noqa: ARG002 - it only listens
        self._owner = owner
        self._framer.drop()
        owner.become(UP)

    def received(self, data: bytes) -> None:
        self._last_byte = self._clock()
        for verdict, text in self._framer.feed(data):
            if verdict == "code":
                self._deliver(text)
            else:
                self._refuse(verdict)

    def perform(self, command: object, future: "Future[Any]") -> None:  # noqa: ARG002
        reject(future, Unavailable("DEVICE_OVERRUN", device="scanner"))

    def tick(self) -> None:
        silent = self._framer.pending and self._clock() - self._last_byte > SILENCE_S
        if silent and self._framer.drop():
            self._refuse("SCAN_NO_END")

    def closed(self, reason: DeviceLost) -> None:  # noqa: ARG002
        self._framer.drop()

    def set_enabled(self, *, enabled: bool, hold: bool) -> None:
        with self._gate:
            self._enabled, self._holding = enabled, hold
            if not enabled and not hold:
                self._held.clear()
            while self._enabled and self._held:
                self._emit(self._held.popleft())

    @property
    def enabled(self) -> bool:
        return self._enabled

    def _deliver(self, text: str) -> None:
        if self._owner is None:
            return
        data = Data(self._owner.name, text, self._last_byte)
        with self._gate:
            if self._enabled:
                self._emit(data)
                return
            if self._holding and len(self._held) < HELD_MAX:
                self._held.append(data)
                return
            code = "SCANNER_OVERRUN" if self._holding else "SCANNER_OFF"
        self._refuse(code)

    def _emit(self, data: Data) -> None:
        if self._auto_disable:
            self._enabled, self._holding = False, True
        if self._owner is not None:
            self._owner.emit(data)

    def _refuse(self, code: str) -> None:
        if self._owner is None:
            return
        params = {"device": self._owner.name, "limit": CODE_BYTES_MAX}
        self._owner.emit(Refused(self._owner.name, code, params, self._last_byte))


class Scanner:
    """One scanner on one line; starts disabled. `clock` is monotonic seconds."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        on_event: Callable[[Event], None],
        auto_disable: bool = False,
        open_port: OpenPort = open_scanner_port,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`auto_disable`: after one code, hold the next until `enable` (UnifiedPOS)."""
        self.name = name
        self._sink = on_event
        self._driver = _Driver(auto_disable=auto_disable, clock=clock)
        self._device = Device(
            name, url, driver=self._driver, on_event=self._forward, open_port=open_port
        )

    def start(self) -> None:
        """Own the line from now on; returns at once."""
        self._device.start()

    def stop(self) -> None:
        """Give the line back within a second."""
        self._device.stop()

    def enable(self) -> None:
        """Codes go out from now on, those held first."""
        self._driver.set_enabled(enabled=True, hold=False)

    def disable(self, *, hold: bool = False) -> None:
        """No more codes: refuse them as SCANNER_OFF, or keep up to HELD_MAX with `hold`."""
        self._driver.set_enabled(enabled=False, hold=hold)

    @property
    def enabled(self) -> bool:
        """Do codes go out now?"""
        return self._driver.enabled

    def state(self) -> Condition:
        """UP or DOWN, with the reason."""
        return self._worded(self._device.state())

    def _forward(self, event: Event) -> None:
        if isinstance(event, Status):
            event = Status(event.device, self._worded(event.old), self._worded(event.new))
        self._sink(event)

    def _worded(self, condition: Condition) -> Condition:
        """A lost scanner says what a cashier can do meanwhile."""
        if condition.code != "DEVICE_LOST":
            return condition
        return Condition(condition.state, "SCANNER_LOST", condition.params | {"device": self.name})
