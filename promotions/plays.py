"""Everything one exclusive rule can do in a basket, as plays: units taken, discount per line.

A play never depends on what other rules do: its discount is final (rounded, floored, capped), so a
search only has to choose plays whose units fit together. `Candidate` is a rule with the lines that
its selectors match in this basket.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

from promotions.figures import Ratio, scaled
from promotions.kinds.bundle import Bundle
from promotions.kinds.tier_qty import Tiers
from promotions.kinds.tier_qty import rate as tier_rate
from promotions.lines import MILLI, Line
from promotions.ruleset import Live
from protocol.money import share_out

UNITS_MAX: Final = 2_000  # pieces of one line; more are priced roughly, with a bound
UNITS_ALL_MAX: Final = 20_000  # pieces of the basket
LINES_MAX: Final = 200  # lines of one bundle whose applications are written out
PLAYS_WORK_MAX: Final = 200_000


class Exhausted(Exception):
    """The work budget is used up."""


class Work:
    """Counts states expanded, never time, so that every node stops at the same place."""

    __slots__ = ("left",)

    def __init__(self, budget: int) -> None:
        self.left = budget

    def spend(self, count: int = 1) -> None:
        """Use some of the budget, or stop."""
        self.left -= count
        if self.left < 0:
            raise Exhausted

    def part(self, share: int) -> "Work":
        """One of so many shares; what is not used comes back with `settle`."""
        own = Work(max(0, self.left) // max(1, share))
        self.left -= own.left
        return own

    def settle(self, part: "Work") -> None:
        """Take back what a part did not use."""
        self.left += max(0, part.left)


class Candidate:
    """A rule that matches lines of the basket; `bit` is its place in applied masks."""

    __slots__ = ("bit", "lines", "live", "short", "whole")

    def __init__(self, live: Live, bit: int, lines: list[Line], whole: int | None = None) -> None:
        self.live = live
        self.bit = bit
        self.lines = lines
        self.short = ""  # why it would do nothing even as the only rule
        self.whole = whole

    @property
    def quantity(self) -> int:
        """The whole matching quantity in thousandths (of the basket, also within a component)."""
        if self.whole is None:
            self.whole = sum(ln.qty_milli if ln.lot else ln.n * MILLI for ln in self.lines)
        return self.whole


class Play:
    """`used`: (line, units); `parts`: (line, discount); `times`: applications of a bundle."""

    __slots__ = ("candidate", "parts", "times", "total", "used")

    def __init__(
        self,
        candidate: Candidate,
        used: tuple[tuple[int, int], ...],
        parts: tuple[tuple[int, int], ...],
        times: int = 1,
    ) -> None:
        self.candidate = candidate
        self.used = used
        self.parts = parts
        self.total = sum(part for _, part in parts)
        self.times = times

    def repeated(self, times: int) -> "Play":
        """The same application so many times."""
        used = tuple((index, k * times) for index, k in self.used)
        parts = tuple((index, part * times) for index, part in self.parts)
        return Play(self.candidate, used, parts, self.times * times)


def floored(rate: Ratio, line: Line) -> Ratio:
    """The rate of one unit, at most its room above the floor."""
    room = line.room
    if room is not None and rate[0] > room * rate[1]:
        return (room, 1)
    return rate


def cut_to_cap(parts: list[int], cap: int | None) -> list[int]:
    """The sum is cut to the cap, split by largest remainder over the uncut parts."""
    if cap is None or sum(parts) <= cap:
        return parts
    return share_out(cap, parts)


def fill(total: int, weights: Sequence[int], rooms: Sequence[int]) -> list[int]:
    """Largest remainder within rooms: what exceeds a room is spread over lines that have room."""
    total = min(total, sum(rooms))
    given = [0] * len(weights)
    open_places = [i for i in range(len(weights)) if rooms[i] > 0 and weights[i] > 0]
    left = total
    while left > 0 and open_places:
        parts = share_out(left, [weights[i] for i in open_places])
        left = 0
        for i, part in zip(open_places, parts, strict=True):
            taken = min(part, rooms[i] - given[i])
            given[i] += taken
            left += part - taken
        open_places = [i for i in open_places if given[i] < rooms[i]]
    return given


def _counts(tops: Sequence[int], total: int) -> Iterator[tuple[int, ...]]:
    """All ways to take `total` units from places with at most `tops` each."""
    if not tops:
        if total == 0:
            yield ()
        return
    rest = sum(tops[1:])
    for k in range(min(tops[0], total), max(0, total - rest) - 1, -1):
        for tail in _counts(tops[1:], total - k):
            yield (k, *tail)


def line_plays(candidate: Candidate, work: Work) -> Iterator[Play]:
    """A limited line rule, or a tier rule: every choice of units per line."""
    live, lines = candidate.live, candidate.lines
    most = live.rule.limits.max_units
    if any(line.n > UNITS_MAX for line in lines):
        raise Exhausted
    for counts in product(*(range(line.n + 1) for line in lines)):
        work.spend()
        if not any(counts) or (most is not None and sum(counts) > most):
            continue
        play = covering(candidate, counts)
        if play is not None:
            yield play


def covering(candidate: Candidate, counts: Sequence[int]) -> Play | None:
    """A line or tier rule on so many units of each of its lines; None when it gives nothing."""
    lines = candidate.lines
    rates = _rates(candidate, candidate.live.terms, counts)
    if rates is None:
        return None
    parts = [scaled(k, rate) for k, rate in zip(counts, rates, strict=True)]
    parts = cut_to_cap(parts, candidate.live.cap)
    if not any(parts):
        return None
    return Play(
        candidate,
        tuple((line.index, k) for line, k in zip(lines, counts, strict=True) if k),
        tuple((line.index, d) for line, d in zip(lines, parts, strict=True) if d),
    )


def _rates(candidate: Candidate, terms: object, counts: Sequence[int]) -> list[Ratio] | None:
    if not isinstance(terms, Tiers):
        rate = candidate.live.module.rate
        return [floored(rate(terms, line), line) for line in candidate.lines]
    milli = 0
    for line, k in zip(candidate.lines, counts, strict=True):
        if k:
            milli += line.qty_milli if line.lot else k * MILLI
    reached = terms.reached(milli)
    if not reached:
        return None
    given = terms.steps[reached - 1].given
    return [floored(tier_rate(given, line), line) for line in candidate.lines]


def _rewarded(bundle: Bundle, counts: Sequence[int], lines: Sequence[Line]) -> list[int]:
    """Rewarded units per line for cheapest:n and dearest:n of one application."""
    if bundle.on == "all":
        return list(counts)
    dear = bundle.on == "dearest"
    order = sorted(
        (i for i, k in enumerate(counts) if k),
        key=lambda i: (-lines[i].p, -i) if dear else (lines[i].p, i),
    )
    left, taken = bundle.count, [0] * len(counts)
    for i in order:
        taken[i] = min(left, counts[i])
        left -= taken[i]
    return taken


def _application(
    candidate: Candidate, lines: Sequence[Line], counts: Sequence[int], rewarded: Sequence[int]
) -> Play | None:
    """One application of a customer bundle, or None when it saves nothing."""
    return bundle_play(candidate, lines, counts, rewarded, 1)


def bundle_play(
    candidate: Candidate,
    lines: Sequence[Line],
    counts: Sequence[int],
    rewarded: Sequence[int],
    times: int,
) -> Play | None:
    """The discount of rewarded units, split over the lines; None when it saves nothing."""
    bundle = candidate.live.terms
    assert isinstance(bundle, Bundle)  # noqa: S101  by the stage of the rule
    worth = [line.p * k for line, k in zip(lines, rewarded, strict=True)]
    saving = bundle.saving(sum(worth), times)
    if saving <= 0:
        return None
    shared = counts if bundle.spread else rewarded
    weights = [line.p * k for line, k in zip(lines, shared, strict=True)]
    if any(line.room is not None for line in lines):
        rooms = [
            (line.p if line.room is None else line.room) * k
            for line, k in zip(lines, shared, strict=True)
        ]
        parts = fill(saving, weights, rooms)
    else:
        parts = share_out(saving, weights)
    if not any(parts):
        return None
    return Play(
        candidate,
        tuple((line.index, k) for line, k in zip(lines, counts, strict=True) if k),
        tuple((line.index, d) for line, d in zip(lines, parts, strict=True) if d),
        times,
    )


def bundle_lines(candidate: Candidate) -> list[Line]:
    """The lines that can fill a slot: whole units, no lots."""
    return [line for line in candidate.lines if not line.lot]


def playable(candidate: Candidate) -> Candidate:
    """The candidate with the lines it can play on: a bundle takes no lots."""
    if candidate.live.stage != "bundle":
        return candidate
    for line in candidate.lines:
        if line.lot:
            return Candidate(candidate.live, candidate.bit, bundle_lines(candidate))
    return candidate


def most_rewarded(bundle: Bundle, lines: Sequence[Line]) -> int:
    """The largest list price that one application of a bundle of one slot can reward."""
    size = bundle.slots[0].qty
    if len(lines) == 1:
        return lines[0].p * (bundle.count if bundle.on in {"cheapest", "dearest"} else size)
    left, taken = size, []
    for line in sorted(lines, key=lambda each: -each.p):
        taken.append((line.p, min(left, line.n)))
        left -= taken[-1][1]
    if bundle.on == "cheapest":
        taken.reverse()
    rewarded = bundle.count if bundle.on in {"cheapest", "dearest"} else size
    total = 0
    for price, count in taken:
        total += price * min(count, rewarded)
        rewarded -= min(count, rewarded)
    return total


def applications(candidate: Candidate, work: Work) -> Iterator[Play]:
    """Every single application of a customer bundle that saves something."""
    bundle = candidate.live.terms
    assert isinstance(bundle, Bundle)  # noqa: S101
    lines = bundle_lines(candidate)
    if len(lines) > LINES_MAX:
        raise Exhausted
    if len(bundle.slots) == 1:
        for counts in _counts([line.n for line in lines], bundle.slots[0].qty):
            work.spend()
            reward = list(counts) if bundle.on == "slot" else _rewarded(bundle, counts, lines)
            play = _application(candidate, lines, counts, reward)
            if play is not None:
                yield play
        return
    yield from _slotted(candidate, bundle, lines, work)


def _slotted(candidate: Candidate, bundle: Bundle, lines: list[Line], work: Work) -> Iterator[Play]:
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()

    def fill_slots(slot: int, taken: tuple[int, ...], rewarded: tuple[int, ...]) -> Iterator[Play]:
        if slot == len(bundle.slots):
            reward = rewarded if bundle.on == "slot" else tuple(_rewarded(bundle, taken, lines))
            if (taken, reward) in seen:
                return
            seen.add((taken, reward))
            play = _application(candidate, lines, taken, reward)
            if play is not None:
                yield play
            return
        wanted = bundle.slots[slot]
        tops = [
            line.n - k if wanted.select.matches(line) else 0
            for line, k in zip(lines, taken, strict=True)
        ]
        for counts in _counts(tops, wanted.qty):
            work.spend()
            together = tuple(a + b for a, b in zip(taken, counts, strict=True))
            reward = counts if bundle.on == "slot" and bundle.count == slot else rewarded
            yield from fill_slots(slot + 1, together, reward)

    nothing = (0,) * len(lines)
    yield from fill_slots(0, nothing, nothing)


def retailer_plays(candidate: Candidate) -> Iterator[Play]:
    """Favor retailer: for m applications exactly the n*m cheapest are rewarded units."""
    bundle = candidate.live.terms
    assert isinstance(bundle, Bundle)  # noqa: S101
    lines = bundle_lines(candidate)
    size, cheap = bundle.slots[0].qty, bundle.count
    most = sum(line.n for line in lines) // size
    limit = candidate.live.rule.limits.max_applications
    most = min(most, limit if limit is not None else most)
    if most * len(lines) > PLAYS_WORK_MAX:
        raise Exhausted
    rising = sorted(range(len(lines)), key=lambda i: (lines[i].p, -i))
    falling = sorted(range(len(lines)), key=lambda i: (-lines[i].p, i))
    for times in range(1, most + 1):
        rewarded = _take(rising, [line.n for line in lines], cheap * times)
        left = [line.n - k for line, k in zip(lines, rewarded, strict=True)]
        others = _take(falling, left, (size - cheap) * times)
        counts = [a + b for a, b in zip(rewarded, others, strict=True)]
        play = bundle_play(candidate, lines, counts, rewarded, times)
        if play is not None and (candidate.live.cap is None or play.total <= candidate.live.cap):
            yield play


def _take(order: Sequence[int], tops: Sequence[int], count: int) -> list[int]:
    taken = [0] * len(tops)
    for i in order:
        taken[i] = min(tops[i], count)
        count -= taken[i]
    return taken
