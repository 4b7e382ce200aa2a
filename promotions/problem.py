"""One alternative as a problem: its lines, its rules by stage, and what must be watched."""

from collections.abc import Sequence

from promotions.lines import Line
from promotions.local import Local, pack_of, rate_of
from promotions.plays import UNITS_ALL_MAX, UNITS_MAX, Candidate, playable
from promotions.search import Part, couples
from promotions.stages import Places

SMALL_PIECES = 16
SMALL_RULES = 12


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
            if stage == "order" or not candidate.short:  # a higher tier may give less
                stages[stage].append(playable(candidate) if stage == "unit" else candidate)
        self.units = stages["unit"]
        self.compounds, self.orders = stages["compound"], stages["order"]
        self.apart = all(candidate.live.cap is None for candidate in self.compounds)
        self.compounded = {line.index for each in self.compounds for line in each.lines}
        self.ordered = {line.index for each in self.orders for line in each.lines}

    @property
    def huge(self) -> bool:
        """So many pieces that only a rough answer with a bound is given."""
        pieces = [line.n for line in self.lines]
        return sum(pieces) > UNITS_ALL_MAX or max(pieces, default=0) > UNITS_MAX

    @property
    def small(self) -> bool:
        """So few pieces and rules that every outcome, ties included, can be looked at."""
        pieces = sum(line.n for line in self.lines)
        return pieces <= SMALL_PIECES and len(self.units) <= SMALL_RULES

    def without_later(self) -> "Problem":
        """The same exclusive rules with no later stage."""
        return Problem(self.lines, self.units, levels=self.levels)

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
