"""Where the bars of a picture stand; templates draw them as SVG."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

WIDTH: Final = 720
HEIGHT: Final = 210
LEFT: Final = 52
BOTTOM: Final = 24
TOP: Final = 10
SERIES_MAX: Final = 6


class Bar(msgspec.Struct, frozen=True):
    """One rectangle of a series, with the words that it stands for."""

    x: float
    y: float
    width: float
    height: float
    series: int
    title: str


class Line(msgspec.Struct, frozen=True):
    """A grid line with its figure."""

    y: float
    value: int


class Picture(msgspec.Struct, frozen=True):
    """Bars on a grid."""

    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]
    ticks: tuple[tuple[float, str], ...]
    series: tuple[str, ...]
    width: int = WIDTH
    height: int = HEIGHT
    base: int = HEIGHT - BOTTOM
    left: int = LEFT


def ceiling(value: int) -> int:
    """A round figure at or above `value`: 1, 2 or 5 times a power of ten.

    >>> [ceiling(v) for v in (0, 7, 130, 4100)]
    [1, 10, 200, 5000]
    """
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= value:
                return step * power
        power *= 10


def stacked(
    columns: Sequence[str], series: Mapping[str, Mapping[int, int]], *, words: Mapping[str, str]
) -> Picture:
    """Bars stacked per column; `series[name][column index]` = figure, `words[name]` its title."""
    names = list(series)[:SERIES_MAX]
    totals = [sum(series[n].get(i, 0) for n in names) for i in range(len(columns))]
    top = ceiling(max(totals, default=0))
    plot = HEIGHT - BOTTOM - TOP
    slot = (WIDTH - LEFT) / max(1, len(columns))
    bars = []
    for i, column in enumerate(columns):
        floor = float(HEIGHT - BOTTOM)
        for n, name in enumerate(names):
            figure = series[name].get(i, 0)
            if figure <= 0:
                continue
            height = plot * figure / top
            floor -= height
            title = f"{words.get(name, name)} {column}"
            x = LEFT + slot * i + slot * 0.16
            bars.append(
                Bar(round(x, 1), round(floor, 1), round(slot * 0.68, 1), round(height, 1), n, title)
            )
    lines = tuple(
        Line(round(HEIGHT - BOTTOM - plot * part / 2, 1), top * part // 2) for part in (0, 1, 2)
    )
    every = 1 if len(columns) <= 12 else 2
    ticks = tuple(
        (round(LEFT + slot * (i + 0.5), 1), c) for i, c in enumerate(columns) if i % every == 0
    )
    return Picture(tuple(bars), lines, ticks, tuple(words.get(n, n) for n in names))
