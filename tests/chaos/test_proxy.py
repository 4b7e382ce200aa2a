"""The proxy that torments links does what its modes say."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import FaultProxy

WAIT_S = 30


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says everything again."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(one,), daemon=True).start()

    def answer(one: socket.socket) -> None:
        with one:
            while True:
                try:
                    data = one.recv(100)
                    one.sendall(data)
                except OSError:
                    return
                if not data:
                    return

    threading.Thread(target=serve, daemon=True).start()
    yield int(server.getsockname()[1])
    server.close()


@pytest.fixture
def proxy(echo: int) -> Iterator[FaultProxy]:
    made = FaultProxy(echo)
    yield made
    made.close()


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S)


def test_it_passes_everything(proxy: FaultProxy) -> None:
    with connect(proxy) as one:
        one.sendall(b"hello")
        assert one.recv(5) == b"hello"


@pytest.mark.parametrize("mode", ["hole", "up", "down"])
def test_what_falls_into_a_hole_never_comes(proxy: FaultProxy, mode: str) -> None:
    with connect(proxy) as one:
        one.sendall(b"a")
        assert one.recv(1) == b"a"
        proxy.mode = mode
        one.sendall(b"lost")
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):
            one.recv(1)


def test_a_healed_link_starts_anew(proxy: FaultProxy) -> None:
    proxy.mode = "slow"
    with connect(proxy) as one:
        one.sendall(b"a")
        assert one.recv(1) == b"a"
        proxy.heal()
        with contextlib.suppress(ConnectionResetError):
            assert one.recv(1) == b""
    with connect(proxy) as again:
        again.sendall(b"b")
        assert again.recv(1) == b"b"


def test_it_refuses(proxy: FaultProxy) -> None:
    proxy.mode = "refuse"
    with connect(proxy) as one, contextlib.suppress(ConnectionResetError):
        assert one.recv(1) == b""
