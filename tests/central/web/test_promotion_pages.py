"""Preflight, coverage, repairs and the why page, as people without scripts see them."""

import re
from collections.abc import Callable

from central.compose import HeadOffice
from tests.central.web.bakery import Shop
from tests.central.web.conftest import Person
from tests.central.web.test_pages import code

Who = Callable[[str], Person]


def _sale(office: HeadOffice) -> tuple[str, str, str]:
    row = office.sales.sales(limit=1)[0]
    return row.store, row.sale, row.receipt_number


def test_the_preflight_of_a_published_rule(person: Who) -> None:
    page = person("zhao").get("/promotions/coffee-second/preflight?lang=en")
    assert "Whom coffee-second reaches" in page
    assert "Publish now" not in page
    assert re.search(r"Reaches 2 products in \d of \d shops", page)
    assert "real sales" in page
    zh = person("zhao").client.get("/promotions/coffee-second/preflight?lang=zh").text
    assert "覆盖 2 个商品" in zh
    person("zhao").get("/promotions?lang=en")


def test_the_editor_asks_for_a_preflight(person: Who) -> None:
    buyer = person("qian")
    head = {"X-CSRF-Token": buyer.csrf, "Content-Type": "application/json"}
    rule = {"id": "x", "type": "percent_off", "percent": 5, "select": {"groups": ["nothing"]}}
    answer = buyer.client.post("/promotions/preflight", json=rule, headers=head)
    assert answer.status_code == 200
    assert "can never apply" in answer.text
    wrong = buyer.client.post("/promotions/preflight", data="{", headers=head)
    assert (wrong.status_code, wrong.text) == (200, "")
    huge = buyer.client.post("/promotions/preflight", data=" " * 200_000, headers=head)
    assert huge.status_code == 422


def test_a_draft_with_faults_has_no_preflight(office: HeadOffice, person: Who) -> None:
    office.campaigns.save_draft("torn", '{"type": "percent_off"}', by="qian")
    answer = person("qian").client.get("/promotions/torn/preflight")
    assert (answer.status_code, answer.location) == (302, "/promotions/torn/edit")
    office.campaigns.discard_draft("torn")


def test_coverage_by_shop(office: HeadOffice, person: Who) -> None:
    page = person("zhao").get("/coverage")
    assert "South Gate" in page
    shop = office.coverage.shop("south")
    assert 0 < shop.promoted < shop.products
    assert shop.bare_count == len(shop.bare)
    page = person("zhao").get("/coverage/south")
    assert "In force" in page
    assert "buy2get1@1" in page
    assert "Goods that no live promotion reaches" in page
    assert code(person("zhao").client.get("/coverage/nowhere").text) == "HQ_STORE_UNKNOWN"
    assert "South Gate" in person("zhao").get("/coverage-table")


def test_a_rule_is_mended_from_its_page(office: HeadOffice, person: Who) -> None:
    buyer = person("qian")
    text = (
        '{"type": "percent_off", "percent": 10, "select": {"groups": ["drink"]},'
        ' "when": {"end": "2026-01-17T23:59"}}'
    )
    office.campaigns.save_draft("winter", text, by="qian")
    office.campaigns.publish("winter", by="qian")
    page = buyer.get("/promotions/winter")
    assert "Make permanent" in page
    assert code(buyer.send("/promotions/winter/permanent", status=422)) == "NOT_SURE"
    page = buyer.send("/promotions/winter/permanent", sure="1")
    assert "Version 2 is published" in page
    assert "It is permanent" in page
    page = buyer.send("/promotions/winter/products", sku="P0101")
    assert "Version 3 is published" in page
    assert office.campaigns.campaign("winter").document["select"]["skus"] == ["P0101"]
    again = buyer.send("/promotions/winter/products", status=422, sku="P0101")
    assert code(again) == "PRODUCT_IN_RULE"
    wrong = buyer.send("/promotions/winter/products", status=422, sku="P0102", slot="x")
    assert code(wrong) == "SLOT_UNKNOWN"


def test_a_forced_refresh_is_answered_on_the_page(
    office: HeadOffice, shops: dict[str, Shop], person: Who
) -> None:
    buyer = person("qian")
    assert "Nobody has asked yet" in buyer.get("/promotions/buy2get1")
    page = buyer.send("/promotions/buy2get1/refresh")
    assert "no answer yet" in page
    request = office.remedies.refreshes("buy2get1")[0].request
    shops["south"].answer(answers=(request,), tills=("1", "2"))
    part = buyer.get("/promotions/buy2get1/refreshes")
    assert "1 of" in part
    assert "tills awake: 1, 2" in part


def test_why_by_receipt_number(office: HeadOffice, person: Who) -> None:
    store, sale, receipt = _sale(office)
    admin = person("zhao")
    assert "Why did this sale" in admin.get("/why")
    assert "No sale with this receipt number" in admin.get("/why?receipt=nothing")
    assert receipt in admin.get(f"/why?receipt={receipt}")
    answer = admin.client.get(f"/why?receipt={receipt}&rule=evening-cake")
    if answer.status_code == 302:
        assert answer.location == f"/sales/{store}/{sale}/why?rule=evening-cake"
    else:  # two shops may have the same number
        assert answer.status_code == 200
    assert f"/sales/{store}/{sale}/why" in admin.get(f"/sales/{store}/{sale}")
    page = admin.get(f"/sales/{store}/{sale}/why")
    assert "Evening cakes" in page


def test_the_checklist_of_one_sale_and_one_rule(office: HeadOffice, person: Who) -> None:
    store, sale, _ = _sale(office)
    for rule in ("evening-cake", "buy2get1", "coffee-second"):
        page = person("zhao").get(f"/sales/{store}/{sale}/why?rule={rule}")
        for title in ("1. Time", "2. Group", "3. Cache", "4. Clock"):
            assert title in page
        assert 'id="fate"' in page
    assert "19:00-22:00" in person("zhao").get(f"/sales/{store}/{sale}/why?rule=evening-cake")
    unknown = person("zhao").client.get(f"/sales/{store}/{sale}/why?rule=none")
    assert code(unknown.text) == "HQ_RULE_UNKNOWN"


def test_a_repair_comes_back_to_the_sale(office: HeadOffice, person: Who) -> None:
    store, sale, _ = _sale(office)
    buyer = person("qian")
    page = buyer.send("/promotions/coffee-second/products", sku="P0101", store=store, sale=sale)
    assert "1. Time" in page
    assert "is published and effective" in page
