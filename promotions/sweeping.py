"""One pass over the lines of a component, by the counters of its rules.

A state is the counters of all rules that have begun and can still go on, one integer; it keeps the
best gain, the rules that gave it, and the way there. With a guide the gain is a bound on what can
still come out of the state, and what cannot beat the known saving is dropped.
"""

from collections.abc import Sequence
from typing import Any, Final

from promotions.guide import Guide
from promotions.lines import Line
from promotions.plays import Work
from promotions.search import Part
from promotions.tracks import Option, Track, common_scale

NEVER: Final = -(10**30)
Node = tuple[int, int, Any]  # gain, applied mask, chain of (track, line, units) or plays
KEPT_FIRST, COST_FIRST = 64, 18  # what states cost, until the pass has learnt it
WIDTH_LEAST: Final = 8
THIN_LATE: Final = 4  # a line may hold so many times its width until it is thinned


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
                if len(states) > self.width * THIN_LATE:
                    states = self._thin(states)
            states = self._thin(self._rest(states, i))
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

    def _spend(self, work: int) -> None:
        """Without prices a state is half the labour."""
        self.work.spend(work if self.guide else (work + 1) // 2)

    def _carries(self) -> int:
        """How much labour `_spend` would still pay for."""
        return self.work.left if self.guide else 2 * self.work.left

    def _steps(
        self, track: Track, known: dict[int, list[Option]], i: int, own: int
    ) -> list[tuple[int, int, int]]:
        """(gain, what it adds to the state, units) of every option, the best gain first."""
        line, state = self.lines[i], own >> track.shift
        left = line.n - (own & self.used_mask)
        if state not in known:
            known[state] = self._options(track, line, i, state)
        worth = [0] * (left + 1) if self.guide is None else self.guide.worth[i]
        final = track.last == i
        steps = []
        for k, after, more in known[state]:
            if k > left:
                break
            add = k + ((0 if final else after) - state << track.shift)
            steps.append((more + worth[left - k] - worth[left], add, k))
        steps.sort(key=lambda step: (-step[0], step[2]))
        return steps

    def _offer(self, states: dict[int, Node], track: Track, line: Line, i: int) -> dict[int, Node]:
        own = ((1 << track.bits) - 1) << track.shift | self.used_mask
        least = NEVER if self.guide is None else self.known + self.scale
        bit = track.candidate.bit
        memo: dict[int, list[tuple[int, int, int]]] = {}
        options: dict[int, list[Option]] = {}
        after: dict[int, Node] = {}
        work = len(states)
        carries = self._carries()
        for key, node in states.items():
            if work > carries:
                break  # many pieces of one line: this alone is more than there is
            gain, mask, chain = node
            place = key & own
            steps = memo.get(place)
            if steps is None:
                steps = memo[place] = self._steps(track, options, i, place)
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
        self._spend(work)
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
