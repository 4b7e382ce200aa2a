"""`python -m promotions`: JSON Lines in, JSON Lines out, one answer per request, in order.

`python -m promotions explain CASE.json` prices one request and says in words what became of every
rule. This is the one place of the package that touches stdin, stdout, files and a stopwatch.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from promotions.basket import BasketLine, Context, read_basket, read_context
from promotions.engine import PricedBasket, price
from promotions.explaining import cases_of, explain_case
from promotions.reading import shown
from promotions.refunds import read_returns, refund
from promotions.rule import Rule, RuleFaults, parse
from promotions.ruleset import RuleSet, check_zone, compile_rules
from protocol.errors import Refusal, TillmeshError

CACHE_MAX = 8


class Compiler:
    """Reads and compiles the rules of a request; kept between lines for equal documents."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[RuleSet, dict[str, str], int]] = {}

    def compile(self, documents: object, store_tz: str) -> tuple[RuleSet, dict[str, str], int]:
        """The rule set, the rules that were refused, and the microseconds it took."""
        if not isinstance(documents, list):
            raise Refusal(
                "BASKET_UNREADABLE", path="rules", found=shown(documents), expected="list"
            )
        key = json.dumps([store_tz, documents], sort_keys=True)
        known = self.kept.get(key)
        if known is not None:
            return known
        check_zone(store_tz)
        begun = time.perf_counter_ns()
        rules: list[Rule] = []
        refused: dict[str, str] = {}
        for at, document in enumerate(documents):
            try:
                rules.append(parse(document, strict=False))
            except RuleFaults as faults:
                found = document.get("id") if isinstance(document, dict) else None
                refused[found if isinstance(found, str) else f"rules[{at}]"] = str(faults)
        compiled = compile_rules(rules, store_tz)
        answer = (compiled, refused, (time.perf_counter_ns() - begun) // 1000)
        if len(self.kept) >= CACHE_MAX:
            self.kept.clear()
        self.kept[key] = answer
        return answer


def _result(priced: PricedBasket, refused: dict[str, str]) -> dict[str, Any]:
    outcomes = priced.outcomes()
    reasons = {rule_id: each.code for rule_id, each in outcomes.items() if not each.applied}
    reasons |= dict.fromkeys((each for each in refused if each not in outcomes), "RULE_UNSUPPORTED")
    answer: dict[str, Any] = {
        "total_discount_minor": priced.total_discount_minor,
        "per_line": priced.per_line,
        "applied_rules": [each.rule_id for each in priced.applied],
        "reasons": reasons,
        "exact": priced.exact,
        "upper_bound_minor": priced.upper_bound_minor,
    }
    if priced.gifts:
        answer["gifts"] = [{"sku": sku, "qty": qty} for sku, qty in priced.gifts]
    return answer


def answer_request(request: Any, compiler: Compiler) -> dict[str, Any]:
    """One answer to one request."""
    if not isinstance(request, dict):
        raise Refusal("BASKET_UNREADABLE", path="line", found=shown(request), expected="object")
    kind = request.get("kind", "price")
    if not isinstance(kind, str) or kind not in {"price", "refund"}:
        raise Refusal("BASKET_UNREADABLE", path="kind", found=shown(kind), expected="price, refund")
    context: Context = read_context(request.get("context"))
    rule_set, refused, compile_us = compiler.compile(request.get("rules", []), context.store_tz)
    basket: list[BasketLine] = read_basket(request.get("basket"))
    begun = time.perf_counter_ns()
    amounts: list[int] | None = None
    if kind == "refund":
        policy = str(request.get("refund_policy", "allocated"))
        steps = read_returns(request.get("returns"))
        priced, amounts = refund(basket, rule_set, context, steps, policy)
    else:
        priced = price(basket, rule_set, context)
    spent = (time.perf_counter_ns() - begun) // 1000
    answer = {"id": request.get("id"), **_result(priced, refused)}
    if amounts is not None:
        answer["refunds_minor"] = amounts
    return {**answer, "time_us": spent, "compile_us": compile_us}


def answer_line(text: str, compiler: Compiler) -> dict[str, Any]:
    """One answer to one line, an error in place of a result when it cannot be read."""
    request: Any = None
    try:
        request = json.loads(text)
        return answer_request(request, compiler)
    except TillmeshError as refusal:
        fault = str(refusal)
    except (ValueError, RecursionError) as broken:
        fault = f"UNREADABLE: {broken}"
    except Exception as broken:  # noqa: BLE001  the process goes on; the answer says what happened
        fault = f"INTERNAL: {type(broken).__name__}: {broken}"
    found_id = request.get("id") if isinstance(request, dict) else None
    return {"id": found_id, "error": fault}


def explain_files(names: list[str]) -> int:
    """Print the explanations of the cases in these files; 2 when one cannot be read."""
    if not names:
        sys.stderr.write("usage: python -m promotions explain CASE.json [...]\n")
        return 2
    for name in names:
        try:
            document = json.loads(Path(name).read_text(encoding="utf-8"))
            for case in cases_of(document):
                sys.stdout.write("\n".join(explain_case(case)) + "\n")
        except (OSError, ValueError, TillmeshError) as fault:
            sys.stderr.write(f"{name}: {fault}\n")
            return 2
    return 0


def main(arguments: list[str]) -> int:
    """Answer lines until the input ends."""
    if arguments[:1] == ["explain"]:
        return explain_files(arguments[1:])
    compiler = Compiler()
    for raw in sys.stdin.buffer:
        text = raw.decode("utf-8", errors="replace")
        if not text.strip():
            continue
        answer = answer_line(text, compiler)
        sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
