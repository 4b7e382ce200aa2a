"""The shop's papers: what stands where on a sale's receipt and on a transfer note.

`sale_receipt(data, language)` and `transfer_note(data, language)` turn plain figures into blocks
(`devices.receipt`). All amounts are minor units (fen) and signed as they count: a discount is given
as a positive amount and printed with a minus. Texts exist in zh-CN and en; names are data and are
stripped of control bytes when they are rendered.
"""

from typing import Final

import msgspec

from devices.note import receipt_code
from devices.receipt import QR, Barcode, Block, Cut, Feed, Row, Rule, Text
from protocol.money import format_minor


class PromotionAmount(msgspec.Struct, frozen=True):
    """A promotion's name as the customer knows it, and what it took off (positive minor units)."""

    name: str
    amount_minor: int


class ReceiptLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of goods; `net = gross - discount` is printed when they differ."""

    name: str
    qty: str  # as text, in the product's precision: "2", "0.536"
    unit: str = ""  # "kg", "件"
    unit_price_minor: int
    gross_minor: int
    discount_minor: int = 0
    promotions: tuple[PromotionAmount, ...] = ()
    note: str = ""  # an override, a lot, a weight's tare


class Tender(msgspec.Struct, frozen=True):
    """One means of payment with what the customer gave."""

    name: str
    amount_minor: int


class TaxLine(msgspec.Struct, frozen=True, kw_only=True):
    """One rate's share; prices include tax, so gross = net + tax."""

    rate: str  # "13%"
    net_minor: int
    tax_minor: int


class ReceiptData(msgspec.Struct, frozen=True, kw_only=True):
    """All a sale's receipt says. The caller words the time in the shop's zone."""

    store_name: str
    till: str
    cashier: str
    receipt_number: str
    time: str
    lines: tuple[ReceiptLine, ...]
    total_minor: int
    discount_minor: int = 0
    tenders: tuple[Tender, ...] = ()
    change_minor: int = 0
    taxes: tuple[TaxLine, ...] = ()
    header: tuple[str, ...] = ()  # address, phone, tax number: under the store's name
    footer: tuple[str, ...] = ()
    currency: str = "CNY"
    title: str = ""  # "退货 Refund", "TRAINING": printed large when given
    copy_no: int = (
        0  # a copy asked for by a person: 补打 REPRINT n; resends are marked by the spool
    )
    barcode: bool = True


class NoteLine(msgspec.Struct, frozen=True, kw_only=True):
    """One product on a transfer note."""

    sku: str
    name: str
    qty: str
    unit: str = ""


class NoteData(msgspec.Struct, frozen=True, kw_only=True):
    """All a transfer note says; `qr` is the text of its code (`devices.note.encode_note`)."""

    transfer_id: str
    source: str
    target: str
    operator: str
    time: str
    lines: tuple[NoteLine, ...]
    qr: str
    footer: tuple[str, ...] = ()
    copy_no: int = 0


_WORDS: Final[dict[str, tuple[str, str]]] = {  # key -> (en, zh)
    "receipt": ("Receipt", "单号"),
    "till": ("Till", "收银台"),
    "cashier": ("Cashier", "收银员"),
    "time": ("Time", "时间"),
    "pieces": ("Lines", "项数"),
    "subtotal": ("Subtotal", "小计"),
    "discount": ("You save", "优惠"),
    "total": ("TOTAL", "应付"),
    "change": ("Change", "找零"),
    "tax": ("Tax incl.", "含税"),
    "net": ("net", "不含税"),
    "vat": ("tax", "税额"),
    "note": ("TRANSFER NOTE", "调拨单"),
    "number": ("Note", "单号"),
    "from": ("From", "调出"),
    "to": ("To", "调入"),
    "operator": ("Sent by", "经办"),
    "received": ("Received by", "收货人"),
    "scan_note": ("Scan to receive", "扫码收货"),
}


def _word(key: str, language: str) -> str:
    return _WORDS[key][1 if language.startswith("zh") else 0]


def _copy_mark(copy_no: int) -> list[Block]:
    text = f"补打 REPRINT {copy_no}"
    return [Text(text, align="center", bold=True)] if copy_no else []


def sale_receipt(data: ReceiptData, language: str = "zh-CN") -> list[Block]:
    """The receipt of one sale, cut included; the drawer is a job of its own."""
    blocks: list[Block] = [
        Text(data.store_name, align="center", bold=True, wide=True, tall=True),
        *(Text(line, align="center") for line in data.header),
    ]
    if data.title:
        blocks.append(Text(data.title, align="center", bold=True, tall=True))
    blocks += _copy_mark(data.copy_no)
    blocks += [
        Rule("="),
        Row(f"{_word('receipt', language)} {data.receipt_number}", data.time),
        Row(
            f"{_word('till', language)} {data.till}", f"{_word('cashier', language)} {data.cashier}"
        ),
        Rule(),
    ]
    for line in data.lines:
        blocks += _goods(line, data.currency)
    blocks += [Rule(), *_totals(data, language), *_taxes(data, language)]
    blocks.append(Feed())
    blocks += [Text(line, align="center") for line in data.footer]
    if data.barcode:
        blocks.append(Barcode(receipt_code(data.receipt_number)))
    return [*blocks, Cut()]


def _goods(line: ReceiptLine, currency: str) -> list[Block]:
    count = f"{line.qty} {line.unit}".strip()
    price = format_minor(line.unit_price_minor, currency)
    blocks: list[Block] = [
        Text(line.name),
        Row(f"{count} x {price}", format_minor(line.gross_minor, currency), indent=2),
    ]
    named = sum(p.amount_minor for p in line.promotions)
    blocks += [
        Row(p.name, format_minor(-p.amount_minor, currency), indent=2) for p in line.promotions
    ]
    if line.discount_minor != named:  # what no promotion explains: an override by hand
        blocks.append(Row("-", format_minor(named - line.discount_minor, currency), indent=2))
    if line.note:
        blocks.append(Row(line.note, indent=2))
    return blocks


def _totals(data: ReceiptData, language: str) -> list[Block]:
    money = data.currency
    blocks: list[Block] = []
    if data.discount_minor:
        gross = data.total_minor + data.discount_minor
        blocks += [
            Row(_word("subtotal", language), format_minor(gross, money)),
            Row(_word("discount", language), format_minor(-data.discount_minor, money)),
        ]
    label = _word("total", language)
    blocks.append(
        Row(label, format_minor(data.total_minor, money), bold=True, wide=True, tall=True)
    )
    blocks += [Row(t.name, format_minor(t.amount_minor, money)) for t in data.tenders]
    if data.change_minor:
        blocks.append(Row(_word("change", language), format_minor(data.change_minor, money)))
    blocks.append(Row(_word("pieces", language), str(len(data.lines))))
    return blocks


def _taxes(data: ReceiptData, language: str) -> list[Block]:
    if not data.taxes:
        return []
    blocks: list[Block] = [Rule("."), Text(_word("tax", language))]
    for tax in data.taxes:
        net = f"{_word('net', language)} {format_minor(tax.net_minor, data.currency)}"
        vat = f"{_word('vat', language)} {format_minor(tax.tax_minor, data.currency)}"
        blocks.append(Row(f"{tax.rate} {net}", vat))
    return blocks


def transfer_note(data: NoteData, language: str = "zh-CN") -> list[Block]:
    """The paper that travels with the goods: lines to read, one code to scan."""
    rows = (
        ("number", data.transfer_id),
        ("from", data.source),
        ("to", data.target),
        ("operator", data.operator),
        ("time", data.time),
    )
    blocks: list[Block] = [
        Text(_word("note", language), align="center", bold=True, wide=True, tall=True),
        *_copy_mark(data.copy_no),
        Rule("="),
        *(Row(_word(key, language), text) for key, text in rows),
        Rule(),
    ]
    for line in data.lines:
        blocks += [
            Text(line.name),
            Row(line.sku, f"{line.qty} {line.unit}".strip(), indent=2, bold=True),
        ]
    blocks += [
        Rule(),
        Row(_word("pieces", language), str(len(data.lines))),
        Text(_word("scan_note", language), align="center"),
        QR(data.qr),
        Feed(),
        Row(_word("received", language), "____________________"),
    ]
    blocks += [Text(line, align="center") for line in data.footer]
    return [*blocks, Cut()]
