"""Why a sale did not get a promotion: the bakery checklist from the sale's own record."""

from typing import Any

import msgspec
import pytest

from central.compose import HeadOffice
from central.goods import Product
from central.watching import watch
from central.whynot import Why
from promotions.ruleset import compile_rules
from protocol.errors import Refusal
from protocol.events import RefusedRule
from tests.central.conftest import TestClock
from tests.central.shops import NOON, TZ, Shop

B3: dict[str, Any] = {
    "type": "bundle",
    "name": {"zh": "买二送一", "en": "Buy 2 get 1"},
    "slots": [{"select": {"groups": ["bread"]}, "qty": 3}],
    "effect": {"kind": "free", "on": "cheapest:1"},
}
BREAD = ("TOAST", "bread", 1200, 3000)
TARO = ("TARO", "new", 900, 3000)


def _publish(office: HeadOffice, **changes: Any) -> None:
    text = msgspec.json.encode({**B3, **changes}).decode()
    assert office.campaigns.save_draft("B3", text, by="ann") == ()
    office.campaigns.publish("B3", by="ann")


@pytest.fixture
def bakery(office: HeadOffice, shops: dict[str, Shop]) -> tuple[HeadOffice, Shop]:
    for group in ("bread", "new"):
        office.catalogue.define_group(group, zh=group, en=group, by="ann")
    for sku, group in (("TOAST", "bread"), ("TARO", "new")):
        product = Product(sku=sku, name_zh=sku, name_en=sku, group=group, tax_rate_bp=0)
        office.catalogue.list_product(product, by="ann")
    with office.books.database.begin() as tx:
        watch.create_all(tx)
    return office, shops["A"]


def _why(office: HeadOffice, shop: Shop, sale: str = "s1") -> Why:
    shop.deliver(office)
    return office.whynot.why("A", sale, "B3")


def test_a_sale_that_got_it(bakery: tuple[HeadOffice, Shop]) -> None:
    office, shop = bakery
    _publish(office)
    shop.sell(shop.answer(office), "s1", BREAD)
    found = _why(office, shop)
    assert (found.fate.code, found.fate.discount_minor, found.fate.version) == ("APPLIED", 1200, 1)
    assert found.exact_rules
    assert found.had_it_been is None
    states = (found.time.state, found.group.state, found.cache.state, found.clock.state)
    assert states == ("idle", "ok", "ok", "ok")
    (fate,) = office.whynot.fates("A", "s1")
    assert (fate.rule, fate.applied, fate.name_zh) == ("B3", True, "买二送一")


def test_layer_one_the_rule_was_over(bakery: tuple[HeadOffice, Shop]) -> None:
    office, shop = bakery
    _publish(office, when={"end": "2026-11-18T23:59", "tz": "Asia/Tokyo"})
    end_ms = 1_795_014_000_000  # midnight after the 18th in Tokyo
    shop.at_ms = end_ms + 90_000
    shop.sell(shop.answer(office), "s1", BREAD)
    found = _why(office, shop)
    assert found.fate.code == "EXPIRED"
    assert "2026-11-18 23:59" in found.fate.zh
    assert (found.time.state, found.time.code, found.time.gap_ms) == ("bad", "EXPIRED", 90_000)
    assert found.time.zone == "Asia/Tokyo"
    assert found.time.store_tz == TZ
    assert found.time.local == "2026-11-19 00:01:30"
    assert (found.group.state, found.cache.state) == ("ok", "ok")


def test_a_rule_not_begun_and_hours(bakery: tuple[HeadOffice, Shop]) -> None:
    office, shop = bakery
    _publish(office, when={"start": "2026-12-01T00:00", "daily": {"from": "08:00", "to": "10:30"},
                           "days": ["mon", "sun"]})  # fmt: skip
    shop.sell(shop.answer(office), "s1", BREAD)
    found = _why(office, shop)
    assert (found.time.code, found.time.hours) == ("NOT_STARTED", "08:00-10:30")
    assert found.time.days == ("mon", "sun")
    assert found.time.gap_ms > 0


def test_layer_two_the_product_is_in_no_group_of_the_rule(bakery: tuple[HeadOffice, Shop]) -> None:
    office, shop = bakery
    _publish(office)
    rules = shop.answer(office)
    shop.sell(rules, "s1", TARO)
    shop.sell(rules, "s2", BREAD, TARO)
    found = _why(office, shop)
    assert found.fate.code == "NO_ELIGIBLE_ITEM"
    assert found.group.state == "bad"
    (line,) = found.group.lines
    assert (line.how, line.group, line.parts, line.group_now) == ("no", "new", (), "")
    assert found.group.parts == ((False, ("bread",), ()),)
    assert found.group.empty_parts == (1,)
    second = _why(office, shop, "s2")
    assert [each.how for each in second.group.lines] == ["group", "no"]
    assert second.group.state == "warn"
    moved = Product(sku="TARO", name_zh="T", name_en="T", group="bread", tax_rate_bp=0)
    office.catalogue.list_product(moved, by="ann")
    assert _why(office, shop).group.lines[0].group_now == "bread"


def test_layer_three_the_shop_did_not_have_it_yet(
    bakery: tuple[HeadOffice, Shop], clock: TestClock
) -> None:
    office, shop = bakery
    old = shop.answer(office)
    _publish(office)
    shop.at_ms = NOON + 60_000
    shop.sell(old, "s1", BREAD)
    found = _why(office, shop)
    assert found.fate.code == "RULE_UNKNOWN"
    assert "买二送一" in found.fate.zh
    cache = found.cache
    assert (cache.code, cache.version, cache.published, cache.arrived_ms) == ("MISSING", 0, 1, 0)
    assert cache.published_ms == NOON
    assert found.had_it_been is not None
    assert (found.had_it_been.code, found.had_it_been.discount_minor) == ("APPLIED", 1200)
    shop.at_ms = NOON + 90_000
    rules = shop.answer(office)
    shop.sell(rules, "s2", BREAD)
    assert _why(office, shop).cache.arrived_ms == NOON + 90_000
    assert _why(office, shop, "s2").cache.code == "SAME"
    clock.forward(100_000)
    _publish(office, effect={"kind": "percent", "percent": 50, "on": "cheapest:1"})
    shop.at_ms = clock.at_ms + 1
    shop.sell(rules, "s3", BREAD)
    behind = _why(office, shop, "s3")
    assert (behind.cache.code, behind.cache.version, behind.cache.published) == ("BEHIND", 1, 2)
    assert behind.had_it_been is not None
    assert behind.had_it_been.discount_minor == 600


def test_a_rule_published_after_the_sale_and_one_withdrawn(
    bakery: tuple[HeadOffice, Shop], clock: TestClock
) -> None:
    office, shop = bakery
    shop.sell(shop.answer(office), "s1", BREAD)
    clock.forward(60_000)
    _publish(office)
    found = _why(office, shop)
    assert (found.cache.code, found.cache.state) == ("NOT_YET", "warn")
    assert found.had_it_been is not None
    clock.forward(60_000)
    office.campaigns.withdraw("B3", by="ann")
    shop.at_ms = clock.at_ms + 60_000
    shop.sell(shop.answer(office), "s2", BREAD)
    found = _why(office, shop, "s2")
    assert (found.cache.code, found.live_now) == ("ENDED", False)


def test_a_refused_rule_and_rules_that_nobody_knows(bakery: tuple[HeadOffice, Shop]) -> None:
    office, shop = bakery
    _publish(office)
    refused = RefusedRule(rule="B3", version=1, reason="NO", detail={"zh": "看不懂", "en": "odd"})
    shop.at_ms = NOON + 1
    shop.sell(shop.answer(office, refused), "s1", BREAD)
    found = _why(office, shop)
    assert (found.cache.code, found.cache.reason_zh) == ("REFUSED", "看不懂")
    shop.sell(compile_rules([], "UTC"), "s2", BREAD, rules_hash="?")
    found = _why(office, shop, "s2")
    assert not found.exact_rules
    assert found.cache.code == "RULES_UNKNOWN"
    assert office.whynot.fates("A", "s2") == []


def test_a_clock_that_could_not_decide(bakery: tuple[HeadOffice, Shop]) -> None:
    office, shop = bakery
    _publish(office, when={"end": "2030-01-01T00:00"})
    rules = shop.answer(office)
    context = {"store_tz": TZ, "time_ms": NOON, "store": "A", "clock_state": "behind"}
    shop.sell(rules, "s1", BREAD, context=context)
    found = _why(office, shop)
    assert found.fate.code == "CLOCK_UNTRUSTED"
    assert (found.clock.state, found.clock.clock) == ("bad", "behind")
    assert found.timed


def test_unknown_sales_and_rules(bakery: tuple[HeadOffice, Shop]) -> None:
    office, shop = bakery
    with pytest.raises(Refusal, match="HQ_SALE_UNKNOWN"):
        office.whynot.why("A", "none", "B3")
    shop.sell(shop.answer(office), "s1", BREAD)
    shop.deliver(office)
    with pytest.raises(Refusal, match="HQ_RULE_UNKNOWN"):
        office.whynot.why("A", "s1", "B3")
