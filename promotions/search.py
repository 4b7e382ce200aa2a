"""Exact search of one component: which plays of the exclusive rules fit together best?

A state is one integer: a field with the units used of every line (with a guard bit, so that one
addition and one mask tell whether a play still fits), scratch fields for limits, and the discount
so far on everything that a later stage looks at. A state keeps the best discount on all the rest,
and every smallest set of applied rules that reaches it (ties go to fewer rules).
"""

from collections.abc import Iterable, Sequence
from math import comb, prod
from typing import Any, Final

from promotions.kinds.bundle import Bundle
from promotions.lines import Line
from promotions.local import NO_PLAY, Alternatives, Local, grown, joined, smallest
from promotions.plays import (
    Candidate,
    Play,
    Work,
    applications,
    line_plays,
    retailer_plays,
)

Entry = tuple[int, int, Alternatives]  # saving of this level, saving nobody looks at, ties
States = dict[int, Entry]
SIZE_MAX = 10**9
STATE_COST: Final = 4  # one state here costs what so many cost in a search line by line
START: States = {0: (0, 0, NO_PLAY)}


def merge(states: States, key: int, entry: Entry) -> None:
    """Keep the better entry of a state; of equal ones the smallest masks of both."""
    known = states.get(key)
    if known is None:
        states[key] = entry
        return
    if entry[:2] > known[:2]:
        states[key] = entry
    elif entry[:2] == known[:2]:
        states[key] = (known[0], known[1], smallest(known[2], entry[2]))


class Watched:
    """Which lines a later stage looks at: `place[line index]` is a field number, or absent."""

    __slots__ = ("count", "place", "width")

    def __init__(self, place: dict[int, int], count: int, width: int) -> None:
        self.place = place
        self.count = count
        self.width = width

    def split(self, parts: Iterable[tuple[int, int]]) -> tuple[int, int]:
        """The watched discount as one integer, and the sum of the rest."""
        watched = rest = 0
        for index, part in parts:
            at = self.place.get(index)
            if at is None:
                rest += part
            else:
                watched += part << (at * self.width)
        return watched, rest

    def unpack(self, watched: int) -> list[int]:
        """The discount per field."""
        ones = (1 << self.width) - 1
        return [watched >> (i * self.width) & ones for i in range(self.count)]


class Layout:
    """Where each line's used units stand in a state."""

    def __init__(self, lines: Sequence[Line], watched: Watched) -> None:
        self.watched = watched
        self.lines = lines
        self.shift: dict[int, int] = {}
        self.mask: dict[int, int] = {}
        at = bias = guard = 0
        for line in lines:
            bits = line.n.bit_length()
            self.shift[line.index] = at
            self.mask[line.index] = ((1 << bits) - 1) << at
            bias |= ((1 << bits) - 1 - line.n) << at
            guard |= 1 << (at + bits)
            at += bits + 1
        self.bias, self.guard = bias, guard
        units = sum(line.n for line in lines)
        self.tally_at, self.tally_bits = at, units.bit_length() + 1
        at += self.tally_bits + 1
        self.sum_at = at
        worth = sum(line.gross for line in lines)
        self.sum_bits = worth.bit_length() + 1
        self.base = at + self.sum_bits + 1
        self.scratch = ((1 << (self.base - self.tally_at)) - 1) << self.tally_at

    def used(self, play: Play) -> int:
        """The units of a play, to be added to a state."""
        return sum(k << self.shift[index] for index, k in play.used)

    def add(self, play: Play) -> tuple[int, int]:
        """What a play adds to a state, and its unwatched discount."""
        watched, rest = self.watched.split(play.parts)
        return self.used(play) + (watched << self.base), rest


def play_applications(
    states: States, candidate: Candidate, layout: Layout, work: Work, *, levels: bool
) -> States:
    """A customer bundle: any number of applications within its limits, one after the other."""
    limits, cap = candidate.live.rule.limits, candidate.live.cap
    bias, guard = layout.bias, layout.guard
    tally = total = 0
    if limits.max_applications is not None:
        tally = 1
        top = min(limits.max_applications, (1 << layout.tally_bits) - 1)
        bias |= ((1 << layout.tally_bits) - 1 - top) << layout.tally_at
        guard |= 1 << (layout.tally_at + layout.tally_bits)
    if cap is not None:
        total = 1
        top = min(cap, (1 << layout.sum_bits) - 1)
        bias |= ((1 << layout.sum_bits) - 1 - top) << layout.sum_at
        guard |= 1 << (layout.sum_at + layout.sum_bits)
    grown_states = dict(states)
    for play in applications(candidate, work):
        add, rest = layout.add(play)
        add += (tally << layout.tally_at) + (play.total * total << layout.sum_at)
        level = play.total if levels else 0
        for start in list(grown_states):
            lev, ins, ties = grown_states[start]
            key, behind = start + add, 0
            while not (key + bias) & guard:
                work.spend(STATE_COST)
                lev, ins, behind = lev + level, ins + rest, behind + 1
                known = grown_states.get(key)
                if known is None or (lev, ins) >= known[:2]:
                    for _ in range(behind):
                        ties = grown(ties, play)
                    behind = 0
                    merge(grown_states, key, (lev, ins, ties))
                key += add
    if not tally and not total:
        return grown_states
    cleared: States = {}
    for key, entry in grown_states.items():
        merge(cleared, key & ~layout.scratch, entry)
    return cleared


def play_once(
    states: States, plays: Iterable[Play], layout: Layout, work: Work, *, levels: bool
) -> States:
    """A rule that makes one play or none (limited lines, tiers, retailer bundles)."""
    after = dict(states)
    starts = list(states.items())
    bias, guard = layout.bias, layout.guard
    for play in plays:
        add, rest = layout.add(play)
        level = play.total if levels else 0
        for start, (lev, ins, ties) in starts:
            key = start + add
            if not (key + bias) & guard:
                work.spend(STATE_COST)
                merge(after, key, (lev + level, ins + rest, grown(ties, play)))
    return after


def close_line(states: States, local: Local, layout: Layout, work: Work) -> States:
    """Give the units that are left of a line to its plain rules, and forget the line."""
    line = local.line
    at = layout.watched.place.get(line.index)
    table = local.table(work, every=at is not None)
    lift = 0 if at is None else layout.base + at * layout.watched.width
    shift, mask = layout.shift[line.index], layout.mask[line.index]
    after: States = {}
    for key, (lev, ins, ties) in states.items():
        used = (key & mask) >> shift
        for given, more in table[line.n - used]:
            work.spend()
            entry = (lev, ins + (given if at is None else 0), joined(ties, more))
            merge(after, (key & ~mask) + (0 if at is None else given << lift), entry)
    return after


def couples(candidate: Candidate, *, levels: bool) -> bool:
    """Does the rule tie several units or lines together?"""
    live = candidate.live
    if live.stage == "line":
        return live.cap is not None or live.rule.limits.max_units is not None
    return levels or not live.simple or len(candidate.lines) > 1


def play_rule(
    states: States, candidate: Candidate, layout: Layout, work: Work, *, levels: bool
) -> States:
    """Let one coupling rule play."""
    terms = candidate.live.terms
    if isinstance(terms, Bundle):
        if terms.retailer:
            return play_once(states, retailer_plays(candidate), layout, work, levels=levels)
        return play_applications(states, candidate, layout, work, levels=levels)
    return play_once(states, line_plays(candidate, work), layout, work, levels=levels)


class Part:
    """One component: lines that coupling rules tie together, and what plays on them."""

    __slots__ = ("coupling", "lines", "local")

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.coupling: list[Candidate] = []
        self.local: dict[int, Local] = {}


def best_component(part: Part, watched: Watched, work: Work) -> States:
    """Every watched outcome of one component, each with the best of the rest (`best`)."""
    if not part.coupling and len(part.lines) == 1 and part.lines[0].index not in watched.place:
        given, ties = part.local[part.lines[0].index].best()
        return {0: (0, given, ties)}
    layout = Layout(part.lines, watched)
    states = dict(START)
    closed: set[int] = set()
    last = {ln.index: at for at, each in enumerate(part.coupling) for ln in each.lines}
    for at, candidate in enumerate(part.coupling):
        states = play_rule(states, candidate, layout, work, levels=False)
        for line in candidate.lines:
            if last[line.index] == at:
                closed.add(line.index)
                states = close_line(states, part.local[line.index], layout, work)
    for line in part.lines:
        if line.index not in closed:
            states = close_line(states, part.local[line.index], layout, work)
    return {key >> layout.base: entry for key, entry in states.items()}


def level_component(part: Part, watched: Watched, work: Work) -> States:
    """The same level by level, highest priority first (`priority`)."""
    layout = Layout(part.lines, watched)
    levels: dict[int, list[Any]] = {}
    for candidate in part.coupling:
        levels.setdefault(candidate.live.priority, []).append(candidate)
    for line in part.lines:
        for each in part.local[line.index].rated:
            levels.setdefault(each.candidate.live.priority, []).append((line, each))
    states = dict(START)
    for priority in sorted(levels, reverse=True):
        for member in levels[priority]:
            if isinstance(member, Candidate):
                states = play_rule(states, member, layout, work, levels=True)
            else:
                line, each = member
                made = (each.play(line, k) for k in range(1, line.n + 1))
                plays = [play for play in made if play.total > 0]
                states = play_once(states, plays, layout, work, levels=True)
        most = max(entry[0] for entry in states.values())
        states = {key: (0, e[1], e[2]) for key, e in states.items() if e[0] == most}
    after: States = {}
    for key, entry in states.items():
        merge(after, key >> layout.base, entry)
    return after


def search_size(part: Part) -> int:
    """About how many states times plays a search by states would expand."""
    states = 1
    for line in part.lines:
        states *= line.n + 1
        if states > SIZE_MAX:
            return SIZE_MAX
    plays = 1
    for candidate in part.coupling:
        terms = candidate.live.terms
        if isinstance(terms, Bundle):
            for slot in terms.slots:
                plays += comb(len(candidate.lines) + slot.qty - 1, slot.qty)
        else:
            plays += prod(line.n + 1 for line in candidate.lines)
    return states * plays
