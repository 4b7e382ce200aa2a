"""What the shop prints, from what was recorded: receipts, shift reports, transfer notes."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from devices.receipt import Block, Cut, Feed, Row, Rule, Text
from devices.receipt_layout import (
    NoteData,
    NoteLine,
    PromotionAmount,
    ReceiptData,
    ReceiptLine,
    TaxLine,
    Tender,
    sale_receipt,
    transfer_note,
)
from edge.catalogue import Catalogue
from edge.node import ShopNode
from edge.pricing import local_time
from edge.receipt_settings import ReceiptText
from edge.settings import Settings
from edge.views import ShiftReport
from protocol.events import ChainSettings, PersonSet, SaleCompleted, SaleLine, StoreAdded
from protocol.money import format_minor
from protocol.node.sqljournal import Recorded
from protocol.node.tables import READ
from protocol.quantity import format_milli

TENDERS: Final[dict[str, tuple[str, str]]] = {  # kind -> (en, zh)
    "cash": ("Cash", "现金"),
    "scan": ("Mobile pay", "扫码支付"),
    "card": ("Card", "银行卡"),
}
UNITS: Final[dict[str, tuple[str, str]]] = {
    "pc": ("pc", "件"),
    "kg": ("kg", "千克"),
    "m": ("m", "米"),
    "l": ("l", "升"),
}
_WORDS: Final[dict[str, tuple[str, str]]] = {
    "shift_z": ("SHIFT REPORT (Z)", "交班报表"),
    "shift_x": ("SHIFT FIGURES (X)", "班次中间报表"),
    "till": ("Till", "收银台"),
    "cashier": ("Cashier", "收银员"),
    "opened": ("Opened", "开班"),
    "closed": ("Closed", "交班"),
    "records": ("Records", "流水号"),
    "sales": ("Sales", "笔数"),
    "total": ("Takings", "销售额"),
    "discount": ("Discounts", "优惠"),
    "float": ("Float", "备用金"),
    "expected": ("expected", "应有"),
    "counted": ("counted", "实点"),
    "difference": ("difference", "差额"),
    "held": ("Held sales", "挂单"),
    "gift": ("Free gift", "赠品"),
    "gross": ("Gross", "毛重"),
    "tare": ("tare", "皮重"),
    "by_hand": ("Weight typed by hand", "重量为手工输入"),
}


def _of(pair: tuple[str, str], language: str) -> str:
    return pair[1] if language.startswith("zh") else pair[0]


def _name(names: Mapping[str, str], language: str) -> str:
    short = "zh" if language.startswith("zh") else "en"
    return names.get(short) or next(iter(names.values()), "")


def _weighed(line: SaleLine, language: str) -> str:
    """Gross and tare of a weighed line, or that a person typed its weight."""
    if line.weight is None or line.weight.by == "label":
        return ""
    if line.weight.by == "manual":
        return _of(_WORDS["by_hand"], language)
    gross = f"{_of(_WORDS['gross'], language)} {format_milli(line.weight.gross_g)} kg"
    if not line.weight.tare_g:
        return gross
    return f"{gross}, {_of(_WORDS['tare'], language)} {format_milli(line.weight.tare_g)} kg"


def tender_name(kind: str, language: str) -> str:
    """A tender kind for people."""
    return _of(TENDERS.get(kind, (kind, kind)), language)


def unit_name(unit: str, language: str) -> str:
    """A unit for people."""
    return _of(UNITS.get(unit, (unit, unit)), language)


class StoreHead(msgspec.Struct, frozen=True):
    """What stands on every paper: the shop's name, lines under it and at the foot."""

    name: str
    header: tuple[str, ...]
    footer: tuple[str, ...]


class SentGoods(msgspec.Struct, frozen=True, kw_only=True):
    """What a transfer note says."""

    transfer: str
    to_store: str
    operator: str
    at_ms: int
    lines: tuple[tuple[str, int], ...]
    qr: str
    remark: str = ""


def sample_receipt(settings: Settings, language: str) -> list[Block]:
    """A receipt with invented goods as this shop's settings lay it out, for those who change them.

    Head office's name and footer stand in the books, not in the settings: they are not on it.
    """
    text = settings.receipt.get(language, ReceiptText())
    bun = ReceiptLine(
        name=_of(("Bean bun", "豆沙包"), language),
        qty="3",
        unit=unit_name("pc", language),
        unit_price_minor=350,
        gross_minor=1050,
        discount_minor=350,
        promotions=(PromotionAmount(_of(("Buy 2 get 1", "买二送一"), language), 350),),
    )
    ham = ReceiptLine(
        name=_of(("Ham, sliced", "切片火腿"), language),
        qty="0.250",
        unit=unit_name("kg", language),
        unit_price_minor=8800,
        gross_minor=2200,
        discount_minor=200,
    )
    data = ReceiptData(
        store_name=_name(settings.name, language) or settings.store,
        till=settings.tills[0].id if settings.tills else "1",
        cashier=_of(("Anna", "王芳"), language),
        receipt_number="1-1-000123",
        time="2026-05-01 10:32",
        lines=(bun, ham),
        total_minor=2700,
        discount_minor=550,
        tenders=(Tender(tender_name("cash", language), 5000),),
        change_minor=2300,
        taxes=(
            TaxLine(rate="13%", net_minor=619, tax_minor=81),
            TaxLine(rate="9%", net_minor=1835, tax_minor=165),
        ),
        header=text.header,
        footer=text.footer,
        currency=settings.currency,
    )
    return sale_receipt(data, language, text.template())


class Papers:
    """Lays papers out in the shop's receipt language."""

    def __init__(self, node: ShopNode, catalogue: Catalogue) -> None:
        self._node = node
        self._catalogue = catalogue
        self._template = node.settings.receipt.get(self.language, ReceiptText()).template()
        self._head: StoreHead | None = None
        self._names: dict[str, str] = {}

    def heard(self, recorded: Sequence[Recorded]) -> None:
        """Listener of the books: what stands on every paper may have changed."""
        if any(isinstance(r.body, StoreAdded | ChainSettings | PersonSet) for r in recorded):
            self.look_again()

    def look_again(self) -> None:
        """Read names and addresses again."""
        self._head, self._names = None, {}

    @property
    def language(self) -> str:
        """The language of papers."""
        return self._node.settings.receipt_language

    def head(self, connection: Connection) -> StoreHead:
        """From the settings; where they are silent, from what head office sent."""
        found = self._head
        if found is None:
            found = self._head = self._read_head(connection)
        return found

    def _read_head(self, connection: Connection) -> StoreHead:
        settings, language = self._node.settings, self.language
        own = settings.receipt.get(language, ReceiptText())
        store, chain = READ["store"].c, READ["chain"].c
        row = connection.execute(
            select(store.name_zh, store.name_en).where(store.store == self._node.store)
        ).first()
        names = {"zh": row.name_zh, "en": row.name_en} if row else settings.name
        foot = connection.execute(select(chain.footer_zh, chain.footer_en)).first()
        told = _name({"zh": foot.footer_zh, "en": foot.footer_en}, language) if foot else ""
        footer = own.footer or ((told,) if told else ())
        return StoreHead(_name(names, language) or self._node.store, own.header, footer)

    def person_name(self, connection: Connection, person: str) -> str:
        """A person's name, or the id when head office never sent one."""
        names = self._names
        if person not in names:
            table = READ["person"].c
            found = connection.execute(
                select(table.name).where(table.store == self._node.store, table.person == person)
            ).scalar()
            names[person] = found or person
        return names[person]

    def time(self, at_ms: int) -> str:
        """An instant on the shop's wall, to the minute."""
        return local_time(at_ms, self._node.settings.tz).strftime("%Y-%m-%d %H:%M")

    def sale(
        self, connection: Connection, sale: SaleCompleted, at_ms: int, *, copy_no: int = 0
    ) -> list[Block]:
        """The receipt of a recorded (or just prepared) sale."""
        language = self.language
        head = self.head(connection)
        units = self._catalogue.products(
            connection, [x.sku for x in sale.lines] + [g.sku for g in sale.gifts]
        )
        lines = []
        for at, line in enumerate(sale.lines):
            product = units.get(line.sku)
            lines.append(self._goods(sale, at, line, product.unit if product else ""))
        for gift in sale.gifts:
            product = units.get(gift.sku)
            lines.append(
                ReceiptLine(
                    name=_name(product.name, language) if product else gift.sku,
                    qty=format_milli(gift.qty_milli),
                    unit_price_minor=0,
                    gross_minor=0,
                    note=_of(_WORDS["gift"], language),
                )
            )
        data = ReceiptData(
            store_name=head.name,
            till=sale.till,
            cashier=self.person_name(connection, sale.cashier),
            receipt_number=sale.receipt_number,
            time=self.time(at_ms),
            lines=tuple(lines),
            total_minor=sale.total_minor,
            discount_minor=sale.discount_minor,
            tenders=tuple(
                Tender(tender_name(t.kind, language), t.given_minor) for t in sale.tenders
            ),
            change_minor=sale.change_minor,
            taxes=tuple(
                TaxLine(
                    rate=f"{t.rate_bp / 100:g}%",
                    net_minor=t.gross_minor - t.tax_minor,
                    tax_minor=t.tax_minor,
                )
                for t in sale.tax
                if t.rate_bp
            ),
            header=head.header,
            footer=head.footer,
            currency=sale.currency,
            copy_no=copy_no,
        )
        return sale_receipt(data, language, self._template)

    def _goods(self, sale: SaleCompleted, at: int, line: SaleLine, unit: str) -> ReceiptLine:
        language = self.language
        promotions = tuple(
            PromotionAmount(_name(rule.name, language) or rule.rule, amount)
            for rule in sale.applied
            for index, amount in rule.per_line
            if index == at and amount
        )
        return ReceiptLine(
            name=_name(line.name, language) or line.sku,
            qty=format_milli(line.qty_milli),
            unit=unit_name(unit, language) if unit else "",
            unit_price_minor=line.unit_price_minor,
            gross_minor=line.gross_minor,
            discount_minor=line.discount_minor,
            promotions=promotions,
            note=_weighed(line, language),
        )

    def shift(self, report: ShiftReport) -> list[Block]:
        """X or Z on paper."""

        def word(key: str) -> str:
            return _of(_WORDS[key], self.language)

        def money(amount: int) -> str:
            return format_minor(amount, report.currency)

        closed = report.closed_ms is not None
        blocks: list[Block] = [
            Text(word("shift_z" if closed else "shift_x"), align="center", bold=True, tall=True),
            Rule("="),
            Row(f"{word('till')} {report.till}", f"{word('cashier')} {report.cashier}"),
            Row(word("opened"), self.time(report.opened_ms)),
        ]
        if report.closed_ms is not None:
            blocks.append(Row(word("closed"), self.time(report.closed_ms)))
        blocks += [
            Row(word("records"), f"{report.first_seq} - {report.last_seq}"),
            Rule(),
            Row(word("sales"), str(report.sales)),
            Row(word("total"), money(report.total_minor), bold=True),
            Row(word("discount"), money(report.discount_minor)),
            Row(word("float"), money(report.float_minor)),
            Rule(),
        ]
        for total in report.totals:
            blocks.append(Text(tender_name(total.kind, self.language), bold=True))
            blocks.append(Row(word("expected"), money(total.expected_minor), indent=2))
            if total.counted_minor is not None:
                gap = total.counted_minor - total.expected_minor
                blocks.append(Row(word("counted"), money(total.counted_minor), indent=2))
                blocks.append(Row(word("difference"), money(gap), indent=2, bold=bool(gap)))
        if report.held:
            blocks += [Rule(), Row(word("held"), str(len(report.held)))]
        return [*blocks, Feed(), Cut()]

    def note(self, connection: Connection, sent: SentGoods, *, copy_no: int = 0) -> list[Block]:
        """The transfer note that travels with the goods."""
        language = self.language
        known = self._catalogue.products(connection, [sku for sku, _ in sent.lines])
        rows = tuple(
            NoteLine(
                sku=sku,
                name=_name(known[sku].name, language) if sku in known else sku,
                qty=format_milli(qty),
                unit=unit_name(known[sku].unit, language) if sku in known else "",
            )
            for sku, qty in sent.lines
        )
        data = NoteData(
            transfer_id=sent.transfer,
            source=self._store_name(connection, self._node.store),
            target=self._store_name(connection, sent.to_store),
            operator=self.person_name(connection, sent.operator),
            time=self.time(sent.at_ms),
            lines=rows,
            qr=sent.qr,
            footer=(sent.remark,) if sent.remark else (),
            copy_no=copy_no,
        )
        return transfer_note(data, language)

    def _store_name(self, connection: Connection, store: str) -> str:
        table = READ["store"].c
        row = connection.execute(
            select(table.name_zh, table.name_en).where(table.store == store)
        ).first()
        if row is None:
            return store
        return f"{_name({'zh': row.name_zh, 'en': row.name_en}, self.language)} ({store})"
