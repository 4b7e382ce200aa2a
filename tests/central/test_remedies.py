"""Force refresh, make permanent, add a product: at once, as the next version, to every shop."""

from typing import Any

import msgspec
import pytest

from central.compose import HeadOffice
from central.goods import Product
from promotions.rule import parse, slots_of
from protocol.errors import Refusal
from protocol.events import RulesInForce
from tests.central.conftest import TestClock
from tests.central.shops import Shop

B3: dict[str, Any] = {
    "type": "bundle",
    "name": {"zh": "买二送一", "en": "Buy 2 get 1"},
    "slots": [{"select": {"groups": ["bread"]}, "qty": 3}],
    "effect": {"kind": "free", "on": "cheapest:1"},
    "when": {"end": "2026-01-17T23:59", "tz": "Asia/Shanghai", "stores": ["A"]},
}


@pytest.fixture
def goods(office: HeadOffice) -> HeadOffice:
    for group in ("bread", "new"):
        office.catalogue.define_group(group, zh=group, en=group, by="ann")
    for sku, group, barred in (
        ("TOAST", "bread", False),
        ("TARO", "new", False),
        ("CARD", "new", True),
    ):
        product = Product(
            sku=sku, name_zh=sku, name_en=sku, group=group, tax_rate_bp=0, no_discount=barred
        )
        office.catalogue.list_product(product, by="ann")
    return office


def _publish(office: HeadOffice, rule: str = "B3", **changes: Any) -> None:
    text = msgspec.json.encode({**B3, **changes}).decode()
    assert office.campaigns.save_draft(rule, text, by="ann") == ()
    office.campaigns.publish(rule, by="ann")


def _document(office: HeadOffice, rule: str = "B3") -> dict[str, Any]:
    found = office.campaigns.campaign(rule).document
    assert found is not None
    return found


def test_make_permanent_takes_the_end_and_keeps_the_place(goods: HeadOffice) -> None:
    _publish(goods)
    assert goods.remedies.make_permanent("B3", by="ann") == 2
    assert _document(goods)["when"] == {"stores": ["A"]}
    assert _document(goods)["version"] == 2
    with pytest.raises(Refusal, match="RULE_PERMANENT"):
        goods.remedies.make_permanent("B3", by="ann")
    _publish(
        goods,
        "R2",
        when={"start": "2026-01-01T00:00", "days": ["mon"], "tz": "Asia/Tokyo"},
    )
    goods.remedies.make_permanent("R2", by="ann")
    assert _document(goods, "R2")["when"] == {"days": ["mon"], "tz": "Asia/Tokyo"}
    _publish(goods, "R3", when={"end": "2026-01-17T23:59"})
    goods.remedies.make_permanent("R3", by="ann")
    assert "when" not in _document(goods, "R3")


def test_a_product_is_added_to_the_selector(goods: HeadOffice) -> None:
    _publish(goods)
    assert goods.remedies.add_product("B3", "TARO", by="ann") == 2
    assert _document(goods)["slots"][0]["select"] == {"groups": ["bread"], "skus": ["TARO"]}
    (slot,) = slots_of(parse(_document(goods)))
    assert slot.covers("TARO", "new")
    with pytest.raises(Refusal, match="PRODUCT_IN_RULE"):
        goods.remedies.add_product("B3", "TARO", by="ann")
    with pytest.raises(Refusal, match="PRODUCT_WITHOUT_DISCOUNT"):
        goods.remedies.add_product("B3", "CARD", by="ann")
    with pytest.raises(Refusal, match="HQ_PRODUCT_UNKNOWN"):
        goods.remedies.add_product("B3", "NONE", by="ann")
    with pytest.raises(Refusal, match="SLOT_UNKNOWN"):
        goods.remedies.add_product("B3", "TOAST", slot=1, by="ann")


def test_exclusions_are_lifted_for_one_product_and_named_for_a_group(goods: HeadOffice) -> None:
    percent = {"type": "percent_off", "percent": 10, "slots": None, "effect": None, "when": None}
    bare = {k: v for k, v in {**B3, **percent}.items() if v is not None}
    text = {**bare, "select": {"all": True, "exclude_skus": ["TARO"], "exclude_groups": ["bread"]}}
    assert goods.campaigns.save_draft("R1", msgspec.json.encode(text).decode(), by="ann") == ()
    goods.campaigns.publish("R1", by="ann")
    goods.remedies.add_product("R1", "TARO", by="ann")
    assert _document(goods, "R1")["select"] == {"all": True, "exclude_groups": ["bread"]}
    with pytest.raises(Refusal, match="PRODUCT_GROUP_OUT"):
        goods.remedies.add_product("R1", "TOAST", by="ann")


def test_a_waiting_draft_gets_the_same_repair(goods: HeadOffice) -> None:
    _publish(goods)
    draft = msgspec.json.encode({**B3, "name": {"zh": "新名", "en": "New"}}).decode()
    goods.campaigns.save_draft("B3", draft, by="ann")
    goods.remedies.make_permanent("B3", by="ann")
    kept = goods.campaigns.draft("B3")
    assert kept is not None
    assert msgspec.json.decode(kept.text)["when"] == {"stores": ["A"]}
    assert msgspec.json.decode(kept.text)["name"]["en"] == "New"
    goods.campaigns.save_draft("B3", "{ not yet", by="ann")
    goods.remedies.add_product("B3", "TARO", by="ann")
    kept = goods.campaigns.draft("B3")
    assert kept is not None
    assert kept.text == "{ not yet"
    goods.campaigns.withdraw("B3", by="ann")
    with pytest.raises(Refusal, match="RULE_NOT_REVISED"):
        goods.remedies.make_permanent("B3", by="ann")


def test_every_shop_answers_a_forced_refresh(
    goods: HeadOffice, shops: dict[str, Shop], clock: TestClock
) -> None:
    _publish(goods)
    with pytest.raises(Refusal, match="HQ_RULE_UNKNOWN"):
        goods.remedies.refresh("R9", by="ann")
    request = goods.remedies.refresh("B3", by="ann")
    (asked,) = goods.remedies.refreshes("B3")
    assert (asked.request, asked.person, asked.answered) == (request, "ann", 0)
    clock.forward(1)
    shops["A"].at_ms = clock.at_ms + 899
    shops["A"].say(
        RulesInForce(rules_hash="h", rules=("B3@1",), answers=(request,), tills=("1", "2"))
    )
    shops["A"].deliver(goods)
    (asked,) = goods.remedies.refreshes("B3")
    first, second = asked.answers
    assert (first.store, first.took_ms, first.tills) == ("A", 900, ("1", "2"))
    assert (second.store, second.answered_ms) == ("B", 0)
    assert (asked.answered, asked.slowest_ms) == (1, 900)
