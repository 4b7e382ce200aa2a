"""A counter scale that is not there: put grams on it, make it shake, let it lie.

with VirtualScale(protocol="mettler") as scale:
scale.start(); ...open scale.path...; scale.put(536)
"""

import os
import select
import threading
from typing import Final, Literal

from devices.sim.vserial import VirtualLine

CAPACITY_G: Final = 15_000


class VirtualScale(VirtualLine):
    """Answers Mettler 8217 (`W`) or CAS (ENQ, DC1) on a pty. `split` sends answers in two parts."""

    def __init__(self, path: str = "", *, protocol: Literal["mettler", "cas"] = "mettler") -> None:
        super().__init__(path)
        self._protocol = protocol
        self.grams = 0
        self.moving = False
        self.broken = False  # wrong checksum, or noise instead of an answer
        self.mute = False
        self.split = False
        self.faults: list[str] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="vscale", daemon=True)

    def start(self) -> None:
        """Answer in a thread of its own."""
        self._thread.start()

    def put(self, grams: int, *, moving: bool = False) -> None:
        """So much lies on the pan now; below zero when a tared bowl was taken off."""
        self.grams, self.moving = grams, moving

    def close(self) -> None:
        """Switch off and pull the cable for good."""
        self._stopping = True
        if self._thread.is_alive():
            self._thread.join(2)
        super().close()

    def answer(self, asked: bytes) -> bytes:
        """What a real one would say to these bytes."""
        if self._protocol == "mettler":
            return self._mettler() if asked == b"W" else self._unknown(asked)
        if asked == b"\x05":
            return b"\x06"
        return self._cas() if asked == b"\x11" else self._unknown(asked)

    def _unknown(self, asked: bytes) -> bytes:
        self.faults.append(f"unknown byte {asked.hex(' ')}")
        return b""

    def _mettler(self) -> bytes:
        if self.broken:
            return b"\x02x.y\r"
        bits = self.moving | (self.grams > CAPACITY_G) << 1 | (self.grams < 0) << 2
        if bits:
            return b"\x02?" + bytes([0x40 | bits]) + b"\r"
        return b"\x02%02d.%03d\r" % divmod(self.grams, 1000)

    def _cas(self) -> bytes:
        state = b"F" if self.grams > CAPACITY_G else b"U" if self.moving else b"S"
        sign = b"-" if self.grams < 0 else b" "
        body = state + sign + b"%2d.%03d" % divmod(min(abs(self.grams), 99_999), 1000) + b"kg"
        check = 0
        for byte in body:
            check ^= byte
        return b"\x01\x02" + body + bytes([check ^ (1 if self.broken else 0)]) + b"\x03\x04"

    def _run(self) -> None:
        while not self._stopping:
            asked = self._listen()
            if asked and not self.mute:
                self._say(self.answer(asked))
            elif not asked:
                threading.Event().wait(0.005)

    def _listen(self) -> bytes:
        """One byte; b"" when none came, nobody has the line open, or the cable is out."""
        with self._gate:  # the descriptor must not be closed and given to another meanwhile
            if self._master < 0:
                return b""
            try:
                ready = select.select([self._master], [], [], 0.02)[0]
                return os.read(self._master, 1) if ready else b""
            except OSError:
                return b""

    def _say(self, answer: bytes) -> None:
        parts = [answer[:3], answer[3:]] if self.split else [answer]
        for part in parts:
            if part:
                self.send(part)
                if self.split:
                    threading.Event().wait(0.005)
