"""What a virtual printer hangs on: a socket that takes one till, or a serial line (a pty).

Both have the same face: `open`, `close`, `watched` (to wait for), `take` (bytes that came), `give`.
The printer holds its lock around every call.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from devices.sim.vserial import VirtualLine

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
TAKE_MAX: Final = 4096


class Wire(Protocol):
    """The cable of a virtual printer."""

    @property
    def url(self) -> str:
        """What a till's settings name."""
        ...

    @property
    def plugged(self) -> bool:
        """Can a till reach it?"""
        ...

    @property
    def connected(self) -> bool:
        """Does a till hold the line?"""
        ...

    def open(self) -> None:
        """Let tills come."""
        ...

    def close(self) -> None:
        """Break what there is."""
        ...

    def watched(self, *, reading: bool) -> list[int]:
        """Descriptors to wait for; without `reading` only those of newcomers."""
        ...

    def take(self, ready: AbstractSet[int], limit: int) -> bytes:
        """Serve newcomers; what came, at most `limit` bytes."""
        ...

    def give(self, data: bytes) -> None:
        """Send an answer; a till that has gone is no error."""
        ...


class SocketWire:
    """Port 9100 as most printers have it: one connection, a second one is refused."""

    def __init__(self, host: str, port: int, buffer_bytes: int = 0) -> None:
        self._host, self._port = host, port
        self._buffer_bytes = buffer_bytes
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None

    @property
    def url(self) -> str:
        """Known after the first `open`."""
        return f"socket://{self._host}:{self._port}"

    @property
    def plugged(self) -> bool:
        """Is the port open?"""
        return self._listener is not None

    @property
    def connected(self) -> bool:
        """Does a till hold the connection?"""
        return self._client is not None

    def open(self) -> None:
        """Listen; the same port again."""
        if self._listener is None:
            self._listener = socket.create_server((self._host, self._port), reuse_port=False)
            self._listener.setblocking(False)
            if self._buffer_bytes:  # connections inherit it
                buffer = socket.SO_RCVBUF
                self._listener.setsockopt(socket.SOL_SOCKET, buffer, self._buffer_bytes)
            self._port = self._listener.getsockname()[1]

    def close(self) -> None:
        """Break the connection with a reset, and refuse new ones."""
        if self._client is not None:
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._hang_up()
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def watched(self, *, reading: bool) -> list[int]:
        """The listener, and the till's connection when its bytes are wanted."""
        ends = [self._listener, self._client if reading else None]
        return [end.fileno() for end in ends if end is not None]

    def take(self, ready: AbstractSet[int], limit: int) -> bytes:
        """Accept who knocks, then read."""
        if self._listener is not None and self._listener.fileno() in ready:
            self._accept(self._listener)
        if self._client is None or self._client.fileno() not in ready:
            return b""
        try:
            data = self._client.recv(min(limit, TAKE_MAX))
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def give(self, data: bytes) -> None:
        """Send; hang up on a till that has gone."""
        if self._client is None:
            return
        try:
            self._client.send(data)
        except OSError:
            self._hang_up()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if self._client is not None:
            connection.close()
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = connection

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class SerialWire:
    """A USB-serial printer: its path goes away with the cable or the power."""

    def __init__(self, path: str = "") -> None:
        self._line = VirtualLine(path)
        self._line.unplug()
        self._heard = False

    @property
    def url(self) -> str:
        """The path of the tty."""
        return self._line.path

    @property
    def plugged(self) -> bool:
        """Is the cable in?"""
        return self._line.plugged

    @property
    def connected(self) -> bool:
        """Has a till spoken on this line?"""
        return self._line.plugged and self._heard

    def open(self) -> None:
        """Plug in."""
        self._line.plug()

    def close(self) -> None:
        """Pull the cable."""
        self._line.unplug()
        self._heard = False

    def watched(self, *, reading: bool) -> list[int]:
        """The master side, once somebody has the other side open."""
        end = self._line.fileno()
        return [end] if reading and end >= 0 else []

    def take(self, ready: AbstractSet[int], limit: int) -> bytes:
        """Read what came."""
        end = self._line.fileno()
        if end not in ready:
            return b""
        try:
            data = os.read(end, min(limit, TAKE_MAX))
        except OSError:  # nobody has the line open
            data = b""
        self._heard = bool(data) or self._heard
        return data

    def give(self, data: bytes) -> None:
        """Send."""
        with contextlib.suppress(OSError):
            self._line.send(data)

    def remove(self) -> None:
        """Give the path back for good."""
        self._line.close()
