"""Line-by-line search of a component whose rules are counters: exact on long baskets.

Lines come by falling price. A state is the counters of all rules that have begun and can still go
on; when a rule has met its last line its counter must close and is forgotten, so the work follows
the number of rules that overlap, not the size of the basket.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from typing import Any, Final, NamedTuple

from promotions.guide import Guide
from promotions.lines import Line
from promotions.overlap import MONEY, in_order
from promotions.plays import Candidate, Exhausted, Play, Work, bundle_play, covering
from promotions.search import Part
from promotions.tracks import (
    BundleTrack,
    Option,
    TierTrack,
    Track,
    UnitsTrack,
    bundle_track,
    common_scale,
    tier_steps,
)

NEVER: Final = -(10**30)
Node = tuple[int, int, Any]  # gain, applied mask, chain of (track, line, units) or plays
COMBINATIONS_MAX = 64
PARTS = 10_000
CLOSE = 150  # of 10,000: how close a bound is wanted before a proof is tried
PASSES = (20, 60, 80, 90)  # of a guided search: how much of the work that is left, in per cent
BOOST_MAX = 400  # per cent: passes that end early may plan with more than there is
LEFT_LEAST = 3_000
KEPT_FIRST, COST_FIRST = 64, 18  # what states cost, until the pass has learnt it
WIDTH_LEAST = 8


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


class Sweep:
    """One pass over the lines of a component."""

    def __init__(
        self, part: Part, tracks: list[Track], work: Work, width: int, lines: Sequence[Line]
    ) -> None:
        self.work = work
        self.tracks = tracks
        self.guide: Guide | None = None
        self.known = 0
        self.dropped = self.open = NEVER
        self.reserve = 0
        self.width = width
        self.local = part.local
        self.lines = lines
        self.scale = common_scale(tracks)
        self.cut = False
        at = max(line.n for line in self.lines).bit_length()
        self.used_mask = (1 << at) - 1
        self.on_line: dict[int, list[Track]] = {line.index: [] for line in self.lines}
        self.ahead: dict[tuple[Track, int], int] = {}
        self.number = {track: at for at, track in enumerate(tracks)}
        place = {line.index: i for i, line in enumerate(self.lines)}
        for track in tracks:
            track.shift = at
            at += track.bits
            still = 0
            for i in sorted((place[line.index] for line in track.candidate.lines), reverse=True):
                if not still:
                    track.last = i
                self.ahead[track, i] = still
                still += self.lines[i].n
                self.on_line[self.lines[i].index].append(track)

    def follow(self, guide: Guide, known: int, allowance: int) -> None:
        """Let prices guide the search: gains become bounds on what can still come out.

        As many states are kept as the allowance of work carries.
        """
        self.reserve = self.work.left - allowance
        self.guide = guide
        self.known = known * guide.fine
        self.scale = guide.fine

    def run(self) -> tuple[int, Any]:
        """The best gain (scaled) and its chain; NEVER when nothing beats what is known."""
        start = 0 if self.guide is None else self.guide.bound
        states: dict[int, Node] = {0: (start, 0, None)}
        kept, begun = KEPT_FIRST, self.work.left + KEPT_FIRST * COST_FIRST
        for i, line in enumerate(self.lines):
            if self.guide is not None:
                left, spent = self.work.left, begun - self.work.left
                carries = max(0, left - self.reserve) * kept // (spent * (len(self.lines) - i))
                self.width = max(WIDTH_LEAST, min(carries, left * kept // (spent * 5)))
                kept += len(states)
                self.open = max((node[0] for node in states.values()), default=NEVER)
            for track in self.on_line[line.index]:
                states = self._offer(states, track, line, i)
                if len(states) > self.width * 4:
                    states = self._thin(states)
            states = self._rest(states, i)
            states = self._thin(states)
        self.open = NEVER
        if 0 not in states:
            return NEVER, None
        gain, _, chain = states[0]
        return gain, chain

    def _thin(self, states: dict[int, Node]) -> dict[int, Node]:
        """Drop what cannot beat the known saving, and beyond the width the least promising."""
        if self.guide is not None:
            least = self.known + self.scale
            states = {key: node for key, node in states.items() if node[0] >= least}
        if len(states) <= self.width:
            return states
        self.cut = True
        ranked = sorted(states.items(), key=lambda each: (-each[1][0], each[0]))
        self.dropped = max(self.dropped, ranked[self.width][1][0])
        return dict(ranked[: self.width])

    def _options(self, track: Track, line: Line, i: int, state: int) -> list[Option]:
        """What the rule may do from a state; with a guide, what that does to the bound."""
        ahead = self.ahead[track, i]
        guide = self.guide
        if guide is None:
            return [
                option
                for option in track.options(line, state, self.scale)
                if track.closes(option[1], ahead)
            ]
        at = self.number[track]
        stop = next(s for s, each in enumerate(guide.stops[at]) if each.place == i)
        now, later = guide.ahead[at][stop][state], guide.ahead[at][stop + 1]
        return [
            (k, after, gain + later[after] - now)
            for k, after, gain in guide.stops[at][stop].options[state]
        ]

    def _steps(self, track: Track, line: Line, i: int, own: int) -> list[tuple[int, int, int]]:
        """(gain, what it adds to the state, units) of every option, the best gain first."""
        state, used = own >> track.shift, own & self.used_mask
        left = line.n - used
        worth = [0] * (line.n + 1) if self.guide is None else self.guide.worth[i]
        final = track.last == i
        steps = []
        for k, after, more in self._options(track, line, i, state):
            if k <= left:
                add = k + ((0 if final else after) - state << track.shift)
                steps.append((more + worth[left - k] - worth[left], add, k))
        steps.sort(key=lambda step: (-step[0], step[2]))
        return steps

    def _offer(self, states: dict[int, Node], track: Track, line: Line, i: int) -> dict[int, Node]:
        own = ((1 << track.bits) - 1) << track.shift | self.used_mask
        least = NEVER if self.guide is None else self.known + self.scale
        bit = track.candidate.bit
        memo: dict[int, list[tuple[int, int, int]]] = {}
        after: dict[int, Node] = {}
        work = len(states)
        for key, node in states.items():
            gain, mask, chain = node
            place = key & own
            steps = memo.get(place)
            if steps is None:
                steps = memo[place] = self._steps(track, line, i, place)
            for more, add, k in steps:
                total = gain + more
                if total < least:
                    break
                work += 1
                known = after.get(key + add)
                if known is not None:
                    if total < known[0]:
                        continue
                    union = mask | bit if k else mask
                    if total == known[0] and union.bit_count() >= known[1].bit_count():
                        continue
                if k:
                    after[key + add] = (total, mask | bit, (chain, track, line, k))
                else:
                    after[key + add] = (total, mask, chain) if more else node
        self.work.spend(work)
        return after

    def _rest(self, states: dict[int, Node], i: int) -> dict[int, Node]:
        local = self.local[self.lines[i].index]
        rows = local.rows()
        worth = [0] * len(rows) if self.guide is None else self.guide.worth[i]
        n, used_mask, scale = local.line.n, self.used_mask, self.scale
        after: dict[int, Node] = {}
        for key, (gain, mask, chain) in states.items():
            used = key & used_mask
            value, ties = rows[n - used]
            node = (gain - worth[n - used], mask, chain)
            if value:
                link = (chain, None, ties[0][1], 0)
                node = (node[0] + value * scale, mask | ties[0][0], link)
            target = key - used
            known = after.get(target)
            if (
                known is None
                or node[0] > known[0]
                or (node[0] == known[0] and node[1].bit_count() < known[1].bit_count())
            ):
                after[target] = node
        self.work.spend(len(states))
        return after


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


def sweep(part: Part, choices: list[list[Track]], work: Work, width: int) -> Solution:
    """The best packing over all choices of tiers; `Exhausted` when the budget runs out.

    The bound of the solution is -1 when states had to be dropped.
    """
    best: Solution | None = None
    bound, cut = 0, False
    for tracks in choices:
        pass_over = Sweep(part, tracks, work, width, in_order(part.lines, tracks))
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
        with suppress(Exhausted):
            self.guide.improve(known, work)
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
