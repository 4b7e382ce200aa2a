"""`price`: match, filter, choose an alternative, search, allocate, explain.

Nothing here asks the time or raises: a fault inside a rule becomes that rule's outcome RULE_ERROR
and the basket is priced without it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

from promotions import alternative, evidence
from promotions.alternative import Found
from promotions.basket import BasketLine, Context
from promotions.conditions import filtered
from promotions.kinds.gift import Gift
from promotions.lines import Line, prepare
from promotions.plays import Candidate, Exhausted, Work
from promotions.problem import Problem
from promotions.ruleset import Live, RuleSet
from promotions.stages import Step, line_places, run_compounds, run_orders
from promotions.trace import Applied, Outcome, Verdict, filtered_outcome, no_item

CHOICES_MAX = 512
BUDGET_LEAST = 500


class PricedBasket:
    """What the basket saves, where, by which rules, and the fate of every rule."""

    __slots__ = (
        "_context",
        "_lines",
        "_outcomes",
        "_rule_set",
        "applied",
        "exact",
        "gifts",
        "per_line",
        "total_discount_minor",
        "upper_bound_minor",
    )

    def __init__(self, lines: list[Line], rule_set: RuleSet, context: Context) -> None:
        self._lines = lines
        self._rule_set = rule_set
        self._context = context
        self._outcomes: dict[str, Outcome] = {}
        self.per_line = [0] * len(lines)
        self.applied: list[Applied] = []
        self.gifts: list[tuple[str, int]] = []
        self.total_discount_minor = 0
        self.exact = True
        self.upper_bound_minor = 0

    @property
    def touching(self) -> dict[str, Outcome]:
        """The outcomes of the rules that touch the basket, by rule id."""
        return self._outcomes

    @property
    def gross_minor(self) -> int:
        """The basket at list price (returned lines are 0)."""
        return sum(line.gross for line in self._lines)

    def why_not(self, rule_id: str) -> Outcome:
        """The outcome of one rule."""
        known = self._outcomes.get(rule_id)
        if known is not None:
            return known
        live = self._rule_set.live.get(rule_id)
        if live is None:
            return Outcome(rule_id, "RULE_UNKNOWN", lambda: {"have": len(self._rule_set.live)})
        code = filtered(live, self._context)
        if code:
            return filtered_outcome(live, self._context, code)
        return no_item(live, self._lines)

    def outcomes(self) -> dict[str, Outcome]:
        """The outcome of every rule of the set."""
        return {rule_id: self.why_not(rule_id) for rule_id in self._rule_set.live}


def _matched(lines: Sequence[Line], rule_set: RuleSet) -> dict[Live, list[Line]]:
    """Every rule of which some selector matches some line, with its lines in basket order."""
    found: dict[Live, list[Line]] = {}
    for line in lines:
        if line.barred:
            continue
        for source in (
            rule_set.by_sku.get(line.sku, ()),
            rule_set.by_group.get(line.group, ()) if line.group is not None else (),
            rule_set.by_all,
        ):
            for live in source:
                known = found.get(live)
                if known is not None and known[-1] is line:
                    continue
                if live.plain or any(slot.matches(line) for slot in live.slots):
                    if known is None:
                        found[live] = [line]
                    else:
                        known.append(line)
    return found


class Pricing:
    """One run of the engine over one basket."""

    def __init__(self, basket: Sequence[BasketLine], rule_set: RuleSet, context: Context) -> None:
        self.lines = prepare(basket)
        self.rule_set = rule_set
        self.context = context
        self.levels = context.resolution == "priority"
        self.budget = context.budget
        self.result = PricedBasket(self.lines, rule_set, context)
        self.candidates: list[Candidate] = []

    def run(self) -> PricedBasket:
        """Price the basket."""
        self._sift()
        found = self._choose() if self.candidates else None
        if found is not None:
            self._write(found[0], found[1])
        self._explain()
        return self.result

    def _guarded(self, live: Live, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exhausted:
            raise
        except Exception as fault:  # noqa: BLE001  a rule must never stop a sale
            text = f"{type(fault).__name__}: {fault}"
            self.result.touching[live.id] = Outcome(live.id, "RULE_ERROR", lambda: {"fault": text})
            return None

    def _sift(self) -> None:
        """Rules that touch the basket: filtered ones get their outcome, the others compete."""
        matched = _matched(self.lines, self.rule_set)
        for live in sorted(matched, key=lambda each: each.key):
            code = self._guarded(live, partial(filtered, live, self.context))
            if code:
                self.result.touching[live.id] = filtered_outcome(live, self.context, code)
            elif code is not None:
                lines = matched[live]
                if len(live.slots) > 1 and not all(
                    any(slot.matches(line) for line in lines) for slot in live.slots
                ):
                    self.result.touching[live.id] = no_item(live, self.lines)
                    continue
                bit = 1 << len(self.candidates)
                self.candidates.append(Candidate(live, bit, lines))

    def _problem(self, rules: Sequence[Candidate]) -> Problem:
        return Problem(self.lines, rules, levels=self.levels)

    def _alternatives(self) -> Iterator[list[Candidate]]:
        """All rules with exactly one of every group; then every exclusive_basket rule alone."""
        free: list[Candidate] = []
        groups: dict[str, list[Candidate]] = {}
        for candidate in self.candidates:
            if candidate.live.mode == "exclusive_basket":
                continue
            if candidate.live.group is None:
                free.append(candidate)
            else:
                groups.setdefault(candidate.live.group, []).append(candidate)
        touching = {candidate.live for candidate in self.candidates}
        options: list[list[Candidate | None]] = []
        for group, members in groups.items():
            option: list[Candidate | None] = list(members)
            others = self.rule_set.exclusion_groups.get(group, ())
            if any(
                live not in touching
                and live.mode != "exclusive_basket"
                and not filtered(live, self.context)
                for live in others
            ):
                option.append(None)
            options.append(option)
        for count, choice in enumerate(product(*options)):
            if count >= CHOICES_MAX:
                break
            yield free + [candidate for candidate in choice if candidate is not None]

    def _choose(self) -> tuple[Found, Problem]:
        alone = [c for c in self.candidates if c.live.mode == "exclusive_basket"]
        solved = []
        for candidate in alone:
            problem = self._problem([candidate])
            found = self._solve(problem)
            if self.levels and found.total > 0:
                return found, problem
            solved.append((found, problem))
        together = []
        choices = list(self._alternatives())
        self.budget = self.context.budget // (len(choices) + len(alone) or 1)
        for rules in choices:
            problem = self._problem(rules)
            together.append((self._solve(problem), problem))
        best = max(together + solved, key=lambda each: each[0].rank)
        bound = max(found.upper_bound for found, _ in together + solved)
        return best[0]._replace(upper_bound=max(bound, best[0].total)), best[1]

    def _solve(self, problem: Problem) -> Found:
        return alternative.solve(problem, Work(max(BUDGET_LEAST, self.budget)))

    def _write(self, found: Found, problem: Problem) -> None:
        """Write the chosen packing line by line, and run the later stages on real lines."""
        result = self.result
        nets = {line.index: line.gross for line in self.lines}
        given: dict[Candidate, dict[int, int]] = {}
        for play in sorted(found.plays, key=lambda each: (each.candidate.live.key, each.used)):
            own = given.setdefault(play.candidate, {})
            for index, part in play.parts:
                own[index] = own.get(index, 0) + part
                nets[index] -= part
        steps: list[Step] = []
        run_compounds(problem.compounds, nets, steps)
        after = [nets[line.index] for line in self.lines]
        run_orders(problem.orders, after, line_places(self.lines, problem.orders), steps)
        for step in steps:
            own = given.setdefault(step.candidate, {})
            for index, part in step.parts:
                own[index] = own.get(index, 0) + part
        for candidate, parts in given.items():
            self._apply(candidate, parts)
        result.per_line = [line.gross - net for line, net in zip(self.lines, after, strict=True)]
        result.total_discount_minor = sum(result.per_line)
        result.upper_bound_minor = found.upper_bound
        result.exact = found.upper_bound == result.total_discount_minor

    def _apply(self, candidate: Candidate, parts: dict[int, int]) -> None:
        live, terms = candidate.live, candidate.live.terms
        gifts = [(terms.gift_sku, terms.gift_qty)] if isinstance(terms, Gift) else []
        per_line = sorted(parts.items())
        applied = Applied(live.id, live.version, sum(parts.values()), per_line, gifts)
        self.result.applied.append(applied)
        self.result.gifts += gifts
        self.result.touching[live.id] = Outcome(
            live.id,
            "APPLIED",
            lambda: {
                "discount_minor": applied.discount_minor,
                "per_line": applied.per_line,
                "gifts": applied.gifts,
                "currency": self.context.currency,
            },
        )

    def _explain(self) -> None:
        by_id = {candidate.live.id: candidate for candidate in self.candidates}
        applied = [by_id[each.rule_id].live for each in self.result.applied]
        verdict = Verdict(self.lines, applied, levels=self.levels)
        for candidate in self.candidates:
            live = candidate.live
            if live.id in self.result.touching:
                continue
            code = self._guarded(live, partial(verdict.code, candidate))
            if code is not None:
                self.result.touching[live.id] = self._missed(candidate, code, verdict)

    def _missed(self, candidate: Candidate, code: str, verdict: Verdict) -> Outcome:
        result, currency = self.result, self.context.currency

        def make() -> dict[str, Any]:
            data = evidence.numbers(candidate, code, verdict, result.applied, result.per_line)
            return {"currency": currency, **data}

        return Outcome(candidate.live.id, code, make)


def price(basket: Sequence[BasketLine], rule_set: RuleSet, context: Context) -> PricedBasket:
    """What this basket saves under these rules in this context, and why."""
    return Pricing(basket, rule_set, context).run()
