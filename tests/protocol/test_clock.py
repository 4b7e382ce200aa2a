"""The words of time: which states are trusted, what is surely past, how a quartz drifts."""

from protocol.clock import DAY_MS, ClockState, Reading, drift_ms


def test_states_of_trust() -> None:
    assert ClockState.TRUSTED.trusted
    assert ClockState.HOLDOVER.trusted
    assert not ClockState.BEHIND.trusted
    assert not ClockState.UNKNOWN.trusted
    assert Reading(1_000, 30, ClockState.TRUSTED).surely_past_ms == 970


def test_a_quartz_may_run_off_by_a_tenth_of_a_per_mille() -> None:
    assert drift_ms(0) == drift_ms(-5) == 0
    assert drift_ms(1) == 1  # rounded up: never less than it may be
    assert drift_ms(DAY_MS) == 8_640
    assert 60_000 <= drift_ms(7 * DAY_MS) < 60_500
