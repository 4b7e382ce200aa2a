"""The editor of every kind of rule in a real browser: form, document and check in step."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from promotions.kinds import KINDS
from promotions.rule import parse

SignIn = Callable[..., Page]


def _document(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.input_value("#f-text"))
    return found


@pytest.fixture
def editor(sign_in: SignIn) -> Page:
    page = sign_in("qian")
    page.goto("/promotions/new")
    page.fill("#f-rule", "every-kind")
    expect(page.locator("#json-state")).to_have_text("In step")
    return page


def _fine(page: Page) -> dict[str, Any]:
    expect(page.locator("#faults .fine")).to_be_visible()
    expect(page.locator("#preflight")).to_contain_text("Reaches")
    document = _document(page)
    parse(document)
    return document


def test_every_kind_begins_without_a_fault(editor: Page) -> None:
    """Choosing a kind is enough for a rule that can be read (a gift still needs its SKU)."""
    editor.get_by_label("Pastry", exact=True).check()
    for kind in KINDS:
        editor.select_option("#f-type", kind)
        if kind == "gift":
            editor.fill("#f-gift", "P0101")
        assert _fine(editor)["type"] == kind


def test_tiers_by_quantity(editor: Page) -> None:
    editor.select_option("#f-type", "tier_qty")
    table = editor.locator('[data-table="tiers"]')
    table.get_by_role("button", name="One more step").click()
    rows = table.locator("[data-entry]")
    expect(rows).to_have_count(2)
    rows.nth(1).get_by_label("From pieces").fill("6")
    rows.nth(1).get_by_label("What is given").select_option("off_minor")
    rows.nth(1).get_by_label("How much").fill("1.50")
    editor.get_by_label("Pastry", exact=True).check()
    editor.fill("#f-units", "12")
    found = _fine(editor)
    assert found["tiers"] == [{"min_qty": 3, "percent": 10}, {"min_qty": 6, "off_minor": 150}]
    assert found["limits"] == {"max_units": 12}
    rows.nth(0).get_by_role("button", name="Take out").click()
    assert _document(editor)["tiers"] == [{"min_qty": 6, "off_minor": 150}]


def test_order_rules_and_gifts(editor: Page) -> None:
    editor.select_option("#f-type", "order_amount")
    editor.get_by_label("From amount").fill("88")
    editor.get_by_label("Amount off", exact=True).first.fill("8.8")
    editor.select_option("#f-basis", "before")
    editor.get_by_label("Everything").check()
    found = _fine(editor)
    assert found["tiers"] == [{"min_minor": 8800, "off_minor": 880}]
    assert (found["basis"], found["select"]) == ("before", {"all": True})
    editor.select_option("#f-order-mode", "every")
    editor.fill("#f-every", "100")
    editor.fill("#f-every-off", "12")
    found = _fine(editor)
    assert (found["every_minor"], found["off_minor"]) == (10_000, 1200)
    assert "tiers" not in found
    editor.select_option("#f-type", "order_percent")
    editor.fill("#f-min", "50")
    assert _fine(editor)["min_minor"] == 5000
    editor.select_option("#f-type", "gift")
    editor.fill("#f-gift", "P0101")
    editor.fill("#f-gift-qty", "2")
    found = _fine(editor)
    assert (found["gift_sku"], found["gift_qty"]) == ("P0101", 2)
    assert "percent" not in found


def test_a_bundle_part_by_part(editor: Page) -> None:
    """Several slots, every effect, favour, allocation; the document goes back into the form."""
    editor.select_option("#f-type", "bundle")
    editor.select_option("#f-shape", "other")
    slots = editor.locator('[data-table="slots"]')
    slots.get_by_role("button", name="One more part").click()
    parts = slots.locator("[data-entry]")
    expect(parts).to_have_count(2)
    parts.nth(0).get_by_label("Pieces").fill("2")
    parts.nth(0).get_by_label("Groups, by id").fill("bread, cake")
    parts.nth(0).get_by_label("But not these SKUs").fill("P0101")
    parts.nth(1).get_by_label("SKUs", exact=True).fill("P0122 P0123")
    editor.select_option("#f-effect", "amount")
    editor.fill("#f-effect-value", "3.50")
    editor.select_option("#f-on", "slot")
    editor.fill("#f-on-n", "2")
    editor.select_option("#f-allocation", "spread")
    editor.fill("#f-applications", "1")
    found = _fine(editor)
    assert found["slots"] == [
        {"select": {"groups": ["bread", "cake"], "exclude_skus": ["P0101"]}, "qty": 2},
        {"select": {"skus": ["P0122", "P0123"]}, "qty": 1},
    ]
    assert found["effect"] == {"kind": "amount", "off_minor": 350, "on": "slot:1"}
    assert (found["allocation"], found["limits"]) == ("spread", {"max_applications": 1})
    one = {
        "id": "every-kind",
        "type": "bundle",
        "slots": [{"select": {"groups": ["bread"]}, "qty": 4}],
        "effect": {"kind": "percent", "percent": 30, "on": "dearest:2"},
    }
    editor.fill("#f-text", json.dumps(one))
    expect(editor.locator("#f-on")).to_have_value("dearest")
    expect(editor.locator("#f-effect-value")).to_have_value("30")
    expect(parts).to_have_count(1)
    editor.select_option("#f-on", "cheapest")
    editor.select_option("#f-favor", "retailer")
    found = _fine(editor)
    assert found["effect"]["on"] == "cheapest:2"
    assert found["favor"] == "retailer"


def test_when_where_and_beside_others(editor: Page) -> None:
    editor.get_by_label("Pastry", exact=True).check()
    editor.fill("#f-start", "2026-12-01T08:00")
    editor.fill("#f-end", "2026-12-31T23:59")
    editor.fill("#f-tz", "Asia/Tokyo")
    editor.fill("#f-daily_from", "22:00")
    editor.fill("#f-daily_to", "02:00")
    editor.get_by_label("Sun", exact=True).check()
    editor.fill("#f-channels", "pos, web")
    editor.locator('[data-list="when.zones"]').first.check()
    editor.fill("#f-group", "winter")
    editor.fill("#f-priority", "5")
    editor.fill("#f-cap", "20")
    editor.fill("#f-exclude-groups", "cake")
    found = _fine(editor)
    when = found["when"]
    assert (when["start"], when["end"], when["tz"]) == (
        "2026-12-01T08:00",
        "2026-12-31T23:59",
        "Asia/Tokyo",
    )
    assert when["daily"] == {"from": "22:00", "to": "02:00"}
    assert (when["days"], when["channels"], len(when["zones"])) == (["sun"], ["pos", "web"], 1)
    assert found["combine"] == {"group": "winter", "priority": 5}
    assert found["limits"] == {"max_discount_minor": 2000}
    assert found["select"] == {"groups": ["pastry"], "exclude_groups": ["cake"]}
    editor.fill("#f-channels", "")
    assert "channels" not in _document(editor)["when"]


def test_a_draft_without_an_id_is_new_and_not_wrong(editor: Page) -> None:
    editor.get_by_label("Pastry", exact=True).check()
    expect(editor.locator("#faults .fine")).to_be_visible()
    editor.fill("#f-rule", "")
    expect(editor.locator("#faults .muted")).to_contain_text("Give it an id")
    expect(editor.locator("#faults li")).to_have_count(0)
    editor.fill("#f-percent", "700")
    expect(editor.locator("#faults code")).to_have_text("percent")


def test_a_field_that_shops_do_not_fill_is_refused_by_name(editor: Page) -> None:
    rule = {**_document(editor), "select": {"all": True}, "when": {"members": ["gold"]}}
    editor.fill("#f-text", json.dumps(rule))
    expect(editor.locator("#faults code")).to_have_text("when.members")
    expect(editor.locator("#preflight")).to_be_hidden()
    editor.get_by_role("button", name="Publish").click()
    expect(editor.get_by_role("alert")).to_contain_text("Not published")
