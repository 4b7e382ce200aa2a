"""Thresholds over one sum: which discounts can be reached at all, and which is best?

When all order rules look at one sum of lines, the total only depends on the discount of that sum,
and between two thresholds more discount is never worse. So the reachable sums are kept as the bits
of one integer, and only the highest reachable one below each threshold is tried.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from promotions.problem import Problem
from promotions.search import States, Watched
from promotions.stages import Later, Places

SUM_MAX: Final = 4_000_000


def caps_of(problem: Problem, gross: int) -> list[int]:
    """The largest discounts that keep the sum at each threshold."""
    caps = {gross}
    for candidate in problem.orders:
        terms = candidate.live.terms
        if getattr(terms, "before", False):
            continue
        for least in candidate.live.module.thresholds(terms, gross):
            if 0 < least <= gross:
                caps.add(gross - least)
    return sorted(caps)


def best_by_sum(
    value: Callable[[Sequence[int]], tuple[int, Later]],
    places: Places,
    watched: Watched,
    problem: Problem,
    outcomes: list[States],
) -> tuple[int, int, int, Any] | None:
    """(total, gifts, mask, chain) of the best reachable sum; None when there are several sums."""
    if watched.count != 1 or places.gross[0] > SUM_MAX:
        return None
    rest, options = 0, []
    for states in outcomes:
        values = {entry[1] for entry in states.values()}
        if len(values) != 1:
            return None
        rest += values.pop()
        options.append(sorted(states))
    reach = [1]
    for option in options:
        bits = 0
        for given in option:
            bits |= reach[-1] << given
        reach.append(bits)
    best: tuple[tuple[int, int], int, Later] | None = None
    for cap in caps_of(problem, places.gross[0]):
        given = (reach[-1] & ((1 << (cap + 1)) - 1)).bit_length() - 1
        saved, later = value([given])
        rank = (rest + saved + later.saving, later.gifts)
        if best is None or rank > best[0]:
            best = (rank, given, later)
    if best is None:
        return None
    (total, gifts), given, later = best
    mask, chain = _walk_back(reach, options, outcomes, given)
    return total, gifts, mask | later.mask, chain


def _walk_back(
    reach: list[int], options: list[list[int]], outcomes: list[States], given: int
) -> tuple[int, Any]:
    """One choice per component that adds up to the sum."""
    mask = 0
    chain: Any = None
    for at in range(len(options) - 1, -1, -1):
        for part in reversed(options[at]):
            if part <= given and reach[at] >> (given - part) & 1:
                own, link = outcomes[at][part][2][0]
                mask |= own
                chain = (chain, link)
                given -= part
                break
    return mask, chain
