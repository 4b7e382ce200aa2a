"""kill -9 of the real node at every state of a print job: one receipt, copies marked, one pulse."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from deploy.visitors import Clerk
from devices.sim.vprinter import VirtualPrinter
from edge.compose import Shop
from edge.settings import TillSettings
from tests.devices.waiting import wait_for
from tests.edge.shop_builder import BUN, PINS, build, open_shift, settings_for

ROOT = Path(__file__).parents[2]


class Row(NamedTuple):
    kind: str
    state: str
    copy_no: int
    tries: int
    error: str


class Node:
    """`tillmesh-edge run` in a process of its own, and what its spool says."""

    def __init__(self, folder: Path, printer: VirtualPrinter, profile: str) -> None:
        till = TillSettings(id="1", printer=printer.url, profile=profile, drawer=True)
        http = {"host": "127.0.0.1", "port": 0}
        self.folder = folder
        self.settings = settings_for(folder, tills=(till,))
        shop = build(folder, settings=self.settings)
        open_shift(shop)
        shop.books.database.close()
        document = msgspec.to_builtins(self.settings) | {"http": http}
        (folder / "edge.json").write_bytes(msgspec.json.encode(document))
        self._process: subprocess.Popen[str] | None = None

    def sell(self) -> None:
        """Start the node, pair a browser with it, sell a bun for cash."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", "-s", str(self.folder / "edge.json"), "run"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        address = self._process.stdout.readline().split()[-1]
        code = self._process.stdout.readline().split("till 1: ")[1].split()[0]
        clerk = Clerk(address)
        clerk.pair_and_sign_in(code, PINS["anna"])
        clerk.sell(BUN)
        clerk._http.close()

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None

    def jobs(self) -> list[Row]:
        """Kick first."""
        path = self.settings.database_path
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
            rows = database.execute(
                "SELECT kind, state, copy_no, tries, error FROM print_job ORDER BY seq"
            )
            return [Row(*row) for row in rows]

    def is_at(self, kick: str, receipt: str) -> bool:
        return [row.state for row in self.jobs()] == [kick, receipt]


@pytest.fixture
def printer() -> Iterator[VirtualPrinter]:
    made = VirtualPrinter()
    made.start()
    yield made
    made.stop()
    assert made.faults == []


@pytest.fixture
def node(tmp_path: Path, printer: VirtualPrinter, request: pytest.FixtureRequest) -> Iterator[Node]:
    made = Node(tmp_path, printer, getattr(request, "param", "80mm-48col"))
    yield made
    made.kill()


@contextlib.contextmanager
def restarted(node: Node) -> Iterator[Shop]:
    shop = build(node.folder, settings=node.settings)
    shop.printing.start()
    try:
        yield shop
    finally:
        shop.printing.stop()
        shop.books.database.close()


def test_killed_while_queued(node: Node, printer: VirtualPrinter) -> None:
    printer.set(cover_open=True)
    node.sell()
    wait_for(lambda: node.is_at("failed", "queued") and node.jobs()[1].error)
    assert [row.error for row in node.jobs()] == ["DRAWER_UNSURE", "PRINTER_COVER_OPEN"]
    node.kill()
    printer.set(cover_open=False)
    with restarted(node):
        wait_for(lambda: node.is_at("failed", "confirmed"))
    assert ["REPRINT" in text for text in printer.receipts()] == [False]
    assert printer.kicks == 0


def test_killed_while_the_kick_is_on_its_way(node: Node, printer: VirtualPrinter) -> None:
    printer.trouble(answer_s=600)  # the pulse is given, its fence stays unanswered
    node.sell()
    wait_for(lambda: printer.kicks == 1)
    assert node.is_at("sending", "queued")
    node.kill()
    printer.trouble(answer_s=0)
    with restarted(node):
        wait_for(lambda: node.is_at("unknown", "confirmed"))
    assert ["REPRINT" in text for text in printer.receipts()] == [False]
    assert printer.kicks == 1


def test_killed_while_sending(node: Node, printer: VirtualPrinter) -> None:
    printer.set(lines_left=4)
    node.sell()
    wait_for(lambda: printer.brain.knobs.paper == 0)
    assert node.is_at("confirmed", "sending")
    node.kill()
    printer.set(paper=2)  # what had left comes out, although nobody waits for it any more
    with restarted(node):
        wait_for(lambda: node.is_at("confirmed", "confirmed"))
    assert node.jobs()[1].copy_no == 1
    assert ["REPRINT" in text for text in printer.receipts()] == [False, True]
    assert printer.kicks == 1


def test_killed_while_unknown(node: Node, printer: VirtualPrinter) -> None:
    printer.set(lines_left=4)
    node.sell()
    wait_for(lambda: printer.brain.knobs.paper == 0)
    printer.power_off()
    wait_for(lambda: node.is_at("confirmed", "unknown"))
    assert node.jobs()[1].copy_no == 1
    node.kill()
    printer.set(paper=2)
    printer.power_on()
    with restarted(node):
        wait_for(lambda: node.is_at("confirmed", "confirmed"))
    papers = printer.papers()
    assert [(paper.torn, "REPRINT" in paper.text()) for paper in papers] == [
        (True, False),
        (False, True),
    ]
    assert printer.kicks == 1


@pytest.mark.parametrize(
    ("node", "state"),
    [("80mm-48col", "confirmed"), ("80mm-48col-mute", "sent")],
    indirect=["node"],
)
def test_killed_when_all_is_settled(node: Node, printer: VirtualPrinter, state: str) -> None:
    node.sell()
    wait_for(lambda: node.is_at(state, state))
    wait_for(printer.receipts)
    node.kill()
    with restarted(node) as shop:
        wait_for(lambda: shop.printing.ready("1"))
        wait_for(lambda: printer.connected)
        assert node.is_at(state, state)
    assert len(printer.receipts()) == 1
    assert printer.kicks == 1
