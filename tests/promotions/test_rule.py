# ruff: noqa: E501  one case, one row
"""A rule is read, or refused with everything that is wrong with it."""

import pytest

from promotions.rule import RuleFaults, parse
from protocol.errors import Refusal

LINE = {"id": "R", "type": "percent_off", "percent": 10, "select": {"all": True}}
BUNDLE = {
    "id": "B",
    "type": "bundle",
    "slots": [{"select": {"groups": ["bread"]}, "qty": 3}],
    "effect": {"kind": "free", "on": "cheapest:1"},
}


def faults(document):
    with pytest.raises(RuleFaults) as caught:
        parse(document)
    assert isinstance(caught.value, Refusal)
    assert caught.value.code == "RULE_UNREADABLE"
    for fault in caught.value.faults:
        assert fault.sentence("en").startswith(fault.path)
        assert "应为" in fault.sentence("zh-CN")
    assert caught.value.sentence("zh")
    return [fault.path for fault in caught.value.faults]


def test_a_rule_with_a_name_and_a_note():
    rule = parse({**LINE, "name": {"zh": "九折", "en": "10 % off"}, "note": "spring"})
    assert rule.title("zh-CN") == "九折"
    assert rule.title("en") == "10 % off"
    assert parse({**LINE, "name": "Ten"}).title("en") == "Ten"
    assert parse(LINE).title("en") == "R"


def test_what_is_missing_is_said_in_the_readers_language():
    for document in ({**LINE, "id": ""}, {k: v for k, v in LINE.items() if k != "id"}):
        with pytest.raises(RuleFaults) as caught:
            parse(document)
        (fault,) = caught.value.faults
        assert fault.sentence("en").startswith("id: found nothing, expected a text")
        assert fault.sentence("zh-CN").startswith("id：现为 空，应为")


def test_every_fault_at_once():
    document = {
        "id": "R",
        "type": "percent_off",
        "percent": 110,
        "colour": {"all": True},
        "when": {
            "start": "2026-01-01",
            "end": 7,
            "tz": "Mars/Base",
            "daily": {"from": "24:00", "to": "1:00"},
            "days": ["mon", "funday"],
            "hour": 3,
        },
        "limits": {"max_units": -1, "max_uses": 2},
        "combine": {"mode": "sometimes", "priority": 1.5},
        "version": "x",
        "name": 4,
    }
    assert faults(document) == [
        "percent",
        "select",
        "combine.mode",
        "combine.priority",
        "when.tz",
        "when.start",
        "when.end",
        "when.daily.from",
        "when.daily.to",
        "when.days[1]",
        "when.hour",
        "limits.max_units",
        "limits.max_uses",
        "version",
        "name",
        "colour",
    ]


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"type": "half_price"}, ["type"]),
        ({"type": None, "id": ""}, ["id", "type"]),
        ({"percent": "ten"}, ["percent"]),
        ({"percent": float("nan")}, ["percent"]),
        ({"percent": True}, ["percent"]),
        ({"percent": "1_0"}, ["percent"]),
        ({"percent": "1e30"}, ["percent"]),
        ({"percent": "0.12345678901"}, ["percent"]),
        ({"select": []}, ["select"]),
        ({"select": {"all": 1, "skus": 5, "groups": [1]}}, ["select.all", "select.skus", "select.groups[0]"]),
        ({"when": 5}, ["when"]),
        ({"when": {"start": "2026-02-30T10:00"}}, ["when.start"]),
        ({"when": {"start": "2026-02-02T10:00", "end": "2026-02-01T10:00"}}, ["when.end"]),
        ({"limits": []}, ["limits"]),
        ({"name": {"zh": 3}}, ["name"]),
        ({"status": 3}, ["status"]),
        ({"note": ["x"]}, ["note"]),
    ],
)  # fmt: skip
def test_faults_of_a_line_rule(change, paths):
    assert faults({**LINE, **change}) == paths


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"slots": []}, ["slots", "effect.on"]),
        ({"slots": [3]}, ["slots[0]", "effect.on"]),
        ({"slots": [{"select": {"all": True}, "qty": 0}]}, ["slots[0].qty"]),
        ({"slots": [{"qty": 3}]}, ["slots[0].select"]),
        ({"effect": None}, ["effect"]),
        ({"effect": {"kind": "double"}}, ["effect.kind"]),
        ({"effect": {"kind": "amount"}}, ["effect.off_minor"]),
        ({"effect": {"kind": "free", "on": "slot:1"}}, ["effect.on"]),
        ({"effect": {"kind": "free", "on": "cheapest:4"}}, ["effect.on"]),
        ({"favor": "retailer", "effect": {"kind": "free"}}, ["favor"]),
        ({"combine": {"mode": "compound"}}, ["combine.mode"]),
    ],
)
def test_faults_of_a_bundle(change, paths):
    assert faults({**BUNDLE, **change}) == paths


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({"type": "tier_qty", "tiers": [{"min_qty": 2, "percent": 1}, {"min_qty": 2, "percent": 2}]}, ["tiers[1].min_qty"]),
        ({"type": "tier_qty", "tiers": [{"min_qty": "2.0001", "percent": 1, "off_minor": 1}]}, ["tiers[0].min_qty", "tiers[0]"]),
        ({"type": "order_amount"}, ["tiers"]),
        ({"type": "order_amount", "every_minor": 0, "off_minor": 1}, ["every_minor"]),
        ({"type": "order_amount", "tiers": [{"min_minor": 5, "off_minor": 1}, {"min_minor": 5, "off_minor": 1}]}, ["tiers[1].min_minor"]),
        ({"type": "order_percent", "percent": 5, "basis": "during"}, ["basis"]),
        ({"type": "gift"}, ["gift_sku"]),
    ],
)  # fmt: skip
def test_faults_of_other_kinds(document, paths):
    assert faults({"id": "R", "select": {"all": True}, **document}) == paths


def test_documents_that_are_no_rule():
    assert faults([1]) == ["document"]
    assert faults({**LINE, "note": "x" * 70_000}) == ["document"]
    assert faults({**LINE, "note": object()}) == ["document"]


def test_the_interface_reads_leniently():
    rule = parse(
        {**LINE, "colour": "red", "when": {"start": "2026-02-02T10:00", "end": "2026-02-01T10:00"}},
        strict=False,
    )
    assert rule.when.start == "2026-02-02T10:00"
    with pytest.raises(RuleFaults):
        parse({**LINE, "percent": 200}, strict=False)


def test_an_order_rule_ignores_the_mode_compound():
    rule = parse(
        {"id": "O", "type": "order_percent", "percent": 5, "combine": {"mode": "compound"}}
    )
    assert rule.mode == "exclusive_unit"
