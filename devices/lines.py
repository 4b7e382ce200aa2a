"""What an open port does with bytes: one error when the device is gone, no wait for ever.

`devices.port` opens them. Every write and read ends: after SEND_S without progress, at once when
the owner raises its `Cancel`, or with `DeviceLost`, which says how the device was lost.
"""

import array
import contextlib
import fcntl
import os
import select
import socket
import stat
import termios
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import serial

from protocol.errors import Unavailable

SEND_S: Final = 3.0  # without any progress
SEND_TOTAL_S: Final = 60.0  # plus what a slow line needs for the bytes
SLOW_BYTES_PER_S: Final = 400  # a line at 4,800 baud
READ_MAX: Final = 4096
TAKEN_S: Final = 2.0  # who hangs up sooner, without a word, never let us in
LOSSES: Final = (serial.SerialException, OSError, termios.error)


class DeviceLost(Unavailable):
    """The device cannot be reached now; `code` says how, nothing more is known of sent bytes."""


class Cancel:
    """A flag that `select` can see, so that a stop interrupts every wait at once."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        os.set_blocking(self._write_fd, False)

    def fileno(self) -> int:
        """Readable while the flag is up."""
        return self._read_fd

    def set(self) -> None:
        """Raise the flag; any thread may."""
        with contextlib.suppress(BlockingIOError):  # a pipe full of flags is up
            os.write(self._write_fd, b"\0")

    def clear(self) -> None:
        """Lower the flag."""
        try:
            while os.read(self._read_fd, 512):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Give both ends back."""
        os.close(self._read_fd)
        os.close(self._write_fd)


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


def wait(
    readers: Sequence[_HasFileno], writers: Sequence[_HasFileno] = (), *, timeout_s: float
) -> set[int]:
    """The descriptors that can be read or written, or are broken, within `timeout_s`.

    `poll`, not `select`: a node with many browsers has descriptors above 1023.
    """
    poll = select.poll()
    for reader in readers:
        poll.register(reader.fileno(), select.POLLIN)
    for writer in writers:
        poll.register(writer.fileno(), select.POLLOUT)
    return {number for number, _ in poll.poll(max(0, round(timeout_s * 1000)))}


class Port(Protocol):
    """What a driver gets. One thread owns it."""

    url: str
    answers: bool  # False for a plain file: `select` calls it readable, yet nothing ever comes

    def fileno(self) -> int:
        """For `select` while waiting for bytes, if it answers."""
        ...

    def write(self, data: bytes) -> None:
        """Hand over all bytes; DeviceLost after SEND_S without progress: some may have left."""
        ...

    def read(self, timeout_s: float = 0.0) -> bytes:
        """What has come, at most READ_MAX bytes; b"" after `timeout_s`; DeviceLost when gone."""
        ...

    def unsent(self) -> int:
        """Bytes that were written and have not left this machine yet; 0 where nobody knows."""
        ...

    def close(self) -> None:
        """Close; never raises, may be called twice."""
        ...


OpenPort = Callable[[str, Cancel], Port]  # the shape of `open_port`, for those who inject one


class _FdPort:
    """What the three kinds share: a file descriptor that does not block."""

    def __init__(self, url: str, cancel: Cancel) -> None:
        self.url = url
        self.answers = True
        self._cancel = cancel

    def fileno(self) -> int:
        raise NotImplementedError

    def _send(self, data: memoryview) -> int:
        raise NotImplementedError

    def _receive(self) -> bytes:
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        deadline = time.monotonic() + SEND_TOTAL_S + len(data) / SLOW_BYTES_PER_S
        try:
            while rest:
                left_s = deadline - time.monotonic()
                self._await_room(max(0.0, min(SEND_S, left_s)))
                with contextlib.suppress(BlockingIOError):  # said writable, was not: look again
                    rest = rest[self._send(rest) :]
        except LOSSES as error:
            raise self._loss(str(error)) from error

    def _await_room(self, left_s: float) -> None:
        ready = wait([self._cancel], [self], timeout_s=left_s)
        if self._cancel.fileno() in ready:
            raise DeviceLost("DEVICE_CLOSED", device=self.url)
        if not ready:
            raise DeviceLost("DEVICE_STALLED", device=self.url, seconds=SEND_S)

    def read(self, timeout_s: float = 0.0) -> bytes:
        try:
            if self.fileno() not in wait([self, self._cancel], timeout_s=timeout_s):
                return b""
            data = self._receive()
        except BlockingIOError:
            return b""
        except (*LOSSES, ValueError) as error:  # ValueError: the descriptor is already closed
            raise self._loss(str(error)) from error
        if not data:
            self._ended()
        return data

    def _loss(self, detail: str) -> DeviceLost:
        return DeviceLost("DEVICE_LOST", device=self.url, detail=detail)

    def _ended(self) -> None:
        """Nothing came although something was to be read."""
        raise self._loss("end of stream")

    def unsent(self) -> int:
        """`TIOCOUTQ`: a tty's queue, and for a socket what the peer has not acknowledged."""
        waiting = array.array("i", [0])
        try:
            fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, waiting)
        except OSError:
            return 0
        return waiting[0]


class SocketPort(_FdPort):
    """A TCP connection; `claim` keeps other programs of this machine away while it lives."""

    def __init__(
        self, url: str, cancel: Cancel, connection: socket.socket, claim: socket.socket
    ) -> None:
        super().__init__(url, cancel)
        self._socket = connection
        self._claim = claim
        self._opened = time.monotonic()
        self._heard = False

    def fileno(self) -> int:
        """The socket."""
        return self._socket.fileno()

    def _send(self, data: memoryview) -> int:
        return self._socket.send(data)

    def _receive(self) -> bytes:
        data = self._socket.recv(READ_MAX)
        self._heard = self._heard or bool(data)
        return data

    def _loss(self, detail: str) -> DeviceLost:
        """A printer that has a till already takes the connection and drops it at once."""
        if not self._heard and time.monotonic() - self._opened < TAKEN_S:
            return DeviceLost("DEVICE_TAKEN", device=self.url)
        return super()._loss(detail)

    def close(self) -> None:
        """Hang up, and let others have the address."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)  # bytes on the way still arrive
        self._socket.close()
        self._claim.close()


class SerialPort(_FdPort):
    """A tty that pyserial opened and set."""

    def __init__(self, url: str, cancel: Cancel, line: serial.Serial) -> None:
        super().__init__(url, cancel)
        self._line = line

    def fileno(self) -> int:
        """The tty."""
        return int(self._line.fileno())

    def _send(self, data: memoryview) -> int:
        return os.write(self.fileno(), data)  # pyserial opens and sets; its own I/O uses select

    def _receive(self) -> bytes:
        return os.read(self.fileno(), READ_MAX)

    def close(self) -> None:
        """Give the tty back."""
        with contextlib.suppress(*LOSSES):  # a dead pty cannot get its old attributes back
            self._line.close()


class FilePort(_FdPort):
    """The kernel's printer class, or a plain file."""

    def __init__(self, url: str, cancel: Cancel, descriptor: int) -> None:
        super().__init__(url, cancel)
        self._descriptor = descriptor
        mode = os.fstat(descriptor).st_mode
        self.answers = not stat.S_ISREG(mode)
        self._is_device = stat.S_ISCHR(mode)

    def fileno(self) -> int:
        """The file."""
        return self._descriptor

    def _send(self, data: memoryview) -> int:
        return os.write(self._descriptor, data)

    def _receive(self) -> bytes:
        return os.read(self._descriptor, READ_MAX)

    def read(self, timeout_s: float = 0.0) -> bytes:
        """As the others; a plain file never says anything."""
        if not self.answers:
            wait([self._cancel], timeout_s=timeout_s)
            return b""
        return super().read(timeout_s)

    def _ended(self) -> None:
        if not self._is_device:  # USB printers send empty packets; a lost one is an OSError
            super()._ended()

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
