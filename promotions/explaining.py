"""`python -m promotions explain CASE.json`: what became of every rule, in words, both languages."""

from typing import Any

from promotions.basket import read_basket, read_context
from promotions.engine import PricedBasket, price
from promotions.rule import RuleFaults, parse
from promotions.ruleset import check_zone, compile_rules
from promotions.wording import explain
from protocol.money import format_minor


def cases_of(document: Any) -> list[dict[str, Any]]:
    """The requests of a document: one, a list of them, or `{cases: [...]}`."""
    found = document.get("cases", [document]) if isinstance(document, dict) else document
    return [case for case in found if isinstance(case, dict)] if isinstance(found, list) else []


def explain_case(case: dict[str, Any]) -> list[str]:
    """The lines of text about one case."""
    context = read_context(case.get("context"))
    rules, refused = [], []
    for document in case.get("rules", []):
        try:
            rules.append(parse(document, strict=False))
        except RuleFaults as faults:
            refused += [faults.sentence("zh"), faults.sentence("en")]
    rule_set = compile_rules(rules, check_zone(context.store_tz))
    basket = read_basket(case.get("basket"))
    priced: PricedBasket = price(basket, rule_set, context)
    text = [f"# {case.get('id', '')}"]
    for line, part in zip(basket, priced.per_line, strict=True):
        money = format_minor(part, context.currency)
        text.append(f"  {line.sku} x {line.qty_milli / 1000:g}: -{money}")
    total = format_minor(priced.total_discount_minor, context.currency)
    bound = format_minor(priced.upper_bound_minor, context.currency)
    text.append(f"  = -{total} ({'exact' if priced.exact else f'at most {bound}'})")
    for rule_id, outcome in priced.outcomes().items():
        rule = rule_set.rules[rule_id]
        text.append(f"  [{outcome.code}] {explain(outcome, 'zh-CN', rule)}")
        text.append(f"  {' ' * len(outcome.code)}   {explain(outcome, 'en', rule)}")
    return text + [f"  [RULE_UNSUPPORTED] {each}" for each in refused]
