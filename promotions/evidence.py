"""The numbers behind a verdict on an active rule: have and need, nearest miss, winner and by how much.

Worked out on demand: the code of a rule is needed at every price, its numbers when somebody looks.
"""

from collections.abc import Sequence
from typing import Any

from promotions.alternative import solve
from promotions.kinds.bundle import Bundle
from promotions.kinds.tier_qty import Tiers
from promotions.lines import MILLI
from promotions.plays import Candidate, Work, bundle_lines
from promotions.problem import Problem
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


def _quantity(candidate: Candidate) -> dict[str, Any]:
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


def _spend(candidate: Candidate, verdict: Verdict, nets: Sequence[int]) -> dict[str, Any]:
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


def _lost(candidate: Candidate, verdict: Verdict, applied: Sequence[Applied]) -> dict[str, Any]:
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


def numbers(
    candidate: Candidate,
    code: str,
    verdict: Verdict,
    applied: Sequence[Applied],
    per_line: Sequence[int],
) -> dict[str, Any]:
    """The figures for one code of the second table."""
    if code == "QTY_SHORT":
        return _quantity(candidate)
    if code == "SPEND_SHORT":
        nets = [line.gross - part for line, part in zip(verdict.lines, per_line, strict=True)]
        return _spend(candidate, verdict, nets)
    if code == "ZERO_EFFECT":
        worth = sum(line.gross for line in candidate.lines)
        return {"gross_minor": worth, "cap_minor": candidate.live.cap}
    return _lost(candidate, verdict, applied)
