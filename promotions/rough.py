"""When no exact method fits the budget: take the densest plays first, and bound the rest."""

from contextlib import suppress
from math import comb

from promotions.bounds import goods_bound
from promotions.kinds.bundle import Bundle
from promotions.phases import Solution
from promotions.plays import (
    Candidate,
    Exhausted,
    Play,
    Work,
    applications,
    covering,
    retailer_plays,
)
from promotions.search import Part

PLAYS_MAX = 2_000
PLAYS_FEW = 300
LINES_FEW = 40


def _options(candidate: Candidate) -> list[Play]:
    """Some plays of a rule: single applications, or all units it may cover."""
    terms = candidate.live.terms
    made: list[Play] = []
    if isinstance(terms, Bundle):
        with suppress(Exhausted):
            if terms.retailer:
                made.extend(retailer_plays(candidate))
            else:
                made.extend(_single_applications(candidate, terms))
        return made
    most = candidate.live.rule.limits.max_units
    left = sum(line.n for line in candidate.lines) if most is None else most
    counts = []
    for line in candidate.lines:
        counts.append(min(line.n, left))
        left -= counts[-1]
    covered = covering(candidate, counts)
    return [covered] if covered is not None else []


def _single_applications(candidate: Candidate, terms: Bundle) -> list[Play]:
    """Those of the dearest lines, and those of neighbours by price: what is rewarded is dear."""
    dear = sorted(candidate.lines, key=lambda line: (-line.p, line.index))
    size = sum(slot.qty for slot in terms.slots)
    if len(terms.slots) > 1 or comb(len(dear) + size - 1, size) <= PLAYS_FEW:
        groups = [dear[:LINES_FEW]]
    else:
        near = max(2, size)
        groups = [dear[at : at + near] for at in range(max(1, len(dear) - near + 1))]
    made: list[Play] = []
    for few in groups:
        own = Candidate(candidate.live, candidate.bit, sorted(few, key=lambda line: line.index))
        made.extend(applications(own, Work(PLAYS_MAX)))
    return made


class _Taken:
    """What is left of lines and limits while plays are taken."""

    def __init__(self, part: Part) -> None:
        self.left = {line.index: line.n for line in part.lines}
        self.times: dict[int, int] = {}
        self.sums: dict[int, int] = {}

    def fits(self, play: Play) -> int:
        """How often a play still fits."""
        bit, limits = play.candidate.bit, play.candidate.live.rule.limits
        done = self.times.get(bit, 0)
        times = min(self.left[index] // k for index, k in play.used)
        terms = play.candidate.live.terms
        if not isinstance(terms, Bundle) or terms.retailer:
            return min(times, 1 - min(1, done))
        if limits.max_applications is not None:
            times = min(times, limits.max_applications - done)
        cap = play.candidate.live.cap
        if cap is not None:
            times = min(times, (cap - self.sums.get(bit, 0)) // play.total)
        return max(0, times)

    def take(self, play: Play) -> None:
        """Book it."""
        bit = play.candidate.bit
        self.times[bit] = self.times.get(bit, 0) + play.times
        self.sums[bit] = self.sums.get(bit, 0) + play.total
        for index, k in play.used:
            self.left[index] -= k


def rough_packing(part: Part, *, levels: bool) -> Solution:
    """Greedy by priority (if it counts) and saving per unit; then the plain rules."""
    plays = [play for candidate in part.coupling for play in _options(candidate)]
    for local in part.local.values():
        if levels:
            plays += [each.play(local.line, local.line.n) for each in local.rated]
    plays.sort(
        key=lambda play: (
            -play.candidate.live.priority if levels else 0,
            -play.total / max(1, sum(k for _, k in play.used)),
            play.candidate.live.id,
            play.used,
        )
    )
    taken = _Taken(part)
    chosen: list[Play] = []
    for play in plays:
        times = taken.fits(play) if play.total > 0 else 0
        if times:
            more = play.repeated(times)
            chosen.append(more)
            taken.take(more)
    if not levels:
        for local in part.local.values():
            chosen += local.best_of(taken.left[local.line.index])
    total = sum(play.total for play in chosen)
    return Solution(total, tuple(chosen), max(total, goods_bound(part)))
