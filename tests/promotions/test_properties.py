"""What must hold for every basket, whatever the rules."""

import json
import os
import random
import subprocess
import sys

import msgspec
import pytest

from promotions import compile_rules, price
from promotions.basket import BasketLine, Context, read_basket, read_context
from promotions.lines import prepare
from promotions.refunds import Return, refund
from promotions.rule import RuleFaults, parse
from tests.promotions import random_cases

SEEDS = range(240)


def inputs(seed):
    case = random_cases.case(seed)
    context = read_context(case["context"])
    rules = []
    for document in case["rules"]:
        try:
            rules.append(parse(document, strict=False))
        except RuleFaults:
            continue
    return read_basket(case["basket"]), rules, context


def test_parts_sum_to_the_whole_and_no_line_falls_below_its_floor():
    for seed in SEEDS:
        basket, rules, context = inputs(seed)
        priced = price(basket, compile_rules(rules, context.store_tz), context)
        assert sum(priced.per_line) == priced.total_discount_minor
        by_line = [0] * len(basket)
        for applied in priced.applied:
            assert sum(part for _, part in applied.per_line) == applied.discount_minor
            for index, part in applied.per_line:
                by_line[index] += part
        assert by_line == priced.per_line
        for line, part in zip(prepare(basket), priced.per_line, strict=True):
            assert 0 <= part <= max(0, line.gross - line.floor_total)


def test_every_rule_has_exactly_one_outcome():
    for seed in SEEDS:
        basket, rules, context = inputs(seed)
        rule_set = compile_rules(rules, context.store_tz)
        priced = price(basket, rule_set, context)
        outcomes = priced.outcomes()
        assert outcomes.keys() == rule_set.rules.keys()
        applied = {each.rule_id for each in priced.applied}
        assert applied == {rule_id for rule_id, each in outcomes.items() if each.applied}
        for rule_id, outcome in outcomes.items():
            assert priced.why_not(rule_id).code == outcome.code
            assert isinstance(outcome.data, dict)


def test_the_answer_depends_on_the_basket_as_it_stands():
    """A set that was edited, and one compiled in another order, give the same answer."""
    for seed in SEEDS:
        basket, rules, context = inputs(seed)
        plain = compile_rules(rules, context.store_tz)
        edited = compile_rules(rules[::-1], context.store_tz)
        for rule in rules:
            edited = edited.without_rule(rule.id).with_rule(rule)
        assert edited.hash == plain.hash
        assert edited.versions == plain.versions
        one, two = price(basket, plain, context), price(basket, edited, context)
        assert one.per_line == two.per_line
        assert one.applied == two.applied


def test_the_order_of_lines_does_not_matter_to_the_total():
    for seed in SEEDS:
        basket, rules, context = inputs(seed)
        if any(
            rule.mode == "compound"
            or (rule.stage == "order" and not (rule.select is None or rule.select.all))
            or getattr(rule.terms, "retailer", False)
            or rule.limits.cap is not None
            or any(line.floor_minor for line in basket)
            for rule in rules
        ):
            continue
        rule_set = compile_rules(rules, context.store_tz)
        total = price(basket, rule_set, context).total_discount_minor
        turned = basket[::-1]
        assert price(turned, rule_set, context).total_discount_minor == total


def test_one_more_exclusive_rule_never_costs_the_customer():
    for seed in SEEDS:
        basket, rules, context = inputs(seed)
        context = msgspec.structs.replace(context, resolution="best")
        rule_set = compile_rules(rules, context.store_tz)
        total = price(basket, rule_set, context).total_discount_minor
        r = random.Random(seed)
        more = random_cases.rule(r, "MORE", stage=r.choice(["line", "bundle"]), conditions=0)
        more["combine"] = {"mode": r.choice(["exclusive_unit", "exclusive_basket"])}
        more.pop("status", None)
        with_more = rule_set.with_rule(parse(more, strict=False))
        assert price(basket, with_more, context).total_discount_minor >= total


@pytest.mark.parametrize("policy", ["allocated", "reprice"])
def test_refunds_of_everything_give_back_what_was_paid(policy):
    for seed in SEEDS:
        basket, rules, context = inputs(seed)
        basket = [line for line in basket if not line.is_return]
        basket = list({line.sku: line for line in basket}.values())
        steps = []
        for line in basket:
            count = 1 if line.weighed or line.qty_milli % 1000 else line.qty_milli // 1000
            steps += [[Return(line.sku, line.qty_milli // count)]] * count
        random.Random(seed).shuffle(steps)
        rule_set = compile_rules(rules, context.store_tz)
        original, amounts = refund(basket, rule_set, context, steps, policy)
        paid = original.gross_minor - original.total_discount_minor
        assert sum(amounts) == paid
        assert all(amount >= 0 for amount in amounts)


ODD_FIGURES = [-1, 0, 1, 10**12, 10**13, 10**40, None, "7", 1.5, True]


def test_price_never_raises():
    r = random.Random(5)
    for seed in range(150):
        _, rules, context = inputs(seed)
        basket = [
            BasketLine(
                sku=r.choice(random_cases.SKUS),
                group=r.choice(["g", "h", None, 5]),
                unit_price_minor=r.choice(ODD_FIGURES),
                qty_milli=r.choice([*ODD_FIGURES, 1000, 2000, 2_000_000_000]),
                weighed=r.choice([True, False, None]),
                floor_minor=r.choice(ODD_FIGURES),
            )
            for _ in range(r.randint(0, 4))
        ]
        priced = price(basket, compile_rules(rules, "UTC"), context)
        assert sum(priced.per_line) == priced.total_discount_minor
        assert priced.total_discount_minor <= priced.upper_bound_minor


def test_thousands_of_lines_are_priced_in_bounded_work():
    everything = {"all": True}
    rules = [
        {"id": "P", "type": "percent_off", "percent": 7, "select": everything},
        {
            "id": "B",
            "type": "bundle",
            "slots": [{"select": everything, "qty": 3}],
            "effect": {"kind": "percent", "percent": 20, "on": "all"},
        },
        {
            "id": "T",
            "type": "tier_qty",
            "select": everything,
            "tiers": [{"min_qty": 9, "percent": 9}],
        },
        {"id": "O", "type": "order_amount", "every_minor": 1000, "off_minor": 10},
    ]
    rule_set = compile_rules([parse(each) for each in rules], "UTC")
    r = random.Random(3)
    basket = [
        BasketLine(f"S{i}", "g", r.randint(1, 9999), 1000 * r.randint(1, 9)) for i in range(3000)
    ]
    priced = price(basket, rule_set, Context())
    assert 0 < priced.total_discount_minor <= priced.upper_bound_minor
    huge = [BasketLine("S", "g", 999, 10**12)]
    assert price(huge, rule_set, Context()).total_discount_minor > 0


SCRIPT = """
import json, sys
sys.path.insert(0, ".")
from promotions.__main__ import Compiler, answer_line
from tests.promotions import random_cases
compiler = Compiler()
for seed in range(60):
    answer = answer_line(json.dumps(random_cases.case(seed)), compiler)
    answer.pop("time_us", None), answer.pop("compile_us", None)
    print(json.dumps(answer))
"""


def test_the_same_answer_under_three_hash_seeds():
    found = set()
    for seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1
    assert json.loads(found.pop().splitlines()[0])["id"] == "S0"
