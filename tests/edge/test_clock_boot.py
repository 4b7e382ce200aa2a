"""The real edge as a process: trusted with a dead server, killed and started again, a power cut."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from devices.sim.vntp import VirtualNtp
from protocol.clock import DAY_MS, HOUR_MS
from protocol.clockstatus import Basis, Mark
from protocol.node.highwater import NAME
from protocol.node.ntpclock import boot_id, wall_ms
from tests.edge.test_command import ROOT, joined  # noqa: F401 - a fixture
from tests.protocol.test_ntpclock import wait_for

pytestmark = pytest.mark.slow


class Edge:
    """One shop's process; `mark` is what it keeps of its clock."""

    def __init__(self, settings: Path) -> None:
        self.settings = settings
        self.database = settings.parent / "data" / "edge.db"
        self.log = settings.parent / "edge.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge.cli", "-s", str(self.settings), "run"],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=60)
            self.process = None

    def mark(self) -> Mark:
        if not self.database.exists():
            return Mark()
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)
        try:
            row = connection.execute(
                "SELECT value FROM node_state WHERE name = ?", (NAME,)
            ).fetchone()
        except sqlite3.OperationalError:  # the tables are being made
            return Mark()
        finally:
            connection.close()
        return msgspec.json.decode(row[0], type=Mark) if row else Mark()

    def keep(self, mark: Mark) -> None:
        """What another boot of the machine had left behind."""
        connection = sqlite3.connect(self.database, timeout=30)
        with connection:
            text = msgspec.json.encode(mark).decode()
            connection.execute("UPDATE node_state SET value = ? WHERE name = ?", (text, NAME))
        connection.close()

    def says(self, words: str) -> bool:
        """In what this start has logged."""
        return words in self.log.read_text(encoding="utf-8")

    def forget(self) -> None:
        self.log.write_text("")


@pytest.fixture
def servers() -> Iterator[list[VirtualNtp]]:
    made = [VirtualNtp(), VirtualNtp(), VirtualNtp(), VirtualNtp(silent=True)]
    yield made
    for one in made:
        one.stop()


@pytest.fixture
def edge(joined: Path, servers: list[VirtualNtp]) -> Iterator[Edge]:  # noqa: F811
    text = joined.read_text(encoding="utf-8")
    listed = ", ".join(f'"{one.address}"' for one in servers)
    lines = [f"ntp = [{listed}]" if line.startswith("ntp") else line for line in text.splitlines()]
    joined.write_text("\n".join(lines) + "\n", encoding="utf-8")
    made = Edge(joined)
    yield made
    made.end()


def test_a_shops_clock_through_kill_and_power_cut(edge: Edge, servers: list[VirtualNtp]) -> None:
    edge.start()
    wait_for(lambda: edge.mark().basis is Basis.SOURCES, 60)  # one of four is dead
    first = edge.mark()
    assert first.boot == boot_id()
    assert abs(first.utc_ms - wall_ms()) < DAY_MS
    assert first.u_ms < 1_000
    edge.end()  # kill -9

    for one in servers:
        one.behave(silent=True)
    edge.forget()
    edge.start()
    wait_for(lambda: edge.says("continued"), 60)  # the same boot: it has counted on
    wait_for(lambda: edge.mark().utc_ms > first.utc_ms, 60)
    edge.end()

    another = msgspec.structs.replace(edge.mark(), boot="another", utc_ms=wall_ms() - HOUR_MS)
    edge.keep(msgspec.structs.replace(another, good_ms=another.utc_ms))
    edge.forget()
    edge.start()  # after a power cut without a network, with a battery
    wait_for(lambda: edge.says("hardware"), 60)
    wait_for(lambda: edge.mark().basis is Basis.HARDWARE, 60)
    assert 2_000 <= edge.mark().u_ms < 10_000
    edge.end()

    edge.keep(msgspec.structs.replace(another, utc_ms=wall_ms() + 10 * DAY_MS))
    edge.forget()
    edge.start()  # the hardware clock shows a time that has gone by: a dead battery
    wait_for(lambda: edge.says("behind"), 60)
    for one in servers:
        one.become("good")
    edge.end(signal.SIGTERM)
