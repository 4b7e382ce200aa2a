# ruff: noqa: E501  one case, one row
"""Preflight and replay: what head office asks of the engine."""

import dataclasses

import msgspec

from promotions import compile_rules, price
from promotions.basket import BasketLine, Context
from promotions.preflight import Product, Shop, missing_fields, preflight
from promotions.replay import record, reprice
from promotions.rule import parse

PRODUCTS = [
    Product("TOAST", "bread", 1200),
    Product("BUN", "bread", 300, stores=frozenset({"S1"})),
    Product("CARD", "bread", 5000, no_discount=True),
    Product("TARO", None, 900),
]
SHOPS = [Shop("S1", "Asia/Shanghai"), Shop("S2", "Asia/Tokyo", price_zone="Z2")]


def rules(*documents):
    return [parse({"select": {"groups": ["bread"]}, **each}) for each in documents]


def test_reach_never_and_ungrouped():
    found = preflight(
        rules(
            {"id": "OK", "type": "percent_off", "percent": 10},
            {"id": "SHOP", "type": "percent_off", "percent": 10, "when": {"stores": ["S1"]}},
            {"id": "NOWHERE", "type": "percent_off", "percent": 10, "when": {"stores": ["S9"]}},
            {"id": "GONE", "type": "percent_off", "percent": 10, "select": {"skus": ["BUN", "OLD"], "groups": ["cake"]}},
            {"id": "EMPTY", "type": "percent_off", "percent": 10, "select": {"skus": ["OLD"]}},
            {"id": "DEAR", "type": "fixed_price", "price_minor": 2000},
            {"id": "NIL", "type": "percent_off", "percent": 10, "limits": {"max_units": 0}},
            {"id": "PAST", "type": "percent_off", "percent": 10, "when": {"end": "2020-01-01T00:00"}},
        ),
        PRODUCTS,
        SHOPS,
        at_ms=1_768_701_600_000,
    )  # fmt: skip
    by_rule = {(each.rule_id, each.store): each for each in found.reach}
    assert by_rule["OK", "S1"].reached == 2
    assert by_rule["OK", "S2"].reached == 1
    assert by_rule["OK", "S1"].barred_skus == ["CARD"]
    assert by_rule["SHOP", "S2"].code == "WRONG_STORE"
    assert by_rule["GONE", "S2"].unknown_skus == ["BUN", "OLD"]
    assert by_rule["GONE", "S1"].empty_groups == ["cake"]
    assert {each.rule_id: each.code for each in found.never} == {
        "NOWHERE": "WRONG_STORE",
        "EMPTY": "NO_ELIGIBLE_ITEM",
        "DEAR": "ZERO_EFFECT",
        "NIL": "ZERO_EFFECT",
        "PAST": "EXPIRED",
    }
    assert found.ungrouped == ["TARO"]


def test_rules_that_always_lose():
    made = rules(
        {"id": "BIG", "type": "percent_off", "percent": 30},
        {"id": "SMALL", "type": "percent_off", "percent": 5},
        {"id": "FREE", "type": "gift", "gift_sku": "TOTE", "select": {"all": True}},
    )
    samples = [([BasketLine("TOAST", "bread", 1200, 2000)], Context()) for _ in range(3)]
    (loser,) = preflight(made, PRODUCTS, SHOPS, samples).always_lose
    assert loser.rule_id == "SMALL"
    assert loser.baskets == 3
    assert loser.codes == {"LOST_TO_BETTER": 3}
    assert "BIG" in loser.winners
    assert preflight([made[0]], PRODUCTS, []).never == []


def test_an_impossible_window():
    gap = {"start": "2026-03-29T02:30", "end": "2026-03-29T02:40", "tz": "Europe/Berlin"}
    (rule,) = rules({"id": "GAP", "type": "percent_off", "percent": 5, "when": gap})
    (never,) = preflight([rule], PRODUCTS, SHOPS).never
    assert never.code == "WINDOW_EMPTY"


def test_fields_that_shops_do_not_fill():
    (rule,) = rules(
        {
            "id": "R",
            "type": "percent_off",
            "percent": 5,
            "when": {"members": ["any"], "tender": "cash", "stores": ["S1"]},
            "limits": {"budget_left_minor": 5, "customer_left": 1},
        }
    )
    needed = ["member", "tender", "customer_left", "budget_left_minor"]
    assert missing_fields(rule) == needed


def test_a_recorded_sale_priced_again():
    made = rules({"id": "R", "type": "percent_off", "percent": 30})
    gift = parse({"id": "G", "type": "gift", "gift_sku": "TOTE"})
    rule_set = compile_rules([*made, gift], "UTC")
    basket, context = [BasketLine("TOAST", "bread", 1200, 2000)], Context()
    sale = record(basket, rule_set, context, price(basket, rule_set, context))
    again = reprice(sale)
    assert again.same
    assert again.comparable
    other = compile_rules([*rules({"id": "R", "type": "percent_off", "percent": 20})], "UTC")
    moved = reprice(dataclasses.replace(sale, rule_set=other, engine=0, per_line=[720, 3]))
    assert not moved.comparable
    assert [each.what for each in moved.found] == [
        "engine",
        "rules",
        "total",
        "line",
        "line",
        "rule",
        "rule",
        "gift",
    ]


def test_basket_and_context_travel_as_json():
    line, context = BasketLine("A", "g", 5, 1000), Context(coupons={"X": "ok"}, time_ms=5)
    assert msgspec.json.decode(msgspec.json.encode(line), type=BasketLine) == line
    assert msgspec.json.decode(msgspec.json.encode(context), type=Context) == context
