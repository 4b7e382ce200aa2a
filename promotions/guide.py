"""A price per unit of every line, so that a search knows what is worth pursuing.

Lagrangian relaxation: rules no longer compete for units, they buy them. For any prices, what every
rule gains at most after paying, plus what the units are worth, bounds every packing from above.
`Guide.ahead` is that bound for the rest of one rule from one state, so a search that adds it to
what was gained so far knows at every state how much can still come out of it. The prices are found
by a few subgradient steps in whole numbers: every node takes the same ones.
"""

from collections.abc import Sequence
from typing import Final

from promotions.lines import Line
from promotions.local import Local
from promotions.plays import Work
from promotions.tracks import Option, Track

NEVER: Final = -(10**30)
STEPS: Final = 50
FINE: Final = 64  # prices are whole multiples of 1 / FINE of the search's own unit


class Guide:
    """Prices by line, the bounds ahead of every rule, and the value of what is left of a line."""

    def __init__(
        self, lines: Sequence[Line], local: dict[int, Local], tracks: Sequence[Track], scale: int
    ) -> None:
        self.lines = lines
        self.tracks = tracks
        self.fine = scale * FINE
        place = {line.index: at for at, line in enumerate(lines)}
        self.stops: list[list[tuple[int, dict[int, list[Option]]]]] = []
        for track in tracks:
            at = sorted(place[line.index] for line in track.candidate.lines)
            still = sum(lines[i].n for i in at)
            stops = []
            states = {0}
            for i in at:
                still -= lines[i].n
                options = {
                    state: [
                        (k, after, gain * FINE)
                        for k, after, gain in track.options(lines[i], state, scale)
                        if track.closes(after, still)
                    ]
                    for state in sorted(states)
                }
                states = {after for found in options.values() for _, after, _ in found}
                if not still:
                    options = {
                        state: [(k, 0, gain) for k, _, gain in found]
                        for state, found in options.items()
                    }
                stops.append((i, options))
            self.stops.append(stops)
        self.rows = [[row[0] * self.fine for row in local[line.index].rows()] for line in lines]
        self.prices = [
            max(row) // max(1, line.n) for row, line in zip(self.rows, lines, strict=True)
        ]
        self.ahead: list[list[dict[int, int]]] = []
        self.worth: list[list[int]] = []
        self.bound = 0

    def size(self) -> int:
        """Options looked at by one step."""
        return sum(
            len(found) for stops in self.stops for _, options in stops for found in options.values()
        )

    def value(self) -> list[int]:
        """Bounds for the present prices; the units that are bought beyond what there is."""
        surplus = [-line.n for line in self.lines]
        bound = 0
        self.ahead = []
        for stops in self.stops:
            ahead, best = self._rule(stops)
            self.ahead.append(ahead)
            bound += ahead[0][0]
            state = 0
            for (i, _), choice in zip(stops, best, strict=True):
                k, state = choice[state]
                surplus[i] += k
        self.worth = []
        for i, rows in enumerate(self.rows):
            price, worth, kept = self.prices[i], [0], [0]
            for units in range(1, len(rows)):
                waiting = worth[-1] + price
                if rows[units] > waiting:
                    worth.append(rows[units])
                    kept.append(units)
                else:
                    worth.append(waiting)
                    kept.append(kept[-1])
            self.worth.append(worth)
            bound += worth[-1]
            surplus[i] += kept[-1]
        self.bound = bound
        return surplus

    def _rule(
        self, stops: list[tuple[int, dict[int, list[Option]]]]
    ) -> tuple[list[dict[int, int]], list[dict[int, tuple[int, int]]]]:
        later: dict[int, int] = {0: 0}
        ahead: list[dict[int, int]] = [later]
        best: list[dict[int, tuple[int, int]]] = []
        for i, options in reversed(stops):
            price = self.prices[i]
            here: dict[int, int] = {}
            choice: dict[int, tuple[int, int]] = {}
            for state, found in options.items():
                most, chosen = NEVER, (0, 0)
                for k, after, gain in found:
                    value = later.get(after, NEVER) + gain - price * k
                    if value > most:
                        most, chosen = value, (k, after)
                here[state], choice[state] = most, chosen
            later = here
            ahead.append(here)
            best.append(choice)
        return ahead[::-1], best[::-1]

    def improve(self, known: int, work: Work) -> None:
        """Lower the bound towards `known`, a saving that was reached (in whole minor units)."""
        target = known * self.fine
        size = self.size()
        best = None
        slow = 1
        stuck = 0
        for _ in range(STEPS):
            work.spend(size)
            surplus = self.value()
            if best is None or self.bound < best[0]:
                best, stuck = (self.bound, list(self.prices)), 0
            else:
                stuck += 1
                if stuck >= 2:
                    slow, stuck = slow * 2, 0
                    self.prices = list(best[1])
            wrong = sum(each * each for each in surplus)
            gap = self.bound - target
            if not wrong or gap < self.fine:
                break
            for i, each in enumerate(surplus):
                step = each * gap // (wrong * slow)
                self.prices[i] = max(0, self.prices[i] + step)
        if best is not None and self.bound != best[0]:
            self.prices = best[1]
            self.value()
