"""Documents and baskets from people who mean ill: refused or priced, never an exception."""

import json
import time

from hypothesis import given
from hypothesis import strategies as st

from promotions import compile_rules, price
from promotions.__main__ import Compiler, answer_line
from promotions.basket import BasketLine, Context
from promotions.rule import RuleFaults, parse
from tests.promotions import random_cases

SECONDS_MAX = 60  # for one answer: a hang is found, speed lives in the benchmark

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["0.1", "1e999", "-0", "NaN", "99999999999999999999", "2026-02-30T25:61"]),
)
JSON = st.recursive(
    ODD,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(found, path=()):
    """The paths of all values of a document."""
    inner = found.items() if isinstance(found, dict) else enumerate(found)
    for key, value in inner:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def put(document, path, value):
    """The same document with another value in one place."""
    made = json.loads(json.dumps(document))
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


@given(st.integers(0, 10**6), st.data())
def test_a_request_with_odd_values_is_answered(seed, data):
    case = random_cases.case(seed)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(sorted(places(case), key=str)))
        case = put(case, path, data.draw(JSON))
    begun = time.monotonic()
    answer = answer_line(json.dumps(case), Compiler())
    assert time.monotonic() - begun < SECONDS_MAX
    if "error" in answer:
        assert not answer["error"].startswith("INTERNAL"), answer
    else:
        assert sum(answer["per_line"]) == answer["total_discount_minor"]
        assert 0 <= answer["total_discount_minor"] <= answer["upper_bound_minor"]
        assert "RULE_ERROR" not in answer["reasons"].values()


@given(JSON)
def test_any_document_is_a_rule_or_refused_with_its_faults(document):
    for strict in (True, False):
        refused = None
        try:
            parse(document, strict=strict)
        except RuleFaults as faults:
            refused = faults
        assert refused is None or (refused.sentence("zh") and refused.sentence("en"))


@given(st.text(max_size=60))
def test_any_text_is_answered(text):
    answer = answer_line(text, Compiler())
    assert not answer.get("error", "").startswith("INTERNAL"), answer


FIGURES = st.one_of(st.integers(-(10**15), 10**15), st.sampled_from([0, 1, 999, 1000, 2_000_000]))
LINES = st.lists(
    st.builds(
        BasketLine,
        sku=st.sampled_from("ABCD"),
        group=st.sampled_from(["g", "h", None]),
        unit_price_minor=FIGURES,
        qty_milli=FIGURES,
        weighed=st.booleans(),
        no_discount=st.booleans(),
        is_return=st.booleans(),
        floor_minor=st.none() | FIGURES,
    ),
    max_size=30,
)


@given(LINES, st.integers(0, 10**6), st.integers(0, 100_000))
def test_price_takes_any_figures(basket, seed, budget):
    documents = random_cases.case(seed)["rules"]
    rule_set = compile_rules([parse(each) for each in documents], "UTC")
    begun = time.monotonic()
    priced = price(basket, rule_set, Context(time_ms=1_768_600_000_000, budget=budget))
    assert time.monotonic() - begun < SECONDS_MAX
    assert sum(priced.per_line) == priced.total_discount_minor <= priced.upper_bound_minor
    assert all(part >= 0 for part in priced.per_line)
    codes = {each.code for each in priced.outcomes().values()}
    assert "RULE_ERROR" not in codes
