"""`price`: match, filter, choose an alternative, search, allocate, explain.

Nothing here asks the time or raises: a fault inside a rule becomes that rule's outcome RULE_ERROR
and the basket is priced without it.
"""

from collections.abc import Iterator, Sequence
from itertools import product

from promotions import alternative
from promotions.alternative import Found
from promotions.basket import BasketLine, Context
from promotions.conditions import filtered
from promotions.evidence import Evidence
from promotions.kinds.gift import Gift
from promotions.lines import Line, prepare
from promotions.plays import Candidate, Work
from promotions.problem import Problem
from promotions.ruleset import Live, RuleSet
from promotions.stages import Step, line_places, run_compounds, run_orders
from promotions.trace import Applied, Outcome, Verdict, alone

CHOICES_MAX = 512
BUDGET_LEAST = 500


class PricedBasket:
    """What the basket saves, where, by which rules, and the fate of every rule."""

    __slots__ = (
        "_evidence",
        "exact",
        "gifts",
        "per_line",
        "total_discount_minor",
        "touching",
        "upper_bound_minor",
    )

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.touching: dict[str, Outcome] = {}
        self.per_line = evidence.per_line
        self.gifts: list[tuple[str, int]] = []
        self.total_discount_minor = 0
        self.exact = True
        self.upper_bound_minor = 0

    @property
    def applied(self) -> list[Applied]:
        """The rules that gave a discount or a gift."""
        return self._evidence.applied

    @property
    def gross_minor(self) -> int:
        """The basket at list price (returned lines are 0)."""
        return sum(line.gross for line in self._evidence.lines)

    def why_not(self, rule_id: str) -> Outcome:
        """The outcome of one rule."""
        known = self.touching.get(rule_id)
        if known is not None:
            return known
        evidence = self._evidence
        live = evidence.rule_set.live.get(rule_id)
        if live is None:
            return Outcome(rule_id, "RULE_UNKNOWN", evidence)
        return Outcome(rule_id, filtered(live, evidence.context) or "NO_ELIGIBLE_ITEM", evidence)

    def outcomes(self) -> dict[str, Outcome]:
        """The outcome of every rule of the set."""
        evidence, known = self._evidence, self.touching
        context = evidence.context
        found: dict[str, Outcome] = {}
        for rule_id, live in evidence.rule_set.live.items():
            outcome = known.get(rule_id)
            if outcome is None:
                code = filtered(live, context) or "NO_ELIGIBLE_ITEM"
                outcome = Outcome(rule_id, code, evidence)
            found[rule_id] = outcome
        return found


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
        self.evidence = Evidence(self.lines, rule_set, context)
        self.result = PricedBasket(self.evidence)
        self.candidates = self.evidence.candidates

    def run(self) -> PricedBasket:
        """Price the basket."""
        for live, lines in sorted(
            _matched(self.lines, self.rule_set).items(), key=lambda each: each[0].key
        ):
            try:
                self._sift(live, lines)
            except Exception as fault:  # noqa: BLE001  a rule must never stop a sale
                self._fail(live, fault)
        self._settle()
        self._explain()
        return self.result

    def _settle(self) -> None:
        """Choose and write; a rule that fails is left out, and if none owns up, all are."""
        while self.candidates:
            try:
                found, problem = self._choose()
                self._write(found, problem)
            except Exception as fault:  # noqa: BLE001  a rule must never stop a sale
                self._leave_out(fault)
            else:
                return

    def _leave_out(self, fault: Exception) -> None:
        self.evidence.applied.clear()
        self.result.gifts.clear()
        guilty = []
        for candidate in self.candidates:
            self.result.touching.pop(candidate.live.id, None)
            try:
                found = self._solve(self._problem([candidate]))
                self._written(found, self._problem([candidate]))
            except Exception:  # noqa: BLE001  the search for the guilty one
                guilty.append(candidate)
        for candidate in guilty or list(self.candidates):
            self._fail(candidate.live, fault)
            self.candidates.remove(candidate)

    def _fail(self, live: Live, fault: Exception) -> None:
        self.evidence.faults[live.id] = f"{type(fault).__name__}: {fault}"
        self.result.touching[live.id] = Outcome(live.id, "RULE_ERROR", self.evidence)

    def _sift(self, live: Live, lines: list[Line]) -> None:
        """A rule that touches the basket: a filtered one gets its outcome, others compete."""
        held = self.context.cache_version
        free = live.free and (held is None or live.version <= held)
        code = "" if free else filtered(live, self.context)
        if not code and len(live.slots) > 1:
            for slot in live.slots:
                if not any(slot.matches(line) for line in lines):
                    code = "NO_ELIGIBLE_ITEM"
        if code:
            self.result.touching[live.id] = Outcome(live.id, code, self.evidence)
            return
        candidate = Candidate(live, 1 << len(self.candidates), lines)
        candidate.short = alone(candidate, self.lines)
        self.candidates.append(candidate)

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

    def _written(
        self, found: Found, problem: Problem
    ) -> tuple[dict[Candidate, dict[int, int]], list[int]]:
        """Discount per rule and line, and net per line: later stages run on the real lines."""
        nets = {line.index: line.gross for line in self.lines}
        given: dict[Candidate, dict[int, int]] = {}
        for play in sorted(found.plays, key=lambda each: (each.candidate.live.key, each.used)):
            own = given.setdefault(play.candidate, {})
            for index, part in play.parts:
                own[index] = own.get(index, 0) + part
                nets[index] -= part
        steps: list[Step] = []
        if problem.compounds or problem.orders:
            run_compounds(problem.compounds, nets, steps)
        after = [nets[line.index] for line in self.lines]
        if problem.orders:
            run_orders(problem.orders, after, line_places(self.lines, problem.orders), steps)
        for step in steps:
            own = given.setdefault(step.candidate, {})
            for index, part in step.parts:
                own[index] = own.get(index, 0) + part
        return given, after

    def _write(self, found: Found, problem: Problem) -> None:
        """Write the chosen packing line by line."""
        given, after = self._written(found, problem)
        for candidate, parts in given.items():
            self._apply(candidate, parts)
        result = self.result
        result.per_line[:] = (ln.gross - net for ln, net in zip(self.lines, after, strict=True))
        result.total_discount_minor = sum(result.per_line)
        result.upper_bound_minor = max(found.upper_bound, result.total_discount_minor)
        result.exact = found.upper_bound == result.total_discount_minor

    def _apply(self, candidate: Candidate, parts: dict[int, int]) -> None:
        live, terms = candidate.live, candidate.live.terms
        gifts = [(terms.gift_sku, terms.gift_qty)] if isinstance(terms, Gift) else []
        per_line = sorted(parts.items())
        applied = Applied(live.id, live.version, sum(parts.values()), per_line, gifts)
        self.evidence.applied.append(applied)
        self.result.gifts += gifts
        self.result.touching[live.id] = Outcome(live.id, "APPLIED", self.evidence)

    def _explain(self) -> None:
        touching, evidence = self.result.touching, self.evidence
        live_by_id = self.rule_set.live
        applied = [live_by_id[each.rule_id] for each in evidence.applied]
        verdict = Verdict(self.lines, applied, levels=self.levels)
        evidence.verdict = verdict
        for candidate in self.candidates:
            rule_id = candidate.live.id
            if rule_id not in touching:
                code = candidate.short or verdict.code(candidate)
                touching[rule_id] = Outcome(rule_id, code, evidence)


def price(basket: Sequence[BasketLine], rule_set: RuleSet, context: Context) -> PricedBasket:
    """What this basket saves under these rules in this context, and why."""
    return Pricing(basket, rule_set, context).run()
