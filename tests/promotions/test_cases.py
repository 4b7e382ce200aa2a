"""Every worked case, piped through the JSON Lines interface."""

import json
from pathlib import Path

import pytest

from promotions.__main__ import Compiler, answer_line

DATA = Path(__file__).parent.parent / "data" / "promotions"
CASES = [
    case
    for name in ("cases.json", "own_cases.json")
    for case in json.loads((DATA / name).read_text(encoding="utf-8"))["cases"]
]
COMPILER = Compiler()


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case):
    answer = answer_line(json.dumps(case), COMPILER)
    check(answer, case["expected"])


def check(answer, expected):
    assert "error" not in answer, answer
    assert answer["exact"] is True
    assert answer["upper_bound_minor"] == answer["total_discount_minor"]
    assert answer["total_discount_minor"] == expected["total_discount_minor"]
    assert sum(answer["per_line"]) == answer["total_discount_minor"]
    if expected["per_line"] is not None:
        assert answer["per_line"] == expected["per_line"]
    elif expected.get("accepted_per_line_complete"):
        assert answer["per_line"] in expected["accepted_per_line"]
    if expected["applied_rules"] is not None:
        assert sorted(answer["applied_rules"]) == sorted(expected["applied_rules"])
    elif "accepted_applied_rules" in expected:
        accepted = [sorted(each) for each in expected["accepted_applied_rules"]]
        assert sorted(answer["applied_rules"]) in accepted
    if "reason_not_applied" in expected:
        assert answer["reasons"] == expected["reason_not_applied"]
    elif expected["applied_rules"] is not None:
        assert answer["reasons"] == {}
    if "gifts" in expected:
        assert answer["gifts"] == expected["gifts"]
    if "refunds_minor" in expected:
        assert answer["refunds_minor"] == expected["refunds_minor"]


def test_there_are_enough_cases_and_no_id_twice():
    assert len({case["id"] for case in CASES}) == len(CASES) >= 150
