"""Clocks as head office sees them: a skewed shop is flagged with its next heartbeat, in words."""

import zoneinfo
from pathlib import Path

import pytest
from click.testing import CliRunner

from central import watching
from central.cli import main
from central.compose import HeadOffice
from protocol import wire
from protocol.clock import DAY_MS, HOUR_MS, ClockState, Reading
from protocol.clockstatus import Basis, Status
from protocol.errors import Refusal
from protocol.events import ClockConfirmed
from protocol.ids import ALL
from protocol.node.books import opened
from protocol.node.mqttlink import Message
from protocol.node.sqljournal import read_line
from protocol.topics import Topic, Topics
from protocol.wire import Clk, ClockFacts, Heartbeat, ScreenClock
from tests.central.conftest import TestClock
from tests.central.shops import Shop


def beat(
    office: HeadOffice,
    *,
    off_ms: int = 0,
    state: str = "trusted",
    facts: ClockFacts | None = None,
    health: dict[str, str] | None = None,
) -> None:
    """A heartbeat as it arrives from the broker."""
    now = office.clock.read().at_ms
    heart = Heartbeat(
        node="A",
        sess="s",
        now=now,
        head=0,
        acked=0,
        clk=Clk(state, 20, now + off_ms),
        health=health or {},
        version="x",
        clock=facts,
    )
    message = Message(Topics("demo").up("A", "hb"), wire.encode(heart))
    office.syncing._message(Topic("up", "A", "hb"), message)
    office.syncing._write_beats()  # its next tick does it, with those of other shops


def found(office: HeadOffice) -> list[str]:
    """Alarms of shop A and of head office's clock; each has words and what to do, in both."""
    alarms = [a for a in office.alarms.alarms() if a.subject in {"A", "clock"}]
    for alarm in alarms:
        for language in ("en", "zh"):
            assert "{" not in alarm.sentence(language) + alarm.todo(language), alarm.code
            assert alarm.todo(language) != alarm.code
    return [a.code for a in alarms]


@pytest.mark.parametrize("off_ms", [-HOUR_MS, -2_001, 2_001, DAY_MS])
def test_one_heartbeat_of_a_skewed_shop_is_enough(
    office: HeadOffice, shops: dict[str, Shop], off_ms: int
) -> None:
    beat(office)
    assert found(office) == []
    beat(office, off_ms=off_ms)
    assert found(office) == ["ALARM_CLOCK_SKEW"]
    beat(office)
    assert found(office) == []


@pytest.mark.parametrize(
    ("off_ms", "central_off_ms", "skew_ms"),
    [
        (-3_000, -40, 0),  # the message was three seconds under way: its clock is right
        (-3_000, 2_900, -2_900),  # both ways say so: it is slow
        (3_000, -3_100, 3_000),  # fast, surely
        (0, 0, 0),
        (-50, 5_000, -50),  # never more than either end says
        (500, 9_000, 500),
    ],
)
def test_the_way_of_a_message_is_no_skew(
    office: HeadOffice, shops: dict[str, Shop], off_ms: int, central_off_ms: int, skew_ms: int
) -> None:
    beat(office, off_ms=off_ms, facts=ClockFacts(central_off_ms=central_off_ms))
    with office.books.database.reading() as connection:
        report = watching.reports(connection)["A"]
    assert report.skew_ms == skew_ms


def test_a_clock_that_is_not_trusted_says_why(office: HeadOffice, shops: dict[str, Shop]) -> None:
    facts = ClockFacts(basis="none", code="CLOCK_NO_SOURCE")
    beat(office, state="behind", off_ms=-DAY_MS, facts=facts, health={"clock": "warn X"})
    (alarm,) = [a for a in office.alarms.alarms() if a.subject == "A"]
    assert alarm.code == "ALARM_CLOCK"
    assert "No time server" in alarm.sentence("en")
    assert "时间服务器" in alarm.sentence("zh")


def test_a_dispute_a_correction_and_a_wrong_screen(
    office: HeadOffice, shops: dict[str, Shop]
) -> None:
    now = office.clock.read().at_ms
    params = {"by": "+24.0 h"}
    beat(
        office,
        state="holdover",
        facts=ClockFacts(contested=True, code="CLOCK_JUMP", params=params),
    )
    assert found(office) == ["ALARM_CLOCK_CONTESTED"]
    beat(office, facts=ClockFacts(stepped_ms=-7_000, stepped_at_ms=now - 10))
    assert found(office) == ["ALARM_CLOCK_STEPPED"]
    screens = (ScreenClock(till="1", off_ms=0, zone="Asia/Tokyo"),)
    beat(office, facts=ClockFacts(zone="Asia/Shanghai", screens=screens), health={"screen/1": "x"})
    assert found(office) == ["ALARM_SCREEN_CLOCK"]


def test_a_shop_of_another_version_says_what_it_can(
    office: HeadOffice, shops: dict[str, Shop]
) -> None:
    beat(office, state="unknown", facts=ClockFacts(code="CLOCK_OF_TOMORROW"))
    assert found(office) == ["ALARM_CLOCK"]
    beat(office, state="unknown")  # one that sends no facts yet
    assert found(office) == ["ALARM_CLOCK"]


def test_zone_data_comes_from_the_pinned_wheel(tmp_path: Path) -> None:
    before = zoneinfo.TZPATH
    try:
        zoneinfo.reset_tzpath()
        CliRunner().invoke(main, ["-s", str(tmp_path / "none.toml"), "doctor"])
        assert zoneinfo.TZPATH == ()
    finally:
        zoneinfo.reset_tzpath(before)


class ToldClock(TestClock):
    """A clock that explains itself and takes a person's word."""

    contested = False

    def status(self) -> Status:
        return Status(
            reading=self.read(),
            code="CLOCK_JUMP",
            params={"by": "+3 min"},
            contested=self.contested,
        )

    def confirm(self, true_ms: int) -> None:
        self.at_ms, self.state, self.contested = true_ms, ClockState.HOLDOVER, False


@pytest.fixture
def clock() -> ToldClock:
    return ToldClock()


def test_head_offices_own_clock_is_an_alarm_and_nobody_is_called_skewed(
    office: HeadOffice, shops: dict[str, Shop], clock: ToldClock
) -> None:
    beat(office, off_ms=HOUR_MS)
    clock.contested = True
    assert found(office) == ["ALARM_OWN_CLOCK"]
    clock.contested = False
    clock.state = ClockState.UNKNOWN
    assert found(office) == ["ALARM_OWN_CLOCK"]


def test_an_administrator_vouches_for_head_offices_time(
    office: HeadOffice, clock: ToldClock
) -> None:
    with pytest.raises(Refusal, match="HQ_TIME_FINE"):
        office.timekeeping.confirm(clock.at_ms, by="admin")
    clock.contested = True
    for strange in (None, 1_000, 10**15):
        with pytest.raises(Refusal, match="HQ_TIME_STRANGE"):
            office.timekeeping.confirm(strange, by="admin")
    office.timekeeping.confirm(clock.at_ms + 90_000, by="admin")
    assert office.clock.read() == Reading(clock.at_ms, 20, ClockState.HOLDOVER)
    assert not office.timekeeping.wanted
    with office.books.database.reading() as connection:
        last = read_line(connection, ALL, 0, limit=1_000)[-1]
    recorded = opened(last)[0]
    assert isinstance(recorded.body, ClockConfirmed)
    assert (recorded.envelope.actor, recorded.envelope.clk) == ("admin", "holdover")
    assert office.timekeeping.status().basis is Basis.NONE
