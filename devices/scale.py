"""A counter scale: grams that may be sold by, and nothing that only looks like them.

    scale = Scale("t1", "/dev/serial/by-id/usb-..?baud=9600&bits=7&parity=E", protocol="mettler",
                  on_event=queue.put)
    scale.start(); scale.enable()
    # queue: Weighed(device, grams, t_mono) once per item, Status(...)
    scale.live()          # the last reading, for the screen only

An item counts when the scale itself calls its weight stable, two readings agree, the weight is
above zero, and the pan was empty since the item before. Unstable, negative and overloaded readings,
wrong checksums and cut frames never become a weight. Grams are integers; tare is the caller's own
explicit figure. Weights and measures officers can compare `code_hash()` with the published one.
Frames: devices.md section 4; the status bits of the Mettler protocol: Odoo's scale driver.
"""

import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from devices.device import UP, Condition, Device, DeviceState, Event, reject
from devices.port import DeviceLost, OpenPort, Port, open_port
from protocol.errors import Unavailable

if TYPE_CHECKING:
    from concurrent.futures import Future

POLL_S: Final = 0.1
SILENCE_S: Final = 2.0
FRAME_MAX: Final = 64
AGREEING: Final = 2
Kind = Literal["stable", "unstable", "negative", "overload", "broken"]


class ScaleReading(msgspec.Struct, frozen=True):
    """One answer of the scale; grams count only when `kind` is stable."""

    kind: Kind
    grams: int = 0


class Weighed(msgspec.Struct, frozen=True):
    """One item was weighed; it may be sold."""

    device: str
    grams: int
    t_mono: float  # seconds, time.monotonic


_METTLER_WEIGHT = re.compile(rb"\x02 *(\d{1,3})\.(\d{3})N?\r")
_METTLER_STATUS = re.compile(rb"\x02 *\?(.)\r", re.DOTALL)
_CAS_WEIGHT = re.compile(rb"([SUF])([ -])( *\d{0,3}\.\d{3})(kg)", re.IGNORECASE)


def read_mettler(frame: bytes) -> ScaleReading:
    """Mettler 8217: `STX 00.535 CR`, or `STX ? status CR` with the reason in bits."""
    frame = bytes(byte & 0x7F for byte in frame)  # a line opened with 8 bits shows the parity bit
    weight = _METTLER_WEIGHT.fullmatch(frame)
    if weight:
        return ScaleReading("stable", int(weight[1]) * 1000 + int(weight[2]))
    status = _METTLER_STATUS.fullmatch(frame)
    if not status:
        return ScaleReading("broken")
    bits = status[1][0]
    if bits & 0x02:
        return ScaleReading("overload")
    if bits & 0x04:
        return ScaleReading("negative")
    return ScaleReading("unstable")


def read_cas(frame: bytes) -> ScaleReading:
    """CAS / AP-1: `SOH STX S/U sign W[6] kg BCC ETX EOT`, BCC = XOR of what lies between."""
    if len(frame) != 15 or frame[:2] != b"\x01\x02" or frame[13:] != b"\x03\x04":
        return ScaleReading("broken")
    body, check = frame[2:12], frame[12]
    found = 0
    for byte in body:
        found ^= byte
    weight = _CAS_WEIGHT.fullmatch(body)
    if found != check or not weight:
        return ScaleReading("broken")
    if weight[1] in b"Ff":
        return ScaleReading("overload")
    whole, _, part = weight[3].strip().partition(b".")
    grams = int(whole or b"0") * 1000 + int(part)
    if weight[2] == b"-":
        return ScaleReading("negative")
    return ScaleReading("stable" if weight[1] in b"Ss" else "unstable", grams)


class ItemGate:
    """Which readings are an item: stable, twice the same, above zero, pan empty before. Pure."""

    def __init__(self) -> None:
        self._empty_since = False
        self._last: int | None = None
        self._agreeing = 0

    def take(self, reading: ScaleReading) -> int | None:
        """The grams of a new item, once; else None."""
        if reading.kind != "stable":
            self._last, self._agreeing = None, 0
            return None
        self._agreeing = self._agreeing + 1 if reading.grams == self._last else 1
        self._last = reading.grams
        if reading.grams == 0:
            self._empty_since = True
            return None
        if self._empty_since and self._agreeing >= AGREEING:
            self._empty_since = False
            return reading.grams
        return None


class _Protocol(msgspec.Struct, frozen=True):
    ask: tuple[bytes, ...]  # sent in turn, each after the answer to the one before
    end: bytes
    read: Callable[[bytes], ScaleReading]


PROTOCOLS: Final = {
    "mettler": _Protocol((b"W",), b"\r", read_mettler),
    "cas": _Protocol((b"\x05", b"\x11"), b"\x04", read_cas),
}


class _Driver:
    tick_s = POLL_S

    def __init__(
        self,
        protocol: _Protocol,
        sink: Callable[["Weighed | Event"], None],
        clock: Callable[[], float],
    ) -> None:
        self._protocol = protocol
        self._sink = sink
        self._clock = clock
        self.enabled = False
        self.live = ScaleReading("unstable")

    def opened(self, owner: Device, port: Port) -> None:
        self._owner, self._port = owner, port
        self._buffer = bytearray()
        self._gate = ItemGate()
        self._asked_at = self._answered_at = self._clock()
        self._ask()

    def _ask(self) -> None:
        self._buffer.clear()  # an answer belongs to the question before it
        self._asked_at = self._clock()
        self._port.write(self._protocol.ask[0])

    def received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._protocol.ask) > 1 and bytes(self._buffer) == b"\x06":
            self._buffer.clear()
            self._port.write(self._protocol.ask[1])
            return
        if not self._buffer.endswith(self._protocol.end):
            if len(self._buffer) > FRAME_MAX:
                self._buffer.clear()
            return
        frame = bytes(self._buffer)
        self._buffer.clear()
        self._answered_at = self._clock()
        self._judge(self._protocol.read(frame))

    def _judge(self, reading: ScaleReading) -> None:
        self.live = reading
        code = {"overload": "SCALE_OVERLOAD", "broken": "SCALE_GARBLED"}.get(reading.kind, "")
        params = {"device": self._owner.name}
        self._owner.become(Condition(DeviceState.DEGRADED, code, params) if code else UP)
        grams = self._gate.take(reading)
        if grams is not None and self.enabled:
            self._sink(Weighed(self._owner.name, grams, self._answered_at))

    def perform(self, command: object, future: "Future[Any]") -> None:  # noqa: ARG002
        reject(future, Unavailable("DEVICE_OVERRUN", device=self._owner.name))

    def tick(self) -> None:
        now = self._clock()
        if now - self._answered_at > SILENCE_S:
            raise DeviceLost("SCALE_SILENT", device=self._owner.name)
        if now - self._asked_at >= POLL_S:
            self._ask()

    def closed(self, reason: DeviceLost) -> None:  # noqa: ARG002
        self.live = ScaleReading("unstable")


class Scale:
    """One scale on one line; starts disabled. `clock` is monotonic seconds."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        protocol: Literal["mettler", "cas"],
        on_event: Callable[[Weighed | Event], None],
        open_port: OpenPort = open_port,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._driver = _Driver(PROTOCOLS[protocol], on_event, clock)
        self._device = Device(
            name, url, driver=self._driver, on_event=on_event, open_port=open_port
        )

    def start(self) -> None:
        """Own the line and poll; returns at once."""
        self._device.start()

    def stop(self) -> None:
        """Give the line back within a second."""
        self._device.stop()

    def enable(self) -> None:
        """Items count from now on."""
        self._driver.enabled = True

    def disable(self) -> None:
        """No more items; the live reading goes on."""
        self._driver.enabled = False

    def live(self) -> ScaleReading:
        """The last reading, for the screen; never to sell by."""
        return self._driver.live

    def state(self) -> Condition:
        """UP, DEGRADED with SCALE_*, or DOWN with the reason."""
        return self._device.state()


def code_hash() -> str:
    """The SHA-256 of this file, for comparison with the published one."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
