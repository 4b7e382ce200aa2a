"""One way to reach every device: a URL, bytes in, bytes out, and one error when it is gone.

    /dev/serial/by-id/usb-..     a tty; options as a query: ?baud=9600&parity=E&bits=7&rtscts=1
    socket://192.168.1.50:9100   TCP (receipt and label printers)
    file:///dev/usb/lp0          the kernel's printer class; also any plain file

Opening is exclusive where the system can do it (tty, file) and bounded everywhere: 2 s to connect,
3 s without a byte taken, both cut short by `Cancel`. Every way to lose a device (unplugged,
refused, stalled, held by another program) is a `DeviceLost` with its own code and sentence. Ports
are configured, never probed: a probe leaks bytes into the neighbour's display.
"""

import contextlib
import fcntl
import os
import select
import socket
import stat
import termios
import time
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

import serial

from protocol.errors import Unavailable

CONNECT_S = 2.0
SEND_S = 3.0  # without any progress
SEND_TOTAL_S = 60.0
READ_MAX = 4096
_LOSSES = (serial.SerialException, OSError, termios.error)


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
        deadline = time.monotonic() + SEND_TOTAL_S
        try:
            while rest:
                left_s = deadline - time.monotonic()
                self._await_room(max(0.0, min(SEND_S, left_s)))
                with contextlib.suppress(BlockingIOError):  # said writable, was not: look again
                    rest = rest[self._send(rest) :]
        except _LOSSES as error:
            raise DeviceLost("DEVICE_LOST", device=self.url, detail=str(error)) from error

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
        except (*_LOSSES, ValueError) as error:  # ValueError: the descriptor is already closed
            raise DeviceLost("DEVICE_LOST", device=self.url, detail=str(error)) from error
        if not data:
            raise DeviceLost("DEVICE_LOST", device=self.url, detail="end of stream")
        return data


class _SocketPort(_FdPort):
    def __init__(self, url: str, cancel: Cancel, connection: socket.socket) -> None:
        super().__init__(url, cancel)
        self._socket = connection

    def fileno(self) -> int:
        return self._socket.fileno()

    def _send(self, data: memoryview) -> int:
        return self._socket.send(data)

    def _receive(self) -> bytes:
        return self._socket.recv(READ_MAX)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)  # bytes on the way still arrive
        self._socket.close()


class _SerialPort(_FdPort):
    def __init__(self, url: str, cancel: Cancel, line: serial.Serial) -> None:
        super().__init__(url, cancel)
        self._line = line

    def fileno(self) -> int:
        return int(self._line.fileno())

    def _send(self, data: memoryview) -> int:
        return os.write(self.fileno(), data)  # pyserial opens and sets; its own I/O uses select

    def _receive(self) -> bytes:
        return os.read(self.fileno(), READ_MAX)

    def close(self) -> None:
        with contextlib.suppress(*_LOSSES):  # a dead pty cannot get its old attributes back
            self._line.close()


class _FilePort(_FdPort):
    def __init__(self, url: str, cancel: Cancel, descriptor: int) -> None:
        super().__init__(url, cancel)
        self._descriptor = descriptor
        self.answers = not stat.S_ISREG(os.fstat(descriptor).st_mode)

    def fileno(self) -> int:
        return self._descriptor

    def _send(self, data: memoryview) -> int:
        return os.write(self._descriptor, data)

    def _receive(self) -> bytes:
        return os.read(self._descriptor, READ_MAX)

    def read(self, timeout_s: float = 0.0) -> bytes:
        if not self.answers:
            wait([self._cancel], timeout_s=timeout_s)
            return b""
        return super().read(timeout_s)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_port(url: str, cancel: Cancel) -> Port:
    """Open `url` exclusively; raise DeviceLost with the reason.

    Args:
        url: a tty path, `socket://host:port` or `file:///path` (see the module's tutorial).
        cancel: raised by whoever wants the wait for a connection or for room to end at once.
    """
    scheme = urlsplit(url).scheme
    try:
        if scheme == "socket":
            return _open_socket(url, cancel)
        if scheme == "file":
            return _open_file(url, cancel)
        return _open_serial(url, cancel)
    except FileNotFoundError as error:
        raise DeviceLost("DEVICE_MISSING", device=url) from error
    except ValueError as error:
        raise DeviceLost("DEVICE_URL_WRONG", device=url, detail=str(error)) from error
    except (PermissionError, *_LOSSES) as error:
        raise _loss_at_open(url, error) from error


def _loss_at_open(url: str, error: Exception) -> DeviceLost:
    text = str(error)
    if isinstance(error, DeviceLost):
        return error
    if isinstance(error, ConnectionRefusedError):
        return DeviceLost("DEVICE_REFUSED", device=url)
    if "exclusively lock" in text or isinstance(error, BlockingIOError):
        return DeviceLost("DEVICE_BUSY", device=url)
    if "No such file" in text:
        return DeviceLost("DEVICE_MISSING", device=url)
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return DeviceLost("DEVICE_FORBIDDEN", device=url)
    return DeviceLost("DEVICE_LOST", device=url, detail=text)


def _open_socket(url: str, cancel: Cancel) -> Port:
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        raise ValueError("socket://host:port is needed")
    family, kind, proto, _, address = socket.getaddrinfo(
        parts.hostname, parts.port, type=socket.SOCK_STREAM
    )[0]
    connection = socket.socket(family, kind, proto)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        with contextlib.suppress(BlockingIOError):
            connection.connect(address)
        _await_connection(url, connection, cancel)
    except BaseException:
        connection.close()
        raise
    return _SocketPort(url, cancel, connection)


def _await_connection(url: str, connection: socket.socket, cancel: Cancel) -> None:
    ready = wait([cancel], [connection], timeout_s=CONNECT_S)
    if cancel.fileno() in ready:
        raise DeviceLost("DEVICE_CLOSED", device=url)
    if not ready:
        raise DeviceLost("DEVICE_SILENT", device=url, seconds=CONNECT_S)
    failure = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failure:
        raise OSError(failure, os.strerror(failure))


def _open_file(url: str, cancel: Cancel) -> Port:
    path = urlsplit(url).path
    flags = os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | flags)
    except PermissionError:
        descriptor = os.open(path, os.O_WRONLY | flags)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return _FilePort(url, cancel, descriptor)


def _open_serial(url: str, cancel: Cancel) -> Port:
    path, _, query = url.partition("?")
    options = {key: values[-1] for key, values in parse_qs(query).items()}
    unknown = options.keys() - {"baud", "bits", "parity", "stop", "rtscts", "xonxoff"}
    if unknown:
        raise ValueError(f"unknown option {', '.join(sorted(unknown))}")
    line = serial.serial_for_url(
        path.removeprefix("serial://"),
        baudrate=int(options.get("baud", "9600")),
        bytesize=int(options.get("bits", "8")),
        parity=options.get("parity", "N").upper(),
        stopbits=float(options.get("stop", "1")),
        rtscts=options.get("rtscts") == "1",
        xonxoff=options.get("xonxoff") == "1",
        timeout=0,
        write_timeout=0,
        exclusive=True,
    )
    return _SerialPort(url, cancel, line)
