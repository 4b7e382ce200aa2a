"""Exact search of one component: which plays of the exclusive rules fit together best?

A state is one integer: a field with the units used of every line (with a guard bit, so that one
addition and one mask tell whether a play still fits), scratch fields for limits, and the discount
so far on everything that a later stage looks at. A state keeps the best discount on all the rest,
and every smallest set of applied rules that reaches it (ties go to fewer rules).
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from promotions.figures import Ratio, scaled
from promotions.kinds.bundle import Bundle
from promotions.lines import Line
from promotions.plays import (
    Candidate,
    Play,
    Work,
    applications,
    floored,
    line_plays,
    retailer_plays,
)

ALTERNATIVES_MAX = 12
Alternatives = tuple[tuple[int, Any], ...]  # (applied mask, chain of plays)
Entry = tuple[int, int, Alternatives]  # saving of this level, saving nobody looks at, ties
States = dict[int, Entry]
START: States = {0: (0, 0, ((0, None),))}


def smallest(one: Alternatives, two: Alternatives) -> Alternatives:
    """Both lists without masks that contain another one."""
    kept = dict(one)
    for mask, chain in two:
        kept.setdefault(mask, chain)
    if len(kept) == 1:
        return one
    masks = sorted(kept, key=lambda mask: (mask.bit_count(), mask))
    least: list[int] = []
    for mask in masks:
        if all(mask & other != other for other in least):
            least.append(mask)
    return tuple((mask, kept[mask]) for mask in least[:ALTERNATIVES_MAX])


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


def grown(ties: Alternatives, bit: int, play: Play) -> Alternatives:
    """The alternatives after one more play."""
    return tuple((mask | bit, (chain, play)) for mask, chain in ties)


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
    bit = candidate.bit
    grown_states = dict(states)
    for play in applications(candidate, work):
        add, rest = layout.add(play)
        add += (tally << layout.tally_at) + (play.total * total << layout.sum_at)
        level = play.total if levels else 0
        for start in list(grown_states):
            lev, ins, ties = grown_states[start]
            key = start + add
            while not (key + bias) & guard:
                work.spend()
                lev, ins, ties = lev + level, ins + rest, grown(ties, bit, play)
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
        bit = play.candidate.bit
        for start, (lev, ins, ties) in starts:
            key = start + add
            if not (key + bias) & guard:
                work.spend()
                merge(after, key, (lev + level, ins + rest, grown(ties, bit, play)))
    return after


class Rated(NamedTuple):
    """A line rule on one line: k units give `hu(k * rate)`."""

    candidate: Candidate
    rate: Ratio

    def play(self, line: Line, k: int) -> Play | None:
        """K units of the line."""
        given = scaled(k, self.rate)
        if given <= 0:
            return None
        return Play(self.candidate, ((line.index, k),), ((line.index, given),))


def rate_of(candidate: Candidate, line: Line) -> Rated:
    """The rule's rate on the line, floor included."""
    rate = candidate.module.rate(candidate.live.terms, line)
    return Rated(candidate, floored(rate, line))


def _useful(rated: Sequence[Rated], line: Line, *, every: bool) -> list[Play]:
    """Plays of unlimited line rules; unless every discount counts, only those that can win.

    A rule that gives less than the best one for the same k units cannot win by rounding:
    hu(x + y) >= hu(x) + hu(y) - 1, so handing its units to the best rule loses nothing.
    """
    plays = []
    for k in range(1, line.n + 1):
        best = max(scaled(k, each.rate) for each in rated)
        for each in rated:
            play = each.play(line, k)
            if play is not None and (every or play.total == best):
                plays.append(play)
    return plays


def line_table(
    rated: Sequence[Rated], line: Line, work: Work, *, every: bool
) -> list[list[tuple[int, Alternatives]]]:
    """By units left: the discounts that the line rules can give, with their plays."""
    tables: dict[int, States] = {0: {0: (0, 0, ((0, ()),))}}
    plays = _useful(rated, line, every=every) if rated else []
    for each in rated:
        own = [play for play in plays if play.candidate is each.candidate]
        before = {used: dict(found) for used, found in tables.items()}
        for play in own:
            k = play.used[0][1]
            bit = play.candidate.bit
            for used, found in before.items():
                if used + k > line.n:
                    continue
                target = tables.setdefault(used + k, {})
                for given, (_, _, ties) in found.items():
                    work.spend()
                    more = tuple((mask | bit, (*chain, play)) for mask, chain in ties)
                    _put(target, given + play.total, more, every=every)
    table: list[list[tuple[int, Alternatives]]] = []
    so_far: States = {}
    for left in range(line.n + 1):
        for given, (_, _, ties) in tables.get(left, {}).items():
            _put(so_far, given, ties, every=every)
        table.append([(given, entry[2]) for given, entry in so_far.items()])
    return table


def _put(target: States, given: int, ties: Alternatives, *, every: bool) -> None:
    if not every and target:
        known = next(iter(target))
        if given < known:
            return
        if given > known:
            target.clear()
    merge(target, given, (0, 0, ties))


def close_line(
    states: States, line: Line, rated: Sequence[Rated], layout: Layout, work: Work
) -> States:
    """Give the units that are left of a line to its line rules, and forget the line."""
    at = layout.watched.place.get(line.index)
    table = line_table(rated, line, work, every=at is not None)
    lift = 0 if at is None else layout.base + at * layout.watched.width
    shift, mask = layout.shift[line.index], layout.mask[line.index]
    after: States = {}
    for key, (lev, ins, ties) in states.items():
        used = (key & mask) >> shift
        for given, more in table[line.n - used]:
            work.spend()
            both = tuple(
                (m1 | m2, (chain, plays) if plays else chain)
                for m1, chain in ties
                for m2, plays in more
            )
            entry = (lev, ins + (given if at is None else 0), smallest(both[:1], both[1:]))
            merge(after, (key & ~mask) + (0 if at is None else given << lift), entry)
    return after


def couples(candidate: Candidate) -> bool:
    """Does the rule tie several units or lines together?"""
    live = candidate.live
    return live.stage != "line" or live.rule.limits.max_units is not None or live.cap is not None


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


def best_component(
    lines: Sequence[Line],
    coupling: Sequence[Candidate],
    rated: dict[int, list[Rated]],
    watched: Watched,
    work: Work,
) -> States:
    """Every watched outcome of one component, each with the best of the rest (`best`)."""
    layout = Layout(lines, watched)
    states = dict(START)
    closed: set[int] = set()
    for i, candidate in enumerate(coupling):
        states = play_rule(states, candidate, layout, work, levels=False)
        later = {line.index for each in coupling[i + 1 :] for line in each.lines}
        for line in candidate.lines:
            if line.index not in later and line.index not in closed:
                closed.add(line.index)
                states = close_line(states, line, rated.get(line.index, []), layout, work)
    for line in lines:
        if line.index not in closed:
            states = close_line(states, line, rated.get(line.index, []), layout, work)
    return {key >> layout.base: entry for key, entry in states.items()}


def level_component(
    lines: Sequence[Line],
    coupling: Sequence[Candidate],
    rated: dict[int, list[Rated]],
    watched: Watched,
    work: Work,
) -> States:
    """The same level by level, highest priority first (`priority`)."""
    layout = Layout(lines, watched)
    levels: dict[int, list[Any]] = {}
    for candidate in coupling:
        levels.setdefault(candidate.live.priority, []).append(candidate)
    for line in lines:
        for each in rated.get(line.index, []):
            levels.setdefault(each.candidate.live.priority, []).append((line, each))
    states = dict(START)
    for priority in sorted(levels, reverse=True):
        for member in levels[priority]:
            if isinstance(member, Candidate):
                states = play_rule(states, member, layout, work, levels=True)
            else:
                line, each = member
                made = (each.play(line, k) for k in range(1, line.n + 1))
                plays = [play for play in made if play is not None]
                states = play_once(states, plays, layout, work, levels=True)
        most = max(entry[0] for entry in states.values())
        states = {key: (0, e[1], e[2]) for key, e in states.items() if e[0] == most}
    after: States = {}
    for key, entry in states.items():
        merge(after, key >> layout.base, entry)
    return after
