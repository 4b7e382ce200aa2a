"""Crafted messages at a real head office: refused or kept, never a crash, never a stall for others.

The rogue has a real shop's key, so what he signs passes the signature: what lies behind it must
hold too. After every few messages an honest shop sends a sale, and it must be acknowledged.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings

from protocol import wire
from protocol.ids import CENTRAL, shop_stream
from protocol.journal import ORIGIN, Position
from protocol.wire import Ack
from tests.builders import branch, make_batch, received
from tests.fuzz.crafted import messages
from tests.powercuts.disk import apsw_engines
from tests.simulation.clocks import SimClock
from tests.simulation.nodes import TOPICS
from tests.simulation.realnodes import KEYS, RealNode, virtual_time
from tests.simulation.sqlstores import SqlStore
from tests.simulation.words import SHOPS

EXAMPLES = 500
EXAMPLES_AT_NIGHT = 10_000
RUNS_AT_NIGHT = {"wire": 1_000_000, "promotions": 1_000_000, "files": 200_000}
HONEST = "b"
HONEST_EVERY = 25


class Office:
    """A real head office in virtual time, and one honest shop."""

    def __init__(self, folder: Path) -> None:
        self.now_ms = 0
        self.sent: list[tuple[str, bytes]] = []
        rng = random.Random(1)
        self.node = RealNode(
            CENTRAL,
            SqlStore(CENTRAL, "c" * 16, folder, rng),
            clock=SimClock(rng),
            send=lambda topic, payload, _: bool(self.sent.append((topic, payload))) or True,
            random_hex=lambda: "0" * 16,
            shops=SHOPS,
        )
        self.node.replicator.on_message = self._heartbeat
        self.node.linked(0)
        self._after: Position = ORIGIN
        self._honest = 0
        self.heard = 0

    def _heartbeat(self, topic: object, message: object) -> None:
        """As `central.syncing`: other leaves are read there."""

    def hear(self, topic: str, payload: bytes) -> None:
        self.heard += 1
        self.now_ms += 50
        self.node.clock.now_ms = self.now_ms
        self.node.inbox.append((topic, payload))
        self.node.turn(self.now_ms)
        if self.heard % HONEST_EVERY == 0:
            self.honest_sale()

    def honest_sale(self) -> None:
        """Sent, kept and acknowledged, whatever came before."""
        self._honest += 1
        events = branch(shop_stream(HONEST), [received(f"h{self._honest}")], after=self._after)
        batch = make_batch(events, prev=self._after.hash, node=HONEST)
        self._after = events[-1].position
        self.sent.clear()
        self.node.inbox.append(
            (TOPICS.up(HONEST, "journal"), wire.encode(wire.sign(batch, KEYS[HONEST].sign)))
        )
        self.node.turn(self.now_ms)
        acks = [wire.decode(Ack, p) for t, p in self.sent if t == TOPICS.dn(HONEST, "ack")]
        ends = [c.hash for ack in acks for c in ack.cursors]
        assert self._after.hash in ends, "the honest shop was not answered"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A line for each refusal would fill the report of a failure."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made: list[Office] = []
    with (
        apsw_engines(),
        virtual_time(lambda: made[0].now_ms if made else 0, lambda digits: "5" * digits),
    ):
        made.append(Office(tmp_path_factory.mktemp("office")))
        yield made[0]
        made[0].node.store.close()


def _try(office: Office, examples: int) -> None:
    before = office.heard

    @settings(
        max_examples=examples,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(messages())
    def hear(message: tuple[str, bytes]) -> None:
        office.hear(*message)

    hear()
    assert office.heard - before >= examples // 2
    assert office.node.refusals  # the corpus is not harmless
    office.honest_sale()
    assert office.node.store.books.verify() == []


def test_crafted_messages_harm_nobody(office: Office) -> None:
    _try(office, EXAMPLES)


@pytest.mark.nightly
def test_ten_thousand_crafted_messages_harm_nobody(office: Office) -> None:
    _try(office, EXAMPLES_AT_NIGHT)


@pytest.mark.nightly
@pytest.mark.parametrize("target", RUNS_AT_NIGHT)
def test_a_million_inputs_led_by_coverage(target: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.fuzz.{target}", f"-runs={RUNS_AT_NIGHT[target]}"],
        cwd=Path(__file__).parents[2],
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
