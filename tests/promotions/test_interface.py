# ruff: noqa: E501  one rule, one row
"""`python -m promotions`: one answer per line, an error in place of a result, never an end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from promotions.__main__ import Compiler, answer_line, main

DATA = Path(__file__).parent.parent / "data" / "promotions"
CASE = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))["cases"][0]


def error(**change):
    answer = answer_line(json.dumps({**CASE, **change}), Compiler())
    assert answer["id"] == CASE["id"]
    assert "per_line" not in answer
    return answer["error"]


@pytest.mark.parametrize(
    "change",
    [
        {"basket": None},
        {"basket": [3]},
        {"basket": [{"sku": ""}]},
        {"basket": [{"sku": "A", "unit_price_minor": -5, "qty": 1}]},
        {"basket": [{"sku": "A", "unit_price_minor": "x", "qty": 1}]},
        {"basket": [{"sku": "A", "unit_price_minor": 5, "qty": 0}]},
        {"basket": [{"sku": "A", "unit_price_minor": 5, "qty": "0.0001"}]},
        {"basket": [{"sku": "A", "unit_price_minor": 5, "qty": 1e300}]},
        {"basket": [{"sku": "A", "unit_price_minor": 5, "qty": 1, "weighed": "yes"}]},
        {"basket": [{"sku": "A", "unit_price_minor": 5, "qty": 1, "floor_minor": -1}]},
        {"basket": [{"sku": "A", "unit_price_minor": 5}] * 6000},
        {"context": 3},
        {"context": {"time": "yesterday"}},
        {"context": {"time": "2026-01-17T14:30:00"}},
        {"context": {"resolution": "luck"}},
        {"context": {"store_tz": "Mars/Base"}},
        {"context": {"store_tz": 5}},
        {"context": {"clock": 5}},
        {"context": {"coupons": 5}},
        {"rules": 5},
        {"kind": "guess"},
        {"kind": "refund"},
        {"kind": "refund", "returns": [[{"sku": "Q", "qty": 1}]]},
        {"kind": "refund", "returns": [[{"sku": "A", "qty": 9}]]},
        {"kind": "refund", "returns": [[{"sku": "A", "qty": -1}]]},
        {"kind": "refund", "returns": [[]], "refund_policy": "luck"},
    ],
)
def test_unreadable_requests(change):
    assert error(**change)


def test_lines_that_are_no_request():
    for text in ("", "{", "[1]", "3", "\x00", "[" * 100_000):
        assert "error" in answer_line(text, Compiler())


def test_rules_outside_the_vocabulary_are_unsupported_and_pricing_goes_on():
    strange = [
        {"id": "X", "type": "happy_hour"},
        {"id": "Y", "type": "percent_off", "percent": 5, "select": {"all": True}, "when": {"end": "2026-01-01"}},
        7,
    ]  # fmt: skip
    answer = answer_line(json.dumps({**CASE, "rules": [*CASE["rules"], *strange]}), Compiler())
    assert answer["total_discount_minor"] == 1200
    codes = {"X": "RULE_UNSUPPORTED", "Y": "RULE_UNSUPPORTED", "rules[3]": "RULE_UNSUPPORTED"}
    assert answer["reasons"] == codes


def test_compiled_rules_are_kept_between_lines():
    compiler = Compiler()
    for count in range(12):
        assert answer_line(json.dumps({**CASE, "context": {"store_tz": "UTC"}}), compiler)
        many = {**CASE, "rules": [{**CASE["rules"][0], "id": f"R{count}"}]}
        assert answer_line(json.dumps(many), compiler)["applied_rules"] == [f"R{count}"]
    assert len(compiler.kept) <= 8


def test_the_process_answers_every_line():
    text = json.dumps(CASE) + "\n\nbroken\n" + json.dumps({**CASE, "id": "again"}) + "\n"
    done = subprocess.run(
        [sys.executable, "-m", "promotions"], input=text, capture_output=True, text=True, check=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["id"] for each in answers] == ["OSC-01", None, "again"]
    assert answers[0]["time_us"] >= 0
    assert answers[1]["error"].startswith("UNREADABLE")


def test_explain_for_people(capsys, tmp_path):
    assert main(["explain", str(DATA / "cases.json")]) == 0
    text = capsys.readouterr().out
    assert "# BAK-05" in text
    assert "[EXPIRED]" in text
    odd = tmp_path / "case.json"
    odd.write_text(json.dumps({**CASE, "rules": [{"id": "X", "type": "?"}, *CASE["rules"]]}))
    assert main(["explain", str(odd)]) == 0
    assert "RULE_UNSUPPORTED" in capsys.readouterr().out
    assert main(["explain"]) == 2
    assert main(["explain", str(tmp_path / "none.json")]) == 2
    odd.write_text("[3]")
    assert main(["explain", str(odd)]) == 0
