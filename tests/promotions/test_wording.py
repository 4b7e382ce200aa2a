"""Every outcome is a sentence in two languages, with its numbers."""

import re

import pytest

from promotions import compile_rules, explain, price
from promotions.basket import BasketLine, Context
from promotions.rule import parse
from promotions.wording import SENTENCES
from tests.promotions.test_properties import inputs

BREAD = {
    "id": "B2G1",
    "name": {"zh": "面包买二送一", "en": "bread 3 for 2"},
    "type": "bundle",
    "slots": [{"select": {"groups": ["面包"]}, "qty": 3}],
    "effect": {"kind": "free", "on": "cheapest:1"},
}
AT = 1_768_701_600_000  # 2026-01-18 10:00 in Shanghai


def said(document, basket, language="zh-CN", **context):
    rule = parse(document)
    rules = compile_rules([rule], "Asia/Shanghai")
    made = Context(store_tz="Asia/Shanghai", time_ms=AT, **context)
    outcome = price(basket, rules, made).why_not(rule.id)
    return outcome.code, explain(outcome, language, rule)


def bread(pieces):
    return [BasketLine("TOAST", "面包", 1200, pieces * 1000)]


def test_the_nearest_miss():
    code, text = said(BREAD, bread(2))
    assert code == "QTY_SHORT"
    assert text == "再买 1 件面包类即可享受“面包买二送一”（需 3，现 2）。"
    assert said(BREAD, bread(2), "en")[1] == (
        "1 more of group 面包 for “bread 3 for 2” (needs 3, now 2)."
    )


def test_the_bakery():
    ended = BREAD | {"when": {"start": "2026-01-10T00:00", "end": "2026-01-17T23:59"}}
    assert said(ended, bread(3)) == (
        "EXPIRED",
        "“面包买二送一”已于 2026-01-17 23:59 结束，现在是 2026-01-18 10:00:00（Asia/Shanghai）。",
    )
    assert "±0 s" in said(ended, bread(3), "en", clock_state="behind")[1]
    assert said(BREAD, [BasketLine("TARO", "新品", 900, 3000)])[0] == "NO_ELIGIBLE_ITEM"
    stale = said(BREAD | {"version": 42}, bread(3), "en", cache_version=41)
    assert stale == (
        "RULES_STALE",
        "“bread 3 for 2” came with rule set 42, this till holds 41: refresh the rules.",
    )
    assert said(BREAD, bread(3), "en")[1] == "“bread 3 for 2” applied: ¥12.00 off."


def test_a_timed_rule_that_applied_names_its_clock():
    when = {"start": "2026-01-10T00:00", "end": "2026-01-20T00:00"}
    basket, rules = bread(3), compile_rules([parse(BREAD | {"when": when})], "Asia/Shanghai")
    clock = {"clock_state": "holdover", "uncertainty_ms": 1_500}
    made = Context(store_tz="Asia/Shanghai", time_ms=AT, **clock)
    [outcome] = price(basket, rules, made).touching.values()
    assert outcome.applied
    assert clock.items() <= outcome.data.items()
    assert outcome.data["time_ms"] == AT
    assert (outcome.data["zone"], outcome.data["end"]) == ("Asia/Shanghai", when["end"])
    english = said(BREAD | {"when": when}, basket, "en", **clock)[1]
    assert english.endswith("(2026-01-18 10:00:00 Asia/Shanghai, ±1.5 s, clock holdover).")
    chinese = said(BREAD | {"when": when}, basket, **clock)[1]
    assert "2026-01-18 10:00:00，误差 ±1.5 s，时钟 holdover" in chinese
    assert (
        "time_ms"
        not in price(basket, compile_rules([parse(BREAD)], "UTC"), made).touching["B2G1"].data
    )


@pytest.mark.parametrize("when", [
    {"days": ["mon"]}, {"daily": {"from": "22:00", "to": "02:00"}}, {"start": "2026-02-01T00:00"},
    {"stores": ["S9"]}, {"channels": ["web"]}, {"currency": "EUR"}, {"zones": ["Z9"]},
    {"members": ["any"]}, {"tender": "cash"}, {"coupon": "X"},
])  # fmt: skip
def test_conditions_are_said(when):
    for language in ("zh-CN", "en"):
        code, text = said(BREAD | {"when": when}, bread(3), language, price_zone="Z1", store="S1")
        assert code in SENTENCES
        assert "{" not in text
        assert "None" not in text


def test_both_languages_have_the_same_places():
    places = re.compile(r"{(\w+)}")
    for code, (chinese, english) in SENTENCES.items():
        assert set(places.findall(chinese)) <= set(places.findall(english)) | {"name", "hours"}, (
            code
        )


def test_every_outcome_of_random_baskets_has_words():
    seen = set()
    for seed in range(400):
        basket, rules, context = inputs(seed)
        rule_set = compile_rules(rules, context.store_tz)
        for rule_id, outcome in price(basket, rule_set, context).outcomes().items():
            seen.add(outcome.code)
            for language in ("zh-CN", "en"):
                text = explain(outcome, language, rule_set.rules[rule_id])
                assert text
                assert "{" not in text
                assert outcome.code not in text
            assert outcome.code in repr(outcome)
    assert len(seen) > 20
