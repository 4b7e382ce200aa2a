"""When no exact method fits the budget: take the densest plays first, and bound the rest."""

from contextlib import suppress

from promotions.bounds import dual_bound
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


def _options(candidate: Candidate) -> list[Play]:
    """Some plays of a rule: all single applications, or all units it may cover."""
    terms = candidate.live.terms
    made: list[Play] = []
    if isinstance(terms, Bundle):
        if terms.retailer:
            return list(retailer_plays(candidate))
        with suppress(Exhausted):
            made.extend(applications(candidate, Work(PLAYS_MAX)))
        return made
    most = candidate.live.rule.limits.max_units
    left = sum(line.n for line in candidate.lines) if most is None else most
    counts = []
    for line in candidate.lines:
        counts.append(min(line.n, left))
        left -= counts[-1]
    covered = covering(candidate, counts)
    return [covered] if covered is not None else []


def _fits(
    play: Play, left: dict[int, int], times: dict[Candidate, int], sums: dict[Candidate, int]
) -> bool:
    candidate = play.candidate
    terms, limits = candidate.live.terms, candidate.live.rule.limits
    done = times.get(candidate, 0)
    if not isinstance(terms, Bundle) or terms.retailer:
        if done:
            return False
    elif (limits.max_applications is not None and done >= limits.max_applications) or (
        candidate.live.cap is not None and sums.get(candidate, 0) + play.total > candidate.live.cap
    ):
        return False
    return all(k <= left[index] for index, k in play.used)


def rough_packing(part: Part, work: Work, *, levels: bool) -> Solution:
    """Greedy by priority (if it counts) and saving per unit; then the plain rules."""
    del work
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
    left = {line.index: line.n for line in part.lines}
    times: dict[Candidate, int] = {}
    sums: dict[Candidate, int] = {}
    chosen: list[Play] = []
    for play in plays:
        while play.total > 0 and _fits(play, left, times, sums):
            chosen.append(play)
            times[play.candidate] = times.get(play.candidate, 0) + 1
            sums[play.candidate] = sums.get(play.candidate, 0) + play.total
            for index, k in play.used:
                left[index] -= k
    if not levels:
        for local in part.local.values():
            found = local.best_of(left[local.line.index])
            chosen += found
    total = sum(play.total for play in chosen)
    return Solution(total, tuple(chosen), max(total, dual_bound(part)))
