# ruff: noqa: E501  one rule, one row
"""Baskets beyond the exhaustive evaluator: thresholds over many lines, dense overlapping rules."""

import random

import pytest

from promotions import compile_rules, price
from promotions.basket import BasketLine, Context
from promotions.plays import Work
from promotions.rule import parse
from tests.bench import promotions_bench


def half_up_percent(amount, percent):
    return (2 * amount * percent + 100) // 200


@pytest.mark.parametrize("seed", range(12))
def test_thresholds_over_twenty_lines(seed):
    r = random.Random(seed)
    basket = [
        BasketLine(f"S{i}", None, r.randint(100, 3000), 1000 * r.randint(1, 3)) for i in range(20)
    ]
    percents = {line.sku: r.randint(5, 30) for line in basket}
    gross = sum(line.unit_price_minor * line.qty_milli // 1000 for line in basket)
    least, off = gross * r.randint(80, 99) // 100, gross * r.randint(1, 10) // 100
    rules = [
        {"id": sku, "type": "percent_off", "percent": p, "select": {"skus": [sku]}}
        for sku, p in percents.items()
    ]
    rules.append(
        {"id": "O", "type": "order_amount", "tiers": [{"min_minor": least, "off_minor": off}]}
    )
    reachable = {0}
    for line in basket:
        units = range(line.qty_milli // 1000 + 1)
        given = {half_up_percent(line.unit_price_minor * k, percents[line.sku]) for k in units}
        reachable = {one + two for one in reachable for two in given}
    best = max(d + (min(off, gross - d) if gross - d >= least else 0) for d in reachable)
    priced = price(basket, compile_rules([parse(each) for each in rules], "UTC"), Context())
    assert priced.exact
    assert priced.total_discount_minor == best == sum(priced.per_line)


@pytest.mark.parametrize("seed", range(4))
def test_dense_rules_are_proven_or_bounded(seed):
    rule_set, (basket,) = promotions_bench.instance(200, 20, 100, 1000 + seed, 1)
    some = price(basket, rule_set, Context(budget=2_000))
    full = price(basket, rule_set, Context())
    more = price(basket, rule_set, Context(budget=1_000_000))
    assert some.total_discount_minor <= more.total_discount_minor
    for each in (some, full, more):
        assert sum(each.per_line) == each.total_discount_minor <= each.upper_bound_minor
        assert each.exact == (each.total_discount_minor == each.upper_bound_minor)
        assert each.upper_bound_minor >= more.total_discount_minor


def test_member_percentage_and_tiers_over_a_long_basket():
    everything = {"all": True}
    rules = [
        {"id": "V", "type": "percent_off", "percent": 5, "select": everything, "combine": {"mode": "compound"}},
        {"id": "B", "type": "bundle", "slots": [{"select": everything, "qty": 3}], "effect": {"kind": "free", "on": "cheapest:1"}},
        {"id": "T", "type": "tier_qty", "select": everything, "tiers": [{"min_qty": 5, "percent": 10}, {"min_qty": 12, "percent": 15}]},
        {"id": "U", "type": "amount_off", "off_minor": 50, "select": everything, "limits": {"max_units": 4}},
        {"id": "O", "type": "order_amount", "every_minor": 5000, "off_minor": 100},
        {"id": "G", "type": "gift", "gift_sku": "TOTE", "min_minor": 100},
    ]  # fmt: skip
    r = random.Random(9)
    basket = [
        BasketLine(f"S{i}", "g", r.randint(100, 3000), 1000 * r.randint(1, 4)) for i in range(20)
    ]
    for count in range(1, len(rules) + 1):
        rule_set = compile_rules([parse(each) for each in rules[:count]], "UTC")
        priced = price(basket, rule_set, Context())
        assert 0 < priced.total_discount_minor <= priced.upper_bound_minor
        assert sum(priced.per_line) == priced.total_discount_minor


def test_many_pieces_of_one_line_stay_within_the_work(monkeypatch):
    """Two overlapping rules on 1,800 screws: the search stops where its budget ends, not later."""
    spent, spend = [], Work.spend
    monkeypatch.setattr(
        Work, "spend", lambda self, count=1: (spent.append(count), spend(self, count))[1]
    )
    rules = [
        {
            "id": "TIER",
            "type": "tier_qty",
            "select": {"groups": ["t"]},
            "tiers": [{"min_qty": 4, "percent": 15}],
        },
        {
            "id": "B3",
            "type": "bundle",
            "slots": [{"select": {"skus": ["A", "B"]}, "qty": 3}],
            "effect": {"kind": "fixed_price", "price_minor": 2000, "on": "all"},
        },
    ]
    basket = [
        BasketLine("A", "t", 1000, 2_000),
        BasketLine("B", "t", 900, 1_800_000),
        BasketLine("C", "t", 1500, 1_000),
    ]
    context = Context()
    priced = price(basket, compile_rules([parse(each) for each in rules], "UTC"), context)
    assert priced.total_discount_minor == 420_200
    assert sum(spent) < 2 * context.budget
