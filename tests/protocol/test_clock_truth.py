"""u never lies: whatever happens to a machine, while a majority of its sources is honest."""

import math

from hypothesis import given
from hypothesis import strategies as st

from protocol.clock import DAY_MS, HOUR_MS
from protocol.clockstatus import Basis, Last, Mark
from protocol.timesources import Sample
from protocol.trustedclock import TrustedClock
from tests.protocol.test_trustedclock import BUILD, NOW, TRUSTED

PPM = st.integers(-99, 99)
ERROR = st.integers(1, 900)
LIE = st.one_of(
    st.integers(-(10**10), 10**10), st.sampled_from([DAY_MS, -DAY_MS, HOUR_MS, 61_000, -61_000])
)
ROUND = st.tuples(
    st.just("round"),
    st.lists(st.tuples(ERROR, st.floats(-1, 1)), min_size=2, max_size=4),  # honest
    st.lists(LIE, max_size=3),
)
STEP = st.one_of(
    ROUND,
    st.tuples(st.just("beacon"), st.integers(0, 4_900), st.integers(0, 50)),
    st.tuples(st.just("pass"), st.integers(0, 4 * HOUR_MS), st.none()),
    st.tuples(st.just("pass"), st.integers(0, 9 * DAY_MS), st.none()),
    st.tuples(st.just("wall"), st.integers(-(10**11), 10**11), st.none()),
    st.tuples(st.just("restart"), st.none(), st.none()),
    st.tuples(st.just("power"), st.integers(0, 20 * DAY_MS), st.sampled_from(["good", "dead"])),
    st.tuples(st.just("silence"), st.none(), st.none()),
)


class World:
    """A machine with a quartz that drifts, honest and lying servers, power cuts, a wall clock."""

    def __init__(self, ppm: int) -> None:
        self.rate = 1 + ppm / 1_000_000
        self.true, self.mono, self.wall_off = float(NOW), 1_000.0, 0.0
        self.boots, self.dead = 0, False
        self.clock = self._start(Mark())

    def _start(self, mark: Mark) -> TrustedClock:
        last = Last(mark=mark, boot=f"b{self.boots}")
        return TrustedClock(build_ms=BUILD, last=last, **self.now())

    def now(self) -> dict[str, int]:
        return {"wall_ms": int(self.true + self.wall_off), "mono_ms": int(self.mono)}

    def step(self, step: tuple[str, object, object]) -> None:
        getattr(self, f"_{step[0]}")(step[1], step[2])

    def _round(self, honest: list[tuple[int, float]], lies: list[int]) -> None:
        true = self.true - int(self.mono)
        found = [
            Sample(f"h{n}", round(true + where * (error - 1)), error)
            for n, (error, where) in enumerate(honest)
        ]
        liars = [Sample(f"l{n}", round(true + lie), 5) for n, lie in enumerate(lies)]
        found += liars[: len(honest) - 1]
        self.clock.judge(found, **self.now())

    def _beacon(self, late_ms: int, u_ms: int) -> None:
        self.clock.hear_central(int(self.true) - late_ms, u_ms + 1, **self.now())

    def _silence(self, _a: object, _b: object) -> None:
        self.clock.judge([], **self.now())

    def _pass(self, ms: int, _b: object) -> None:
        self.true += ms
        self.mono += ms * self.rate

    def _wall(self, off_ms: int, _b: object) -> None:
        self.wall_off = float(off_ms)

    def _restart(self, _a: object, _b: object) -> None:
        mark = self.clock.mark(**self.now())
        if mark.basis is Basis.NONE:  # a wall clock that somebody set wrong cannot be found out
            self.wall_off = -self.true if self.dead else 0.0
        self.clock = self._start(mark)

    def _power(self, off_ms: int, battery: str) -> None:
        mark = self.clock.mark(**self.now())
        self.true += off_ms
        self.mono, self.boots = 1_000.0, self.boots + 1
        self.dead = battery == "dead"
        self.wall_off = -self.true if self.dead else 0.0
        self.clock = self._start(mark)


@given(PPM, st.lists(STEP, min_size=3, max_size=30))
def test_the_truth_always_lies_within_u_while_a_majority_is_honest(
    ppm: int, steps: list[tuple[str, object, object]]
) -> None:
    world = World(ppm)
    last = 0
    for step in steps:
        world.step(step)
        reading = world.clock.read(**world.now())
        assert reading.u_ms >= 0
        if not reading.state.trusted:
            continue
        assert abs(reading.at_ms - world.true) <= reading.u_ms + 1, (step, reading)  # whole ms
        assert reading.at_ms >= last, "trusted time went back"
        last = reading.at_ms
        certain = world.clock.certain_ms(world.now()["mono_ms"])
        assert certain <= math.ceil(world.true) + reading.u_ms


@given(PPM, st.lists(STEP, min_size=3, max_size=30))
def test_whatever_happens_a_status_can_be_told(
    ppm: int, steps: list[tuple[str, object, object]]
) -> None:
    world = World(ppm)
    for step in steps:
        world.step(step)
        status = world.clock.status(**world.now())
        assert (status.code == "") == (status.reading.state is TRUSTED)
        for language in ("en", "zh"):
            assert "{" not in status.why(language)
            assert all("{" not in note.sentence(language) for note in status.sources)
            assert all(note.used or note.sentence(language) for note in status.sources)
