"""What one line can give by itself: line rules, and bundles that only this line can fill.

For every number of units, the best discount (or, when a later stage looks at the line, every
discount) with the plays that reach it. A line rule is rounded once per rule and line, so a split
over two rules can gain a unit by rounding; a bundle may be applied again and again.
"""

from typing import Any, NamedTuple

from promotions.figures import Ratio, scaled
from promotions.kinds.bundle import Bundle
from promotions.lines import Line
from promotions.plays import Candidate, Play, Work, floored

ALTERNATIVES_MAX = 12
Alternatives = tuple[tuple[int, Any], ...]  # (applied mask, chain of plays)
Table = list[list[tuple[int, Alternatives]]]  # by units left: (discount, ties)
NO_PLAY: Alternatives = ((0, None),)


def smallest(one: Alternatives, two: Alternatives) -> Alternatives:
    """Both lists without masks that contain another one."""
    kept = dict(one)
    for mask, chain in two:
        kept.setdefault(mask, chain)
    if len(kept) == 1:
        return one or two
    masks = sorted(kept, key=lambda mask: (mask.bit_count(), mask))
    least: list[int] = []
    for mask in masks:
        if all(mask & other != other for other in least):
            least.append(mask)
    return tuple((mask, kept[mask]) for mask in least[:ALTERNATIVES_MAX])


def grown(ties: Alternatives, play: Play) -> Alternatives:
    """The alternatives after one more play."""
    bit = play.candidate.bit
    return tuple((mask | bit, (chain, play)) for mask, chain in ties)


def joined(one: Alternatives, two: Alternatives) -> Alternatives:
    """Every pair of alternatives of two independent choices."""
    if len(one) == 1 and len(two) == 1:
        return ((one[0][0] | two[0][0], (one[0][1], two[0][1])),)
    pairs = tuple((m1 | m2, (c1, c2)) for m1, c1 in one for m2, c2 in two)
    return smallest(pairs[:1], pairs[1:])


class Rated(NamedTuple):
    """A line rule on one line: k units give `hu(k * rate)`."""

    candidate: Candidate
    rate: Ratio

    def play(self, line: Line, k: int) -> Play:
        """Cover k units of the line."""
        given = scaled(k, self.rate)
        return Play(self.candidate, ((line.index, k),), ((line.index, given),))


class Pack(NamedTuple):
    """A bundle that only this line fills: `size` units give `given`."""

    candidate: Candidate
    size: int
    given: int

    def play(self, line: Line) -> Play:
        """One application."""
        return Play(self.candidate, ((line.index, self.size),), ((line.index, self.given),))


def rate_of(candidate: Candidate, line: Line) -> Rated:
    """The rule's rate on the line, floor included."""
    return Rated(candidate, floored(candidate.live.module.rate(candidate.live.terms, line), line))


def pack_of(candidate: Candidate, line: Line) -> Pack:
    """One application of a bundle of one slot on one line."""
    bundle = candidate.live.terms
    assert isinstance(bundle, Bundle)  # noqa: S101  by the stage of the rule
    size, rewarded = candidate.live.size, candidate.live.paid
    given = bundle.saving(line.p * rewarded)
    if line.room is not None:
        given = min(given, line.room * (size if bundle.spread else rewarded))
    return Pack(candidate, size, given)


class Local:
    """The plain rules of one line."""

    __slots__ = ("line", "packs", "rated")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.rated: list[Rated] = []
        self.packs: list[Pack] = []

    def best(self) -> tuple[int, Alternatives]:
        """The best discount on all units of the line, with ties."""
        line, rated, n = self.line, self.rated, self.line.n
        if not self.packs:
            if not rated:
                return 0, NO_PLAY
            if len(rated) == 1:
                given = scaled(n, rated[0].rate)
                if not given:
                    return 0, NO_PLAY
                return given, grown(NO_PLAY, rated[0].play(line, n))
            return self._by_rules(n)[n]
        rows = self.rows()
        return rows[n]

    def _useful(self, n: int) -> list[tuple[Rated, int, int]]:
        """(rule, units, discount) that can win.

        A rule that gives less than the best one for the same k units cannot win by rounding:
        hu(x + y) >= hu(x) + hu(y) - 1, so handing its units to the best rule loses nothing.
        """
        top = self.rated[0].rate
        for each in self.rated:
            if each.rate[0] * top[1] > top[0] * each.rate[1]:
                top = each.rate
        found = []
        for each in self.rated:
            same = each.rate == top
            for k in range(1, n + 1):
                given = scaled(k, each.rate)
                if given and (same or given == scaled(k, top)):
                    found.append((each, k, given))
        return found

    def _by_rules(self, n: int) -> list[tuple[int, Alternatives]]:
        """Line rules only, by units: each rule at most once."""
        useful = self._useful(n)
        line = self.line
        rows: list[tuple[int, Alternatives]] = [(0, NO_PLAY)] * (n + 1)
        rules = list(dict.fromkeys(each for each, _, _ in useful))
        if len(rules) == 1:
            for each, k, given in useful:
                rows[k] = (given, grown(NO_PLAY, each.play(line, k)))
            return _rising(rows)
        for rule in rules:
            before = list(rows)
            for each, k, given in useful:
                if each is not rule:
                    continue
                play = each.play(line, k)
                for units in range(k, n + 1):
                    value, ties = before[units - k]
                    _better(rows, units, value + given, ties, play)
        return _rising(rows)

    def rows(self) -> list[tuple[int, Alternatives]]:
        """By units: the best discount of line rules and packs together."""
        n, line = self.line.n, self.line
        rows = self._by_rules(n) if self.rated else [(0, NO_PLAY)] * (n + 1)
        top: dict[int, Pack] = {}  # no other line sees these rules, so one of equals will do
        for pack in self.packs:
            if pack.given > 0 and (pack.size not in top or pack.given > top[pack.size].given):
                top[pack.size] = pack
        for pack in top.values():
            play = pack.play(line)
            for units in range(pack.size, n + 1):
                value, ties = rows[units - pack.size]
                _better(rows, units, value + pack.given, ties, play)
        return _rising(rows)

    def best_of(self, left: int) -> list[Play]:
        """The plays on so many units, quickly: packs and one line rule."""
        plays: list[Play] = []
        while left > 0:
            pack = max(
                (each for each in self.packs if each.size <= left and each.given > 0),
                key=lambda each: each.given / each.size,
                default=None,
            )
            rule = max(self.rated, key=lambda each: each.rate[0] / each.rate[1], default=None)
            per_unit = 0.0 if rule is None else rule.rate[0] / rule.rate[1]
            if pack is not None and pack.given / pack.size > per_unit:
                times = left // pack.size
                plays.append(pack.play(self.line).repeated(times))
                left -= pack.size * times
                continue
            if rule is not None:
                play = rule.play(self.line, left)
                plays += [play] if play.total else []
            left = 0
        return plays

    def table(self, work: Work, *, every: bool) -> Table:
        """By units left: the discounts that count, with their plays."""
        if not every:
            return [[row] for row in self.rows()]
        return self._all_discounts(work)

    def _all_discounts(self, work: Work) -> Table:
        n, line = self.line.n, self.line
        found: list[dict[int, Alternatives]] = [{} for _ in range(n + 1)]
        found[0][0] = NO_PLAY
        for each in self.rated:
            before = [dict(row) for row in found]
            for k in range(1, n + 1):
                play = each.play(line, k)
                if play.total > 0:
                    for units in range(k, n + 1):
                        _spread(before[units - k], found[units], play, work)
        for pack in self.packs:
            if pack.given > 0:
                play = pack.play(line)
                for units in range(pack.size, n + 1):
                    _spread(dict(found[units - pack.size]), found[units], play, work)
        table: Table = []
        so_far: dict[int, Alternatives] = {}
        for row in found:
            for given, ties in row.items():
                known = so_far.get(given)
                so_far[given] = ties if known is None else smallest(known, ties)
            table.append(list(so_far.items()))
        return table


def _spread(
    source: dict[int, Alternatives], target: dict[int, Alternatives], play: Play, work: Work
) -> None:
    for given, ties in source.items():
        work.spend()
        total, more = given + play.total, grown(ties, play)
        known = target.get(total)
        target[total] = more if known is None else smallest(known, more)


def _better(
    rows: list[tuple[int, Alternatives]], units: int, value: int, ties: Alternatives, play: Play
) -> None:
    known = rows[units]
    if value > known[0]:
        rows[units] = (value, grown(ties, play))
    elif value == known[0]:
        rows[units] = (value, smallest(known[1], grown(ties, play)))


def _rising(rows: list[tuple[int, Alternatives]]) -> list[tuple[int, Alternatives]]:
    """Units may stay unused, so a row is at least as good as the one before."""
    for units in range(1, len(rows)):
        before, here = rows[units - 1], rows[units]
        if before[0] > here[0]:
            rows[units] = before
        elif before[0] == here[0] and before[0]:
            rows[units] = (here[0], smallest(before[1], here[1]))
    return rows
