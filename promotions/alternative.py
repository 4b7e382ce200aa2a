"""The best packing of one alternative: a set of rules that may act in one basket together.

The joint optimum: every outcome of the exclusive rules that a later stage could tell apart is kept,
run through the compound and order rules, and the largest total wins, with the ties of section 2.4
(more gift rules, then fewer applied rules). Lines that no rule ties together are separate
components; outcomes of components are added up.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from promotions.lines import Line
from promotions.local import Local, joined, pack_of, rate_of, smallest
from promotions.plays import Candidate, Play, Work, playable
from promotions.search import (
    START,
    Part,
    States,
    Watched,
    best_component,
    couples,
    level_component,
    merge,
)
from promotions.stages import Later, Places, line_places, run_compounds, run_orders


class Found(NamedTuple):
    """The best outcome of an alternative, before it is written out line by line."""

    total: int
    gifts: int
    mask: int
    plays: tuple[Play, ...]
    exact: bool
    upper_bound: int

    @property
    def rank(self) -> tuple[int, int, int]:
        """Total, then more gifts, then fewer rules."""
        return (self.total, self.gifts, -self.mask.bit_count())


class Problem:
    """One alternative: its lines, its rules by stage, and what must be watched."""

    def __init__(self, lines: Sequence[Line], rules: Sequence[Candidate], *, levels: bool) -> None:
        self.lines = lines
        self.levels = levels
        stages: dict[str, list[Candidate]] = {"unit": [], "compound": [], "order": []}
        for candidate in sorted(rules, key=lambda each: each.bit):
            stage = "order" if candidate.live.stage == "order" else "unit"
            if stage == "unit" and candidate.live.mode == "compound":
                stage = "compound"
            if stage == "unit":
                fitted = playable(candidate)
                if fitted is not None:
                    stages[stage].append(fitted)
            elif candidate.lines:
                stages[stage].append(candidate)
        self.units = stages["unit"]
        self.compounds, self.orders = stages["compound"], stages["order"]
        self.apart = all(candidate.live.cap is None for candidate in self.compounds)
        self.compounded = {line.index for each in self.compounds for line in each.lines}
        self.ordered = {line.index for each in self.orders for line in each.lines}

    def classes(self) -> tuple[dict[int, int], Places]:
        """Field of every watched line, and the places that the last stage calculates on."""
        sums = self.apart and not any(self.lines[i].floor_total for i in self.ordered)
        covers = [frozenset(line.index for line in each.lines) for each in self.orders]
        distinct = list(dict.fromkeys(covers))
        if sums and sum(map(len, distinct)) == len(self.ordered):
            place = {i: at for at, cover in enumerate(distinct) for i in sorted(cover)}
            gross = [sum(self.lines[i].gross for i in cover) for cover in distinct]
            members = [[distinct.index(cover)] for cover in covers]
            return place, Places(gross, [0] * len(gross), members)
        watched = sorted(self.ordered if self.apart else self.ordered | self.compounded)
        place = {i: at for at, i in enumerate(watched)}
        lines = [self.lines[i] for i in watched]
        members = [[place[line.index] for line in each.lines] for each in self.orders]
        gross = [line.gross for line in lines]
        return place, Places(gross, [line.floor_total for line in lines], members)

    def components(self) -> list[Part]:
        """Lines tied together by coupling rules, with those rules and the plain ones."""
        local: dict[int, Local] = {}
        coupling = []
        for candidate in self.units:
            if couples(candidate, levels=self.levels):
                coupling.append(candidate)
            elif candidate.live.stage == "bundle":
                line = candidate.lines[0]
                _local(local, line).packs.append(pack_of(candidate, line))
            else:
                for line in candidate.lines:
                    _local(local, line).rated.append(rate_of(candidate, line))
        if not coupling and not self.compounded and not self.ordered:
            return [_part([each.line], each) for each in local.values()]
        root = _tied(coupling)
        parts: dict[int, Part] = {}
        touched = self.compounded | self.ordered | root.keys() | local.keys()
        for line in self.lines:
            if line.index in touched:
                part = parts.setdefault(_top(root, line.index), Part())
                part.lines.append(line)
                part.local[line.index] = _local(local, line)
        for candidate in coupling:
            parts[_top(root, candidate.lines[0].index)].coupling.append(candidate)
        return list(parts.values())


def _local(local: dict[int, Local], line: Line) -> Local:
    known = local.get(line.index)
    if known is None:
        known = local[line.index] = Local(line)
    return known


def _part(lines: list[Line], local: Local) -> Part:
    part = Part()
    part.lines = lines
    part.local[local.line.index] = local
    return part


def _top(root: dict[int, int], i: int) -> int:
    while root.setdefault(i, i) != i:
        root[i] = root[root[i]]
        i = root[i]
    return i


def _tied(coupling: Sequence[Candidate]) -> dict[int, int]:
    """Union-find over lines: those of one coupling rule have the same top."""
    root: dict[int, int] = {}
    for candidate in coupling:
        first = _top(root, candidate.lines[0].index)
        for line in candidate.lines[1:]:
            root[_top(root, line.index)] = first
    return root


def _component_outcomes(
    problem: Problem,
    part: Part,
    outer: Watched,
    work: Work,
) -> States:
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


def unwound(chain: Any) -> tuple[Play, ...]:
    """The plays of a chain of alternatives, in no particular order."""
    plays: list[Play] = []
    stack = [chain]
    while stack:
        link = stack.pop()
        if isinstance(link, Play):
            plays.append(link)
        elif link is not None:
            stack.extend(link)
    return tuple(plays)


def exact_best(problem: Problem, work: Work) -> Found:
    """The proven best outcome of an alternative, or `Exhausted`."""
    place, places = problem.classes()
    width = sum(line.gross for line in problem.lines).bit_length() + 1
    outer = Watched(place, len(places.gross), width)
    outcomes = [_component_outcomes(problem, part, outer, work) for part in problem.components()]
    best: tuple[tuple[int, int, int], int, Any] | None = None
    for watched, (_, ins, ties) in _combined(outcomes, work).items():
        work.spend()
        given = outer.unpack(watched)
        later, saved = _finish(problem, place, places, given)
        for mask, chain in ties:
            union = mask | later.mask
            rank = (ins + saved + later.saving, later.gifts, -union.bit_count())
            if best is None or rank > best[0]:
                best = (rank, union, chain)
    assert best is not None  # noqa: S101  the empty outcome always exists
    rank, mask, chain = best
    return Found(rank[0], rank[1], mask, unwound(chain), exact=True, upper_bound=rank[0])


def _finish(
    problem: Problem, place: dict[int, int], places: Places, given: list[int]
) -> tuple[Later, int]:
    nets = [gross - part for gross, part in zip(places.gross, given, strict=True)]
    saved = sum(given)
    mask = 0
    if not problem.apart:
        by_line = {i: nets[at] for i, at in place.items()}
        more, mask = run_compounds(problem.compounds, by_line)
        saved += more
        for i, at in place.items():
            nets[at] = by_line[i]
    later = run_orders(problem.orders, nets, places)
    return Later(later.saving, later.gifts, later.mask | mask), saved


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
