"""The reasons on the till's page: every kind says its numbers, in both languages."""

from typing import Any

import pytest

from edge.compose import Shop
from edge.views import ReasonView
from protocol.clock import ClockState
from protocol.events import PromotionPublished
from protocol.ids import ALL
from tests.edge.shop_builder import (
    BREAD,
    BUN,
    MILK,
    FixedClock,
    head_office,
    ring_up,
    three_for_two,
)

BREADS = {"groups": ["bread"]}


def _rule(shop: Shop, rule: str = "R1", **document: Any) -> None:
    named = {"id": rule, "name": {"zh": "活动", "en": "Deal"}, **document}
    head_office(shop, ALL, PromotionPublished(rule=rule, version=1, document=named))
    shop.rules.refresh()


def _why(shop: Shop, line: int | None = None, *, every: bool = False) -> dict[str, ReasonView]:
    return {view.rule: view for view in shop.selling.explain("1", line, every=every)}


def _says(view: ReasonView, *parts: str) -> None:
    for part in parts:
        assert part in view.why.zh, view.why.zh
        assert part in view.why.en, view.why.en


@pytest.mark.parametrize(
    ("document", "code", "parts"),
    [
        ({"type": "percent_off", "percent": 10, "select": BREADS}, "APPLIED", ["1.90"]),
        ({"type": "amount_off", "off_minor": 100, "select": BREADS}, "APPLIED", ["3.00"]),
        ({"type": "fixed_price", "price_minor": 300, "select": BREADS}, "APPLIED", ["10.00"]),
        (
            {
                "type": "tier_qty",
                "tiers": [{"min_qty": 5, "percent": 10}],
                "select": BREADS,
            },
            "QTY_SHORT",
            ["5", "3", "2"],
        ),
        (
            {
                "type": "bundle",
                "slots": [{"select": BREADS, "qty": 4}],
                "effect": {"kind": "free", "on": "cheapest:1"},
            },
            "QTY_SHORT",
            ["4", "3", "1"],
        ),
        (
            {"type": "order_amount", "tiers": [{"min_minor": 5000, "off_minor": 500}]},
            "SPEND_SHORT",
            ["50.00", "19.00", "31.00"],
        ),
        (
            {"type": "order_percent", "percent": 5, "min_minor": 1000},
            "APPLIED",
            ["0.95"],
        ),
        (
            {"type": "gift", "gift_sku": "milk", "min_minor": 1000},
            "APPLIED",
            ["milk x1"],
        ),
    ],
)
def test_every_kind_says_its_numbers(
    open_shop: Shop, document: dict[str, Any], code: str, parts: list[str]
) -> None:
    _rule(open_shop, **document)
    basket = ring_up(open_shop, [BUN, BUN, BREAD])
    view = _why(open_shop, basket.lines[0].line)["R1"]
    assert view.why.code == code
    _says(view, *parts)


def test_an_ended_rule_says_when_and_where(open_shop: Shop, clock: FixedClock) -> None:
    when = {"end": "2026-11-01T23:59"}
    _rule(open_shop, type="percent_off", percent=10, select=BREADS, when=when)
    basket = ring_up(open_shop, [BUN])
    view = _why(open_shop, basket.lines[0].line)["R1"]
    assert view.why.code == "EXPIRED"
    _says(view, "2026-11-01 23:59", "2026-11-02 12:00:00", "Asia/Shanghai")
    clock.state = ClockState.BEHIND
    view = _why(open_shop, basket.lines[0].line)["R1"]
    assert view.why.code == "CLOCK_UNTRUSTED"
    _says(view, "behind")


def test_a_line_in_no_group_of_any_rule_says_its_group(open_shop: Shop) -> None:
    head_office(open_shop, ALL, three_for_two())
    open_shop.rules.refresh()
    basket = ring_up(open_shop, [BUN, BUN, BUN, MILK])
    (view,) = open_shop.selling.explain("1", basket.lines[1].line)
    assert view.why.code == "LINE_NOT_IN_RULE"
    assert view.why.zh.startswith("“买二送一”适用于“面包”分组；鲜牛奶属于“其他”分组")
    assert view.why.en.startswith("“Buy 2 get 1” is for the group “Bread”; Fresh milk")
    (near,) = open_shop.selling.explain("1", basket.lines[0].line)
    assert near.why.code == "APPLIED"


def test_all_rules_of_a_line_are_told_with_what_they_are_for(open_shop: Shop) -> None:
    head_office(open_shop, ALL, three_for_two())
    _rule(
        open_shop,
        type="percent_off",
        percent=10,
        select={"all": True, "exclude_skus": ["bun"]},
    )
    _rule(open_shop, "R2", type="amount_off", off_minor=10, select={"skus": ["milk", "cake"]})
    basket = ring_up(open_shop, [BUN])
    codes = {r: v.why.code for r, v in _why(open_shop, basket.lines[0].line, every=True).items()}
    assert codes == {"B3": "QTY_SHORT", "R1": "LINE_LEFT_OUT", "R2": "LINE_NOT_IN_RULE"}
    view = _why(open_shop, basket.lines[0].line, every=True)["R2"]
    _says(view, "cake", "milk")
    assert "全部商品" in _why(open_shop, basket.lines[0].line, every=True)["R1"].why.zh
    whole = _why(open_shop, every=True)
    assert {"B3", "R1", "R2"} == whole.keys()
