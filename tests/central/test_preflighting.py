"""What head office is told about a rule before it publishes."""

from typing import Any

import msgspec
import pytest

from central.compose import HeadOffice
from central.goods import Product
from central.preflighting import Preflight
from central.stores import Store
from promotions.rule import RuleFaults
from tests.central.shops import Shop

TEN: dict[str, Any] = {
    "id": "R1",
    "type": "percent_off",
    "percent": 10,
    "select": {"groups": ["bread"]},
}


@pytest.fixture
def goods(office: HeadOffice, shops: dict[str, Shop]) -> HeadOffice:
    """Shops A and B in the east, W in the west; five products, one of them without a price."""
    west = Store(
        store="W",
        name_zh="西店",
        name_en="Shop W",
        zone="west",
        group="town",
        tz="Asia/Urumqi",
    )
    office.stores.add_store(west, by="ann")
    for group in ("bread", "new", "cards"):
        office.catalogue.define_group(group, zh=group, en=group, by="ann")
    for sku, group, minor, barred in (
        ("TOAST", "bread", 1200, False),
        ("BUN", "bread", 350, False),
        ("TARO", "new", 900, False),
        ("CARD", "cards", 10_000, True),
        ("BLANK", "bread", None, False),
    ):
        product = Product(
            sku=sku, name_zh=sku, name_en=sku, group=group, tax_rate_bp=0, no_discount=barred
        )
        office.catalogue.list_product(product, by="ann")
        if minor is not None:
            office.catalogue.set_price(sku, minor, by="ann")
    return office


def _report(office: HeadOffice, **changes: Any) -> Preflight:
    document = {k: v for k, v in {**TEN, **changes}.items() if v is not None}
    return office.preflighting.report(document)


def _publish(office: HeadOffice, rule: str, **changes: Any) -> None:
    text = msgspec.json.encode({**TEN, **changes, "id": rule}).decode()
    assert office.campaigns.save_draft(rule, text, by="ann") == ()
    office.campaigns.publish(rule, by="ann")


def _missed(found: Preflight) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {each.item.sku: (each.code, each.zones) for each in found.missed}


def test_goods_that_it_reaches_and_goods_that_it_does_not(goods: HeadOffice) -> None:
    found = _report(goods)
    assert [item.sku for item in found.reached] == ["BUN", "TOAST"]
    assert found.reached[1].price_minor == 1200
    assert _missed(found) == {"BLANK": ("NO_PRICE", ())}
    assert found.others == 2
    assert [item.sku for item in found.unpromoted] == ["TARO"]
    assert {s.store: (s.code, s.reached) for s in found.shops} == {
        "A": ("", 2),
        "B": ("", 2),
        "W": ("", 2),
    }
    assert not found.never
    found = _report(
        goods, select={"all": True, "exclude_skus": ["TOAST"], "exclude_groups": ["new"]}
    )
    assert _missed(found) == {
        "TOAST": ("EXCLUDED", ()),
        "TARO": ("EXCLUDED", ()),
        "CARD": ("BARRED", ()),
        "BLANK": ("NO_PRICE", ()),
    }


def test_a_price_that_leaves_nothing_is_named_with_its_zone(goods: HeadOffice) -> None:
    goods.catalogue.set_price("BUN", 900, zone="west", by="ann")
    found = _report(goods, type="fixed_price", price_minor=500, percent=None)
    assert _missed(found)["BUN"] == ("ZERO_EFFECT", ("east",))
    assert [item.sku for item in found.reached] == ["BUN", "TOAST"]
    found = _report(goods, type="fixed_price", price_minor=5000, percent=None)
    assert found.never == "ZERO_EFFECT"


def test_shops_that_it_leaves_out_and_the_reason(goods: HeadOffice) -> None:
    found = _report(goods, when={"zones": ["west"]})
    assert {s.store: s.code for s in found.shops} == {
        "A": "WRONG_ZONE",
        "B": "WRONG_ZONE",
        "W": "",
    }
    assert [s.store for s in found.blind] == ["A", "B"]
    assert _report(goods, when={"stores": ["NONE"]}).never == "WRONG_STORE"
    assert _report(goods, when={"channels": ["web"]}).never == "WRONG_CHANNEL"
    assert _report(goods, when={"end": "2026-01-17T23:59"}).never == "EXPIRED"
    assert _report(goods, select={"groups": ["gone"]}).never == "NO_ELIGIBLE_ITEM"
    found = _report(goods, select={"groups": ["bread", "gone"], "skus": ["NONE"]})
    assert found.shops[0].empty_groups == ("gone",)
    assert found.shops[0].unknown_skus == ("NONE",)


def test_each_shop_ends_at_its_own_instant(goods: HeadOffice) -> None:
    found = _report(goods, when={"start": "2026-12-01T00:00", "end": "2026-12-31T23:59"})
    ends = {s.store: s.end_ms for s in found.shops}
    assert ends["A"] is not None
    assert ends["W"] is not None
    assert ends["W"] - ends["A"] == 2 * 3_600_000
    assert all(tried.applied for tried in found.tried)  # judged at an instant when it is live


def test_a_rule_that_always_loses_and_a_rule_that_it_displaces(goods: HeadOffice) -> None:
    _publish(goods, "R20", percent=20)
    found = _report(goods)
    assert found.loses is not None
    assert found.loses.winners == ["R20"]
    assert found.loses.codes == {"LOST_TO_BETTER": found.loses.baskets}
    assert found.displaced == ()
    assert not found.clean
    found = _report(goods, percent=30)
    assert found.loses is None
    assert found.displaced == ("R20",)


def test_real_sales_are_the_samples(goods: HeadOffice, shops: dict[str, Shop]) -> None:
    rules = shops["A"].answer(goods)
    shops["A"].sell(rules, "s1", ("TOAST", "bread", 1200, 2000))
    shops["A"].sell(rules, "s2", ("TARO", "new", 900, 1000))
    shops["A"].deliver(goods)
    real, made = _report(goods).tried
    assert (real.real, real.baskets, real.touched, real.applied) == (True, 2, 1, 1)
    assert (real.saved_before_minor, real.saved_after_minor) == (0, 240)
    assert real.example.startswith("T1-1-")
    assert (made.real, made.baskets, made.applied) == (False, 2, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "amount_off", "off_minor": 100},
        {"type": "tier_qty", "tiers": [{"min_qty": 3, "percent": 10}]},
        {
            "type": "bundle",
            "slots": [
                {"select": {"groups": ["bread"]}, "qty": 2},
                {"select": {"skus": ["TARO"]}, "qty": 1},
            ],
            "effect": {"kind": "free", "on": "slot:1"},
        },
        {"type": "order_amount", "tiers": [{"min_minor": 5000, "off_minor": 700}]},
        {"type": "order_percent", "percent": 5, "min_minor": 9000},
        {"type": "gift", "gift_sku": "BUN", "min_minor": 3000},
    ],
)
def test_made_baskets_fill_every_kind(goods: HeadOffice, changes: dict[str, Any]) -> None:
    own = {"id": "R1", **changes}
    if "slots" not in changes:
        own["select"] = {"groups": ["bread"]}
    (made,) = goods.preflighting.report(own).tried
    assert made.applied == made.baskets > 0


def test_what_cannot_be_read_has_no_preflight(goods: HeadOffice) -> None:
    with pytest.raises(RuleFaults):
        _report(goods, percent=140)
