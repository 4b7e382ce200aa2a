"""One way to reach every device: a URL, bytes in, bytes out, and one error when it is gone.

    /dev/serial/by-id/usb-..     a tty; options as a query: ?baud=9600&parity=E&bits=7&rtscts=1
    socket://192.168.1.50:9100   TCP (receipt and label printers)
    /dev/usb/lp0                 the kernel's printer class
    file:///dev/usb/lp0          the same; also any plain file

Opening is exclusive: a tty and a file by a lock that the system keeps, TCP by a claim on the
address that other programs of this machine see, and a printer that another machine holds says so by
hanging up. It is bounded everywhere: 2 s for a name, 2 s to connect, 3 s without a byte taken, all
cut short by `Cancel`. Every way to lose a device (unplugged, refused, stalled, held by another) is
a `DeviceLost` with its own code and sentence. Ports are configured, never probed: a probe leaks
bytes into the neighbour's display.
"""

import contextlib
import errno
import fcntl
import os
import socket
import threading
from concurrent.futures import Future
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import serial

from devices.lines import (
    LOSSES,
    Cancel,
    DeviceLost,
    FilePort,
    OpenPort,
    Port,
    SerialPort,
    SocketPort,
    wait,
)

__all__ = ["Cancel", "DeviceLost", "OpenPort", "Port", "open_port", "wait"]
CONNECT_S: Final = 2.0
KEEPALIVE_S: Final = 1  # a cable that is pulled is noticed although nobody says anything
_GONE: Final = frozenset({errno.ENOENT, errno.ENODEV, errno.ENXIO})


def open_port(url: str, cancel: Cancel) -> Port:
    """Open `url` exclusively; raise DeviceLost with the reason.

    Args:
        url: a path, `socket://host:port` or `file:///path` (see the module's tutorial).
        cancel: raised by whoever wants the wait for a connection or for room to end at once.
    """
    scheme = urlsplit(url).scheme
    try:
        if scheme == "socket":
            return _open_socket(url, cancel)
        if scheme == "file":
            return _open_file(url, cancel)
        if _is_printer_class(url):
            return _open_file(f"file://{url}", cancel)
        return _open_serial(url, cancel)
    except FileNotFoundError as error:
        raise DeviceLost("DEVICE_MISSING", device=url) from error
    except ValueError as error:
        raise DeviceLost("DEVICE_URL_WRONG", device=url, detail=str(error)) from error
    except (PermissionError, *LOSSES) as error:
        raise _loss_at_open(url, error) from error


def _is_printer_class(path: str) -> bool:
    """Is it `/dev/usb/lp0`, or a link to it? It is no tty, and has no speed to set."""
    return os.path.realpath(path).startswith(("/dev/usb/", "/dev/lp"))


def _loss_at_open(url: str, error: Exception) -> DeviceLost:
    text = str(error)
    if isinstance(error, DeviceLost):
        return error
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, ConnectionRefusedError):
        return DeviceLost("DEVICE_REFUSED", device=url)
    if "exclusively lock" in text or number in {errno.EBUSY, errno.EAGAIN}:
        return DeviceLost("DEVICE_BUSY", device=url)
    if number in _GONE or "No such file" in text:
        return DeviceLost("DEVICE_MISSING", device=url)
    if number == errno.EACCES or "Permission denied" in text:
        return DeviceLost("DEVICE_FORBIDDEN", device=url)
    return DeviceLost("DEVICE_LOST", device=url, detail=text)


def _open_socket(url: str, cancel: Cancel) -> Port:
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        raise ValueError("socket://host:port is needed")
    family, kind, proto, _, address = _resolve(url, parts.hostname, parts.port)
    claim = _claim(url, f"{address[0]}:{address[1]}")
    connection = socket.socket(family, kind, proto)
    try:
        connection.setblocking(False)
        _watch_over(connection)
        with contextlib.suppress(BlockingIOError):
            connection.connect(address)
        _await_connection(url, connection, cancel)
    except BaseException:
        connection.close()
        claim.close()
        raise
    return SocketPort(url, cancel, connection, claim)


def _watch_over(connection: socket.socket) -> None:
    """Small packets at once; a peer that vanished from an idle line is noticed within 3 s.

    No TCP_USER_TIMEOUT: it ends the connection of a printer that only prints slowly.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)


def _claim(url: str, address: str) -> socket.socket:
    """One program of this machine per printer: a name in the kernel, gone with its holder.

    A lock file would need a folder that every account may write, and would outlive a crash.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0tillmesh-device/{address}")
    except OSError as error:
        claim.close()
        if error.errno == errno.EADDRINUSE:
            raise DeviceLost("DEVICE_BUSY", device=url) from error
        raise
    return claim


_resolving: Final[dict[tuple[str, int], "Future[Any]"]] = {}  # one question per name, not per try


def _resolve(url: str, host: str, port: int) -> Any:
    """The first address of a name; the resolver itself may hang for half a minute."""
    with contextlib.suppress(socket.gaierror):
        numeric = socket.AI_NUMERICHOST
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)[0]
    asked = _resolving.get((host, port))
    if asked is None:
        asked = _resolving[host, port] = Future()
        threading.Thread(target=_ask_name, args=(host, port, asked), daemon=True).start()
    try:
        return asked.result(CONNECT_S)
    except (TimeoutError, socket.gaierror, UnicodeError) as error:
        raise DeviceLost("DEVICE_NAME_UNKNOWN", device=url, host=host) from error


def _ask_name(host: str, port: int, asked: "Future[Any]") -> None:
    try:
        asked.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0])
    except (OSError, UnicodeError) as error:
        asked.set_exception(error)
    finally:
        _resolving.pop((host, port), None)


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
    return FilePort(url, cancel, descriptor)


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
    return SerialPort(url, cancel, line)
