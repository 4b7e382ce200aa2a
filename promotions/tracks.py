"""Coupling rules as counters: what a line-by-line search has to remember of each.

A bundle of one slot only needs the number of places filled in its open application, as long as the
lines come by falling price: grouping neighbours is best for the customer. A tier rule needs the
quantity covered so far (up to the tier it aims at), a rule with max_units the units.

Gains are in units of 1/`scale` so that percentages stay whole. Where a bundle's percentage is
rounded per application, or goods may be cheaper than the amount off, a completed application gains
the most that it can: the search then finds an upper bound, and what it found is counted again
exactly.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import lcm

from promotions.figures import scaled
from promotions.kinds.bundle import Bundle
from promotions.kinds.tier_qty import Tiers
from promotions.kinds.tier_qty import rate as tier_rate
from promotions.lines import MILLI, Line
from promotions.plays import Candidate, floored

Option = tuple[int, int, int]  # units, next state, gain


class Track:
    """One coupling rule as a counter."""

    __slots__ = ("bits", "candidate", "last", "places", "shift", "tight")

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.tight = True
        self.shift = self.bits = self.last = 0
        self.places = 1  # values of the counter

    def options(self, line: Line, state: int, scale: int) -> list[Option]:
        """Every number of units that the rule may take of a line, from a state."""
        raise NotImplementedError

    def closes(self, state: int, units_ahead: int) -> bool:
        """May the rule stand in this state with so many units still to come? Any number may."""
        return state >= 0 and units_ahead >= 0


class BundleTrack(Track):
    """Places of the open application; with max_applications all places so far."""

    __slots__ = ("bonus", "most", "paid", "size", "weights")

    def __init__(
        self, candidate: Candidate, size: int, paid: int, weights: dict[int, tuple[int, int]]
    ) -> None:
        super().__init__(candidate)
        self.size = size
        self.paid = paid  # the last places of an application are the rewarded ones
        self.weights = weights  # line -> what a rewarded unit gains, as a ratio
        self.bonus: tuple[int, int] = (0, 1)  # what a completed application gains
        units = sum(line.n for line in candidate.lines)
        most = candidate.live.rule.limits.max_applications
        self.most = None if most is None or most * size >= units else most * size
        self.bits = (size if self.most is None else self.most).bit_length()
        self.places = size if self.most is None else self.most + 1

    def _paid(self, places: int) -> int:
        whole, part = divmod(places, self.size)
        return whole * self.paid + max(0, part - self.size + self.paid)

    def options(self, line: Line, state: int, scale: int) -> list[Option]:
        """Any number of units."""
        num, den = self.weights[line.index]
        weight = num * (scale // den)
        bonus = self.bonus[0] * (scale // self.bonus[1])
        found = []
        base = self._paid(state)
        top = line.n if self.most is None else min(line.n, self.most - state)
        for k in range(top + 1):
            places = state + k
            gain = (self._paid(places) - base) * weight
            gain += (places // self.size - state // self.size) * bonus
            found.append((k, places % self.size if self.most is None else places, gain))
        return found

    def closes(self, state: int, units_ahead: int) -> bool:
        """The open application must still be completed."""
        return (-state) % self.size <= units_ahead


class UnitsTrack(Track):
    """Units covered by a line rule with max_units."""

    __slots__ = ("most",)

    def __init__(self, candidate: Candidate, most: int) -> None:
        super().__init__(candidate)
        self.most = min(most, sum(line.n for line in candidate.lines))
        self.bits = self.most.bit_length()
        self.places = self.most + 1

    def options(self, line: Line, state: int, scale: int) -> list[Option]:
        """As many units as are left."""
        live = self.candidate.live
        rate = floored(live.module.rate(live.terms, line), line)
        top = min(line.n, self.most - state)
        return [(k, state + k, scaled(k, rate) * scale) for k in range(top + 1)]


class TierTrack(Track):
    """Quantity covered so far, up to the tier that is aimed at."""

    __slots__ = ("ahead", "aim", "step")

    def __init__(self, candidate: Candidate, step: int) -> None:
        super().__init__(candidate)
        self.step = step
        terms = candidate.live.terms
        assert isinstance(terms, Tiers)  # noqa: S101
        self.aim = terms.steps[step].min_milli
        self.bits = self.aim.bit_length()
        self.places = self.aim // MILLI + 1
        self.ahead = 0

    def options(self, line: Line, state: int, scale: int) -> list[Option]:
        """Any number of units, at the rate of the tier."""
        terms = self.candidate.live.terms
        assert isinstance(terms, Tiers)  # noqa: S101
        rate = floored(tier_rate(terms.steps[self.step].given, line), line)
        each = line.qty_milli if line.lot else MILLI
        return [
            (k, min(self.aim, state + k * each), scaled(k, rate) * scale) for k in range(line.n + 1)
        ]

    def closes(self, state: int, units_ahead: int) -> bool:
        """Nothing covered, or the tier reached (counted generously for lots)."""
        return state in {0, self.aim} or units_ahead > 0


def bundle_track(candidate: Candidate) -> BundleTrack | None:
    """The bundle as a counter, or None when it needs more than that."""
    bundle, lines = candidate.live.terms, candidate.lines
    assert isinstance(bundle, Bundle)  # noqa: S101
    if len(bundle.slots) > 1 or bundle.retailer or candidate.live.cap is not None:
        return None
    if any(line.room is not None for line in lines):
        return None
    size = bundle.size
    paid = bundle.count if bundle.on in {"cheapest", "dearest"} else size
    if bundle.on == "dearest" and paid < size:
        return None
    if bundle.how == "percent":
        return _percent_track(candidate, bundle, size, paid)
    if bundle.how == "fixed_price":
        track = BundleTrack(candidate, size, paid, {line.index: (line.p, 1) for line in lines})
        track.bonus = (-bundle.figure, 1)
        return track
    track = BundleTrack(candidate, size, paid, {line.index: (0, 1) for line in lines})
    track.bonus = (bundle.figure, 1)
    track.tight = _cheapest(lines, paid) >= bundle.figure  # cheaper goods give only their price
    return track


def _cheapest(lines: Sequence[Line], count: int) -> int:
    total = 0
    for line in sorted(lines, key=lambda each: each.p):
        taken = min(count, line.n)
        total += taken * line.p
        count -= taken
    return total


def _percent_track(candidate: Candidate, bundle: Bundle, size: int, paid: int) -> BundleTrack:
    num, den = bundle.ratio
    lines = candidate.lines
    if paid == 1:
        weights = {line.index: (scaled(line.p, bundle.ratio), 1) for line in lines}
        return BundleTrack(candidate, size, paid, weights)
    if all(line.p * num % den == 0 for line in lines):
        weights = {line.index: (line.p * num // den, 1) for line in lines}
        return BundleTrack(candidate, size, paid, weights)
    track = BundleTrack(candidate, size, paid, {line.index: (line.p * num, den) for line in lines})
    track.bonus = (den // 2, den)  # hu(x) - x is at most this
    track.tight = False
    return track


def tier_steps(candidate: Candidate) -> list[int] | None:
    """The tiers to aim at, or None when a higher tier is not always the better one."""
    terms = candidate.live.terms
    assert isinstance(terms, Tiers)  # noqa: S101
    if candidate.live.cap is not None or candidate.live.rule.limits.max_units is not None:
        return None
    for line in candidate.lines:
        rates = [floored(tier_rate(step.given, line), line) for step in terms.steps]
        for low, high in pairwise(rates):
            if low[0] * high[1] > high[0] * low[1]:
                return None
    reached = terms.reached(candidate.quantity)
    return list(range(reached))


def common_scale(tracks: Sequence[Track]) -> int:
    """One scale in which every gain is whole."""
    scale = 1
    for track in tracks:
        if isinstance(track, BundleTrack) and not track.tight:
            scale = lcm(scale, track.bonus[1])
    return scale
