"""The best packing of one alternative: a set of rules that may act in one basket together.

The joint optimum: every outcome of the exclusive rules that a later stage could tell apart is kept,
run through the compound and order rules, and the largest total wins, with the ties of section 2.4
(more gift rules, then fewer applied rules). Lines that no rule ties together are separate
components; outcomes of components are added up. When the work budget is used up, the best packing
that was found comes with a bound that none can exceed.
"""

from collections.abc import Sequence
from contextlib import suppress
from math import prod
from typing import Any, Final, NamedTuple

from promotions.bounds import later_bound
from promotions.brackets import best_by_sum, caps_of
from promotions.local import joined, smallest
from promotions.phases import Solution, guided, plain, tracks_of, unwound_plays
from promotions.plays import Candidate, Exhausted, Play, Work
from promotions.problem import Problem
from promotions.rough import rough_packing
from promotions.search import (
    START,
    Part,
    States,
    Watched,
    best_component,
    level_component,
    merge,
    search_size,
)
from promotions.stages import Later, line_places, run_compounds, run_orders

SMALL_SEARCH: Final = 6_000  # states below which the search by states also settles ties
SEARCH_MAX: Final = 60_000  # a component beyond this is not searched outcome by outcome
COMBINED_MAX: Final = 1_500  # sums of component outcomes that are written out one by one
COMBINE_SHARE: Final = 20  # of the budget, where nothing cheaper settles them
TRACKS_PLAIN: Final = 16  # more rules tied together than this are not tried without prices


class Found(NamedTuple):
    """The best outcome of an alternative, before it is written out line by line."""

    total: int
    gifts: int
    mask: int
    plays: tuple[Play, ...]
    upper_bound: int

    @property
    def rank(self) -> tuple[int, int, int]:
        """Total, then more gifts, then fewer rules."""
        return (self.total, self.gifts, -self.mask.bit_count())


def _component_outcomes(problem: Problem, part: Part, outer: Watched, work: Work) -> States:
    """The outcomes of one component in the fields of the last stage, compounds included."""
    lines = part.lines
    solve = level_component if problem.levels else best_component
    if not problem.apart or not any(line.index in problem.compounded for line in lines):
        return solve(part, outer, work)
    inner_place = {
        line.index: at
        for at, line in enumerate(lines)
        if line.index in problem.compounded or line.index in outer.place
    }
    inner = Watched(inner_place, len(lines), outer.width)
    compounds = [
        Candidate(c.live, c.bit, own, c.quantity)
        for c in problem.compounds
        if (own := [line for line in c.lines if line.index in inner_place])
    ]
    after: States = {}
    for watched, (_, ins, ties) in solve(part, inner, work).items():
        work.spend()
        given = inner.unpack(watched)
        nets = {line.index: line.gross - given[at] for at, line in enumerate(lines)}
        _, mask = run_compounds(compounds, nets)
        parts = [(ln.index, ln.gross - nets[ln.index]) for ln in lines if ln.index in inner_place]
        lifted, rest = outer.split(parts)
        more = tuple((known | mask, chain) for known, chain in ties)
        merge(after, lifted, (0, ins + rest, smallest(more[:1], more[1:])))
    return after


def _combined(outcomes: list[States], work: Work) -> States:
    """Outcomes of all components added up."""
    total = dict(START)
    for states in outcomes:
        after: States = {}
        for one, (_, ins, ties) in total.items():
            for two, (_, more, others) in states.items():
                work.spend()
                merge(after, one + two, (0, ins + more, joined(ties, others)))
        total = after
    return total


class Stage:
    """What the last stage looks at, and how it values an outcome."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.place, self.places = problem.classes()
        width = sum(line.gross for line in problem.lines).bit_length() + 1
        self.watched = Watched(self.place, len(self.places.gross), width)

    def value(self, given: Sequence[int]) -> tuple[int, Later]:
        """Watched saving before the order rules, and the outcome of the later stages."""
        problem, places = self.problem, self.places
        nets = [gross - part for gross, part in zip(places.gross, given, strict=True)]
        saved, mask = sum(given), 0
        if not problem.apart:
            by_line = {i: nets[at] for i, at in self.place.items()}
            more, mask = run_compounds(problem.compounds, by_line)
            saved += more
            for i, at in self.place.items():
                nets[at] = by_line[i]
        later = run_orders(problem.orders, nets, places)
        return saved, Later(later.saving, later.gifts, later.mask | mask)

    def best(self, states: States, work: Work) -> Found:
        """The best of all outcomes."""
        best: tuple[tuple[int, int, int], int, Any] | None = None
        for watched, (_, ins, ties) in states.items():
            work.spend()
            saved, later = self.value(self.watched.unpack(watched))
            for mask, chain in ties:
                union = mask | later.mask
                rank = (ins + saved + later.saving, later.gifts, -union.bit_count())
                if best is None or rank > best[0]:
                    best = (rank, union, chain)
        if best is None:
            raise Exhausted
        rank, mask, chain = best
        return Found(rank[0], rank[1], mask, tuple(unwound_plays(chain)), rank[0])


def _plain(problem: Problem, work: Work) -> Found:
    """No later stage looks: the best of every component, added up."""
    nobody = Watched({}, 0, 1)
    total = bound = 0
    ties: Any = START[0][2]
    parts = problem.components()
    parts.sort(key=search_size)
    for at, part in enumerate(parts):
        own = work.part(len(parts) - at)
        saving, alternatives, most = _best_part(problem, part, nobody, own)
        work.settle(own)
        total += saving
        bound += most
        if saving:
            ties = joined(ties, alternatives)
    mask, chain = ties[0]
    return Found(total, 0, mask, tuple(unwound_plays(chain)), bound)


def _best_part(problem: Problem, part: Part, nobody: Watched, work: Work) -> tuple[int, Any, int]:
    """(saving, ties, bound) of one component by the cheapest method that settles it."""
    if problem.huge:
        return _with_mask(rough_packing(part, levels=problem.levels))
    if problem.levels or not part.coupling or search_size(part) <= SMALL_SEARCH:
        found = _by_states(problem, part, nobody, work)
        if found is not None:
            return found
    solution = None if problem.levels else _swept(part, work)
    unproven = solution is None or (
        solution.upper_bound > solution.total and search_size(part) <= SEARCH_MAX
    )
    if unproven and not problem.levels:
        found = _by_states(problem, part, nobody, work)
        if found is not None:
            return found
    if solution is None:
        solution = rough_packing(part, levels=problem.levels)
    return _with_mask(solution)


def _with_mask(solution: Solution) -> tuple[int, Any, int]:
    mask = 0
    for play in solution.plays:
        mask |= play.candidate.bit
    return solution.total, ((mask, solution.plays),), solution.upper_bound


def _by_states(
    problem: Problem, part: Part, nobody: Watched, work: Work
) -> tuple[int, Any, int] | None:
    own = work.part(1)
    try:
        _, ins, ties = _component_outcomes(problem, part, nobody, own)[0]
    except Exhausted:
        return None
    work.settle(own)
    return ins, ties, ins


def _swept(part: Part, work: Work) -> Solution | None:
    choices = tracks_of(part)
    if choices is None:
        return None
    known: Solution | None = None
    if len(choices[0]) <= TRACKS_PLAIN:
        with suppress(Exhausted):
            known = plain(part, choices, work)
    if known is not None and known.upper_bound >= 0:
        return known
    rough = rough_packing(part, levels=False)
    if known is None or known.total < rough.total:
        known = rough
    return guided(part, choices, work, known)


def solve(problem: Problem, work: Work) -> Found:
    """The best packing of an alternative, proven or with a bound."""
    if problem.huge:
        return _rough(problem, work)
    if not problem.compounds and not problem.orders:
        return _plain(problem, work)
    stage = Stage(problem)
    cap: int | None = None
    if not problem.small:
        found, cap = _by_one_sum(problem, stage, work)
        if found is not None:
            return found
        if any(search_size(part) > SEARCH_MAX for part in problem.components() if part.coupling):
            return _rough(problem, work, cap)
    try:
        own = work.part(2)
        outcomes = [
            _component_outcomes(problem, part, stage.watched, own) for part in problem.components()
        ]
        if prod(map(len, outcomes)) <= COMBINED_MAX:
            return stage.best(_combined(outcomes, own), own)
        reached = best_by_sum(stage.value, stage.places, stage.watched, problem, outcomes)
        if reached is not None:
            total, gifts, mask, chain = reached
            return Found(total, gifts, mask, tuple(unwound_plays(chain)), total)
        return stage.best(_combined(outcomes, work.part(COMBINE_SHARE)), work)
    except Exhausted:
        return _rough(problem, work, cap)


def _by_one_sum(problem: Problem, stage: Stage, work: Work) -> tuple[Found | None, int | None]:
    """When order rules look at one sum: is the largest item discount the best total as well?

    Between two thresholds more discount is never worse, so the total at the largest discount and
    just at every threshold below it bound all others. The second value is that bound.
    """
    covered = {line.index for each in problem.units for line in each.lines}
    if problem.compounds or stage.watched.count != 1 or not covered <= stage.place.keys():
        return None, None
    own = work.part(3)
    plain = _plain(problem.without_later(), own)
    work.settle(own)
    saved, later = stage.value([plain.total])
    rank = (saved + later.saving, later.gifts)
    most = rank
    caps = caps_of(problem, stage.places.gross[0])
    for cap in {min(cap, plain.upper_bound) for cap in caps}:
        given, outcome = stage.value([cap])
        most = max(most, (given + outcome.saving, outcome.gifts))
    if most > rank:
        return None, most[0]
    mask = plain.mask | later.mask
    return Found(rank[0], rank[1], mask, plain.plays, rank[0]), rank[0]


def _rough(problem: Problem, work: Work, cap: int | None = None) -> Found:
    """The best of a few packings, each run through the later stages, with a bound."""
    plain = _plain(problem.without_later(), work)
    tries: list[tuple[Play, ...]] = [plain.plays, ()]
    for play in sorted(plain.plays, key=lambda each: each.total)[:40]:
        tries.append(
            tuple(other for other in tries[-1 if len(tries) > 2 else 0] if other is not play)
        )
    best: Found | None = None
    bound = later_bound(problem, plain.upper_bound)
    if cap is not None:
        bound = min(bound, cap)
    for plays in tries if not problem.levels else tries[:1]:
        total, gifts, mask = evaluate(problem, plays)
        found = Found(total, gifts, mask, plays, max(bound, total))
        if best is None or found.rank > best.rank:
            best = found
    if best is None:
        raise Exhausted
    return best


def evaluate(problem: Problem, plays: Sequence[Play]) -> tuple[int, int, int]:
    """Total, gifts and mask of one packing, calculated on the real lines."""
    nets = [line.gross for line in problem.lines]
    mask = 0
    for play in plays:
        mask |= play.candidate.bit
        for index, part in play.parts:
            nets[index] -= part
    saved = sum(line.gross for line in problem.lines) - sum(nets)
    by_line = dict(enumerate(nets))
    more, compound_mask = run_compounds(problem.compounds, by_line)
    nets = [by_line[i] for i in range(len(nets))]
    later = run_orders(problem.orders, nets, line_places(problem.lines, problem.orders))
    return saved + more + later.saving, later.gifts, mask | compound_mask | later.mask
