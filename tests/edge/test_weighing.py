"""Weighed goods at a till: a scale that answers on a real pty, labels, tare, and a typed weight."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from devices.sim.vprinter import VirtualPrinter
from devices.sim.vscale import VirtualScale
from edge.compose import Shop
from edge.settings import TillSettings
from edge.views import TenderIn
from edge.weighing import WeighingView
from protocol.errors import Conflict, Refusal, TillmeshError, Unavailable
from protocol.events import PriceSet
from protocol.ids import ALL
from tests.edge.shop_builder import (
    BUN,
    FixedClock,
    build,
    head_office,
    open_shift,
    product,
    settings_for,
)

HAM = "2012345"  # the item's number as the catalogue lists it: no label, so no weight
PATIENCE_S = 30.0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "condition did not become true in time"
        time.sleep(0.005)


@pytest.fixture(params=["mettler", "cas"])
def pan(request: pytest.FixtureRequest) -> Iterator[VirtualScale]:
    with VirtualScale(protocol=request.param) as made:
        made.start()
        yield made
    assert made.faults == []


@pytest.fixture
def printer() -> Iterator[VirtualPrinter]:
    made = VirtualPrinter()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def shop(tmp_path: Path, pan: VirtualScale, printer: VirtualPrinter) -> Iterator[Shop]:
    till = TillSettings(id="1", scale=pan.path, scale_kind=pan._protocol, printer=printer.url)
    settings = settings_for(tmp_path, tills=(till, TillSettings(id="2")))
    made = build(tmp_path, settings=settings)
    made.weighing.start()
    made.printing.start()
    open_shift(made)
    open_shift(made, "2")
    until(lambda: scale_is(made, "up"))
    yield made
    made.printing.stop()
    made.weighing.stop()
    made.books.database.close()


def scale_is(shop: Shop, state: str) -> bool:
    condition = shop.weighing.scales()[0].condition
    return condition is not None and condition.state.value == state


def now(shop: Shop, till: str = "1") -> WeighingView:
    view = shop.weighing.now(till)
    assert view is not None
    return view


def take(shop: Shop, line: int) -> None:
    """As the cashier does: when the panel says ready, and again when the pan moved meanwhile."""
    until(lambda: now(shop).state == "ready")
    shop.weighing.weigh("1", line, person="anna")


def test_a_scan_waits_for_the_scale_and_becomes_a_row_with_gross_tare_and_unit(
    shop: Shop, pan: VirtualScale, printer: VirtualPrinter
) -> None:
    view = shop.selling.scan("1", HAM, "anna")
    assert view.lines == ()
    assert [(x.sku, x.en) for x in view.to_weigh] == [("ham", "Ham")]
    assert view.payable is False
    line = view.to_weigh[0].line
    with pytest.raises(Refusal, match="WEIGHT_NOTHING"):
        shop.weighing.weigh("1", line, person="anna")
    with shop.hub.subscribe() as facts:
        pan.put(548)
        told = None
        while told is None or told.state != "ready":
            fact = facts.get(timeout=PATIENCE_S)
            if fact.topic == "weigh/1":
                told = msgspec.json.decode(fact.data, type=WeighingView)
        assert (told.gross_g, told.net_g, told.price_minor) == (548, 548, 4822)
    shop.weighing.set_tare("1", line, 12, person="anna")
    assert (now(shop).net_g, now(shop).price_minor) == (536, 4717)
    take(shop, line)
    view = shop.selling.view("1")
    row = view.lines[0]
    assert (row.qty_milli, row.gross_minor, view.to_weigh) == (536, 4717, ())
    assert row.weight is not None
    assert (row.weight.by, row.weight.gross_g, row.weight.tare_g) == ("scale", 548, 12)
    shop.selling.pay("1", view.sale, [TenderIn("cash", 4717)], person="anna")
    sold = shop.selling.sale(view.sale)
    assert sold is not None
    weight = sold.lines[0].weight
    assert weight is not None
    assert (weight.by, weight.gross_g, weight.tare_g, weight.unit) == ("scale", 548, 12, "kg")
    until(printer.receipts)
    assert "毛重 0.548 kg, 皮重 0.012 kg" in printer.receipts()[-1]


def test_between_two_items_the_scale_returns_to_zero(shop: Shop, pan: VirtualScale) -> None:
    for _ in range(2):
        view = shop.selling.scan("1", HAM, "anna")
    first, second = (x.line for x in view.to_weigh)
    pan.put(300)
    take(shop, first)
    until(lambda: (why := now(shop).why) and why.code == "WEIGHT_NOT_ZEROED")
    for grams in (300, 700):
        pan.put(grams)
        with pytest.raises(Refusal, match=r"WEIGHT_NOT_ZEROED|WEIGHT_MOVES"):
            shop.weighing.weigh("1", second, person="anna")
    pan.put(0)
    until(lambda: (why := now(shop).why) and why.code == "WEIGHT_NOTHING")
    pan.put(420)
    take(shop, second)
    assert [x.qty_milli for x in shop.selling.view("1").lines] == [300, 420]


@pytest.mark.parametrize(
    ("grams", "moving", "broken", "code"),
    [
        (300, True, False, "WEIGHT_MOVES"),
        (-20, False, False, "WEIGHT_NEGATIVE"),
        (16_000, False, False, "WEIGHT_OVERLOAD"),
        (300, False, True, "WEIGHT_GARBLED"),
    ],
)
def test_what_is_no_weight_makes_no_row(
    shop: Shop, pan: VirtualScale, grams: int, moving: bool, broken: bool, code: str
) -> None:
    line = shop.selling.scan("1", HAM, "anna").to_weigh[0].line
    pan.broken = broken
    pan.put(grams, moving=moving)
    until(lambda: (why := now(shop).why) and why.code == code)
    with pytest.raises(Refusal, match=code):
        shop.weighing.weigh("1", line, person="anna")
    assert shop.selling.view("1").lines == ()
    pan.broken = False
    pan.put(250)
    take(shop, line)
    assert shop.selling.view("1").lines[0].qty_milli == 250


def test_a_tare_that_leaves_nothing_is_refused(shop: Shop, pan: VirtualScale) -> None:
    line = shop.selling.scan("1", HAM, "anna").to_weigh[0].line
    pan.put(100)
    until(lambda: now(shop).state == "ready")
    shop.weighing.set_tare("1", line, 100, person="anna")
    view = now(shop)
    assert (view.state, view.why and view.why.code) == ("wait", "WEIGHT_TARE")
    with pytest.raises(Refusal, match="WEIGHT_TARE"):
        shop.weighing.weigh("1", line, person="anna")
    with pytest.raises(Refusal, match="WEIGHT_TARE"):
        shop.weighing.set_tare("1", line, -1, person="anna")


def test_by_hand_only_while_the_scale_is_down_and_marked(
    shop: Shop, pan: VirtualScale, printer: VirtualPrinter
) -> None:
    line = shop.selling.scan("1", HAM, "anna").to_weigh[0].line
    with pytest.raises(Refusal, match="WEIGH_ON_SCALE"):
        shop.weighing.weigh_by_hand("1", line, 500, person="anna")
    with pytest.raises(Refusal, match="WEIGH_ON_SCALE"):
        shop.selling.scan("1", HAM, "anna", qty_milli=500)
    with pytest.raises(Refusal, match="WEIGH_ON_SCALE"):
        shop.selling.add_product("1", "ham", 500, person="anna")
    pan.unplug()
    until(lambda: scale_is(shop, "down"))
    told = now(shop)
    assert (told.state, told.manual) == ("down", True)
    assert told.why is not None
    assert told.why.zh
    with pytest.raises(Unavailable):
        shop.weighing.weigh("1", line, person="anna")
    shop.weighing.weigh_by_hand("1", line, 731, person="anna")
    view = shop.selling.view("1")
    assert (view.lines[0].qty_milli, view.lines[0].weight and view.lines[0].weight.by) == (
        731,
        "manual",
    )
    view = shop.selling.set_quantity("1", line, 700, person="anna")
    shop.selling.pay("1", view.sale, [TenderIn("cash", view.total_minor)], person="anna")
    sold = shop.selling.sale(view.sale)
    assert sold is not None
    assert sold.lines[0].weight is not None
    assert (sold.lines[0].weight.by, sold.lines[0].weight.gross_g) == ("manual", 700)
    until(printer.receipts)
    assert "重量为手工输入" in printer.receipts()[-1]
    verdict = next(v for v in shop.health.verdicts() if v.part == "scale/1")
    assert verdict.state == "bad"
    assert "label" in verdict.can_still_en
    pan.put(0)
    pan.plug()
    until(lambda: scale_is(shop, "up"))


def test_a_till_without_a_scale_types_or_reads_labels(shop: Shop) -> None:
    view = shop.selling.add_product("2", "ham", None, person="anna")
    line = view.to_weigh[0].line
    assert now(shop, "2").manual
    with pytest.raises(Refusal, match="WEIGH_BY_HAND"):
        shop.weighing.weigh("2", line, person="anna")
    with pytest.raises(Refusal, match="QUANTITY_NOTHING"):
        shop.weighing.weigh_by_hand("2", line, 0, person="anna")
    shop.weighing.weigh_by_hand("2", line, 250, person="anna")
    view = shop.selling.scan("2", "2012345005365", "anna")
    assert [(x.qty_milli, x.weight and x.weight.by) for x in view.lines] == [
        (250, "manual"),
        (536, "label"),
    ]


def test_what_waits_survives_a_restart_and_is_never_forgotten_at_payment(
    shop: Shop, pan: VirtualScale, tmp_path: Path
) -> None:
    shop.selling.scan("1", BUN, "anna", scan_id="a")
    shop.selling.scan("1", HAM, "anna", scan_id="b")
    view = shop.selling.scan("1", HAM, "anna", scan_id="b")  # asked again: still one
    assert len(view.to_weigh) == 1
    with pytest.raises(Refusal, match="PAY_TO_WEIGH"):
        shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna")
    again = build(tmp_path, settings=shop.settings)
    kept = again.selling.view("1")
    again.books.database.close()
    assert [x.sku for x in kept.to_weigh] == ["ham"]
    held = shop.selling.hold("1", person="anna")
    assert held.to_weigh == ()
    shop.selling.scan("1", HAM, "anna")
    sale = shop.selling.list_held()[0].held
    with pytest.raises(Refusal, match="BASKET_NOT_EMPTY"):
        shop.selling.resume("1", sale, person="anna")
    shop.weighing.put_aside("1", shop.selling.view("1").to_weigh[0].line, person="anna")
    view = shop.selling.resume("1", sale, person="anna")
    assert [x.sku for x in view.to_weigh] == ["ham"]
    with pytest.raises(Refusal, match="WEIGHING_GONE"):
        shop.weighing.put_aside("1", 99, person="anna")


def test_goods_that_cannot_be_weighed_say_why(shop: Shop, pan: VirtualScale) -> None:
    odd = product("odd", "怪", "Odd", "ODD-1", unit="pc", weighed=True, decimals=3)
    head_office(shop, ALL, odd, PriceSet(sku="odd", price_minor=100))
    line = shop.selling.scan("1", "ODD-1", "anna").to_weigh[0].line
    pan.put(100)
    until(lambda: (why := now(shop).why) and why.code == "WEIGHT_UNIT")
    with pytest.raises(Refusal, match="WEIGHT_UNIT"):
        shop.weighing.weigh("1", line, person="anna")
    with pytest.raises(Refusal, match="BASKET_EMPTY"):
        shop.selling.pay("1", shop.selling.view("1").sale, [], person="anna")


def test_other_units_of_weight_are_exact(shop: Shop, pan: VirtualScale) -> None:
    jin = product("jin", "散茶", "Tea", "TEA-1", unit="斤", weighed=True, decimals=3)
    head_office(shop, ALL, jin, PriceSet(sku="jin", price_minor=5000))
    line = shop.selling.scan("1", "TEA-1", "anna").to_weigh[0].line
    pan.put(251)
    until(lambda: now(shop).state == "ready")
    assert now(shop).price_minor == 2510
    take(shop, line)
    row = shop.selling.view("1").lines[0]
    assert (row.qty_milli, row.gross_minor) == (502, 2510)


def test_two_presses_are_one_row(shop: Shop, pan: VirtualScale) -> None:
    line = shop.selling.scan("1", HAM, "anna").to_weigh[0].line
    pan.put(333)
    take(shop, line)
    with pytest.raises(TillmeshError) as refused:
        shop.weighing.weigh("1", line, person="anna")
    assert refused.value.code in {"WEIGHING_GONE", "WEIGHT_NOT_ZEROED"}
    assert not isinstance(refused.value, Conflict)
    assert len(shop.selling.view("1").lines) == 1


def test_old_baskets_are_still_read(shop: Shop, clock: FixedClock) -> None:
    view = shop.selling.scan("2", BUN, "anna")
    assert [x.weight for x in view.lines] == [None]
