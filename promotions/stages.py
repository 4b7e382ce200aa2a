"""After the exclusive rules: compound rules on the running net, then order rules, by priority.

Neither step is optional: a compound rule can cost a threshold, and the joint optimum of the search
knows it, because every candidate outcome is run through these functions.
"""

from collections.abc import Sequence
from typing import NamedTuple

from promotions.kinds.gift import Gift
from promotions.kinds.tier_qty import Tiers
from promotions.kinds.tier_qty import compound as tier_compound
from promotions.lines import Line
from promotions.plays import Candidate, cut_to_cap, fill


class Step(NamedTuple):
    """What one later rule did: its discount per place, or the gift it granted."""

    candidate: Candidate
    parts: list[tuple[int, int]]
    gift: bool


class Later(NamedTuple):
    """The outcome of the later stages."""

    saving: int
    gifts: int
    mask: int


class Places:
    """What the order stage calculates on: real lines, or sums of lines it cannot tell apart."""

    __slots__ = ("floors", "gross", "members")

    def __init__(self, gross: list[int], floors: list[int], members: list[list[int]]) -> None:
        self.gross = gross
        self.floors = floors
        self.members = members


def compound_parts(candidate: Candidate, nets: Sequence[int]) -> list[int]:
    """The discount of a compound rule on each of its lines, for their running nets."""
    live, lines = candidate.live, candidate.lines
    terms = live.terms
    if isinstance(terms, Tiers):
        reached = terms.reached(candidate.quantity)
        if not reached:
            return [0] * len(lines)
        given = terms.steps[reached - 1].given
        parts = [tier_compound(given, line, net) for line, net in zip(lines, nets, strict=True)]
    else:
        parts = [live.module.compound(terms, ln, net) for ln, net in zip(lines, nets, strict=True)]
    for i, line in enumerate(lines):
        if line.floor_total:
            parts[i] = min(parts[i], max(0, nets[i] - line.floor_total))
    return cut_to_cap(parts, live.cap)


def run_compounds(
    compounds: Sequence[Candidate], nets: dict[int, int], steps: list[Step] | None = None
) -> tuple[int, int]:
    """Apply compound rules to nets by line index; the saving and the mask of those with effect."""
    saving = mask = 0
    for candidate in compounds:
        own = [nets[line.index] for line in candidate.lines]
        parts = compound_parts(candidate, own)
        total = sum(parts)
        if not total:
            continue
        saving += total
        mask |= candidate.bit
        for line, part in zip(candidate.lines, parts, strict=True):
            nets[line.index] -= part
        if steps is not None:
            given = [(ln.index, d) for ln, d in zip(candidate.lines, parts, strict=True) if d]
            steps.append(Step(candidate, given, gift=False))
    return saving, mask


def run_orders(
    orders: Sequence[Candidate], nets: list[int], places: Places, steps: list[Step] | None = None
) -> Later:
    """Apply order rules to nets by place."""
    before, after = places.gross, list(nets)
    saving = gifts = mask = 0
    for candidate, members in zip(orders, places.members, strict=True):
        terms = candidate.live.terms
        worth = before if getattr(terms, "before", False) else after
        base = sum(worth[i] for i in members)
        if isinstance(terms, Gift):
            if base >= terms.min_minor and members:
                gifts += 1
                mask |= candidate.bit
                if steps is not None:
                    steps.append(Step(candidate, [], gift=True))
            continue
        parts = order_parts(candidate, base, [nets[i] for i in members], members, places)
        total = sum(parts)
        if not total:
            continue
        saving += total
        mask |= candidate.bit
        for i, part in zip(members, parts, strict=True):
            nets[i] -= part
        if steps is not None:
            given = [(i, d) for i, d in zip(members, parts, strict=True) if d]
            steps.append(Step(candidate, given, gift=False))
    return Later(saving, gifts, mask)


def order_parts(
    candidate: Candidate, base: int, nets: list[int], members: Sequence[int], places: Places
) -> list[int]:
    """An order rule's amount, cut to the running net, its caps and the room, and spread."""
    run = sum(nets)
    amount = min(candidate.live.module.offer(candidate.live.terms, base, run), run)
    if candidate.live.cap is not None:
        amount = min(amount, candidate.live.cap)
    if amount <= 0:
        return [0] * len(nets)
    if len(nets) == 1:
        return [min(amount, max(0, nets[0] - places.floors[members[0]]))]
    rooms = [max(0, net - places.floors[i]) for net, i in zip(nets, members, strict=True)]
    return fill(amount, nets, rooms)


def line_places(lines: Sequence[Line], orders: Sequence[Candidate]) -> Places:
    """One place per basket line."""
    return Places(
        [line.gross for line in lines],
        [line.floor_total for line in lines],
        [[line.index for line in candidate.lines] for candidate in orders],
    )
