"""cheroot for these pages: threads for all live streams and for those who ask beside them."""

import threading
from typing import Any, Final

from cheroot.wsgi import Server as WsgiServer
from flask import Flask

from edge.web.live import Streams

SPARE_THREADS: Final = 32


class Server:
    """Listen in the node's own process; `stop` ends the streams first, so it takes no time."""

    def __init__(self, app: Flask, host: str, port: int) -> None:
        self._streams: Streams = app.extensions["tillmesh_streams"]
        self._server: Any = WsgiServer(
            (host, port),
            app,
            numthreads=self._streams.limit + SPARE_THREADS,
            request_queue_size=128,
            timeout=30,
            shutdown_timeout=2,
        )
        self._server.nodelay = True
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Bind and serve in a thread; returns the port. OSError when it is taken."""
        self._server.prepare()
        self._thread = threading.Thread(target=self._server.serve, name="web", daemon=True)
        self._thread.start()
        return int(self._server.bind_addr[1])

    def stop(self) -> None:
        """End the streams, finish requests, close the port."""
        self._streams.close()
        self._server.stop()
        if self._thread is not None:
            self._thread.join(5)
