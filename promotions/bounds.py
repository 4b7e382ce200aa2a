"""What no packing can exceed."""

from promotions.kinds.order_amount import OrderAmount
from promotions.problem import Problem
from promotions.search import Part
from promotions.stages import compound_parts, line_places, run_orders


def goods_bound(part: Part) -> int:
    """No component can save more than its goods cost."""
    return sum(line.gross for line in part.lines)


def later_bound(problem: Problem, units_bound: int) -> int:
    """Every later rule gives most on undiscounted lines; together never more than the goods."""
    gross = [line.gross for line in problem.lines]
    total = units_bound
    for candidate in problem.compounds:
        total += sum(compound_parts(candidate, [line.gross for line in candidate.lines]))
    for candidate in problem.orders:
        places = line_places(problem.lines, [candidate])
        terms = candidate.live.terms
        if isinstance(terms, OrderAmount) and terms.steps:  # a higher tier may give less
            total += max(off for _, off in terms.steps)
            continue
        total += run_orders([candidate], list(gross), places).saving
    return min(total, sum(gross))
