"""How far a clock may be trusted: agreement of sources, states, hold-over, time never goes back."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.clock import DAY_MS, HOUR_MS, ClockState, Reading, Sample, TrustedClock, intersect

NOW = 1_793_500_000_000
BUILD = NOW - 10 * DAY_MS
SPREAD = st.integers(-5_000, 5_000)


@st.composite
def mostly_honest(draw: st.DrawFn) -> tuple[int, list[Sample], int]:
    """A truth, samples of which a majority contain it, and how many those are."""
    truth = draw(SPREAD)
    honest = draw(st.integers(2, 5))
    liars = draw(st.integers(0, honest - 1))
    samples = []
    for n in range(honest):
        error = draw(st.integers(0, 500))
        samples.append(Sample(f"h{n}", truth + draw(st.integers(-error, error)), error))
    samples += [Sample(f"l{n}", draw(st.integers(-(10**8), 10**8)), 10) for n in range(liars)]
    return truth, draw(st.permutations(samples)), honest


@given(mostly_honest())
def test_a_majority_of_honest_sources_is_heard(case: tuple[int, list[Sample], int]) -> None:
    truth, samples, _ = case
    found = intersect(samples)
    assert found is not None
    far = [s for s in samples if s.source.startswith("l") and abs(s.offset_ms - truth) > 2_000]
    if len(far) == sum(s.source.startswith("l") for s in samples):
        assert abs(found.offset_ms - truth) <= found.error_ms


@given(mostly_honest())
def test_order_of_the_answers_does_not_matter(case: tuple[int, list[Sample], int]) -> None:
    _, samples, _ = case
    one, other = intersect(samples), intersect(list(reversed(samples)))
    assert one
    assert other
    assert (one.offset_ms, one.error_ms) == (other.offset_ms, other.error_ms)


def test_two_agreements_of_equal_weight_both_stay_possible() -> None:
    """A chain a-b-c: a and b agree at 9, b and c at 19, and either of a and c may be the liar."""
    found = intersect([Sample("a", 5, 5), Sample("b", 14, 6), Sample("c", 24, 6)])
    assert found is not None
    assert found.offset_ms - found.error_ms <= 8
    assert found.offset_ms + found.error_ms >= 20
    assert found.source == "a+b+c"


def test_no_majority_no_time() -> None:
    assert intersect([]) is None
    assert intersect([Sample("a", 0, 10)]) is None
    assert intersect([Sample("a", 0, 10), Sample("b", 100, 10)]) is None
    four = [Sample("a", 0, 9), Sample("b", 1, 9), Sample("c", 500, 9), Sample("d", 501, 9)]
    assert intersect(four) is None
    assert intersect([Sample("a", 0, 10), Sample("b", 20, 10)]) == Sample("a+b", 10, 0)


def test_states_of_trust() -> None:
    assert ClockState.TRUSTED.trusted
    assert ClockState.HOLDOVER.trusted
    assert not ClockState.BEHIND.trusted
    assert not ClockState.UNKNOWN.trusted
    assert Reading(1_000, 30, ClockState.TRUSTED).surely_past_ms == 970


def test_unknown_until_a_source_answers() -> None:
    clock = TrustedClock(build_ms=BUILD)
    assert clock.read(wall_ms=NOW, mono_ms=5) == Reading(NOW, 0, ClockState.UNKNOWN)
    clock.boot_without_sources(wall_ms=NOW, mono_ms=5)  # never trusted before: no high water
    assert clock.read(wall_ms=NOW, mono_ms=5).state is ClockState.UNKNOWN
    clock.accept(Sample("a+b", 40, 7), wall_ms=NOW, mono_ms=5)
    assert clock.read(wall_ms=0, mono_ms=5) == Reading(NOW + 40, 7, ClockState.TRUSTED)
    assert clock.high_water_ms == NOW + 40


def test_a_wall_clock_before_the_build_date_is_behind() -> None:
    clock = TrustedClock(build_ms=BUILD, high_water_ms=NOW)
    reading = clock.read(wall_ms=0, mono_ms=5)
    assert reading == Reading(NOW, 0, ClockState.BEHIND)
    clock.boot_without_sources(wall_ms=NOW - 1, mono_ms=5)
    assert clock.read(wall_ms=NOW - 1, mono_ms=5).state is ClockState.BEHIND


def test_a_plausible_hardware_clock_holds_over() -> None:
    clock = TrustedClock(build_ms=BUILD, high_water_ms=NOW - DAY_MS)
    clock.boot_without_sources(wall_ms=NOW, mono_ms=5)
    off_ms = 2_000 + DAY_MS * 100 // 1_000_000
    assert clock.read(wall_ms=NOW, mono_ms=5) == Reading(NOW, off_ms, ClockState.HOLDOVER)
    clock.accept(Sample("a+b", 0, 7), wall_ms=NOW, mono_ms=5)
    clock.boot_without_sources(wall_ms=NOW + DAY_MS, mono_ms=5)  # a source has spoken: no effect
    assert clock.read(wall_ms=0, mono_ms=5).state is ClockState.TRUSTED


def test_trust_fades_and_uncertainty_grows() -> None:
    clock = TrustedClock(build_ms=BUILD)
    clock.accept(Sample("a+b", 0, 7), wall_ms=NOW, mono_ms=0)
    fresh = clock.read(wall_ms=0, mono_ms=HOUR_MS)
    assert fresh == Reading(NOW + HOUR_MS, 7 + 360, ClockState.TRUSTED)
    assert clock.read(wall_ms=0, mono_ms=HOUR_MS + 1).state is ClockState.HOLDOVER


def test_a_wall_clock_that_jumps_moves_nothing() -> None:
    clock = TrustedClock(build_ms=BUILD)
    clock.accept(Sample("a+b", 0, 7), wall_ms=NOW, mono_ms=0)
    for wall in (0, NOW + 400 * DAY_MS):
        assert clock.read(wall_ms=wall, mono_ms=1_000).at_ms == NOW + 1_000


def test_a_sample_that_puts_us_back_makes_time_stand_and_widens_u() -> None:
    clock = TrustedClock(build_ms=BUILD)
    clock.accept(Sample("a+b", 300, 7), wall_ms=NOW, mono_ms=0)
    assert clock.read(wall_ms=NOW, mono_ms=0).at_ms == NOW + 300
    clock.accept(Sample("a+b", 0, 7), wall_ms=NOW, mono_ms=0)
    held = clock.read(wall_ms=NOW, mono_ms=0)
    assert held == Reading(NOW + 300, 307, ClockState.TRUSTED)
    assert clock.read(wall_ms=NOW, mono_ms=300) == Reading(NOW + 300, 7, ClockState.TRUSTED)


def test_a_manager_may_correct_a_clock_that_was_set_ahead() -> None:
    clock = TrustedClock(build_ms=BUILD)
    clock.accept(Sample("spoofed", 400 * DAY_MS, 7), wall_ms=NOW, mono_ms=0)
    clock.read(wall_ms=NOW, mono_ms=0)
    clock.confirm(NOW, mono_ms=0)
    assert clock.read(wall_ms=NOW, mono_ms=0) == Reading(NOW, 60_000, ClockState.HOLDOVER)
    assert clock.high_water_ms == NOW


def test_an_untrusted_clock_ahead_does_not_bind_the_trusted_one() -> None:
    clock = TrustedClock(build_ms=BUILD)
    clock.read(wall_ms=NOW + 400 * DAY_MS, mono_ms=0)
    clock.accept(Sample("a+b", -400 * DAY_MS, 7), wall_ms=NOW + 400 * DAY_MS, mono_ms=0)
    assert clock.read(wall_ms=0, mono_ms=0) == Reading(NOW, 7, ClockState.TRUSTED)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.integers(-(10**7), 10**7), st.integers(0, 1000)),
        st.tuples(st.just("boot"), st.integers(-(10**7), 10**7), st.just(0)),
        st.tuples(st.just("wall"), st.integers(-(10**9), 10**9), st.just(0)),
        st.tuples(st.just("pass"), st.integers(0, 10**7), st.just(0)),
    ),
    max_size=25,
)


@given(STEPS, st.sampled_from([0, NOW - DAY_MS]))
def test_trusted_time_never_decreases(steps: list[tuple[str, int, int]], high: int) -> None:
    clock = TrustedClock(build_ms=BUILD, high_water_ms=high)
    wall, mono, last, covered = NOW, 0, 0, None
    for what, by, error in steps:
        if what == "accept":
            clock.accept(Sample("a+b", by, error), wall_ms=wall, mono_ms=mono)
            covered = wall + by
        elif what == "boot":
            clock.boot_without_sources(wall_ms=wall + by, mono_ms=mono)
        elif what == "wall":
            wall += by
        else:
            mono += by
            wall += by
            covered = None
        reading = clock.read(wall_ms=wall, mono_ms=mono)
        assert reading.at_ms >= max(BUILD, clock.high_water_ms if not reading.state.trusted else 0)
        if reading.state.trusted:
            assert reading.at_ms >= last
            last = reading.at_ms
            if covered is not None:  # the accepted truth lies inside the interval that is told
                assert reading.at_ms - reading.u_ms <= covered <= reading.at_ms + reading.u_ms
        assert reading.u_ms >= 0
