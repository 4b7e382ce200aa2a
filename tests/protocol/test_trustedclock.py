"""The judge: states, hold-over, jumps, head office's word, and the property that u never lies."""

import msgspec
import pytest

from protocol.clock import DAY_MS, HOUR_MS, MINUTE_MS, ClockState, Reading, drift_ms
from protocol.clockstatus import Basis, Last, Mark, Status, span
from protocol.timesources import Rejected, Sample
from protocol.trustedclock import AWAY_MS_MAX, TrustedClock

NOW = 1_793_600_000_000
BUILD = NOW - 10 * DAY_MS
TRUSTED, HOLDOVER = ClockState.TRUSTED, ClockState.HOLDOVER
BEHIND, UNKNOWN = ClockState.BEHIND, ClockState.UNKNOWN
YEAR_2000 = 946_684_800_000


class Machine:
    """A machine whose wall clock and monotonic clock a test moves; the truth counts beside them."""

    def __init__(self, mark: Mark | None = None, *, boot: str = "b1", wall_off_ms: int = 0) -> None:
        self.true_ms, self.mono_ms, self.wall_off_ms = NOW, 1_000, wall_off_ms
        self.clock = self.started(mark, boot=boot)

    def started(self, mark: Mark | None, *, boot: str = "b1", told_ms: int = 0) -> TrustedClock:
        last = Last(mark=mark or Mark(), boot=boot, told_ms=told_ms)
        return TrustedClock(build_ms=BUILD, last=last, wall_ms=self.wall_ms, mono_ms=self.mono_ms)

    @property
    def wall_ms(self) -> int:
        return self.true_ms + self.wall_off_ms

    def pass_ms(self, ms: int) -> None:
        self.true_ms += ms
        self.mono_ms += ms

    def answers(self, *off_ms: int, error_ms: int = 10) -> bool:
        """A round: one server per offset from the truth."""
        true = self.true_ms - self.mono_ms
        found = [Sample(f"s{n}", true + off, error_ms) for n, off in enumerate(off_ms)]
        return self.clock.judge(found, wall_ms=self.wall_ms, mono_ms=self.mono_ms)

    def central(self, off_ms: int = 0, *, late_ms: int = 0) -> None:
        at_ms = self.true_ms + off_ms - late_ms
        self.clock.hear_central(at_ms, 20, wall_ms=self.wall_ms, mono_ms=self.mono_ms)

    def read(self) -> Reading:
        return self.clock.read(wall_ms=self.wall_ms, mono_ms=self.mono_ms)

    def status(self) -> Status:
        return self.clock.status(wall_ms=self.wall_ms, mono_ms=self.mono_ms)

    def mark(self) -> Mark:
        return self.clock.mark(wall_ms=self.wall_ms, mono_ms=self.mono_ms)

    def right(self) -> bool:
        reading = self.read()
        return abs(reading.at_ms - self.true_ms) <= reading.u_ms


def test_unknown_until_two_sources_agree() -> None:
    one = Machine()
    assert one.read() == Reading(NOW, 0, UNKNOWN)
    assert one.status().code == "CLOCK_NO_SOURCE"
    assert not one.answers(0)
    assert one.status().code == "CLOCK_ONE_SOURCE"
    assert not one.answers(0, 60_000)
    assert one.status().code == "CLOCK_NO_MAJORITY"
    assert one.answers(0, 4)
    reading = one.read()
    assert (reading.state, reading.at_ms - NOW, reading.u_ms) == (TRUSTED, 2, 8)
    assert (one.status().code, one.status().used, one.status().basis) == ("", 2, Basis.SOURCES)


def test_every_source_is_listed_with_its_reason() -> None:
    one = Machine()
    true = one.true_ms - one.mono_ms
    found = [
        Sample("good", true, 10),
        Sample("fine", true + 3, 10),
        Sample("liar", true + HOUR_MS, 10),
        Rejected("kiss", "NTP_KISS", {"kiss": "RATE"}),
    ]
    one.clock.judge(found, wall_ms=one.wall_ms, mono_ms=one.mono_ms)
    notes = {note.source: note for note in one.status().sources}
    assert [n for n, note in notes.items() if note.used] == ["good", "fine"]
    assert (notes["liar"].code, notes["liar"].params) == ("NTP_OUTLIER", {"by": "+60 min"})
    assert notes["kiss"].code == "NTP_KISS"
    for language in ("en", "zh"):
        assert all(notes[n].sentence(language) for n in ("liar", "kiss"))
        assert not notes["good"].sentence(language)


def test_trust_fades_and_uncertainty_grows() -> None:
    one = Machine()
    one.answers(0, 0)
    one.pass_ms(HOUR_MS)
    assert one.read() == Reading(one.true_ms, 10 + 360, TRUSTED)
    one.pass_ms(1)
    assert one.read().state is HOLDOVER
    since = one.status().since_ms
    one.pass_ms(7 * DAY_MS)
    assert 60_000 < one.read().u_ms < 62_000
    assert one.status().since_ms == since
    assert one.right()


@pytest.mark.parametrize("wall_ms", [0, YEAR_2000, NOW + 400 * DAY_MS])
def test_a_wall_clock_that_jumps_moves_nothing(wall_ms: int) -> None:
    one = Machine()
    one.answers(0, 0)
    one.wall_off_ms = wall_ms - one.true_ms
    one.pass_ms(1_000)
    assert one.read().at_ms == one.true_ms
    assert one.answers(0, 0)


def test_a_machine_that_slept_has_counted_on() -> None:
    one = Machine()
    one.answers(0, 0)
    one.pass_ms(9 * HOUR_MS)  # CLOCK_BOOTTIME counts suspend
    assert one.read().state is HOLDOVER
    assert one.right()


def test_a_small_step_back_makes_time_stand_and_widens_u() -> None:
    one = Machine()
    one.answers(300, 300)
    assert one.read().at_ms == NOW + 300
    one.answers(0, 0)
    assert one.read() == Reading(NOW + 300, 310, TRUSTED)
    one.pass_ms(300)
    assert one.read() == Reading(one.true_ms, 11, TRUSTED)


def test_a_correction_of_more_than_five_seconds_is_told() -> None:
    one = Machine()
    one.answers(-20_000, -20_000)
    assert one.status().stepped_ms == 0
    one.answers(0, 0)
    assert (one.status().stepped_ms, one.status().stepped_at_ms) == (20_000, NOW)


# -- jumps ----------------------------------------------------------------------------------


def test_a_day_ahead_is_refused_because_the_anchor_contradicts_it() -> None:
    one = Machine()
    one.answers(0, 0, 0)
    one.pass_ms(MINUTE_MS)
    assert not one.answers(DAY_MS, DAY_MS, DAY_MS)
    status = one.status()
    assert status.code == "CLOCK_JUMP"
    assert status.contested
    assert status.params == {"by": "+24.0 h"}
    assert abs(status.proposed_ms - one.true_ms - DAY_MS) <= 10
    assert status.reading.state is HOLDOVER
    assert status.used == 0
    assert one.right()
    assert one.answers(0, 0, 0)
    assert one.read().state is TRUSTED
    assert not one.status().contested


def test_a_day_ahead_is_refused_at_the_start_when_central_contradicts_it() -> None:
    one = Machine()
    one.central()
    assert not one.answers(DAY_MS, DAY_MS, DAY_MS)
    assert one.status().code == "CLOCK_CENTRAL_DIFFERS"
    assert one.read().state is UNKNOWN


def test_a_day_ahead_that_was_believed_falls_with_centrals_first_word() -> None:
    good = Machine()
    good.answers(0, 0)
    mark = good.mark()
    one = Machine(mark, boot="b2")
    one.pass_ms(MINUTE_MS)
    one.clock = one.started(mark, boot="b2")
    assert one.answers(DAY_MS, DAY_MS, DAY_MS)  # nobody could know
    assert one.read().state is TRUSTED
    one.central()
    status = one.status()
    assert status.code == "CLOCK_CENTRAL_DIFFERS"
    assert (status.reading.state, status.basis) == (HOLDOVER, Basis.HARDWARE)
    assert one.right()
    assert one.mark().utc_ms < one.true_ms + MINUTE_MS  # the poisoned mark is gone


def test_revoked_time_does_not_come_back_with_the_next_start() -> None:
    one = Machine(wall_off_ms=DAY_MS)  # the same liars set the machine's clock too
    one.answers(DAY_MS, DAY_MS)
    one.central()
    assert one.read().state is UNKNOWN
    again = one.started(one.mark())
    assert again.read(wall_ms=one.wall_ms, mono_ms=one.mono_ms).state is UNKNOWN


def test_a_jump_that_central_agrees_with_is_followed() -> None:
    one = Machine()
    one.answers(-3 * HOUR_MS, -3 * HOUR_MS)  # a machine that was paused and did not count
    one.central()  # contradicts what nobody vouched for
    assert not one.read().state.trusted
    assert one.answers(0, 0)
    assert one.read().state is TRUSTED
    one.pass_ms(MINUTE_MS)
    one.mono_ms -= 3 * HOUR_MS // 60  # counts three minutes too little
    one.central()
    assert one.answers(0, 0)
    assert one.right()


def test_time_vouched_for_by_central_is_not_revoked_by_a_central_gone_wrong() -> None:
    one = Machine()
    one.answers(0, 0)
    one.central()
    one.pass_ms(20 * MINUTE_MS)
    one.central(DAY_MS)
    assert one.answers(0, 0, 0)
    status = one.status()
    assert status.reading.state is TRUSTED
    notes = {note.source: note.code for note in status.sources}
    assert notes["central"] == "NTP_OUTLIER"


def test_a_jump_back_is_followed_when_central_agrees() -> None:
    one = Machine()
    one.answers(HOUR_MS, HOUR_MS)
    one.read()
    one.central()
    assert one.answers(0, 0)
    assert one.read().at_ms == one.true_ms
    assert one.right()


def test_a_minute_is_no_jump() -> None:
    one = Machine()
    one.answers(0, 0)
    assert one.answers(MINUTE_MS, MINUTE_MS)
    assert not one.answers(3 * MINUTE_MS, 3 * MINUTE_MS)


def test_sources_before_the_mark_are_refused() -> None:
    good = Machine()
    good.answers(0, 0)
    one = Machine(good.mark(), boot="b2", wall_off_ms=-NOW)
    assert one.read().state is BEHIND
    assert not one.answers(-DAY_MS, -DAY_MS, -DAY_MS)
    assert one.status().code == "CLOCK_BEFORE_MARK"
    one.central(-DAY_MS)
    assert one.answers(-DAY_MS, -DAY_MS)  # head office agrees: the mark was wrong


def test_the_hardware_clock_vetoes_nobody() -> None:
    good = Machine()
    good.answers(0, 0)
    one = Machine(good.mark(), boot="b2", wall_off_ms=3 * DAY_MS)
    assert one.status().basis is Basis.HARDWARE
    assert not one.right()  # nobody could know
    assert one.answers(0, 0)
    assert one.right()


def test_a_wrong_hardware_clock_falls_with_centrals_word() -> None:
    good = Machine()
    good.answers(0, 0)
    one = Machine(good.mark(), boot="b2", wall_off_ms=3 * DAY_MS)
    one.central()
    assert one.read().state is UNKNOWN
    assert one.read().at_ms >= NOW


# -- head office's beacon -------------------------------------------------------------------


def test_one_server_and_head_office_are_two_sources() -> None:
    one = Machine()
    one.central()
    assert one.answers(0)
    assert one.read().state is TRUSTED
    assert one.right()
    assert one.status().used == 2


def test_head_office_alone_is_one_source() -> None:
    one = Machine()
    one.central()
    assert not one.answers()
    assert one.status().params == {"source": "central"}


def test_an_old_beacon_counts_no_more() -> None:
    one = Machine()
    one.central()
    one.pass_ms(30_001)
    assert not one.answers(0)


def test_a_replayed_or_late_beacon_says_nothing() -> None:
    one = Machine()
    one.central()
    before = one.clock._central
    one.pass_ms(MINUTE_MS)
    one.central(late_ms=MINUTE_MS)  # the very same
    one.central(late_ms=30_000)  # a held one
    assert one.clock._central == before
    one.central(late_ms=4_000)  # slow, within what may be
    assert one.clock._central != before


def test_a_central_that_was_set_ahead_is_heard_anew() -> None:
    one = Machine()
    one.central(-HOUR_MS)
    one.pass_ms(10_000)
    one.central()
    assert one.answers(0)
    assert one.right()


# -- after a power cut ----------------------------------------------------------------------


def mark_at(true_ms: int = NOW - DAY_MS, **changes: object) -> Mark:
    values = {"utc_ms": true_ms, "good_ms": true_ms, "u_ms": 12, "mono_ms": 500, "boot": "b0"}
    return Mark(**(values | {"basis": Basis.SOURCES} | changes))


@pytest.mark.parametrize("wall_ms", [0, YEAR_2000, BUILD - 1, NOW - DAY_MS - 13])
def test_a_dead_hardware_clock_is_behind(wall_ms: int) -> None:
    one = Machine(mark_at(), wall_off_ms=wall_ms - NOW)
    assert one.read() == Reading(NOW - DAY_MS, 0, BEHIND)
    one.pass_ms(HOUR_MS)
    assert one.read().at_ms == NOW - DAY_MS + HOUR_MS  # what was counted since is past too
    assert one.clock.certain_ms(one.mono_ms) == NOW - DAY_MS - 12 + HOUR_MS - drift_ms(HOUR_MS)


def test_without_a_mark_the_build_date_is_the_floor() -> None:
    assert Machine(wall_off_ms=YEAR_2000 - NOW).read() == Reading(BUILD, 0, BEHIND)
    assert Machine().clock.certain_ms(1_000) == 0  # nothing was ever certain


def test_a_plausible_hardware_clock_holds_over() -> None:
    one = Machine(mark_at())
    u_ms = 2_000 + DAY_MS * 100 // 1_000_000
    assert one.read() == Reading(NOW, u_ms, HOLDOVER)
    assert one.status().basis is Basis.HARDWARE
    one.answers(0, 0)
    assert one.read().state is TRUSTED


@pytest.mark.parametrize(("off_ms", "state"), [(AWAY_MS_MAX, HOLDOVER), (AWAY_MS_MAX + 1, UNKNOWN)])
def test_a_hardware_clock_far_ahead_is_not_plausible(off_ms: int, state: ClockState) -> None:
    one = Machine(mark_at(NOW), wall_off_ms=off_ms)
    assert one.read().state is state


def test_nights_without_a_network_add_up() -> None:
    """Each boot stands on the hardware clock alone: u counts from the last real agreement."""
    first = Machine(mark_at())
    first.pass_ms(DAY_MS)
    second = first.started(first.mark(), boot="b9")
    reading = second.read(wall_ms=first.wall_ms, mono_ms=first.mono_ms)
    assert reading.u_ms == 2_000 + drift_ms(2 * DAY_MS)


def test_a_restart_of_the_program_counts_on() -> None:
    one = Machine()
    one.answers(0, 0)
    mark = one.mark()
    one.wall_off_ms = YEAR_2000 - NOW
    one.pass_ms(MINUTE_MS)
    again = one.started(mark)
    reading = again.read(wall_ms=one.wall_ms, mono_ms=one.mono_ms)
    assert reading == Reading(one.true_ms, 10 + 6 + 1, HOLDOVER)
    status = again.status(wall_ms=one.wall_ms, mono_ms=one.mono_ms)
    assert status.basis is Basis.CONTINUED
    other = one.started(mark, boot="b2")
    assert other.read(wall_ms=one.wall_ms, mono_ms=one.mono_ms).state is BEHIND


def test_the_journal_is_a_mark_too() -> None:
    one = Machine(wall_off_ms=-DAY_MS)
    again = one.started(mark_at(), told_ms=NOW - 5)
    assert again.read(wall_ms=one.wall_ms, mono_ms=one.mono_ms) == Reading(NOW - 5, 0, BEHIND)


def test_a_mark_travels_as_json() -> None:
    one = Machine()
    one.answers(0, 0)
    mark = one.mark()
    assert msgspec.json.decode(msgspec.json.encode(mark), type=Mark) == mark


# -- a manager ------------------------------------------------------------------------------


def test_a_manager_makes_a_minute_of_certainty() -> None:
    one = Machine(mark_at(), wall_off_ms=-NOW)
    one.clock.confirm(NOW + 25_000, mono_ms=one.mono_ms)
    assert one.read() == Reading(NOW + 25_000, 60_000, HOLDOVER)
    assert one.status().basis is Basis.MANAGER
    assert one.right()
    assert one.answers(0, 0)
    assert one.right()


def test_a_manager_decides_a_contested_jump() -> None:
    one = Machine()
    one.answers(-DAY_MS, -DAY_MS)
    assert not one.answers(0, 0)
    one.clock.confirm(one.true_ms, mono_ms=one.mono_ms)
    assert not one.status().contested
    assert one.answers(0, 0)
    assert one.read().state is TRUSTED


def test_a_manager_may_correct_a_clock_that_was_set_ahead() -> None:
    one = Machine()
    one.answers(400 * DAY_MS, 400 * DAY_MS)
    one.read()
    one.clock.confirm(NOW, mono_ms=one.mono_ms)
    assert one.read() == Reading(NOW, 60_000, HOLDOVER)
    assert one.clock.certain_ms(one.mono_ms) == NOW


def test_an_untrusted_clock_ahead_does_not_bind_the_trusted_one() -> None:
    one = Machine(wall_off_ms=400 * DAY_MS)
    assert one.read().state is UNKNOWN
    one.answers(0, 0)
    assert one.read().at_ms == NOW


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "+0.0 s"),
        (-1_500, "-1.5 s"),
        (180_000, "+3 min"),
        (86_400_000, "+24.0 h"),
        (-(400 * DAY_MS), "-400 d"),
    ],
)
def test_differences_are_written_for_people(ms: int, text: str) -> None:
    assert span(ms) == text
