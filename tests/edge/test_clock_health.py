"""What the shop says of its clock: a notice per state; the mark in its books; a manager decides."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.sim.vntp import VirtualNtp
from edge.clockhealth import clock_notice
from edge.compose import Shop, ntp_clock
from edge.doctor import _ask_time
from edge.timekeeping import facts_of
from protocol import wire
from protocol.clock import DAY_MS, HOUR_MS, ClockState, Reading
from protocol.clockstatus import Basis, Mark, Status
from protocol.codec import body_of, decode
from protocol.errors import Refusal
from protocol.events import SaleCompleted
from protocol.node import ntpclock
from protocol.node.highwater import NAME, recall, remember
from protocol.node.ntpclock import NtpClock
from protocol.node.sqljournal import read_line
from protocol.wire import Clk, Heartbeat
from tests.edge.shop_builder import BUN, NOON_MS, build, open_shift, sell, settings_for
from tests.protocol.test_ntpclock import wait_for

T, H = ClockState.TRUSTED, ClockState.HOLDOVER
B, U = ClockState.BEHIND, ClockState.UNKNOWN


def status(state: ClockState, basis: Basis = Basis.NONE, **changes: object) -> Status:
    values = {"reading": Reading(NOON_MS, 2_500, state), "basis": basis, "code": "CLOCK_NO_SOURCE"}
    return Status(**(values | changes))


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (status(T, Basis.SOURCES, code=""), ""),
        (status(H, Basis.SOURCES), "HEALTH_HOLDOVER"),
        (status(H, Basis.CONTINUED), "HEALTH_HOLDOVER"),
        (status(H, Basis.HARDWARE), "HEALTH_CLOCK_HARDWARE"),
        (status(H, Basis.MANAGER), "HEALTH_CLOCK_MANAGER"),
        (status(B), "HEALTH_CLOCK_BEHIND"),
        (status(U), "HEALTH_CLOCK_UNKNOWN"),
        (
            status(H, Basis.SOURCES, code="CLOCK_JUMP", params={"by": "+1.0 h"}, contested=True),
            "HEALTH_CLOCK_CONTESTED",
        ),
        (
            status(T, Basis.SOURCES, code="", stepped_ms=9_000, stepped_at_ms=NOON_MS - 1),
            "HEALTH_CLOCK_STEPPED",
        ),
        (status(T, Basis.SOURCES, code="", stepped_ms=9_000, stepped_at_ms=NOON_MS - HOUR_MS), ""),
    ],
)
def test_every_state_has_its_words(found: Status, code: str) -> None:
    said = clock_notice(found)
    assert (said.code if said else "") == code
    if said:
        assert "{" not in said.en + said.zh


@pytest.fixture
def servers() -> Iterator[list[VirtualNtp]]:
    made = [VirtualNtp() for _ in range(3)]
    yield made
    for one in made:
        one.stop()


@pytest.fixture
def real(tmp_path: Path, servers: list[VirtualNtp]) -> Iterator[Shop]:
    """A shop with the real clock over real sockets; no thread asks but the test."""
    shop = build(tmp_path, clock=NtpClock([one.address for one in servers]))
    yield shop
    shop.books.database.close()


def test_a_dispute_shows_everywhere_and_a_manager_ends_it(
    real: Shop, servers: list[VirtualNtp]
) -> None:
    assert real.clock.ask_all()
    assert not real.timekeeping.wanted
    for one in servers:
        one.become("day-ahead")
    real.clock.ask_all()
    (verdict,) = [v for v in real.health.verdicts() if v.part == "clock"]
    assert verdict.code == "HEALTH_CLOCK_CONTESTED"
    assert "+24.0 h" in verdict.sentence_en
    facts = facts_of(real.node, ())
    assert (facts.contested, facts.code, facts.params) == (True, "CLOCK_JUMP", {"by": "+24.0 h"})
    assert real.timekeeping.wanted
    tomorrow = real.clock.status().proposed_ms
    real.timekeeping.confirm(tomorrow, person="mei")
    assert real.clock.ask_all()
    reading = real.clock.read()
    assert reading.state is T
    assert abs(reading.at_ms - tomorrow) < 60_000
    with pytest.raises(Refusal, match="TIME_TRUSTED"):
        real.timekeeping.confirm(tomorrow, person="mei")


def test_a_time_before_what_was_certain_needs_the_sources_to_say_the_same(
    real: Shop, servers: list[VirtualNtp]
) -> None:
    for one in servers:
        one.become("day-ahead")
    real.clock.ask_all()  # nobody could know
    real.clock.read()
    for one in servers:
        one.become("good")
    real.clock.ask_all()
    status = real.clock.status()
    assert status.contested
    with pytest.raises(Refusal, match="TIME_STRANGE"):
        real.timekeeping.confirm(status.proposed_ms - HOUR_MS, person="mei")
    real.timekeeping.confirm(status.proposed_ms, person="mei")
    assert real.clock.read().state is H
    assert real.clock.ask_all()


def test_facts_fit_into_a_heartbeat(real: Shop) -> None:
    real.clock.ask_all()
    heart = Heartbeat(
        node="s1",
        sess="s",
        now=1,
        head=0,
        acked=0,
        clk=Clk("trusted", 1, 1),
        clock=facts_of(real.node, ()),
    )
    again = wire.decode(Heartbeat, wire.encode(heart))
    assert again == heart
    assert again.clock is not None
    assert (again.clock.basis, again.clock.used, again.clock.asked) == ("sources", 3, 3)
    assert again.clock.tzdata


@pytest.mark.parametrize("state", list(ClockState))
def test_every_event_says_what_its_time_is_worth(tmp_path: Path, state: ClockState) -> None:
    shop = build(tmp_path)
    with shop.books.database.reading() as connection:
        before = len(read_line(connection, shop.node.stream, 0, limit=10_000))
    shop.clock.state, shop.clock.u_ms = state, 1_234
    open_shift(shop)
    sold = sell(shop, [BUN])
    with shop.books.database.reading() as connection:
        fresh = read_line(connection, shop.node.stream, 0, limit=10_000)[before:]
    envelopes = [decode(one.data) for one in fresh]
    assert len(envelopes) >= 3
    assert {(e.clk, e.u) for e in envelopes} == {(state.value, 1_234)}
    found = shop.selling.sale(sold.sale)
    assert found is not None
    body = next(body_of(e) for e in envelopes if e.type == "SaleCompleted")
    assert isinstance(body, SaleCompleted)
    context = body.context
    assert (context["clock_state"], context["uncertainty_ms"]) == (state.value, 1_234)
    assert context["store_tz"] == "Asia/Shanghai"
    shop.books.database.close()


def test_the_doctor_asks_the_time_servers(tmp_path: Path, servers: list[VirtualNtp]) -> None:
    ntp = tuple(one.address for one in servers)
    assert "from this machine's clock" in _ask_time(settings_for(tmp_path, ntp=ntp))
    for one in servers[:2]:
        one.become("unsynchronised")
    with pytest.raises(OSError, match="not synchronised itself"):
        _ask_time(settings_for(tmp_path, ntp=ntp))
    with pytest.raises(OSError, match="no ntp"):
        _ask_time(settings_for(tmp_path))


# -- the mark -------------------------------------------------------------------------------


def test_the_mark_is_kept_with_the_newest_event(real: Shop) -> None:
    real.clock.ask_all()
    mark = real.clock._judge.mark(wall_ms=ntpclock.wall_ms(), mono_ms=ntpclock.mono_ms())
    remember(real.books, real.node.stream, mark)
    last = recall(real.books, real.node.stream)
    assert (last.mark.utc_ms, last.mark.boot, last.told_ms) == (mark.utc_ms, ntpclock.boot_id(), 0)
    assert last.mark.seq > 0


def test_a_sale_is_a_mark_in_its_own_commit(tmp_path: Path) -> None:
    shop = build(tmp_path)
    remember(shop.books, shop.node.stream, Mark(utc_ms=NOON_MS - DAY_MS, good_ms=NOON_MS - DAY_MS))
    shop.clock.later(5_000)
    open_shift(shop)
    sell(shop, [BUN])
    last = recall(shop.books, shop.node.stream)
    assert (last.mark.utc_ms, last.told_ms) == (NOON_MS - DAY_MS, NOON_MS + 5_000)
    shop.clock.state = U
    shop.clock.at_ms += 400 * DAY_MS
    sell(shop, [BUN])
    assert recall(shop.books, shop.node.stream).told_ms == NOON_MS + 5_000  # untrusted: no mark
    shop.books.database.close()


@pytest.mark.parametrize("row", ["", "{", '{"utc_ms": "x"}', "[]"])
def test_a_damaged_mark_leaves_the_journal(tmp_path: Path, row: str) -> None:
    shop = build(tmp_path)
    open_shift(shop)
    with shop.books.begin() as tx:
        shop.books.set_state(tx, NAME, row)
    last = recall(shop.books, shop.node.stream)
    assert (last.mark, last.told_ms) == (Mark(), NOON_MS)
    shop.books.database.close()


BOOTS = {  # the wall clock after the power cut -> state and basis
    "plausible": (NOON_MS + HOUR_MS, H, Basis.HARDWARE),
    "1970": (0, B, Basis.NONE),
    "2000": (946_684_800_000, B, Basis.NONE),
    "an hour before the last sale": (NOON_MS - HOUR_MS, B, Basis.NONE),
    "400 days ahead": (NOON_MS + 400 * DAY_MS, U, Basis.NONE),
}


@pytest.mark.parametrize("name", BOOTS)
def test_after_a_power_cut_without_a_network(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real clock of a real shop, from its own books, on a machine with this hardware clock."""
    wall_ms, state, basis = BOOTS[name]
    shop = build(tmp_path)
    open_shift(shop)
    sell(shop, [BUN])
    shop.books.database.close()
    monkeypatch.setattr(ntpclock, "wall_ms", lambda: wall_ms)
    monkeypatch.setattr(ntpclock, "boot_id", lambda: "another boot")
    shop = build(tmp_path)
    clock = ntp_clock(settings_for(tmp_path), shop.books)
    found = clock.status()
    assert (found.reading.state, found.basis) == (state, basis)
    assert clock.high_water_ms >= NOON_MS
    if state is H:
        assert found.reading.u_ms >= 2_000
    shop.books.database.close()


def test_the_real_clock_of_a_shop_keeps_its_mark_by_itself(
    tmp_path: Path, servers: list[VirtualNtp]
) -> None:
    shop = build(tmp_path)
    ntp = tuple(one.address for one in servers)
    clock = ntp_clock(settings_for(tmp_path, ntp=ntp), shop.books)
    heard: list[bool] = []
    clock.changed = lambda: heard.append(True)
    clock.start()
    try:
        wait_for(lambda: bool(heard) and clock.read().state is T)
        wait_for(lambda: recall(shop.books, shop.node.stream).mark.basis is Basis.SOURCES)
    finally:
        clock.stop()
        shop.books.database.close()
