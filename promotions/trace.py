"""What became of every rule: applied, or the first reason why not, with its numbers.

Codes come in the order of the two tables of the specification; `RULE_UNSUPPORTED` and `RULE_ERROR`
come first. The numbers (`data`) are worked out when somebody asks for them: most are never read.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from promotions.kinds.bundle import Bundle
from promotions.kinds.tier_qty import Tiers
from promotions.lines import Line
from promotions.plays import (
    Candidate,
    Exhausted,
    Work,
    applications,
    bundle_lines,
    covering,
    line_plays,
    most_rewarded,
    retailer_plays,
)
from promotions.ruleset import Live
from promotions.stages import compound_parts, line_places, run_orders

ALONE_BUDGET = 20_000


class Source(Protocol):
    """Where the numbers of an outcome come from, when somebody asks."""

    def numbers(self, rule_id: str, code: str) -> dict[str, Any]:
        """The numbers behind a code."""
        ...


class Outcome:
    """The fate of one rule; `code` is APPLIED or a reason, `data` its numbers."""

    __slots__ = ("_source", "code", "rule_id")

    def __init__(self, rule_id: str, code: str, source: Source) -> None:
        self.rule_id = rule_id
        self.code = code
        self._source = source

    @property
    def applied(self) -> bool:
        """Did the rule give something?"""
        return self.code == "APPLIED"

    @property
    def data(self) -> dict[str, Any]:
        """The numbers behind the code."""
        return self._source.numbers(self.rule_id, self.code)

    def __repr__(self) -> str:
        return f"Outcome({self.rule_id!r}, {self.code!r}, {self.data!r})"


class Applied(msgspec.Struct, frozen=True):
    """A rule that gave a discount or a gift, and where it landed."""

    rule_id: str
    version: int
    discount_minor: int
    per_line: list[tuple[int, int]]
    gifts: list[tuple[str, int]]


def slot_gap(bundle: Bundle, lines: Sequence[Line]) -> list[tuple[int, int, int]]:
    """(slot, have, need) of slots that cannot be filled, each unit filling one slot at most."""
    matching = [[line for line in lines if slot.select.matches(line)] for slot in bundle.slots]
    have = _filled(bundle, matching)
    return [(at, have[at], slot.qty) for at, slot in enumerate(bundle.slots) if have[at] < slot.qty]


def _filled(bundle: Bundle, matching: Sequence[Sequence[Line]]) -> list[int]:
    """Units per slot in a largest filling (augmenting paths over lines)."""
    given: dict[tuple[int, int], int] = {}
    free = {line.index: line.n for lines in matching for line in lines}
    have = [0] * len(bundle.slots)

    def augment(slot: int, seen: set[int]) -> bool:
        for line in matching[slot]:
            if line.index in seen:
                continue
            seen.add(line.index)
            if free[line.index] > 0:
                free[line.index] -= 1
            else:
                holder = next(
                    (
                        other
                        for other in range(len(have))
                        if other != slot
                        and given.get((other, line.index), 0)
                        and augment(other, seen)
                    ),
                    None,
                )
                if holder is None:
                    continue
                given[holder, line.index] -= 1
            given[slot, line.index] = given.get((slot, line.index), 0) + 1
            return True
        return False

    for slot, wanted in enumerate(bundle.slots):
        while have[slot] < wanted.qty and augment(slot, set()):
            have[slot] += 1
    return have


def _alone_bundle(candidate: Candidate, bundle: Bundle) -> str:
    lines = candidate.lines
    live = candidate.live
    if len(lines) == 1 and live.simple and lines[0].room is None:
        line = lines[0]
        if line.lot or line.n < live.size:
            return "QTY_SHORT"
        return "" if bundle.saving(line.p * live.paid) else "ZERO_EFFECT"
    lines = bundle_lines(candidate)
    if sum(line.n for line in lines) < live.size:
        return "QTY_SHORT"
    if len(bundle.slots) > 1 and slot_gap(bundle, lines):
        return "QTY_SHORT"
    if bundle.retailer:
        return _any_retailer(candidate)
    if live.rule.limits.max_applications == 0 or live.cap == 0:
        return "ZERO_EFFECT"
    if len(bundle.slots) == 1:
        if not bundle.saving(most_rewarded(bundle, lines)):
            return "ZERO_EFFECT"
        if live.cap is None and all(line.room is None for line in lines):
            return ""
    return _any_application(candidate)


def _any_retailer(candidate: Candidate) -> str:
    try:
        return "" if any(True for _ in retailer_plays(candidate)) else "ZERO_EFFECT"
    except Exhausted:
        return ""


def _any_application(candidate: Candidate) -> str:
    cap = candidate.live.cap
    try:
        for play in applications(candidate, Work(ALONE_BUDGET)):
            if cap is None or play.total <= cap:
                return ""
    except Exhausted:
        return ""
    return "ZERO_EFFECT"


def _alone_order(candidate: Candidate, lines: Sequence[Line]) -> str:
    places = line_places(lines, [candidate])
    later = run_orders([candidate], [line.gross for line in lines], places)
    return "" if later.mask else "SPEND_SHORT"


def _alone_tier(candidate: Candidate) -> str:
    limits = candidate.live.rule.limits
    if limits.max_units is None and candidate.live.cap is None:
        terms = candidate.live.terms
        assert isinstance(terms, Tiers)  # noqa: S101
        if not terms.reached(candidate.quantity):
            return "QTY_SHORT"
        if covering(candidate, [line.n for line in candidate.lines]) is not None:
            return ""
    try:
        found = any(True for _ in line_plays(candidate, Work(ALONE_BUDGET)))
    except Exhausted:
        found = True
    return "" if found else "QTY_SHORT"


def _alone_line(candidate: Candidate) -> str:
    live = candidate.live
    most = live.rule.limits.max_units
    if most == 0 or live.cap == 0:
        return "ZERO_EFFECT"
    for line in candidate.lines:
        num, den = live.module.rate(live.terms, line)
        if num and line.room != 0:
            top = line.n if most is None else min(line.n, most)
            if 2 * top * num >= den:
                return ""
    return "ZERO_EFFECT"


def alone(candidate: Candidate, lines: Sequence[Line]) -> str:
    """The code of a rule that would do nothing even as the only one, or "" when it would."""
    live = candidate.live
    stage = live.stage
    if stage == "bundle":
        return _alone_bundle(candidate, live.terms)  # type: ignore[arg-type]
    if stage == "order":
        return _alone_order(candidate, lines)
    if live.mode == "compound":
        given = compound_parts(candidate, [line.gross for line in candidate.lines])
        short = "QTY_SHORT" if stage == "tier" else "ZERO_EFFECT"
        return "" if any(given) else short
    if stage == "tier":
        return _alone_tier(candidate)
    return _alone_line(candidate)


class Verdict:
    """Everything that decides why an active rule was not applied."""

    __slots__ = ("applied", "exclusive", "groups", "levels", "lines", "top")

    def __init__(self, lines: Sequence[Line], applied: Sequence[Live], *, levels: bool) -> None:
        self.lines = lines
        self.applied = applied
        self.exclusive = any(live.mode == "exclusive_basket" for live in applied)
        self.groups = {live.group for live in applied if live.group is not None}
        self.levels = levels
        self.top = max((live.priority for live in applied), default=None)

    def code(self, candidate: Candidate) -> str:
        """The second table, first match wins."""
        live = candidate.live
        if candidate.short:
            return candidate.short
        if self.exclusive:
            return "EXCLUSIVE_OTHER"
        if live.mode == "exclusive_basket":
            return "LOST_TO_BETTER"
        if live.mode == "compound":
            return "NOTHING_LEFT"
        if live.group is not None and live.group in self.groups:
            return "GROUP_TAKEN"
        if live.stage == "order":
            return "SPEND_SHORT"
        if self.levels and self.top is not None and self.top > live.priority:
            return "LOST_TO_PRIORITY"
        return "LOST_TO_BETTER"
