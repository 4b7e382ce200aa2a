"""A receipt printer on a real socket: the drivers connect to it as to any network printer.

    printer = VirtualPrinter(); printer.start()
    ...open printer.url, print...
    printer.receipts()[-1]        # the text grid of the last cut receipt
    printer.set(paper=0)          # knobs: paper 2/1/0, cover_open, offline, cutter_jam, lines_left
    printer.power_off(); printer.power_on()

It takes one connection at a time and refuses a second one, as most printers do.
"""

import selectors
import socket
import struct
import threading
from typing import Any, Final

from devices.sim.interpreter import EscPos, Knobs
from devices.sim.paper import Paper

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class VirtualPrinter:
    """An `EscPos` behind a TCP port, with the troubles of a real one.

    `mute` answers nothing, `garbage` answers nonsense, `stalled` reads nothing; `die_at(n)` cuts
    the power after n more bytes.
    """

    def __init__(
        self, *, columns: int = 48, dots: int = 576, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.brain = EscPos(columns=columns, dots=dots)
        self.mute = False
        self.garbage = False
        self.stalled = False
        self._host, self._port = host, port
        self._gate = threading.RLock()
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None
        self._left: int | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._bell, self._bell_end = socket.socketpair()
        self.power_on()

    @property
    def url(self) -> str:
        """What a till's settings name."""
        return f"socket://{self._host}:{self._port}"

    @property
    def powered(self) -> bool:
        """Is it on?"""
        return self._listener is not None

    @property
    def connected(self) -> bool:
        """Does a till hold the line?"""
        return self._client is not None

    @property
    def faults(self) -> list[str]:
        """What a strict printer did not understand; must stay empty."""
        return list(self.brain.faults)

    @property
    def kicks(self) -> int:
        """How often the drawer was opened."""
        return len(self.brain.kicks)

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="vprinter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close everything."""
        self._stopping = True
        self._ring()
        if self._thread is not None:
            self._thread.join(2)
        with self._gate:
            self.power_off()
            self._bell.close()
            self._bell_end.close()

    def power_on(self) -> None:
        """Switch on; the same port again."""
        with self._gate:
            if self._listener is not None:
                return
            self._listener = socket.create_server((self._host, self._port), reuse_port=False)
            self._listener.setblocking(False)
            self._port = self._listener.getsockname()[1]
            self._left = None
            self.brain.power_on()
        self._ring()

    def power_off(self) -> None:
        """Pull the plug: connections break, what is not printed is lost."""
        with self._gate:
            self._hang_up(reset=True)
            if self._listener is not None:
                self._listener.close()
                self._listener = None
            self.brain.power_on()  # the paper that hangs out is torn off
        self._ring()

    def die_at(self, count: int) -> None:
        """Cut the power when `count` more bytes have come."""
        with self._gate:
            self._left = count

    def set(self, **knobs: Any) -> None:
        """Turn knobs (`interpreter.Knobs`); what was held up goes on when nothing holds it."""
        with self._gate:
            for name, value in knobs.items():
                if name not in Knobs.__dataclass_fields__:
                    raise AttributeError(name)
                setattr(self.brain.knobs, name, value)
            self._answer(self.brain.resume())

    def papers(self) -> list[Paper]:
        """All papers that left the printer, torn ones included."""
        with self._gate:
            return list(self.brain.papers)

    def numbered(self, limit: int) -> list[tuple[int, Paper]]:
        """The newest papers with their running numbers from 0, newest first."""
        with self._gate:
            first = self.brain.dropped
            return list(enumerate(self.brain.papers, first))[-limit:][::-1]

    def receipts(self) -> list[str]:
        """Their text grids."""
        return [paper.text() for paper in self.papers()]

    def _ring(self) -> None:
        self._bell_end.send(b"\0")

    def _run(self) -> None:
        while not self._stopping:
            with selectors.DefaultSelector() as selector:
                selector.register(self._bell, selectors.EVENT_READ)
                with self._gate:
                    for end in (self._listener, self._client):
                        if end is not None and not (end is self._client and self.stalled):
                            selector.register(end, selectors.EVENT_READ)
                ready = {key.fileobj for key, _ in selector.select(0.05 if self.stalled else 1.0)}
            if self._bell in ready:
                self._bell.recv(64)
            with self._gate:
                if self._listener is not None and self._listener in ready:
                    self._accept(self._listener)
                if self._client is not None and self._client in ready:
                    self._read(self._client)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        if self._client is not None:
            connection.close()
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = connection

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(4096)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
            return
        if self._left is not None:
            data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
            self._answer(self.brain.feed(data))
            if rest or self._left == 0:
                self.power_off()
            return
        self._answer(self.brain.feed(data))

    def _answer(self, answers: bytes) -> None:
        if not answers or self.mute or self._client is None:
            return
        try:
            self._client.send(b"\xff" * len(answers) if self.garbage else answers)
        except OSError:
            self._hang_up()

    def _hang_up(self, *, reset: bool = False) -> None:
        if self._client is None:
            return
        if reset:
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._client.close()
        self._client = None
