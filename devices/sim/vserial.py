"""Serial devices that are not there: ptys behind a path that survives unplug and replug.

with VirtualScanner() as scanner:
...open scanner.path...
scanner.scan("6901028075831")
"""

import contextlib
import os
import pty
import shutil
import tempfile
import termios
import threading
import tty
from pathlib import Path
from types import TracebackType
from typing import Self


class VirtualLine:
    """A serial line: `path` is what a driver opens, the master side is ours.

    `unplug` removes the path and hangs up, `plug` brings it back on a fresh pty, as a USB adapter
    does.
    """

    def __init__(self, path: str = "") -> None:
        """`path` is the symlink to keep; "" makes one in a folder of its own."""
        self._folder = "" if path else tempfile.mkdtemp(prefix="tillmesh-sim-")
        self.path = path or str(Path(self._folder) / "tty")
        self._gate = threading.Lock()
        self._master = -1
        self.plug()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def plugged(self) -> bool:
        """Is the cable in?"""
        return self._master >= 0

    def fileno(self) -> int:
        """Our end of the line; -1 while it is unplugged."""
        return self._master

    def plug(self) -> None:
        """Put the cable in; nothing happens when it is."""
        with self._gate:
            if self._master >= 0:
                return
            self._master, slave = pty.openpty()
            tty.setraw(slave, termios.TCSANOW)
            name = os.ttyname(slave)
            os.close(slave)
            fresh = Path(self.path + ".new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(name)
            fresh.rename(self.path)

    def unplug(self) -> None:
        """Pull the cable."""
        with self._gate:
            if self._master < 0:
                return
            Path(self.path).unlink(missing_ok=True)
            os.close(self._master)
            self._master = -1

    def send(self, data: bytes) -> bool:
        """Put bytes on the line; False when it is unplugged."""
        with self._gate:
            if self._master < 0:
                return False
            os.write(self._master, data)
            return True

    def close(self) -> None:
        """Pull the cable for good."""
        self.unplug()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


class VirtualScanner(VirtualLine):
    """A scanner as we ask for it: CR after each code, AIM ids if `aim` is given."""

    def __init__(self, path: str = "", *, suffix: bytes = b"\r") -> None:
        super().__init__(path)
        self._suffix = suffix

    def scan(self, code: str) -> bool:
        """Pull the trigger on `code` (with its AIM id if it has one); False when unplugged."""
        with contextlib.suppress(OSError):
            return self.send(code.encode("utf-8") + self._suffix)
        return False
