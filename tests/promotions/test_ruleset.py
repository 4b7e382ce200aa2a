"""Compiled rules: the same hash everywhere, one changed rule at a time."""

import msgspec
import pytest

from promotions import compile_rules, price
from promotions.basket import BasketLine, Context
from promotions.rule import parse
from promotions.ruleset import ENGINE_NUMBER
from protocol.errors import Refusal


def rule(rule_id, percent=10, **more):
    select = more.pop("select", {"skus": ["A"]})
    return parse(
        {"id": rule_id, "type": "percent_off", "percent": percent, "select": select, **more}
    )


def test_hash_and_versions():
    one, two = rule("A", version=3), rule("B", select={"groups": ["g"]})
    rules = compile_rules([one, two], "Asia/Shanghai")
    assert rules.hash == compile_rules([two, one], "Asia/Shanghai").hash
    assert rules.hash != compile_rules([one], "Asia/Shanghai").hash
    assert rules.hash != compile_rules([one, two], "Asia/Tokyo").hash
    assert rules.versions == ["A@3", "B@0"]
    assert rules.engine == ENGINE_NUMBER
    assert rules.rules == {"A": one, "B": two}


def test_the_later_version_of_one_id_stays():
    rules = compile_rules([rule("A", 20, version=2), rule("A", 10, version=1)], "UTC")
    assert rules.versions == ["A@2"]


def test_one_changed_rule():
    basket = [BasketLine("A", "g", 1000, 1000)]
    rules = compile_rules(
        [rule("A"), rule("G", 5, select={"groups": ["g"]}, combine={"group": "x"})], "UTC"
    )
    assert price(basket, rules, Context()).total_discount_minor == 100
    better = rules.with_rule(rule("A", 30))
    assert price(basket, better, Context()).total_discount_minor == 300
    assert better.hash == compile_rules([rule("A", 30), rules.rules["G"]], "UTC").hash
    every = better.with_rule(rule("E", 50, select={"all": True}, combine={"group": "x"}))
    assert price(basket, every, Context()).total_discount_minor == 500
    less = every.without_rule("E").without_rule("A").without_rule("nobody")
    assert price(basket, less, Context()).total_discount_minor == 50
    assert price(basket, less.without_rule("G"), Context()).total_discount_minor == 0
    assert price(basket, rules, Context()).total_discount_minor == 100


def test_a_zone_that_does_not_exist():
    with pytest.raises(Refusal) as caught:
        compile_rules([], "Mars/Base")
    assert caught.value.code == "ZONE_UNKNOWN"
    with pytest.raises(Refusal):
        compile_rules([], "../../etc/passwd")


def test_a_rule_that_fails_is_left_out_with_its_fault(monkeypatch):
    good, bad = (
        rule("GOOD"),
        parse({"id": "BAD", "type": "amount_off", "off_minor": 900, "select": {"all": True}}),
    )
    rules = compile_rules([good, bad], "UTC")

    def broken(terms, line):
        raise ZeroDivisionError("inside")

    basket = [BasketLine("A", "g", 1000, 1000)]
    monkeypatch.setattr(rules.live["BAD"].module, "rate", broken)
    priced = price(basket, rules, Context())
    assert priced.total_discount_minor == 100
    outcome = priced.why_not("BAD")
    assert outcome.code == "RULE_ERROR"
    assert "inside" in outcome.data["fault"]


def test_a_rule_that_fails_only_while_it_is_written(monkeypatch):
    gift = parse({"id": "O", "type": "order_percent", "percent": 10})
    rules = compile_rules([gift, rule("GOOD")], "UTC")
    calls = []

    def broken(terms, base, run):
        calls.append(run)
        if len(calls) > 1:
            raise ValueError("later")
        return 1

    monkeypatch.setattr(rules.live["O"].module, "offer", broken)
    priced = price([BasketLine("A", "g", 1000, 1000)], rules, Context())
    assert priced.why_not("O").code == "RULE_ERROR"
    assert priced.total_discount_minor == 100


def test_a_rule_of_an_unknown_kind_is_unsupported():
    strange = msgspec.structs.replace(rule("S"), type="happy_hour")
    rules = compile_rules([strange, rule("GOOD")], "UTC")
    priced = price([BasketLine("A", "g", 1000, 1000)], rules, Context())
    assert priced.total_discount_minor == 100
    assert priced.why_not("S").code == "RULE_UNSUPPORTED"
    assert priced.outcomes()["S"].data["fault"]
    assert priced.why_not("nobody").code == "RULE_UNKNOWN"
