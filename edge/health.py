"""One verdict per part of the node, each with its reason and with what still works."""

from collections.abc import Callable
from typing import Literal

import msgspec

State = Literal["ok", "warn", "bad"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How one part is; `code` is stable, "" when all is well.

    printer/{till}, scanner/{till}, disk, database, link, clock, rules, prices, queue, parked.
    """

    part: str
    state: State
    code: str
    sentence_en: str
    sentence_zh: str
    can_still_en: str
    can_still_zh: str

    def sentence(self, language: str) -> str:
        """What is the matter."""
        return self.sentence_zh if language.startswith("zh") else self.sentence_en

    def can_still(self, language: str) -> str:
        """What still works."""
        return self.can_still_zh if language.startswith("zh") else self.can_still_en


class Health:
    """Asks the parts. `checks` are the named questions, in the order of the page."""

    def __init__(self, checks: tuple[Callable[[], list[Verdict]], ...]) -> None:
        self._checks = checks

    def verdicts(self) -> list[Verdict]:
        """All verdicts; a check that fails itself is a bad verdict, never an exception."""
        raise NotImplementedError

    def unsynced(self) -> int:
        """Events that head office has not acknowledged yet."""
        raise NotImplementedError

    def demand_room(self) -> None:
        """Raise Unavailable when the disk is nearly full or failing: before any money is taken."""
        raise NotImplementedError
