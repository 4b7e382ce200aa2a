"""What no packing can exceed."""

from promotions.figures import scaled
from promotions.kinds.order_amount import OrderAmount
from promotions.kinds.percent_off import Percent
from promotions.plays import Candidate
from promotions.problem import Problem
from promotions.search import Part
from promotions.stages import compound_parts, line_places, run_orders


def goods_bound(part: Part) -> int:
    """No component can save more than its goods cost."""
    return sum(line.gross for line in part.lines)


def _percent_share(problem: Problem, candidate: Candidate, units_bound: int) -> int | None:
    """One percentage of all that is left: at most its share of the net, and half a unit per line.

    More item discount leaves less for it, but never by more than it brings, so the largest item
    discount bounds the sum of both.
    """
    terms = candidate.live.terms
    own = {line.index for line in candidate.lines}
    covered = {line.index for each in problem.units for line in each.lines}
    if len(problem.compounds) > 1 or not isinstance(terms, Percent) or not covered <= own:
        return None
    left = max(0, sum(line.gross for line in candidate.lines) - units_bound)
    return scaled(left, terms.ratio) + (len(own) + 1) // 2


def later_bound(problem: Problem, units_bound: int) -> int:
    """Every later rule gives most on undiscounted lines; together never more than the goods."""
    gross = [line.gross for line in problem.lines]
    total = units_bound
    for candidate in problem.compounds:
        share = _percent_share(problem, candidate, units_bound)
        if share is not None:
            total += share
            continue
        total += sum(compound_parts(candidate, [line.gross for line in candidate.lines]))
    for candidate in problem.orders:
        places = line_places(problem.lines, [candidate])
        terms = candidate.live.terms
        if isinstance(terms, OrderAmount) and terms.steps:  # a higher tier may give less
            total += max(off for _, off in terms.steps)
            continue
        total += run_orders([candidate], list(gross), places).saving
    return min(total, sum(gross))
