"""The numbers behind a verdict: have and need, nearest miss, winner and by how much.

Worked out on demand: the code of a rule is needed at every price, its numbers when somebody looks.
"""

from collections.abc import Callable
from typing import Any, Final

from promotions import conditions
from promotions.alternative import solve
from promotions.basket import Context
from promotions.kinds.bundle import Bundle
from promotions.kinds.tier_qty import Tiers
from promotions.lines import MILLI, Line
from promotions.plays import Candidate, Work, bundle_lines
from promotions.problem import Problem
from promotions.ruleset import Live, RuleSet
from promotions.scope import Selector
from promotions.trace import ALONE_BUDGET, Applied, Verdict, slot_gap

NAMES_MAX = 20


def goods(select: Selector) -> dict[str, Any]:
    """What a selector names, short enough for a sentence."""
    return {
        "skus": sorted(select.skus)[:NAMES_MAX],
        "groups": sorted(select.groups)[:NAMES_MAX],
        "all": select.all,
    }


def _quantity(candidate: Candidate, evidence: "Evidence") -> dict[str, Any]:
    del evidence
    terms = candidate.live.terms
    if isinstance(terms, Bundle):
        lines = bundle_lines(candidate)
        gaps = slot_gap(terms, lines)
        if gaps:
            slot, have, need = gaps[0]
            missing = {"have_milli": have * MILLI, "need_milli": need * MILLI}
            return {**missing, "slot": slot, **goods(terms.slots[slot].select)}
        have = sum(line.n for line in lines)
        return {"have_milli": have * MILLI, "need_milli": terms.size * MILLI}
    have = sum(line.qty_milli for line in candidate.lines)
    need = terms.steps[0].min_milli if isinstance(terms, Tiers) and terms.steps else 0
    select = candidate.live.slots[0]
    return {"have_milli": have, "need_milli": need, **goods(select)}


def _spend(candidate: Candidate, evidence: "Evidence") -> dict[str, Any]:
    verdict = evidence.verdict
    nets = [line.gross - part for line, part in zip(evidence.lines, evidence.per_line, strict=True)]
    terms = candidate.live.terms
    before = getattr(terms, "before", False)
    gross = sum(line.gross for line in candidate.lines)
    have = gross if before else sum(nets[line.index] for line in candidate.lines)
    return {
        "have_minor": have,
        "gross_minor": gross,
        "need_minor": getattr(terms, "least", 0),
        "winners": [live.id for live in verdict.applied],
        **goods(candidate.live.slots[0]),
    }


def _lost(candidate: Candidate, evidence: "Evidence") -> dict[str, Any]:
    verdict, applied = evidence.verdict, evidence.applied
    own = {line.index for line in candidate.lines}
    group = candidate.live.group
    winners = [
        each
        for each, live in zip(applied, verdict.applied, strict=True)
        if live.mode == "exclusive_basket"
        or (group is not None and live.group == group)
        or any(index in own for index, _ in each.per_line)
    ]
    problem = Problem(verdict.lines, [candidate], levels=False)
    alone = solve(problem, Work(ALONE_BUDGET)).total
    return {
        "winners": [each.rule_id for each in winners or applied],
        "winners_minor": sum(each.discount_minor for each in winners or applied),
        "alone_minor": alone,
        "total_minor": sum(each.discount_minor for each in applied),
    }


class Evidence:
    """The source of all numbers of one priced basket (it knows no outcome: no cycle)."""

    __slots__ = (
        "applied",
        "candidates",
        "context",
        "faults",
        "lines",
        "per_line",
        "rule_set",
        "verdict",
    )

    def __init__(self, lines: list[Line], rule_set: RuleSet, context: Context) -> None:
        self.lines = lines
        self.rule_set = rule_set
        self.context = context
        self.applied: list[Applied] = []
        self.candidates: list[Candidate] = []
        self.per_line = [0] * len(lines)
        self.verdict = Verdict(lines, [], levels=False)
        self.faults: dict[str, str] = {}

    def numbers(self, rule_id: str, code: str) -> dict[str, Any]:
        """The numbers behind a code."""
        if code == "RULE_ERROR":
            return {"fault": self.faults.get(rule_id, "")}
        live = self.rule_set.live.get(rule_id)
        if live is None:
            return {"rules": len(self.rule_set.live)}
        if code == "APPLIED":
            return self._applied(live)
        if code == "NO_ELIGIBLE_ITEM":
            return self._missing(live)
        if code in OWN_NUMBERS:
            candidate = next(each for each in self.candidates if each.live is live)
            data = OWN_NUMBERS[code](candidate, self)
            return {"currency": self.context.currency, **data}
        return conditions.numbers(live, self.context, code)

    def _applied(self, live: Live) -> dict[str, Any]:
        applied = next(each for each in self.applied if each.rule_id == live.id)
        return {
            **conditions.moment(live, self.context),
            "discount_minor": applied.discount_minor,
            "per_line": applied.per_line,
            "gifts": applied.gifts,
            "currency": self.context.currency,
        }

    def _missing(self, live: Live) -> dict[str, Any]:
        slots = [s for s in live.slots if not any(s.matches(line) for line in self.lines)]
        groups = {line.group for line in self.lines if line.group}
        data: dict[str, Any] = goods(slots[0]) if slots else {}
        return {**data, "basket_groups": sorted(groups)[:NAMES_MAX]}


def _zero(candidate: Candidate, evidence: Evidence) -> dict[str, Any]:
    del evidence
    worth = sum(line.gross for line in candidate.lines)
    return {"gross_minor": worth, "cap_minor": candidate.live.cap}


OWN_NUMBERS: Final[dict[str, Callable[[Candidate, Evidence], dict[str, Any]]]] = {
    "QTY_SHORT": _quantity,
    "SPEND_SHORT": _spend,
    "ZERO_EFFECT": _zero,
    "EXCLUSIVE_OTHER": _lost,
    "LOST_TO_BETTER": _lost,
    "NOTHING_LEFT": _lost,
    "GROUP_TAKEN": _lost,
    "LOST_TO_PRIORITY": _lost,
}
