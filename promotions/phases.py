"""Line-by-line search of a component whose rules are counters: exact on long baskets.

Lines come by falling price. A state is the counters of all rules that have begun and can still go
on; when a rule has met its last line its counter must close and is forgotten, so the work follows
the number of rules that overlap, not the size of the basket.
"""

from contextlib import suppress
from itertools import product
from typing import Any, Final, NamedTuple

from promotions.guide import Guide
from promotions.lines import Line
from promotions.overlap import MONEY, effort, in_order
from promotions.plays import Candidate, Exhausted, Play, Work, bundle_play, covering
from promotions.search import Part
from promotions.sweeping import NEVER, THIN_LATE, WIDTH_LEAST, Sweep
from promotions.tracks import (
    BundleTrack,
    TierTrack,
    Track,
    UnitsTrack,
    bundle_track,
    common_scale,
    tier_steps,
)

COMBINATIONS_MAX = 64
PARTS = 10_000
CLOSE = 150  # of 10,000: how close a bound is wanted before a proof is tried
PASSES = (20, 60, 80, 90)  # of a guided search: how much of the work that is left, in per cent
BOOST_MAX = 400  # per cent: passes that end early may plan with more than there is
LEFT_LEAST = 3_000
PRICES_SHARE: Final = 2  # of the budget goes into prices at most
ALL_STATES: Final = 10**9
PLAIN_SHARE: Final = 4  # of the budget, where not every state can be kept


class Solution(NamedTuple):
    """A packing of a component, its exact discount, and what none can exceed."""

    total: int
    plays: tuple[Play, ...]
    upper_bound: int


def tracks_of(part: Part) -> list[list[Track]] | None:
    """For every choice of tiers to aim at: the counters; None when a rule is no counter."""
    fixed: list[Track] = []
    aims: list[list[Track | None]] = []
    for candidate in part.coupling:
        if candidate.live.stage == "bundle":
            track = bundle_track(candidate)
            if track is None:
                return None
            fixed.append(track)
        elif candidate.live.stage == "tier":
            steps = tier_steps(candidate)
            if steps is None:
                return None
            aims.append([None, *(TierTrack(candidate, step) for step in steps)])
        else:
            most = candidate.live.rule.limits.max_units
            if candidate.live.cap is not None or most is None:
                return None
            fixed.append(UnitsTrack(candidate, most))
    count = 1
    for aim in aims:
        count *= len(aim)
    if count > COMBINATIONS_MAX:
        return None
    return [fixed + [track for track in chosen if track is not None] for chosen in product(*aims)]


def _applied(track: Track, taken: list[tuple[Line, int]]) -> list[Play]:
    """The plays of one rule for the units it took, in falling order."""
    candidate = track.candidate
    if isinstance(track, BundleTrack):
        return _applications(candidate, track, taken)
    units = {line.index: k for line, k in taken}
    play = covering(candidate, [units.get(line.index, 0) for line in candidate.lines])
    return [] if play is None else [play]


def _applications(
    candidate: Candidate, track: BundleTrack, taken: list[tuple[Line, int]]
) -> list[Play]:
    plays = []
    units = [line for line, k in taken for _ in range(k)]
    for start in range(0, len(units) - track.size + 1, track.size):
        group = units[start : start + track.size]
        lines = sorted(set(group), key=lambda line: line.index)
        paid = group[track.size - track.paid :]
        counts = [group.count(line) for line in lines]
        play = bundle_play(candidate, lines, counts, [paid.count(line) for line in lines], 1)
        if play is not None:
            plays.append(play)
    return plays


def unwound_plays(chain: Any) -> list[Play]:
    """The plays of nested chains."""
    plays: list[Play] = []
    stack = [chain]
    while stack:
        link = stack.pop()
        if isinstance(link, Play):
            plays.append(link)
        elif link is not None:
            stack.extend(link)
    return plays


def _decoded(chain: Any) -> list[Play]:
    taken: dict[Track, list[tuple[Line, int]]] = {}
    plays: list[Play] = []
    while chain is not None:
        chain, track, what, k = chain
        if track is None:
            plays += unwound_plays(what)
        else:
            taken.setdefault(track, []).append((what, k))
    for track, found in taken.items():
        plays += _applied(track, found[::-1])
    return plays


def plain(part: Part, choices: list[list[Track]], work: Work) -> Solution:
    """A pass without prices: keeps every state where the work allows it, else the best ones.

    The bound of the solution is -1 when states had to be dropped; `Exhausted` when the work, most
    of which is left for prices in that case, did not suffice.
    """
    orders = [in_order(part.lines, tracks) for tracks in choices]
    efforts = [effort(lines, tracks) for lines, tracks in zip(orders, choices, strict=True)]
    if sum(each.whole for each in efforts) <= work.left:
        return _sweep(part, choices, orders, work, ALL_STATES)
    own = work.part(PLAIN_SHARE)
    width = own.left // (THIN_LATE * sum(each.single for each in efforts))
    try:
        return _sweep(part, choices, orders, own, max(WIDTH_LEAST, width))
    finally:
        work.settle(own)


def _sweep(
    part: Part, choices: list[list[Track]], orders: list[list[Line]], work: Work, width: int
) -> Solution:
    best: Solution | None = None
    bound, cut = 0, False
    for tracks, lines in zip(choices, orders, strict=True):
        pass_over = Sweep(part, tracks, work, width, lines)
        gain, chain = pass_over.run()
        cut = cut or pass_over.cut
        bound = max(bound, gain // pass_over.scale)
        best = _better(best, _decoded(chain))
    if best is None:
        raise Exhausted
    return best._replace(upper_bound=-1 if cut else max(bound, best.total))


def _better(best: Solution | None, plays: list[Play]) -> Solution:
    found = Solution(sum(play.total for play in plays), tuple(plays), 0)
    if best is None or found.total > best.total:
        return found
    if found.total == best.total and _rules(found) < _rules(best):
        return found
    return best


def _rules(solution: Solution) -> int:
    return len({play.candidate.bit for play in solution.plays})


class _Aim:
    """One choice of tiers in a guided search: its prices, and what it cannot exceed."""

    def __init__(self, part: Part, tracks: list[Track]) -> None:
        self.part = part
        self.tracks = tracks
        self.lines = in_order(part.lines, tracks, MONEY)
        self.guide = Guide(self.lines, part.local, tracks, common_scale(tracks))
        self.most = 0

    def price(self, known: int, work: Work) -> None:
        """Find prices."""
        own = work.part(PRICES_SHARE)
        with suppress(Exhausted):
            self.guide.improve(known, own)
        work.settle(own)
        self.guide.settle()
        self.most = self.guide.bound // self.guide.fine

    def widen(self, best: Solution, work: Work) -> Solution:
        """A quick pass to know more, then passes for a close bound, then for a proof."""
        boost = 100
        for at, share in enumerate(PASSES):
            if self.most <= best.total or work.left < LEFT_LEAST:
                break
            near = self.most - best.total <= best.total * CLOSE // PARTS
            close = CLOSE if at and not near else 0
            before, allowance = work.left, work.left * share // 100
            best = self._pass(best, close, allowance * boost // 100, work)
            spent = max(1, before - work.left)
            boost = min(BOOST_MAX, max(100, boost * allowance // spent))
        return best

    def _pass(self, best: Solution, close: int, allowance: int, work: Work) -> Solution:
        """One pass; nothing is followed that would add less than `close` to the best."""
        pass_over = Sweep(self.part, self.tracks, work, 0, self.lines)
        least = best.total + best.total * close // PARTS
        pass_over.follow(self.guide, least, allowance)
        gain, chain = NEVER, None
        with suppress(Exhausted):
            gain, chain = pass_over.run()
        if gain > NEVER:
            best = _better(best, _decoded(chain))
        reached = max(gain, pass_over.dropped, pass_over.open) // self.guide.fine
        self.most = min(self.most, max(reached, least, best.total))
        return best


def guided(part: Part, choices: list[list[Track]], work: Work, known: Solution) -> Solution:
    """Search on with prices, until the packing is proven or the budget is used up."""
    best = known
    aims = [_Aim(part, tracks) for tracks in choices]
    for at, aim in enumerate(aims):
        own = work.part(len(aims) - at)
        aim.price(best.total, own)
        best = aim.widen(best, own)
        work.settle(own)
    return best._replace(upper_bound=max(best.total, *(aim.most for aim in aims)))
