"""One answer of a time server judged field by field, and what a majority of answers agrees on."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.timesources import (
    CHECKS,
    ERA_S,
    NTP_EPOCH_S,
    Agreement,
    Exchange,
    Packet,
    Rejected,
    Sample,
    intersect,
    judge,
    unfold,
)

BUILD_MS = 1_793_491_200_000
NOW_S = 1_793_600_000
MONO_NS = 5_000_000_000
NONCE = b"12345678"
SPREAD = st.integers(-5_000, 5_000)


def exchange(
    *, elapsed_ms: float = 10, step_ms: float = 0, offset_s: float = 0, **fields: object
) -> Exchange:
    """An answer of a good server, with what a test changes."""
    stamp = NOW_S + NTP_EPOCH_S + offset_s
    values: dict[str, object] = {
        "leap": 0,
        "mode": 4,
        "stratum": 2,
        "root_delay_ms": 4.0,
        "root_dispersion_ms": 10.0,
        "origin": NONCE,
        "received_s": stamp + 0.005,
        "transmitted_s": stamp + 0.005,
    }
    elapsed = round(elapsed_ms * 1e6)
    wall = NOW_S * 10**9
    return Exchange(
        server="s:123",
        nonce=NONCE,
        wall_ns=(wall, wall + elapsed + round(step_ms * 1e6)),
        mono_ns=(MONO_NS, MONO_NS + elapsed),
        packet=Packet(**(values | fields)),
    )


def code(found: Sample | Rejected) -> str:
    return found.code if isinstance(found, Rejected) else ""


def test_a_good_answer_is_an_offset_with_its_error() -> None:
    found = judge(exchange(), build_ms=BUILD_MS)
    assert isinstance(found, Sample)
    assert found.offset_ms == NOW_S * 1000 - MONO_NS // 1_000_000
    assert found.error_ms == 5 + 2 + 10 + 1 + 1  # half the way, root, rounding, both clocks' grain


STAMP = NOW_S + NTP_EPOCH_S
WRONG = {
    "origin": ({"origin": b"87654321"}, "NTP_ORIGIN"),
    "no origin": ({"origin": bytes(8)}, "NTP_ORIGIN"),
    "client": ({"mode": 3}, "NTP_MODE"),
    "broadcast": ({"mode": 5}, "NTP_MODE"),
    "kiss": ({"stratum": 0, "reference": b"RATE"}, "NTP_KISS"),
    "leap": ({"leap": 3}, "NTP_UNSYNCHRONISED"),
    "stratum 16": ({"stratum": 16}, "NTP_UNSYNCHRONISED"),
    "stratum 200": ({"stratum": 200}, "NTP_STRATUM"),
    "no transmit": ({"transmitted_s": 0.0}, "NTP_NO_STAMP"),
    "no receive": ({"received_s": 0.0}, "NTP_NO_STAMP"),
    "backwards": ({"received_s": STAMP + 1.0, "transmitted_s": STAMP}, "NTP_STAMPS"),
    "held": ({"received_s": STAMP, "transmitted_s": STAMP + 0.5}, "NTP_DELAY"),
    "stepped": ({"step_ms": 6}, "NTP_STEPPED"),
    "stepped back": ({"step_ms": -6}, "NTP_STEPPED"),
    "slow": ({"elapsed_ms": 3_100}, "NTP_FAR"),
    "root delay": ({"root_delay_ms": 3_000.0}, "NTP_FAR"),
    "dispersion": ({"root_dispersion_ms": 1_500.0}, "NTP_FAR"),
    "coarse": ({"precision": 1}, "NTP_FAR"),
    "absurdly coarse": ({"precision": 127}, "NTP_FAR"),
    "no number": ({"root_delay_ms": math.nan}, "NTP_FAR"),
    "year 2000": (
        {"received_s": 3_155_673_600.0, "transmitted_s": 3_155_673_600.0},
        "NTP_BEFORE_BUILD",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_wrong_field_is_a_refusal_that_says_why(name: str) -> None:
    fields, expected = WRONG[name]
    found = judge(exchange(**fields), build_ms=BUILD_MS)
    assert code(found) == expected
    assert isinstance(found, Rejected)
    for language in ("en", "zh"):
        assert found.sentence(language)
        assert "{" not in found.sentence(language)


def test_every_check_is_tried_by_a_wrong_answer() -> None:
    tried = {expected for _, expected in WRONG.values()}
    assert tried == {name for name, _, _ in CHECKS} | {"NTP_BEFORE_BUILD"}


def test_a_step_of_five_milliseconds_is_still_taken() -> None:
    assert code(judge(exchange(step_ms=5), build_ms=BUILD_MS)) == ""


@pytest.mark.parametrize(
    ("kiss", "hold"), [("RATE", True), ("DENY", True), ("RSTR", True), ("INIT", False)]
)
def test_who_sends_us_away_is_left_alone(kiss: str, hold: bool) -> None:
    found = judge(exchange(stratum=0, reference=kiss.encode()), build_ms=BUILD_MS)
    assert isinstance(found, Rejected)
    assert (found.params["kiss"], found.hold) == (kiss, hold)


def test_a_forged_kiss_is_not_obeyed() -> None:
    forged = judge(exchange(stratum=0, reference=b"DENY", origin=bytes(8)), build_ms=BUILD_MS)
    assert code(forged) == "NTP_ORIGIN"
    assert isinstance(forged, Rejected)
    assert not forged.hold


def test_after_2036_the_seconds_are_unfolded() -> None:
    after = judge(exchange(received_s=100.0, transmitted_s=100.0), build_ms=BUILD_MS)
    assert isinstance(after, Sample)
    middle_ms = (2 * MONO_NS + 10_000_000) // 2_000_000
    assert after.offset_ms + middle_ms == (ERA_S - NTP_EPOCH_S + 100) * 1000


@given(st.integers(BUILD_MS // 1000, BUILD_MS // 1000 + ERA_S // 2 - 1))
def test_every_second_of_68_years_is_told_from_its_stamp(unix_s: int) -> None:
    assert unfold(float((unix_s + NTP_EPOCH_S) % ERA_S), BUILD_MS) == unix_s


@st.composite
def mostly_honest(draw: st.DrawFn) -> tuple[int, list[Sample]]:
    """A truth, and samples of which a majority contain it."""
    truth = draw(SPREAD)
    honest = draw(st.integers(2, 5))
    liars = draw(st.integers(0, honest - 1))
    samples = []
    for n in range(honest):
        error = draw(st.integers(0, 500))
        samples.append(Sample(f"h{n}", truth + draw(st.integers(-error, error)), error))
    samples += [Sample(f"l{n}", draw(st.integers(-(10**8), 10**8)), 10) for n in range(liars)]
    return truth, draw(st.permutations(samples))


@given(mostly_honest())
def test_the_truth_lies_in_what_a_majority_shares(case: tuple[int, list[Sample]]) -> None:
    truth, samples = case
    found = intersect(samples)
    assert found is not None
    assert found.low_ms <= truth <= found.high_ms
    assert abs(found.offset_ms - truth) <= found.error_ms


@given(mostly_honest())
def test_order_of_the_answers_does_not_matter(case: tuple[int, list[Sample]]) -> None:
    _, samples = case
    one, other = intersect(samples), intersect(list(reversed(samples)))
    assert one
    assert other
    assert (one.low_ms, one.high_ms) == (other.low_ms, other.high_ms)


@given(mostly_honest(), st.integers(0, 3))
def test_what_a_majority_of_all_shares_no_late_answer_overturns(
    case: tuple[int, list[Sample]], late: int
) -> None:
    _, samples = case
    found = intersect(samples[: len(samples) - late], voters=len(samples))
    whole = intersect(samples)
    assert whole is not None
    if found is not None:
        assert whole.low_ms <= found.low_ms <= found.high_ms <= whole.high_ms


def test_two_agreements_of_equal_weight_both_stay_possible() -> None:
    """A chain a-b-c: a and b agree at 9, b and c at 19, and either of a and c may be the liar."""
    found = intersect([Sample("a", 5, 5), Sample("b", 14, 6), Sample("c", 24, 6)])
    assert found == Agreement(8, 20, ("a", "b", "c"))


def test_no_majority_no_time() -> None:
    assert intersect([]) is None
    assert intersect([Sample("a", 0, 10)]) is None
    assert intersect([Sample("a", 0, 10), Sample("b", 100, 10)]) is None
    four = [Sample("a", 0, 9), Sample("b", 1, 9), Sample("c", 500, 9), Sample("d", 501, 9)]
    assert intersect(four) is None
    assert intersect([Sample("a", 0, 10), Sample("b", 20, 10)]) == Agreement(10, 10, ("a", "b"))


def test_those_who_may_still_answer_count_against_an_early_majority() -> None:
    two = [Sample("a", 0, 10), Sample("b", 1, 10)]
    assert intersect(two, voters=3)
    assert intersect(two, voters=4) is None
