"""A manager confirms the time: the real clock without sources, a timed rule that waits for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.compose import Shop
from protocol.clock import ClockState
from protocol.errors import Refusal, Unavailable
from protocol.events import ClockConfirmed
from protocol.ids import ALL
from protocol.node.books import opened
from protocol.node.ntpclock import NtpClock
from protocol.node.sqljournal import read_line
from tests.edge.shop_builder import BREAD, NOON_MS, build, head_office, ring_up
from tests.edge.test_rules import timed


@pytest.fixture
def unsure(tmp_path: Path) -> Iterator[Shop]:
    """A shop whose clock has no source and no memory."""
    shop = build(tmp_path, clock=NtpClock(()))
    head_office(shop, ALL, timed())
    shop.rules.refresh()
    yield shop
    shop.books.database.close()


def test_a_confirmed_time_lets_timed_rules_apply(unsure: Shop) -> None:
    assert ring_up(unsure, [BREAD]).discount_minor == 0
    unsure.timekeeping.confirm(NOON_MS, person="mei")
    view = unsure.selling.view("1")
    assert (view.clock_state, view.discount_minor) == ("holdover", 120)
    assert 60_000 <= view.clock_u_ms < 61_000
    with unsure.books.database.reading() as connection:
        last = read_line(connection, unsure.node.stream, 0, limit=100)[-1]
    envelope = opened(last)[0].envelope
    assert isinstance(opened(last)[0].body, ClockConfirmed)
    assert (envelope.actor, envelope.clk) == ("mei", "holdover")
    with pytest.raises(Refusal, match="TIME_TRUSTED"):
        unsure.timekeeping.confirm(NOON_MS, person="mei")


def test_only_a_manager_and_only_a_possible_time(unsure: Shop) -> None:
    with pytest.raises(Refusal, match="NOT_ALLOWED"):
        unsure.timekeeping.confirm(NOON_MS, person="anna")
    with pytest.raises(Refusal, match="TIME_STRANGE"):
        unsure.timekeeping.confirm(1_000, person="mei")
    assert unsure.clock.read().state is ClockState.UNKNOWN


def test_a_clock_that_takes_no_confirmation_says_so(shop: Shop, clock) -> None:
    clock.state = ClockState.UNKNOWN
    with pytest.raises(Unavailable, match="TIME_FIXED"):
        shop.timekeeping.confirm(NOON_MS + 1, person="mei")
