"""Real ptys and sockets for the devices' tests; threads and descriptors are counted."""

import contextlib
import os
import pty
import queue
import socket
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, event
from sqlalchemy.engine import Connection

from devices.printer import Printer
from devices.receipt import profile
from devices.sim.vprinter import VirtualPrinter
from devices.spool import define_print_job
from tests.devices.waiting import wait_for


@pytest.fixture
def eventually() -> Callable[..., object]:
    return wait_for


class Pty:
    """A pty whose slave is behind a symlink that survives replug."""

    def __init__(self, link: str) -> None:
        self.link = link
        self.master = -1
        self.plug()

    def plug(self) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        name = os.ttyname(slave)
        os.close(slave)
        with contextlib.suppress(FileNotFoundError):
            Path(self.link).unlink()
        Path(self.link).symlink_to(name)

    def unplug(self) -> None:
        if self.master >= 0:
            with contextlib.suppress(FileNotFoundError):
                Path(self.link).unlink()
            os.close(self.master)
            self.master = -1

    def send(self, data: bytes) -> None:
        os.write(self.master, data)


@pytest.fixture
def line(tmp_path: object) -> Iterator[Pty]:
    end = Pty(f"{tmp_path}/tty")
    yield end
    end.unplug()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


@pytest.fixture
def events() -> "queue.Queue[object]":
    return queue.Queue()


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    """Every test gives back its threads and descriptors."""
    threads, files = threading.active_count(), _descriptors()
    yield
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if threading.active_count() <= threads and _descriptors() <= files:
            return
        time.sleep(0.01)
    alive = [t.name for t in threading.enumerate()]
    assert threading.active_count() <= threads, alive
    assert _descriptors() <= files


@pytest.fixture
def vprinter() -> Iterator[VirtualPrinter]:
    """A strict virtual printer on a socket; whatever a test does, it understood every byte."""
    printer = VirtualPrinter()
    printer.start()
    yield printer
    printer.stop()
    assert printer.faults == []


@pytest.fixture
def till_printer(vprinter, events) -> Iterator[Printer]:
    """The real driver on it."""
    printer = Printer("till-1", vprinter.url, profile=profile("80mm-48col"), on_event=events.put)
    printer.start()
    yield printer
    printer.stop()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[[], object]]:
    """A write transaction on a real SQLite file, as an edge opens it."""
    engine = create_engine(f"sqlite:///{tmp_path}/edge.db")

    @event.listens_for(engine, "connect")
    def _manual(connection: object, record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")

    @event.listens_for(engine, "begin")
    def _immediate(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    metadata = MetaData()
    define_print_job(metadata)
    with engine.begin() as connection:
        metadata.create_all(connection)
    yield engine.begin
    engine.dispose()
