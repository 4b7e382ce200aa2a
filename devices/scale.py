"""A counter scale on a serial line: asked ten times a second, believed by `devices.weighing` only.

    scale = Scale("t1", "/dev/serial/by-id/usb-..?baud=9600&bits=7&parity=E", protocol="mettler",
                  on_event=queue.put)
    scale.start()
    scale.live()          # for the screen: the last reading, the item's grams or why there is none
    offer = scale.offer().result(timeout=1)     # to sell by: grams, or a refusal with its reason
    scale.sold(offer)     # after the commit: the pan must be empty before the next item

Tare is the caller's own explicit figure. Unplugged, it is looked for again for ever.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from devices.device import UP, Condition, Device, DeviceState, Event, reject, resolve
from devices.port import DeviceLost, OpenPort, Port, open_port
from devices.weighing import ItemGate, ScaleReading, read_cas, read_mettler
from protocol.errors import Refusal

if TYPE_CHECKING:
    from concurrent.futures import Future

POLL_S: Final = 0.1
SILENCE_S: Final = 2.0
FRESH_S: Final = 1.0  # an older answer is not what lies on the pan now
FRAME_MAX: Final = 64
_TROUBLE: Final = {"overload": "SCALE_OVERLOAD", "broken": "SCALE_GARBLED"}


class Live(msgspec.Struct, frozen=True):
    """For the screen: the last reading, the grams that may be sold by, or the code why not."""

    reading: ScaleReading = ScaleReading("unstable")
    item: int | None = None
    why_not: str = "WEIGHT_MOVES"


class Offer(msgspec.Struct, frozen=True):
    """A weight to sell by, once. `number` names the item, so that another one is not used up."""

    grams: int
    number: int
    t_mono: float  # seconds, time.monotonic


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

    def __init__(self, protocol: _Protocol, on_live: Callable[[Live], None]) -> None:
        self._protocol = protocol
        self._on_live = on_live
        self.live = Live()

    def opened(self, owner: Device, port: Port) -> None:
        self._owner, self._port = owner, port
        self._buffer = bytearray()
        self._gate = ItemGate()
        self._asked_at = self._answered_at = time.monotonic()
        self._ask()

    def _ask(self) -> None:
        self._buffer.clear()  # an answer belongs to the question before it
        self._asked_at = time.monotonic()
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
        self._answered_at = time.monotonic()
        self._judge(self._protocol.read(frame))

    def _judge(self, reading: ScaleReading) -> None:
        self._gate.take(reading)
        code = _TROUBLE.get(reading.kind, "")
        params = {"device": self._owner.name}
        self._owner.become(Condition(DeviceState.DEGRADED, code, params) if code else UP)
        self._show()

    def _show(self) -> None:
        live = Live(self._gate.reading, self._gate.item, self._gate.why_not)
        if live != self.live:
            self.live = live
            self._on_live(live)

    def perform(self, command: object, future: "Future[Any]") -> None:
        if isinstance(command, Offer):
            self._gate.sold(command.number)
            self._show()
            resolve(future, None)
        elif time.monotonic() - self._answered_at > FRESH_S:
            reject(future, DeviceLost("SCALE_SILENT", device=self._owner.name))
        elif self._gate.item is None:
            reject(future, Refusal(self._gate.why_not))
        else:
            offer = Offer(self._gate.item, self._gate.emptied, self._answered_at)
            resolve(future, offer)

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._answered_at > SILENCE_S:
            raise DeviceLost("SCALE_SILENT", device=self._owner.name)
        if now - self._asked_at >= POLL_S:
            self._ask()

    def closed(self, reason: DeviceLost) -> None:  # noqa: ARG002
        self.live = Live()
        self._on_live(self.live)


def _nobody(live: Live) -> None:
    """Nobody watches the pan."""


class Scale:
    """One scale on one line."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        protocol: Literal["mettler", "cas"],
        on_event: Callable[[Event], None],
        on_live: Callable[[Live], None] = _nobody,
        open_port: OpenPort = open_port,
    ) -> None:
        """`on_live` is called on the owner thread when what `live` says changes: only enqueue."""
        self.name = name
        self._driver = _Driver(PROTOCOLS[protocol], on_live)
        self._device = Device(
            name, url, driver=self._driver, on_event=on_event, open_port=open_port
        )

    def start(self) -> None:
        """Own the line and poll; returns at once."""
        self._device.start()

    def stop(self) -> None:
        """Give the line back within a second."""
        self._device.stop()

    def live(self) -> Live:
        """What the screen shows; never to sell by."""
        return self._driver.live

    def offer(self) -> "Future[Offer]":
        """The weight of what lies on the pan now; WEIGHT_* or DeviceLost when there is none."""
        return self._device.submit("offer")

    def sold(self, offer: Offer) -> None:
        """This item is sold: the pan must be empty before the next one counts."""
        self._device.submit(offer)

    def state(self) -> Condition:
        """UP, DEGRADED with SCALE_*, or DOWN with the reason."""
        return self._device.state()
