"""A receipt printer on a real socket or pty: the drivers open it as they open any printer.

    printer = VirtualPrinter(); printer.start()          # socket://127.0.0.1:..
    printer = VirtualPrinter(serial=True)                # a tty
    ...open printer.url, print...
    printer.receipts()[-1]        # the text grid of the last cut receipt
    printer.set(paper=0)          # knobs: paper 2/1/0, cover_open, offline, cutter_jam, lines_left
    printer.trouble(mute=True)    # and garbage, stalled, bytes_per_s, answer_s
    printer.power_off(); printer.power_on(); printer.unplug(); printer.plug()

It takes one till at a time and refuses a second one, as most printers do.
"""

import os
import select
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from devices.sim.interpreter import EscPos, Knobs
from devices.sim.paper import Paper
from devices.sim.wires import TAKE_MAX, SerialWire, SocketWire, Wire

HOST: Final = "127.0.0.1"
NOBODY_S: Final = 0.005  # a pty that nobody has open is always "readable"


@dataclass
class Troubles:
    """What a printer can do wrong on its line."""

    mute: bool = False  # answers nothing
    garbage: bool = False  # answers nonsense
    stalled: bool = False  # reads nothing
    bytes_per_s: float = 0.0  # reads no faster; 0 = as fast as it comes
    answer_s: float = 0.0  # so long does printing take: the fence is answered later


class VirtualPrinter:
    """An `EscPos` behind a port, with the troubles of a real one.

    `die_at(n)` cuts the power after n more bytes, `unplug_at(n)` pulls the cable.
    """

    def __init__(
        self,
        *,
        columns: int = 48,
        dots: int = 576,
        port: int = 0,
        serial: bool = False,
        path: str = "",
        buffer_bytes: int = 0,
    ) -> None:
        """Switched on, but nobody serves before `start`.

        Args:
            columns: of font A.
            dots: the printable width.
            port: the TCP port on the loopback address; 0 takes a free one.
            serial: hang on a pty instead of a socket.
            path: where the pty's stable path lies; "" makes one.
            buffer_bytes: of its network card; 0 leaves it to this machine.
        """
        self.brain = EscPos(columns=columns, dots=dots)
        self._wire: Wire = SerialWire(path) if serial else SocketWire(HOST, port, buffer_bytes)
        self._troubles = Troubles()
        self.tap: Callable[[bytes], object] = lambda _data: None  # hears every byte first
        self._gate = threading.RLock()
        self._powered = False
        self._cable = True
        self._left: int | None = None  # bytes until `_cut`
        self._cut: Callable[[], None] = self.power_off
        self._rested = 0.0  # monotonic: reads again from then on
        self._late: list[tuple[float, bytes]] = []
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._bell_end, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        self.power_on()

    @property
    def url(self) -> str:
        """What a till's settings name."""
        return self._wire.url

    @property
    def powered(self) -> bool:
        """Is it on?"""
        return self._powered

    @property
    def plugged(self) -> bool:
        """Is its data cable in?"""
        return self._cable

    @property
    def reachable(self) -> bool:
        """Is it on, and its cable in?"""
        return self._powered and self._cable

    @property
    def connected(self) -> bool:
        """Does a till hold the line?"""
        return self._wire.connected

    @property
    def mute(self) -> bool:
        """Does it leave questions unanswered?"""
        return self._troubles.mute

    @property
    def faults(self) -> list[str]:
        """What a strict printer did not understand; must stay empty."""
        return list(self.brain.faults)

    @property
    def kicks(self) -> int:
        """How often the drawer was opened."""
        return len(self.brain.kicks)

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="vprinter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close everything."""
        self._stopping = True
        self._ring()
        if self._thread is not None:
            self._thread.join(2)
        with self._gate:
            self.power_off()
            os.close(self._bell)
            os.close(self._bell_end)
            if isinstance(self._wire, SerialWire):
                self._wire.remove()

    def power_on(self) -> None:
        """Switch on; the same address again."""
        with self._gate:
            if self._powered:
                return
            self._powered = True
            self._left = None
            self.brain.power_on()
            if self._cable:
                self._wire.open()
        self._ring()

    def power_off(self) -> None:
        """Pull the plug: connections break, what is not printed is lost."""
        with self._gate:
            self._powered = False
            self._wire.close()
            self._late.clear()
            self.brain.power_on()  # the paper that hangs out is torn off
        self._ring()

    def unplug(self) -> None:
        """Pull the data cable: what had arrived is still printed."""
        with self._gate:
            self._cable = False
            self._wire.close()
            self.brain.line_broke()
            self._late.clear()
        self._ring()

    def plug(self) -> None:
        """Put the data cable in again."""
        with self._gate:
            self._cable = True
            if self._powered:
                self._wire.open()
        self._ring()

    def die_at(self, count: int) -> None:
        """Cut the power when `count` more bytes have come."""
        with self._gate:
            self._left, self._cut = count, self.power_off

    def unplug_at(self, count: int) -> None:
        """Pull the data cable when `count` more bytes have come."""
        with self._gate:
            self._left, self._cut = count, self.unplug

    def set(self, **knobs: Any) -> None:
        """Turn knobs (`interpreter.Knobs`); what was held up goes on when nothing holds it."""
        with self._gate:
            for name, value in knobs.items():
                if name not in Knobs.__dataclass_fields__:
                    raise AttributeError(name)
                setattr(self.brain.knobs, name, value)
            self._answer(b"", self.brain.resume())

    def trouble(self, **troubles: Any) -> None:
        """Switch troubles of the line (`Troubles`) on and off."""
        with self._gate:
            for name, value in troubles.items():
                if name not in Troubles.__dataclass_fields__:
                    raise AttributeError(name)
                setattr(self._troubles, name, value)
        self._ring()

    def printing(self) -> Paper:
        """The paper that is not cut yet, as far as it is out."""
        with self._gate:
            return self.brain.current().copy()

    def papers(self) -> list[Paper]:
        """All papers that left the printer, torn ones included."""
        with self._gate:
            return list(self.brain.papers)

    def numbered(self, limit: int) -> list[tuple[int, Paper]]:
        """The newest papers with their running numbers from 0, newest first."""
        with self._gate:
            first = self.brain.dropped
            return list(enumerate(self.brain.papers, first))[-limit:][::-1]

    def receipts(self) -> list[str]:
        """Their text grids."""
        return [paper.text() for paper in self.papers()]

    def _ring(self) -> None:
        try:
            os.write(self._bell, b"\0")
        except (BlockingIOError, OSError):
            return

    def _run(self) -> None:
        poll = select.poll()
        watched: set[int] = set()
        while not self._stopping:
            with self._gate:
                wanted, wait_s = {self._bell_end, *self._watch()}, self._wait_s()
            for end in watched - wanted:
                poll.unregister(end)
            for end in wanted - watched:
                poll.register(end, select.POLLIN)
            watched = wanted
            ready = {end for end, _ in poll.poll(wait_s * 1000)}
            if self._bell_end in ready:
                os.read(self._bell_end, 512)
            with self._gate:
                idle = self._serve(ready & set(self._watch()))
            if idle:
                time.sleep(NOBODY_S)

    def _watch(self) -> list[int]:
        reading = not self._troubles.stalled and time.monotonic() >= self._rested
        return self._wire.watched(reading=reading) if self._powered else []

    def _wait_s(self) -> float:
        dues = [due for due, _ in self._late]
        if self._rested > time.monotonic():
            dues.append(self._rested)
        return max(0.0, min(dues) - time.monotonic()) + 0.0005 if dues else 1.0

    def _serve(self, ready: AbstractSet[int]) -> bool:
        """One turn; true when a line looked ready and had nothing."""
        now = time.monotonic()
        while self._late and self._late[0][0] <= now:
            self._say(self._late.pop(0)[1])
        if not ready:
            return False
        rate = self._troubles.bytes_per_s
        limit = max(1, int(rate / 100)) if rate else TAKE_MAX
        data = self._wire.take(ready, limit)
        if rate and data:
            self._rested = now + len(data) / rate
        if data:
            self._feed(data)
        elif not self._wire.connected:
            self.brain.line_broke()
        return not data

    def _feed(self, data: bytes) -> None:
        self.tap(data)
        if self._left is None:
            self._answer(*self.brain.take(data))
            return
        part, rest = data[: self._left], data[self._left :]
        self._left -= len(part)
        self._answer(*self.brain.take(part))
        if rest or self._left == 0:
            self._left = None
            self._cut()

    def _answer(self, at_once: bytes, in_order: bytes) -> None:
        """Real-time answers leave now, the others when the paper before them is printed."""
        if self._troubles.answer_s and in_order:
            self._late.append((time.monotonic() + self._troubles.answer_s, in_order))
            self._ring()
            in_order = b""
        self._say(at_once + in_order)

    def _say(self, answers: bytes) -> None:
        if answers and not self._troubles.mute:
            self._wire.give(b"\xff" * len(answers) if self._troubles.garbage else answers)
