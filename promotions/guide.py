"""A price per unit of every line, so that a search knows what is worth pursuing.

Lagrangian relaxation: rules no longer compete for units, they buy them. For any prices, what every
rule gains at most after paying, plus what the units are worth, bounds every packing from above.
`Guide.ahead` is that bound for the rest of one rule from one state, so a search that adds it to
what was gained so far knows at every state how much can still come out of it. The prices are found
by a few subgradient steps in whole numbers: every node takes the same ones.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from promotions.lines import Line
from promotions.local import Local
from promotions.plays import Work
from promotions.tracks import Option, Track

STEPS: Final = 50
PATIENCE: Final = 4  # steps without a gain before they become shorter
FINE: Final = 64  # prices are whole multiples of 1 / FINE of the search's own unit


class Stop(NamedTuple):
    """A rule meets a line: for every state, numbered from 0, what it may do there.

    An option leads to a number at the rule's next stop; after the last one there is only 0.
    """

    place: int
    options: list[list[Option]]


def stops_of(track: Track, lines: Sequence[Line], place: dict[int, int], scale: int) -> list[Stop]:
    """All stops of a rule, without states from which it can no longer close."""
    at = sorted(place[line.index] for line in track.candidate.lines)
    still = sum(lines[i].n for i in at)
    states, reached = [0], []
    for i in at:
        still -= lines[i].n
        found = {
            state: [
                (k, after if still else 0, gain * FINE)
                for k, after, gain in track.options(lines[i], state, scale)
                if track.closes(after, still)
            ]
            for state in states
        }
        reached.append(found)
        states = sorted({after for options in found.values() for _, after, _ in options})
    stops: list[Stop] = []
    number = {0: 0}
    for i, found in zip(reversed(at), reversed(reached), strict=True):
        live = {
            state: [(k, number[after], gain) for k, after, gain in options if after in number]
            for state, options in found.items()
        }
        options = [options for options in live.values() if options]
        number = {state: n for n, state in enumerate(s for s, own in live.items() if own)}
        stops.append(Stop(i, options))
    return stops[::-1]


class Pair(NamedTuple):
    """A rule of two lines: what it gains with so many units of each."""

    one: int
    two: int
    offers: list[tuple[int, int, int]]  # gain, units of the one, of the two


def pair_of(stops: Sequence[Stop]) -> Pair | None:
    """A rule of two lines with everything it can do written out; most rules are such ones."""
    if len(stops) != 2:
        return None
    first, second = stops
    gains: dict[tuple[int, int], int] = {(0, 0): 0}
    for k, after, gain in first.options[0]:
        for more, _, last in second.options[after]:
            if gain + last > gains.get((k, more), 0):
                gains[k, more] = gain + last
    return Pair(first.place, second.place, [(g, k, more) for (k, more), g in gains.items()])


class Guide:
    """Prices by line, the bounds ahead of every rule, and the value of what is left of a line."""

    def __init__(
        self, lines: Sequence[Line], local: dict[int, Local], tracks: Sequence[Track], scale: int
    ) -> None:
        self.lines = lines
        self.fine = scale * FINE
        place = {line.index: at for at, line in enumerate(lines)}
        self.stops = [stops_of(track, lines, place, scale) for track in tracks]
        self.pairs = [pair for stops in self.stops if (pair := pair_of(stops)) is not None]
        self.wide = [stops for stops in self.stops if len(stops) != 2]
        self.rows = [[row[0] * self.fine for row in local[line.index].rows()] for line in lines]
        self.prices = [
            max(row) // max(1, line.n) for row, line in zip(self.rows, lines, strict=True)
        ]
        self.ahead: list[list[list[int]]] = []
        self.worth: list[list[int]] = []
        self.bound = 0

    def size(self) -> int:
        """About how much work one step is."""
        options = sum(len(each) for stops in self.wide for stop in stops for each in stop.options)
        return options + sum(len(pair.offers) for pair in self.pairs)

    def value(self) -> list[int]:
        """The bound for the present prices; the units that are bought beyond what there is."""
        surplus = [-line.n for line in self.lines]
        bound, prices = 0, self.prices
        for one, two, offers in self.pairs:
            first, second = prices[one], prices[two]
            most = max([gain - first * k - second * more for gain, k, more in offers])
            if most > 0:
                bound += most
                for gain, k, more in offers:
                    if gain - first * k - second * more == most:
                        surplus[one] += k
                        surplus[two] += more
                        break
        for stops in self.wide:
            ahead = self._ahead(stops)
            bound += ahead[0][0]
            if ahead[0][0]:
                self._buy(stops, ahead, surplus)
        self.worth = []
        for i, rows in enumerate(self.rows):
            price, worth, kept = prices[i], [0], 0
            for units in range(1, len(rows)):
                waiting = worth[-1] + price
                if rows[units] > waiting:
                    waiting, kept = rows[units], units
                worth.append(waiting)
            self.worth.append(worth)
            bound += worth[-1]
            surplus[i] += kept
        self.bound = bound
        return surplus

    def settle(self) -> None:
        """The bounds ahead of every rule for the present prices."""
        self.value()
        self.ahead = [self._ahead(stops) for stops in self.stops]

    def _ahead(self, stops: Sequence[Stop]) -> list[list[int]]:
        """What a rule still gains at most, at every stop and from every state."""
        later = [0]
        ahead = [later]
        for place, options in reversed(stops):
            price = self.prices[place]
            later = [
                max([later[after] + gain - price * k for k, after, gain in found])
                for found in options
            ]
            ahead.append(later)
        ahead.reverse()
        return ahead

    def _buy(self, stops: list[Stop], ahead: list[list[int]], surplus: list[int]) -> None:
        """The units that a rule buys on its best way."""
        state = 0
        for at, (place, options) in enumerate(stops):
            price, later, most = self.prices[place], ahead[at + 1], ahead[at][state]
            for k, after, gain in options[state]:
                if later[after] + gain - price * k == most:
                    surplus[place] += k
                    state = after
                    break

    def improve(self, known: int, work: Work) -> None:
        """Lower the bound towards `known`, a saving that was reached (in whole minor units)."""
        target = known * self.fine
        size = self.size()
        best = None
        way = [0] * len(self.lines)
        slow, stuck = 1, 0
        for _ in range(STEPS):
            work.spend(size)
            surplus = self.value()
            if best is None or self.bound < best[0]:
                best, stuck = (self.bound, list(self.prices)), 0
            else:
                stuck += 1
                if stuck >= PATIENCE:
                    slow, stuck = slow * 2, 0
                    self.prices = list(best[1])
                    way = [0] * len(way)
            way = [old // 2 + 16 * new for old, new in zip(way, surplus, strict=True)]
            wrong = sum(each * each for each in way)
            gap = self.bound - target
            if not wrong or gap < self.fine:
                break
            for i, each in enumerate(way):
                step = 16 * each * gap // (wrong * slow)
                self.prices[i] = max(0, self.prices[i] + step)
        if best is not None:
            self.prices = best[1]
