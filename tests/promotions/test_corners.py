"""Small corners: the process itself, defaults, and figures that people read."""

import io
import json
import runpy
import sys
from pathlib import Path

import pytest

from promotions import __main__ as interface
from promotions.basket import read_context
from promotions.figures import percent_text
from promotions.kinds import gift, order_percent

DATA = Path(__file__).parent.parent / "data" / "promotions"
CASE = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))["cases"][0]


def test_the_process_answers_line_by_line_and_ends_with_its_input(monkeypatch):
    text = "\n".join([json.dumps(CASE), "  ", "{", json.dumps(CASE)]) + "\n"
    out = io.BytesIO()
    monkeypatch.setattr(sys, "argv", ["promotions"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    monkeypatch.delitem(sys.modules, "promotions.__main__")  # a process of its own has none yet
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("promotions", run_name="__main__")
    assert ended.value.code == 0
    first, broken, last = map(json.loads, out.getvalue().splitlines())
    assert "error" in broken
    for answer in (first, last):
        assert answer["total_discount_minor"] == CASE["expected"]["total_discount_minor"]


def test_a_fault_of_ours_is_an_answer_and_the_process_goes_on(monkeypatch):
    def broken(*_):
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(interface, "answer_request", broken)
    answer = interface.answer_line(json.dumps(CASE), interface.Compiler())
    assert answer["id"] == CASE["id"]
    assert answer["error"].startswith("INTERNAL: KeyError")


def test_an_absent_context_takes_every_default():
    context = read_context(None)
    assert (context.currency, context.store_tz, context.channel) == ("CNY", "UTC", "pos")


@pytest.mark.parametrize(("ratio", "text"), [((1, 8), "12.5"), ((1, 10), "10"), ((1, 1), "100")])
def test_a_percentage_reads_as_people_write_it(ratio, text):
    assert percent_text(ratio) == text


def test_order_kinds_name_the_spends_at_which_they_change():
    ten = order_percent.OrderPercent((1, 10), 500, before=False)
    assert order_percent.thresholds(ten, 1000) == [500]
    assert order_percent.thresholds(ten, 400) == []
    bag = gift.Gift("BAG", 1, 500, before=False)
    assert gift.thresholds(bag, 1000) == [500]
    assert gift.thresholds(bag, 400) == []
    assert gift.offer(bag, 1000, 1000) == 0
    assert bag.least == 500
