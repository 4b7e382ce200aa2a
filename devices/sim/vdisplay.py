"""A pole display on a pty: what it shows, in two lines of twenty, strictly read."""

import os
import select
import threading

from devices.sim.vserial import VirtualLine


class DisplayScreen:
    """The bytes of both dialects become two lines; unknown sequences are faults. Pure."""

    def __init__(self) -> None:
        self.cells = bytearray(b" " * 40)
        self.faults: list[str] = []
        self._input = bytearray()
        self._at = 0

    def lines(self) -> tuple[str, str]:
        """What stands there; Hanzi take two places."""
        text = bytes(self.cells)
        return (text[:20].decode("gb18030", "replace"), text[20:].decode("gb18030", "replace"))

    def feed(self, data: bytes) -> None:
        """Take bytes, however they are split."""
        self._input += data
        while self._input:
            taken = self._take()
            if not taken:
                return
            del self._input[:taken]

    def _take(self) -> int:
        first = self._input[0]
        if first == 0x1B:
            return self._escape()
        if first == 0x0C:
            self.cells[:] = b" " * 40
            self._at = 0
        elif first >= 0x20:
            self.cells[self._at % 40] = first
            self._at += 1
        else:
            self.faults.append(f"unknown byte {first:02x}")
        return 1

    def _escape(self) -> int:
        if len(self._input) < 2:
            return 0
        command = self._input[1]
        if command == ord("@"):
            self.cells[:] = b" " * 40
            self._at = 0
            return 2
        if len(self._input) < 3:
            return 0
        if command == ord("="):
            return 3
        if command == ord("Q") and self._input[2] in b"AB":
            return self._string(0 if self._input[2] == ord("A") else 20)
        self.faults.append(f"unknown sequence {bytes(self._input[:3]).hex(' ')}")
        return 1

    def _string(self, start: int) -> int:
        end = self._input.find(b"\r")
        if end < 0:
            return 0
        text = bytes(self._input[3:end])
        if len(text) > 20:
            self.faults.append(f"{len(text)} bytes in a line of 20")
        self.cells[start : start + 20] = text[:20].ljust(20)
        return end + 1


class VirtualDisplay(VirtualLine):
    """The screen behind a path that a driver opens."""

    def __init__(self, path: str = "") -> None:
        super().__init__(path)
        self.screen = DisplayScreen()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="vdisplay", daemon=True)

    def start(self) -> None:
        """Read in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Switch off and pull the cable for good."""
        self._stopping = True
        if self._thread.is_alive():
            self._thread.join(2)
        super().close()

    def _run(self) -> None:
        while not self._stopping:
            data = self._listen()
            if data:
                self.screen.feed(data)
            else:
                threading.Event().wait(0.005)

    def _listen(self) -> bytes:
        with self._gate:
            if self._master < 0:
                return b""
            try:
                ready = select.select([self._master], [], [], 0.02)[0]
                return os.read(self._master, 256) if ready else b""
            except OSError:
                return b""
