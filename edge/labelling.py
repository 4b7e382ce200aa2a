"""Shelf labels: which products, what stands on a label, and the shop's label printer."""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import TimeoutError as NoAnswer
from typing import Any, Final

import msgspec
from PIL import Image
from sqlalchemy import Connection, select

from devices.device import Condition, Event, Status
from devices.label import (
    LabelPrinter,
    LabelSize,
    ShelfLabel,
    draw_label,
    preview_png,
    to_tspl,
    to_zpl,
)
from devices.weighing import UNIT_GRAMS
from edge.catalogue import Catalogue, ListPrice, Product
from edge.node import ShopNode
from edge.papers import unit_name
from edge.people import People
from edge.pricing import day_start_ms
from protocol.codec import body_of, decode
from protocol.errors import Refusal, Unavailable, define
from protocol.events import PriceSet
from protocol.ids import ALL, zone_stream
from protocol.money import format_minor, half_up_ratio
from protocol.node.tables import READ, journal

PRODUCTS_MAX: Final = 200  # on one page, and printed at once
SEND_S: Final = 30.0
_CONTENT: Final = re.compile(
    r"(?<![\d.a-z])(\d{1,5}(?:\.\d{1,3})?)\s?(kg|g|ml|l|千克|公斤|克|毫升|升)(?![a-z\d码号])",
    re.IGNORECASE,
)
_CONTENT_UNITS: Final = {  # of a name -> milli of the unit that a unit price is for
    "kg": (1000, "kg"), "千克": (1000, "kg"), "公斤": (1000, "kg"), "g": (1, "kg"), "克": (1, "kg"),
    "l": (1000, "L"), "升": (1000, "L"), "ml": (1, "L"), "毫升": (1, "L"),
}  # fmt: skip

define(
    {
        "NO_LABEL_PRINTER": (
            "The settings name no label printer ([labels] printer). Nothing was printed; labels "
            "can be looked at.",
            "设置中没有标签打印机（[labels] printer）。没有打印，可以预览标签。",
        ),
        "LABELS_NOTHING": (
            "Choose at least one label to print.",
            "请至少选择一张要打印的标签。",
        ),
        "LABELS_CUT_SHORT": (
            "{printed} of {wanted} labels were sent, then: {detail} Print the rest again.",
            "已发送 {printed}/{wanted} 张，随后出错：{detail} 请重打其余标签。",
        ),
    }
)


class LabelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One product that can have a label."""

    sku: str
    zh: str
    en: str
    code: str
    unit: str
    price_minor: int
    unit_price: str  # "¥25.00/kg"; "" when the name tells no content


class Labelling:
    """The labels of one shop. Hub topic: "labels" {"state"} on a change of the printer."""

    def __init__(self, node: ShopNode, catalogue: Catalogue, people: People) -> None:
        self._node = node
        self._catalogue = catalogue
        self._people = people
        own = node.settings.labels
        self.size = LabelSize(own.width_mm, own.height_mm, own.gap_mm, own.dpi)
        self._printer = (
            LabelPrinter("labels", own.printer, on_event=self._heard) if own.printer else None
        )

    def _heard(self, event: Event) -> None:
        if isinstance(event, Status):
            self._node.hub.publish("labels", {"state": event.new.state.value})

    def condition(self) -> Condition | None:
        """Of the printer; None when there is none."""
        return self._printer.state() if self._printer else None

    # -- look -----------------------------------------------------------------------------------

    def find(self, text: str) -> list[LabelRow]:
        """Products with a price, by name, id or code."""
        judged = self._judged_ms()
        with self._node.books.database.reading() as connection:
            hits = self._catalogue.search(connection, text, judged_ms=judged, limit=PRODUCTS_MAX)
            return [self._row(h.product, h.code, h.price) for h in hits if h.price is not None]

    def changed_today(self) -> list[LabelRow]:
        """Products whose price began to hold on this business day."""
        judged = self._judged_ms()
        start = day_start_ms(judged, self._node.settings.tz, self._node.settings.day_starts)
        with self._node.books.database.reading() as connection:
            skus = self._changed_since(connection, start, judged)
            known = self._catalogue.products(connection, skus)
            found = (known[sku] for sku in skus if sku in known and known[sku].active)
            return [row for one in found if (row := self._row_of(connection, one, judged))]

    def _changed_since(self, connection: Connection, start: int, judged: int) -> list[str]:
        """By a price that was set for a day to come, or at once."""
        price = READ["price"].c
        dated = connection.execute(
            select(price.sku).where(
                price.effective_from_ms >= start,
                price.effective_from_ms <= judged,
                price.zone.in_([self._catalogue.zone, ""]),
            )
        ).scalars()
        found = set(dated)
        for stream in (ALL, zone_stream(self._catalogue.zone)):
            said = connection.execute(
                select(journal.c.type, journal.c.at_ms, journal.c.data)
                .where(journal.c.stream == stream, journal.c.branch == 0)
                .order_by(journal.c.seq.desc())
                .execution_options(yield_per=500)
            )
            for row in said:
                if row.at_ms < start:
                    break
                body = body_of(decode(row.data)) if row.type == PriceSet.__name__ else None
                if isinstance(body, PriceSet) and body.effective_from_ms <= judged:
                    found.add(body.sku)
            said.close()
        return sorted(found)[:PRODUCTS_MAX]

    def _row_of(self, connection: Connection, product: Product, judged: int) -> LabelRow | None:
        price = self._catalogue.price_at(connection, product.sku, judged)
        if price is None:
            return None
        return self._row(product, self._catalogue.first_code(connection, product.sku), price)

    def _judged_ms(self) -> int:
        return self._node.judged_ms(self._node.clock.read())

    def _row(self, product: Product, code: str, price: ListPrice) -> LabelRow:
        return LabelRow(
            sku=product.sku,
            zh=product.name_zh,
            en=product.name_en,
            code=code,
            unit=product.unit,
            price_minor=price.price_minor,
            unit_price=unit_price(product, price.price_minor, self._node.settings.currency),
        )

    def label(self, sku: str) -> ShelfLabel:
        """What stands on the product's label now; PRODUCT_UNKNOWN, PRICE_MISSING."""
        judged = self._judged_ms()
        with self._node.books.database.reading() as connection:
            product = self._catalogue.product(connection, sku)
            if product is None or not product.active:
                raise Refusal("PRODUCT_UNKNOWN", sku=sku[:60])
            row = self._row_of(connection, product, judged)
            was = self._was(connection, sku, judged)
        if row is None:
            raise Refusal("PRICE_MISSING", text=product.name_zh or sku)
        language = self._node.settings.receipt_language
        return ShelfLabel(
            name=row.zh if language.startswith("zh") else row.en,
            price_minor=row.price_minor,
            code=row.code,
            unit=unit_name(row.unit, language),
            unit_price=row.unit_price,
            was_minor=was if was is not None and was > row.price_minor else None,
            sku=row.sku,
            currency=self._node.settings.currency,
        )

    def _was(self, connection: Connection, sku: str, judged: int) -> int | None:
        """The price before the present one, in the zone or chain that the present one is from."""
        price = READ["price"].c
        rows: Sequence[Any] = connection.execute(
            select(price.price_minor, price.zone)
            .where(
                price.sku == sku,
                price.zone.in_([self._catalogue.zone, ""]),
                price.effective_from_ms <= judged,
            )
            .order_by((price.zone == "").asc(), price.effective_from_ms.desc())
            .limit(2)
        ).all()
        same = len(rows) == 2 and rows[0].zone == rows[1].zone
        return int(rows[1].price_minor) if same else None

    def picture(self, sku: str) -> bytes:
        """The label as a PNG: the same picture that is printed."""
        return preview_png(self._drawn(sku))

    def _drawn(self, sku: str) -> Image.Image:
        label = self.label(sku)
        try:
            return draw_label(label, self.size)
        except Refusal as fault:
            if fault.code != "BARCODE_UNPRINTABLE":
                raise
            return draw_label(msgspec.structs.replace(label, code=""), self.size)

    # -- do -------------------------------------------------------------------------------------

    def print(self, wanted: Iterable[tuple[str, int]], *, person: str) -> int:
        """Print so many of each; returns how many labels went out.

        Raises NO_LABEL_PRINTER, LABELS_NOTHING, LABEL_COPIES, or LABELS_CUT_SHORT when the printer
        is lost on the way.
        """
        self._people.demand(person, "receive")
        if self._printer is None:
            raise Refusal("NO_LABEL_PRINTER")
        chosen = [(sku, copies) for sku, copies in wanted if copies > 0][:PRODUCTS_MAX]
        if not chosen:
            raise Refusal("LABELS_NOTHING")
        jobs = [(self._bytes(sku, copies), copies) for sku, copies in chosen]
        printed, total = 0, sum(copies for _, copies in jobs)
        for data, copies in jobs:
            try:
                self._printer.send(data).result(timeout=SEND_S)
            except (Unavailable, NoAnswer) as fault:
                told = fault if isinstance(fault, Unavailable) else self._stalled()
                if not printed:
                    raise told from None
                detail = told.sentence(self._node.settings.receipt_language)
                raise Unavailable(
                    "LABELS_CUT_SHORT", printed=printed, wanted=total, detail=detail
                ) from None
            printed += copies
        return printed

    @staticmethod
    def _stalled() -> Unavailable:
        return Unavailable("DEVICE_STALLED", device="labels", seconds=SEND_S)

    def _bytes(self, sku: str, copies: int) -> bytes:
        picture = self._drawn(sku)
        if self._node.settings.labels.kind == "tspl":
            return to_tspl(picture, self.size, copies=copies)
        return to_zpl(picture, copies=copies)

    def start(self) -> None:
        """Start the printer."""
        if self._printer:
            self._printer.start()

    def stop(self) -> None:
        """Give it back."""
        if self._printer:
            self._printer.stop()


def unit_price(product: Product, price_minor: int, currency: str) -> str:
    """The price per kilogram or litre, from the unit of sale or the one content in the name.

    "" when that would be a guess: no content, or two different ones.
    """
    grams = UNIT_GRAMS.get(product.unit.lower())
    if grams is not None:
        return f"{format_minor(half_up_ratio(price_minor * 1000, grams), currency)}/kg"
    found = {content for name in (product.name_zh, product.name_en) if (content := _content(name))}
    if len(found) != 1:
        return ""
    milli, unit = found.pop()
    return f"{format_minor(half_up_ratio(price_minor * 1000, milli), currency)}/{unit}"


def _content(name: str) -> tuple[int, str] | None:
    """Content in grams or millilitres with the unit of its price; None when none or several."""
    hits = _CONTENT.findall(name)
    if len(hits) != 1 or re.search(r"\d\s?[x×*]|[x×*]\s?\d", name, re.IGNORECASE):
        return None
    figure, word = hits[0]
    factor, unit = _CONTENT_UNITS[word.lower()]
    whole, _, part = figure.partition(".")
    milli = (int(whole) * 1000 + int(part.ljust(3, "0"))) * factor // 1000
    return (milli, unit) if milli > 0 else None
