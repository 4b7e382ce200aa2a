"""Shifts: ranges of sequence numbers, running totals, counted money."""

import pytest
from sqlalchemy import select

from edge.compose import Shop
from edge.views import TenderIn
from protocol.errors import Refusal
from protocol.events import ShiftClosed, ShiftOpened, StockDigest
from protocol.node.books import opened
from protocol.node.sqljournal import read_line
from protocol.node.tables import READ
from tests.edge.shop_builder import BUN, MILK, build, open_shift, ring_up, sell


def bodies(shop: Shop) -> list[tuple[int, object]]:
    with shop.books.database.reading() as connection:
        rows = read_line(connection, shop.node.stream, 0, limit=1000)
    return [(row.position.seq, opened(row)[0].body) for row in rows]


def test_a_shift_is_a_range_of_sequences_with_its_totals(shop: Shop) -> None:
    shift = open_shift(shop, float_minor=10_000)
    sell(shop, [BUN])
    view = ring_up(shop, [MILK])
    shop.selling.pay("1", view.sale, [TenderIn("scan", 880)], person="anna")
    x = shop.shifts.x_report("1")
    assert (x.sales, x.total_minor, x.closed_ms) == (2, 1230, None)
    assert [(t.kind, t.sales, t.expected_minor) for t in x.totals] == [
        ("cash", 1, 10_350),
        ("scan", 1, 880),
    ]
    z = shop.shifts.close("1", person="anna", counted={"cash": 10_300, "scan": 880}, shift=shift)
    assert [(t.kind, t.expected_minor, t.counted_minor) for t in z.totals] == [
        ("cash", 10_350, 10_300),
        ("scan", 880, 880),
    ]
    placed = bodies(shop)
    start = next(seq for seq, body in placed if isinstance(body, ShiftOpened))
    end, closing = next((seq, b) for seq, b in placed if isinstance(b, ShiftClosed))
    assert isinstance(closing, ShiftClosed)
    assert (closing.first_seq, closing.last_seq) == (start, end - 1) == (z.first_seq, z.last_seq)
    assert isinstance(placed[-1][1], StockDigest)
    with shop.books.database.reading() as connection:
        assert connection.execute(select(READ["shift"].c.phase)).scalars().all() == [
            "closed",
            "opened",
        ]
    assert shop.shifts.current("1") is None


def test_closing_twice_is_one_closing_and_one_answer(open_shop: Shop) -> None:
    shift = open_shop.shifts.demand("1").shift
    first = open_shop.shifts.close("1", person="anna", counted={"cash": 20_000}, shift=shift)
    count = len(bodies(open_shop))
    again = open_shop.shifts.close("1", person="anna", counted={"cash": 1}, shift=shift)
    assert len(bodies(open_shop)) == count
    assert again.totals == first.totals
    assert again.closed_ms == first.closed_ms


def test_opening_twice_with_one_id_is_one_shift(shop: Shop) -> None:
    shift = open_shift(shop)
    same = shop.shifts.open("1", person="anna", float_minor=1, shift=shift)
    assert same.float_minor == 20_000
    with pytest.raises(Refusal, match="SHIFT_OPEN_ALREADY"):
        open_shift(shop)


def test_a_basket_must_be_empty_held_sales_are_listed(open_shop: Shop) -> None:
    shift = open_shop.shifts.demand("1").shift
    ring_up(open_shop, [BUN])
    with pytest.raises(Refusal, match="SHIFT_BASKET_OPEN"):
        open_shop.shifts.close("1", person="anna", counted={}, shift=shift)
    open_shop.selling.hold("1", person="anna", note="later")
    z = open_shop.shifts.close("1", person="anna", counted={}, shift=shift)
    assert [h.note for h in z.held] == ["later"]


def test_a_restart_finds_the_open_shift_again(tmp_path, clock) -> None:
    shop = build(tmp_path, clock=clock)
    shift = open_shift(shop)
    sell(shop, [BUN])
    shop.books.database.close()
    again = build(tmp_path, clock=clock)
    current = again.shifts.current("1")
    assert current is not None
    assert current.shift == shift
    assert again.shifts.x_report("1").sales == 1
    again.books.database.close()


def test_cash_in_and_out_counts_in_the_drawer(open_shop: Shop) -> None:
    open_shop.shifts.move_cash("1", person="anna", amount_minor=-5_000, reason="bank")
    report = open_shop.shifts.x_report("1")
    assert [(t.kind, t.expected_minor) for t in report.totals] == [("cash", 15_000)]
    assert (report.sales, report.total_minor) == (0, 0)
    with pytest.raises(Refusal, match="AMOUNT_OUT_OF_RANGE"):
        open_shop.shifts.move_cash("1", person="anna", amount_minor=10**13, reason="?")


def test_a_shift_that_never_was(shop: Shop) -> None:
    with pytest.raises(Refusal, match="SHIFT_NONE"):
        shop.shifts.x_report("1")
    assert shop.shifts.report("nothing") is None
