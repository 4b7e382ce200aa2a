"""Shelf labels on a real socket: what stands on them, which prices changed today, lost printers."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from devices.sim.vlabel import VirtualLabelPrinter
from edge.catalogue import Product
from edge.compose import Shop
from edge.labelling import unit_price
from edge.settings import LabelSettings
from protocol.errors import Refusal, Unavailable
from protocol.events import PriceSet
from protocol.ids import ALL, zone_stream
from tests.edge.shop_builder import BUN, FixedClock, build, head_office, settings_for
from tests.edge.test_weighing import until

HOUR_MS = 3_600_000


@pytest.fixture
def printer() -> Iterator[VirtualLabelPrinter]:
    with VirtualLabelPrinter() as made:
        yield made
    assert made.reader.faults == []


@pytest.fixture(params=["zpl", "tspl"])
def shop(
    tmp_path: Path, printer: VirtualLabelPrinter, request: pytest.FixtureRequest, clock: FixedClock
) -> Iterator[Shop]:
    labels = LabelSettings(printer=printer.url, kind=request.param, width_mm=50, height_mm=30)
    made = build(tmp_path, settings=settings_for(tmp_path, labels=labels), clock=clock)
    made.labelling.start()
    until(lambda: (c := made.labelling.condition()) and c.state.value == "up")
    yield made
    made.labelling.stop()
    made.books.database.close()


def test_what_is_seen_is_what_is_printed(shop: Shop, printer: VirtualLabelPrinter) -> None:
    label = shop.labelling.label("bun")
    assert (label.name, label.price_minor, label.code, label.unit) == ("豆沙包", 350, BUN, "件")
    seen = Image.open(io.BytesIO(shop.labelling.picture("bun")))
    assert shop.labelling.print([("bun", 2), ("milk", 0), ("ham", 1)], person="mei") == 3
    until(lambda: len(printer.labels) == 3)
    assert printer.labels[0].tobytes() == seen.convert("1").tobytes()
    assert printer.labels[1].tobytes() == printer.labels[0].tobytes()
    found = zxingcpp.read_barcodes(seen.convert("L").resize((seen.width * 2, seen.height * 2)))
    assert [one.text for one in found] == [BUN]
    assert shop.labelling.label("ham").unit_price == "¥88.00/kg"


def test_prices_that_changed_today(shop: Shop, clock: FixedClock) -> None:
    clock.later(24 * HOUR_MS)
    assert shop.labelling.changed_today() == []
    now = clock.at_ms
    head_office(shop, ALL, PriceSet(sku="bun", price_minor=300))
    head_office(
        shop,
        zone_stream("east"),
        PriceSet(sku="milk", price_minor=700, effective_from_ms=now - HOUR_MS),
        PriceSet(sku="bread", price_minor=1, effective_from_ms=now + HOUR_MS),
    )
    assert [(r.sku, r.price_minor) for r in shop.labelling.changed_today()] == [
        ("bun", 300),
        ("milk", 700),
    ]
    assert shop.labelling.label("milk").was_minor == 880
    clock.later(HOUR_MS + 1_000)
    assert "bread" in [r.sku for r in shop.labelling.changed_today()]
    clock.later(24 * HOUR_MS)
    assert shop.labelling.changed_today() == []


def test_refusals_say_why(shop: Shop, printer: VirtualLabelPrinter) -> None:
    for wanted, code in (
        ([("bun", 0)], "LABELS_NOTHING"),
        ([("nothing", 1)], "PRODUCT_UNKNOWN"),
        ([("cake", 1)], "PRICE_MISSING"),
        ([("bun", 201)], "LABEL_COPIES"),
    ):
        with pytest.raises(Refusal, match=code):
            shop.labelling.print(wanted, person="mei")
    with pytest.raises(Refusal, match="NOT_ALLOWED"):
        shop.labelling.print([("bun", 1)], person="anna")
    assert printer.labels == []
    printer.stop()
    until(lambda: (c := shop.labelling.condition()) and c.state.value == "down")
    with pytest.raises(Unavailable) as lost:
        shop.labelling.print([("bun", 1)], person="mei")
    assert lost.value.sentence("zh-CN")
    verdict = next(v for v in shop.health.verdicts() if v.part == "labels")
    assert verdict.state == "bad"


def test_without_a_printer_labels_can_be_looked_at(tmp_path: Path) -> None:
    shop = build(tmp_path)
    assert shop.labelling.condition() is None
    assert [r.sku for r in shop.labelling.find("豆沙")] == ["bun"]
    assert shop.labelling.picture("bun").startswith(b"\x89PNG")
    with pytest.raises(Refusal, match="NO_LABEL_PRINTER"):
        shop.labelling.print([("bun", 1)], person="mei")
    shop.books.database.close()


@pytest.mark.parametrize(
    ("zh", "en", "unit", "price", "told"),
    [
        ("酱油 500ml", "Soy sauce 500 ml", "pc", 1250, "¥25.00/L"),
        ("鲜大米5kg装", "Rice", "pc", 4990, "¥9.98/kg"),
        ("饼干 0.25 千克", "", "pc", 500, "¥20.00/kg"),
        ("牛奶 250ml×6", "Milk 6 x 250ml", "pc", 1800, ""),
        ("套装 100g 200g", "Set", "pc", 1800, ""),
        ("茶 50g", "Tea 40g", "pc", 1800, ""),
        ("T恤5L码", "T-shirt", "pc", 1800, ""),
        ("豆沙包", "Bean bun", "pc", 350, ""),
        ("散茶", "Tea", "斤", 5000, "¥100.00/kg"),
        ("火腿", "Ham", "kg", 8800, "¥88.00/kg"),
    ],
)
def test_the_unit_price_is_known_or_left_out(
    zh: str, en: str, unit: str, price: int, told: str
) -> None:
    product = Product(
        sku="x", name_zh=zh, name_en=en, group="g", tax_rate_bp=0, decimals=0, unit=unit,
        weighed=unit != "pc", no_discount=False, floor_minor=None, active=True,
    )  # fmt: skip
    assert unit_price(product, price, "CNY") == told


def test_a_shop_of_many_prices_answers_at_once(shop: Shop, clock: FixedClock) -> None:
    clock.later(24 * HOUR_MS)
    head_office(shop, ALL, *(PriceSet(sku="bun", price_minor=n + 1) for n in range(300)))
    assert [r.sku for r in shop.labelling.changed_today()] == ["bun"]
