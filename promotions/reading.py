"""Read a rule document and collect every fault, each with its path, what was found, and what not.

A `Reader` walks one JSON object. It never raises for a fault: it notes it and returns a harmless
value, so that one pass names all faults of a document. `strict` refuses unknown fields by name; the
JSON Lines interface reads leniently, where unknown fields are ignored.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from promotions.figures import FIGURE_MAX, Ratio, milli, ratio_of_percent, whole

TEXT_MAX = 200
LIST_MAX = 10_000
NOTHING = "nothing"


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong with a rule document."""

    path: str
    found: str
    expected: str

    def words(self, language: str = "en") -> str:
        """What is wrong, without the place; `expected` holds both languages, parted by " | "."""
        english, _, chinese = self.expected.partition(" | ")
        if language.startswith("zh"):
            found = "空" if self.found == NOTHING else self.found
            return f"现为 {found}，应为{chinese or english}。"
        return f"found {self.found}, expected {english}."

    def sentence(self, language: str = "en") -> str:
        """The fault for people, its place first."""
        return f"{self.path}{'：' if language.startswith('zh') else ': '}{self.words(language)}"


def shown(found: object) -> str:
    """What was found, short enough for a sentence."""
    if found in (None, ""):
        return NOTHING
    text = found if isinstance(found, str) else repr(found)
    return text if len(text) <= 60 else text[:57] + "..."


class Reader:
    """One object of the document, with the path that leads to it."""

    def __init__(
        self, document: dict[str, Any], path: str, faults: list[Fault], *, strict: bool
    ) -> None:
        self.document = document
        self.path = path
        self.faults = faults
        self.strict = strict
        self.known: set[str] = set()

    def at(self, key: str) -> str:
        """The path of a field."""
        return f"{self.path}.{key}" if self.path else key

    def fault(self, key: str, found: object, expected: str) -> None:
        """Note a fault of a field."""
        path = self.at(key) if key else self.path or "document"
        self.faults.append(Fault(path, shown(found), expected))

    def get(self, key: str) -> Any:
        """The raw value; the field counts as known from now on."""
        self.known.add(key)
        return self.document.get(key)

    def finish(self) -> None:
        """Refuse by name what nobody asked for."""
        if not self.strict:
            return
        for key in sorted(map(str, self.document)):
            if key not in self.known:
                self.fault(key, self.document.get(key), "no such field | 没有该字段")

    def child(self, key: str) -> "Reader | None":
        """An object below this one, or None (a fault if it is there and no object)."""
        found = self.get(key)
        if found is None:
            return None
        if not isinstance(found, dict):
            self.fault(key, found, "an object | 对象")
            return None
        return Reader(found, self.at(key), self.faults, strict=self.strict)

    def children(self, key: str) -> list["Reader"]:
        """A list of objects, at least one."""
        found = self.get(key)
        if not isinstance(found, list) or not found or len(found) > LIST_MAX:
            self.fault(key, found, "a list of objects, at least one | 至少一项的对象列表")
            return []
        readers = []
        for i, each in enumerate(found):
            if isinstance(each, dict):
                place = f"{self.at(key)}[{i}]"
                readers.append(Reader(each, place, self.faults, strict=self.strict))
            else:
                self.fault(f"{key}[{i}]", each, "an object | 对象")
        return readers

    def text(self, key: str, default: str | None = None, *, needed: bool = False) -> str | None:
        """A text."""
        found = self.get(key)
        if found is None and not needed:
            return default
        if not isinstance(found, str) or not found or len(found) > TEXT_MAX:
            self.fault(key, found, "a text | 文字")
            return default
        return found

    def choice(self, key: str, allowed: tuple[str, ...], default: str | None) -> str:
        """One of a few words."""
        found = self.get(key)
        if found is None and default is not None:
            return default
        if found not in allowed:
            words = ", ".join(allowed)
            self.fault(key, found, f"one of {words} | {words} 之一")
            return allowed[0]
        return str(found)

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts (one text alone counts as a list of one), or None when absent."""
        found = self.get(key)
        if found is None:
            return None
        listed = [found] if isinstance(found, str) else found
        if not isinstance(listed, list) or len(listed) > LIST_MAX:
            self.fault(key, found, "a list of texts | 文字列表")
            return None
        for i, each in enumerate(listed):
            if not isinstance(each, str):
                self.fault(f"{key}[{i}]", each, "a text | 文字")
        return tuple(each for each in listed if isinstance(each, str))

    def _number(
        self, key: str, expected: str, read: Callable[[object], int | None], bounds: tuple[int, int]
    ) -> int:
        found = self.document.get(key)
        value = read(found)
        if value is None or not bounds[0] <= value <= bounds[1]:
            self.fault(key, found, expected)
            return max(bounds[0], 0)
        return value

    def figure(self, key: str, default: int | None = None, *, low: int = 0) -> int:
        """A whole number, `low` or more; without a default it must be there."""
        if self.get(key) is None and default is not None:
            return default
        words = f"a whole number from {low} | 不小于 {low} 的整数"
        return self._number(key, words, whole, (low, FIGURE_MAX))

    def optional(self, key: str, *, low: int = 0) -> int | None:
        """A whole number or None."""
        return None if self.get(key) is None else self.figure(key, low=low)

    def milli(self, key: str) -> int:
        """A quantity above zero in thousandths."""
        self.known.add(key)
        words = "a quantity above 0 with at most 3 decimals | 大于 0、最多三位小数的数量"
        return self._number(key, words, milli, (1, FIGURE_MAX))

    def percent(self, key: str) -> Ratio:
        """0 to 100 as a ratio."""
        found = self.get(key)
        ratio = ratio_of_percent(found)
        if ratio is None:
            self.fault(key, found, "a percentage from 0 to 100 | 0 到 100 的百分比")
            return (0, 1)
        return ratio
