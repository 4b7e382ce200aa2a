"""A TCP proxy that misbehaves on demand: between a node and its broker or database.

    proxy = FaultProxy(target_port)      # listens on proxy.port
    proxy.mode = "hole"                  # pass, hole, up, down, slow, refuse
    proxy.reset()                        # break every connection now

`hole` takes bytes and passes none on, either way; `up` and `down` do so one way only; `slow` adds
300 ms to every piece; `refuse` closes new connections at once.
"""

import contextlib
import socket
import struct
import threading
import time

MODES = ("hole", "up", "down", "slow", "refuse")
PIECE = 65_536
SLOW_S = 0.3


class FaultProxy:
    """Threads only: the supervisor that uses it is a program of threads."""

    def __init__(self, target_port: int, *, host: str = "127.0.0.1") -> None:
        self.mode = "pass"
        self.connections = 0
        self._target = (host, target_port)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = socket.create_server((host, 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            if self.mode == "refuse":
                near.close()
                continue
            try:
                far = socket.create_connection(self._target, timeout=5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            for one, other, way in ((near, far, "up"), (far, near, "down")):
                threading.Thread(target=self._pump, args=(one, other, way), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(PIECE):
                if self.mode in {"hole", way}:
                    continue  # bytes of a broken link never come: only a new connection is whole
                if self.mode == "slow":
                    time.sleep(SLOW_S)
                other.sendall(piece)
        self._close(one, other)

    def _close(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with self._lock:
                self._open.discard(one)
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def reset(self) -> None:
        """RST to everybody."""
        with self._lock:
            sockets = list(self._open)
        for one in sockets:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._close(*sockets)

    def heal(self) -> None:
        """Pass everything; what was cut in the middle starts anew."""
        if self.mode != "pass":
            self.mode = "pass"
            self.reset()

    def close(self) -> None:
        self._server.close()
        self.reset()
