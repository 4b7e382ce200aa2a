"""The engine against the exhaustive evaluator, on random baskets that are rich in traps."""

import json

import pytest

from promotions import alternative
from promotions.__main__ import Compiler, answer_line
from tests.promotions import brute, random_cases

BLOCK = 100


def differences(seeds, keep=lambda text: True):
    compiler = Compiler()
    found, skipped = {}, 0
    for seed in seeds:
        case = random_cases.case(seed)
        answer = answer_line(json.dumps(case), compiler)
        try:
            wrong = [answer["error"]] if "error" in answer else brute.check(case, answer)
        except brute.TooLargeError:
            skipped += 1
            continue
        wrong = [text for text in wrong if keep(text)]
        if wrong:
            found[seed] = wrong
    assert skipped <= len(seeds) // 4  # the evaluator still has to look at most of them
    return found


@pytest.mark.parametrize("start", range(0, 2000, BLOCK))
def test_equal_to_exhaustive_evaluation(start):
    assert differences(range(start, start + BLOCK)) == {}


@pytest.mark.parametrize("start", range(50_000, 50_600, BLOCK))
def test_counters_find_the_same_totals(start, monkeypatch):
    monkeypatch.setattr(alternative, "SMALL_SEARCH", 0)
    only_totals = lambda text: text.startswith("total")  # noqa: E731
    assert differences(range(start, start + BLOCK), only_totals) == {}


@pytest.mark.nightly
@pytest.mark.parametrize("start", range(1_000_000, 1_100_000, 1000))
def test_equal_on_a_hundred_thousand(start):
    assert differences(range(start, start + 1000)) == {}
