"""Serve the pages with cheroot, in the node's own process.

server = Server(create_app(head_office), host, port)
server.start()      # returns once the port answers
server.stop()       # ends the streams first, then finishes what is under way
"""

import threading
from typing import Final

from cheroot.wsgi import Server as Cheroot
from flask import Flask

from central.web import live

SPARE_THREADS: Final = 32
STOP_S: Final = 3


class Server:
    """One listening port."""

    def __init__(self, app: Flask, host: str, port: int) -> None:
        self.app = app
        self._cheroot = Cheroot(
            (host, port),
            app,
            numthreads=live.STREAMS_MAX + SPARE_THREADS,
            request_queue_size=128,
            shutdown_timeout=STOP_S,
            timeout=30,
        )
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port in use (asked for 0: the one that was free)."""
        return int(self._cheroot.bind_addr[1])

    def start(self) -> None:
        """Take the port (OSError when it is in use) and serve in a thread."""
        self._cheroot.prepare()
        self._thread = threading.Thread(target=self._cheroot.serve, name="web", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the streams, finish the requests, close the port."""
        live.close(self.app)
        self._cheroot.stop()
        if self._thread is not None:
            self._thread.join(STOP_S)
