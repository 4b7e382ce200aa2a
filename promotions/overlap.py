"""In which order should a search meet the lines?

The states of a line-by-line search multiply over the rules that have begun and can still go on, so
lines that share rules are best met one after the other. A search that is guided by prices also
wants to meet much money early: the sooner it learns what choices cost, the fewer of them it keeps.
Rules that reward the cheapest goods need their own lines by falling price; all others take any
order.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from math import prod
from typing import Final, NamedTuple

from promotions.lines import Line
from promotions.tracks import BundleTrack, Track

FINE: Final = 16
MONEY: Final = 12 * FINE  # doublings of the states that a line of mean worth makes up for


@cache
def doublings(count: int) -> int:
    """The binary logarithm in units of 1 / FINE, in whole numbers."""
    return (count**FINE).bit_length()


def falling(lines: Sequence[Line]) -> list[Line]:
    """By falling price; of equal ones the earlier line counts as the cheaper."""
    return sorted(lines, key=lambda line: (-line.p, -line.index))


class _Rule:
    """The counter of one rule while the order is built."""

    __slots__ = ("done", "left", "most")

    def __init__(self, track: Track) -> None:
        self.most = track.places
        self.done = 0
        self.left = sum(line.n for line in track.candidate.lines)

    def states(self, units: int = 0) -> int:
        """About how many values the counter can have after so many more units."""
        return min(self.most, self.done + units + 1, self.left - units + 1)

    def opened(self, units: int) -> int:
        """By how many doublings the counter grows with so many more units."""
        return doublings(self.states(units)) - doublings(self.states())

    def meet(self, units: int) -> None:
        """So many units have come by."""
        self.done += units
        self.left -= units


def in_order(lines: Sequence[Line], tracks: Sequence[Track], money: int = 0) -> list[Line]:
    """Always on to the line that opens the fewest states, less what its worth makes up for."""
    here: dict[int, list[_Rule]] = {line.index: [] for line in lines}
    wait: dict[int, set[int]] = {line.index: set() for line in lines}
    for track in tracks:
        rule, own = _Rule(track), falling(track.candidate.lines)
        for line in own:
            here[line.index].append(rule)
        if isinstance(track, BundleTrack) and track.paid < track.size:
            for dearer, cheaper in pairwise(own):
                wait[cheaper.index].add(dearer.index)
    worth = max(1, sum(line.gross for line in lines))
    rest = {line.index: money * line.gross * len(lines) // worth for line in lines}
    left, order = falling(lines), []
    met: set[int] = set()
    while left:
        ready = [line for line in left if wait[line.index] <= met]  # the dearest always is
        line = min(ready, key=lambda each: _opened(each, here[each.index]) - rest[each.index])
        order.append(line)
        left.remove(line)
        met.add(line.index)
        for rule in here[line.index]:
            rule.meet(line.n)
    return order


class Effort(NamedTuple):
    """About the work of a search that meets the lines in this order."""

    whole: int  # when it keeps every state
    single: int  # when it keeps one


def effort(lines: Sequence[Line], tracks: Sequence[Track]) -> Effort:
    """What a search will cost, before it is tried (measured: within a factor of 1.4)."""
    here: dict[int, list[_Rule]] = {line.index: [] for line in lines}
    rules = [_Rule(track) for track in tracks]
    for rule, track in zip(rules, tracks, strict=True):
        for line in track.candidate.lines:
            here[line.index].append(rule)
    whole = single = 0
    before = 1
    for line in lines:
        for rule in here[line.index]:
            rule.meet(line.n)
        after = prod(rule.states() for rule in rules)
        steps = 1 + (line.n + 1) * len(here[line.index])
        whole += max(before, after) * steps
        single += steps
        before = after
    return Effort(whole, single)


def _opened(line: Line, rules: Sequence[_Rule]) -> int:
    """By how many doublings the states grow when this line comes next."""
    return sum(rule.opened(line.n) for rule in rules)
