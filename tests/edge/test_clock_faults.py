"""Jumps, DST changes, dead batteries: no price and no promotion outside its window, ever.

A real shop with the real judge; the machine's clocks and the time servers are moved by a seed. The
oracle knows the true time and reads windows off the wall by itself.
"""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from edge.compose import Shop
from protocol.clock import DAY_MS, HOUR_MS, MINUTE_MS, Reading
from protocol.clockstatus import Last, Mark, Status
from protocol.events import PriceSet, PromotionPublished
from protocol.ids import ALL
from protocol.node.ntpclock import BUILD_MS
from protocol.timesources import Sample
from protocol.trustedclock import TrustedClock
from tests.edge.shop_builder import BREAD, BUN, build, head_office, ring_up, settings_for

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR_2000_MS = 946_684_800_000
OLD, NEW = 350, 400  # the price of a bun before and from its instant on
ZONES = {  # a shop's zone -> when its clocks change next
    "Asia/Shanghai": "2027-03-28T01:00",
    "Europe/Berlin": "2027-03-28T01:00",
    "America/New_York": "2027-11-07T06:00",
    "Australia/Lord_Howe": "2027-04-03T15:00",  # by half an hour
}


def ms_of(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def wall(at_ms: int, zone: ZoneInfo) -> datetime:
    return (EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone).replace(tzinfo=None)


def inside(at_ms: int, start: str, end: str, zone: ZoneInfo) -> bool:
    """Started: the wall has shown the start; not ended: it shows the end or will do so again."""
    around = [wall(at_ms + k * MINUTE_MS, zone) for k in range(-150, 151)]
    started = max(around[:151]) >= datetime.fromisoformat(start)
    ended = min(around[150:]) >= datetime.fromisoformat(end) + timedelta(minutes=1)
    return started and not ended


class Machine:
    """The shop's clock: the real judge on a machine whose parts a test moves."""

    def __init__(self, true_ms: int) -> None:
        self.true_ms, self.mono_ms, self.wall_off_ms = true_ms, 5_000, 0
        self.boots = 0
        self.judge = self._started(Mark())
        self.round(0, 0, 0)

    def _started(self, mark: Mark) -> TrustedClock:
        last = Last(mark=mark, boot=f"boot {self.boots}")
        return TrustedClock(build_ms=BUILD_MS, last=last, **self._now())

    def _now(self) -> dict[str, int]:
        return {"wall_ms": max(0, self.true_ms + self.wall_off_ms), "mono_ms": self.mono_ms}

    def read(self) -> Reading:
        return self.judge.read(**self._now())

    def status(self) -> Status:
        return self.judge.status(**self._now())

    @property
    def high_water_ms(self) -> int:
        return self.judge.certain_ms(self.mono_ms)

    def passes(self, ms: int) -> None:
        self.true_ms += ms
        self.mono_ms += ms

    def round(self, *off_ms: int) -> None:
        true = self.true_ms - self.mono_ms
        self.judge.judge(
            [Sample(f"s{n}", true + o, 15) for n, o in enumerate(off_ms)], **self._now()
        )

    def central(self) -> None:
        self.judge.hear_central(self.true_ms - 40, 30, **self._now())

    def restarts(self) -> None:
        self.judge = self._started(self.judge.mark(**self._now()))

    def power_cut(self, off_ms: int, wall_ms: int | None) -> None:
        mark = self.judge.mark(**self._now())
        self.true_ms += off_ms
        self.boots, self.mono_ms = self.boots + 1, 5_000
        self.wall_off_ms = 0 if wall_ms is None else wall_ms - self.true_ms
        self.judge = self._started(mark)


class TheClock:
    """What the shop holds: the machine of the case that runs."""

    def __init__(self) -> None:
        self.machine = Machine(BUILD_MS + DAY_MS)

    def read(self) -> Reading:
        return self.machine.read()

    def status(self) -> Status:
        return self.machine.status()

    @property
    def high_water_ms(self) -> int:
        return self.machine.high_water_ms


FAULTS = {
    "jump of an hour": lambda m, r: setattr(m, "wall_off_ms", r.choice([-1, 1]) * HOUR_MS),
    "jump of a second": lambda m, _: setattr(m, "wall_off_ms", -1_000),
    "jump of 400 days": lambda m, _: setattr(m, "wall_off_ms", 400 * DAY_MS),
    "set to 1970": lambda m, _: setattr(m, "wall_off_ms", -m.true_ms),
    "restart": lambda m, _: m.restarts(),
    "power cut, dead battery": lambda m, r: m.power_cut(
        r.randrange(10 * HOUR_MS), r.choice([0, YEAR_2000_MS])
    ),
    "power cut, hardware clock 400 days ahead": lambda m, r: m.power_cut(
        r.randrange(HOUR_MS), m.true_ms + 400 * DAY_MS
    ),
    "power cut": lambda m, r: m.power_cut(r.randrange(10 * HOUR_MS), None),
    "servers a day ahead": lambda m, _: m.round(DAY_MS, DAY_MS, DAY_MS),
    "two of three an hour behind, central there": lambda m, _: (
        m.central(),
        m.round(-HOUR_MS, -HOUR_MS, 0),
    ),
    "one of three a day ahead": lambda m, _: m.round(DAY_MS, 0, 0),
    "no server": lambda m, _: m.round(),
    "good servers": lambda m, _: m.round(0, 5, -5),
    "suspend": lambda m, r: m.passes(r.randrange(12 * HOUR_MS)),
    "a while": lambda m, r: m.passes(r.randrange(2 * HOUR_MS)),
    "ten seconds": lambda m, _: m.passes(10_000),
}


def anchored(machine: Machine) -> bool:
    """Does anything contradict servers that lie? Else nobody can know, and no case may claim it."""
    status = machine.status()
    return status.basis.value in {"sources", "continued", "manager"}


class Bakery:
    """One shop in one zone: a bun that becomes dearer, a rule for some hours, two daily rules."""

    def __init__(self, folder: Path, tz: str) -> None:
        self.zone, self.tz = ZoneInfo(tz), tz
        self.change_ms = ms_of(ZONES[tz])
        self.clock = TheClock()
        self.shop: Shop = build(folder, clock=self.clock, settings=settings_for(folder, tz=tz))
        self.start = f"{wall(self.change_ms - 20 * MINUTE_MS, self.zone):%Y-%m-%dT%H:%M}"
        self.end = f"{wall(self.change_ms + 100 * MINUTE_MS, self.zone):%Y-%m-%dT%H:%M}"
        self.new_from_ms = self.change_ms + 30 * MINUTE_MS
        document = {
            "id": "T1",
            "version": 1,
            "type": "percent_off",
            "percent": 10,
            "select": {"skus": ["bread"]},
            "when": {"start": self.start, "end": self.end},
        }
        head_office(
            self.shop,
            ALL,
            PromotionPublished(rule="T1", version=1, document=document),
            PriceSet(sku="bun", price_minor=NEW, effective_from_ms=self.new_from_ms),
        )
        self.shop.rules.refresh()

    def case(self, seed: int) -> tuple[str, str]:
        """("", state) when all is right; else what was wrong, with its seed."""
        dice = random.Random(f"{self.tz} {seed}")
        machine = Machine(self.change_ms + dice.randrange(-3 * HOUR_MS, 3 * HOUR_MS))
        self.clock.machine = machine
        story = []
        for _ in range(dice.randrange(1, 6)):
            name = dice.choice(list(FAULTS))
            if "ahead" in name and "servers" in name and not anchored(machine):
                machine.central()
            FAULTS[name](machine, dice)
            story.append(name)
        view = ring_up(self.shop, [BUN, BREAD])
        reading = machine.read()
        self.shop.selling.clear("1", person="anna")
        price = view.lines[0].unit_price_minor
        wrong = self._wrong(machine, reading, price, applied=bool(view.discount_minor))
        return (
            f"{self.tz} {seed} {story} {reading}: {wrong}" if wrong else ""
        ), reading.state.value

    def _wrong(self, machine: Machine, reading: Reading, price: int, *, applied: bool) -> str:
        true_ms, u_ms = machine.true_ms, reading.u_ms
        if price == NEW and true_ms + 1 < self.new_from_ms:
            return "the new price too early"
        if reading.state.trusted and reading.at_ms - u_ms >= self.new_from_ms and price != NEW:
            return "the old price although the new one surely holds"
        if applied and not inside(true_ms, self.start, self.end, self.zone):
            return "a promotion outside its window"
        edges = [reading.at_ms + k * u_ms // 10 for k in range(-10, 11)]
        sure = all(inside(at, self.start, self.end, self.zone) for at in edges)
        if reading.state.trusted and sure and not applied:
            return "a promotion that surely holds was left out"
        return ""


@pytest.fixture(scope="module", params=ZONES)
def bakery(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bakery]:
    made = Bakery(tmp_path_factory.mktemp("bakery"), request.param)
    yield made
    made.shop.books.database.close()


def run(bakery: Bakery, cases: range) -> Counter[str]:
    results = [bakery.case(seed) for seed in cases]
    assert [wrong for wrong, _ in results if wrong] == []
    return Counter(state for _, state in results)


def test_cases_of_every_day_and_no_wrong_window(bakery: Bakery) -> None:
    """A hundred over the four zones."""
    states = run(bakery, range(25))
    assert len(states) > 1, "the cases do not reach the states they are meant for"


@pytest.mark.nightly
def test_five_hundred_cases_and_no_wrong_window(bakery: Bakery) -> None:
    states = run(bakery, range(1_000, 1_125))
    assert set(states) == {"trusted", "holdover", "behind", "unknown"}


def test_the_oracle_sees_what_is_wrong(bakery: Bakery) -> None:
    """A clock that believes everybody is caught: the cases can fail."""
    clock, machine = bakery.clock, Machine(bakery.change_ms - 2 * DAY_MS)

    class Gullible(Machine):
        def read(self) -> Reading:
            return msgspec.structs.replace(machine.read(), at_ms=bakery.change_ms + HOUR_MS, u_ms=1)

    clock.machine = Gullible(machine.true_ms)
    view = ring_up(bakery.shop, [BUN, BREAD])
    bakery.shop.selling.clear("1", person="anna")
    price = view.lines[0].unit_price_minor
    assert bakery._wrong(machine, clock.read(), price, applied=bool(view.discount_minor))
