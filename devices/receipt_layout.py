"""The shop's papers: what stands where on a sale's receipt and on a transfer note.

`sale_receipt(data, language, template)` and `transfer_note(data, language)` turn plain figures into
blocks (`devices.receipt`). A `Template` says what a shop shows, in which order. All amounts are
minor units (fen) and signed as they count: a discount is given as a positive amount and printed
with a minus. Texts exist in zh-CN and en; names are data and are stripped of control bytes when
they are rendered.
"""

import re
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from devices.note import receipt_code
from devices.receipt import QR, Barcode, Block, Cut, Feed, Image, Row, Rule, Text, copy_text
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
    copy_no: int = 0  # a copy asked for by a person; resends are marked by the spool


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
    "by_hand": ("Price changed", "改价"),
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


PLACES: Final = ("store", "till", "cashier", "number", "time", "total", "saved")
_PLACE = re.compile(r"\{(\w*)\}")


def unknown_places(line: str) -> list[str]:
    """Names in braces of a header or footer line that `filled` does not know."""
    return [name for name in _PLACE.findall(line) if name not in PLACES]


def filled(line: str, data: ReceiptData) -> str:
    """A header or footer line with its places ({store}, {saved}, ...) filled; others stay."""
    words = {
        "store": data.store_name,
        "till": data.till,
        "cashier": data.cashier,
        "number": data.receipt_number,
        "time": data.time,
        "total": format_minor(data.total_minor, data.currency),
        "saved": format_minor(data.discount_minor, data.currency),
    }
    return _PLACE.sub(lambda found: words.get(found[1], found[0]), line)


def _word(key: str, language: str) -> str:
    return _WORDS[key][1 if language.startswith("zh") else 0]


def _copy_mark(copy_no: int) -> list[Block]:
    return [Text(copy_text(copy_no), align="center", bold=True)] if copy_no else []


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """What a shop's receipts show, and in which order.

    `sections` are names of SECTIONS; a name that is missing is not printed. `promotions`: named
    under their goods ("lines"), summed up below the total ("summary"), or left out ("none"); the
    sum saved stands in the totals in any case. `tax`: a line per rate ("table"), the sum ("total"),
    or nothing. `code`: how the receipt's number can be scanned. `logo`: a PNG (`reduce_logo`).
    """

    sections: tuple[str, ...] = ()
    promotions: Literal["lines", "summary", "none"] = "lines"
    tax: Literal["table", "total", "none"] = "table"
    code: Literal["barcode", "qr", "none"] = "barcode"
    logo: bytes = b""


def sale_receipt(
    data: ReceiptData, language: str = "zh-CN", template: Template | None = None
) -> list[Block]:
    """The receipt of one sale, cut included; the drawer is a job of its own.

    A copy is marked wherever the template puts its parts: the mark is no section.
    """
    template = template or Template()
    blocks: list[Block] = []
    for name in template.sections or SECTIONS:
        blocks += SECTIONS[name](data, language, template)
    return [*_copy_mark(data.copy_no), *blocks, Cut()]


def _logo(_data: ReceiptData, _language: str, template: Template) -> list[Block]:
    return [Image(template.logo)] if template.logo else []


def _store(data: ReceiptData, _language: str, _template: Template) -> list[Block]:
    return [Text(data.store_name, align="center", bold=True, wide=True, tall=True)]


def _header(data: ReceiptData, _language: str, _template: Template) -> list[Block]:
    return [Text(filled(line, data), align="center") for line in data.header]


def _title(data: ReceiptData, _language: str, _template: Template) -> list[Block]:
    return [Text(data.title, align="center", bold=True, tall=True)] if data.title else []


def _number(data: ReceiptData, language: str, _template: Template) -> list[Block]:
    till = f"{_word('till', language)} {data.till}"
    return [
        Rule("="),
        Row(f"{_word('receipt', language)} {data.receipt_number}", data.time),
        Row(till, f"{_word('cashier', language)} {data.cashier}"),
    ]


def _goods(data: ReceiptData, language: str, template: Template) -> list[Block]:
    blocks: list[Block] = [Rule()]
    for line in data.lines:
        blocks += _line(line, data.currency, language, named=template.promotions == "lines")
    return [*blocks, Rule()]


def _line(line: ReceiptLine, currency: str, language: str, *, named: bool) -> list[Block]:
    count = f"{line.qty} {line.unit}".strip()
    price = format_minor(line.unit_price_minor, currency)
    blocks: list[Block] = [
        Text(line.name),
        Row(f"{count} x {price}", format_minor(line.gross_minor, currency), indent=2),
    ]
    if named:
        blocks += [
            Row(p.name, format_minor(-p.amount_minor, currency), indent=2) for p in line.promotions
        ]
    by_hand = line.discount_minor - sum(p.amount_minor for p in line.promotions)
    if by_hand:  # what no promotion explains: an override by hand
        blocks.append(Row(_word("by_hand", language), format_minor(-by_hand, currency), indent=2))
    if line.note:
        blocks.append(Row(line.note, indent=2))
    return blocks


def _totals(data: ReceiptData, language: str, template: Template) -> list[Block]:
    money = data.currency
    blocks: list[Block] = []
    if data.discount_minor:
        gross = data.total_minor + data.discount_minor
        blocks += [
            Row(_word("subtotal", language), format_minor(gross, money)),
            Row(_word("discount", language), format_minor(-data.discount_minor, money)),
        ]
    if template.promotions == "summary":
        blocks += _summary(data)
    label = _word("total", language)
    blocks.append(
        Row(label, format_minor(data.total_minor, money), bold=True, wide=True, tall=True)
    )
    return blocks


def _summary(data: ReceiptData) -> list[Block]:
    """What each promotion gave on the whole receipt, in the order of the goods."""
    sums: dict[str, int] = {}
    for promotion in (p for line in data.lines for p in line.promotions):
        sums[promotion.name] = sums.get(promotion.name, 0) + promotion.amount_minor
    return [
        Row(name, format_minor(-amount, data.currency), indent=2) for name, amount in sums.items()
    ]


def _tenders(data: ReceiptData, language: str, _template: Template) -> list[Block]:
    money = data.currency
    blocks: list[Block] = [Row(t.name, format_minor(t.amount_minor, money)) for t in data.tenders]
    if data.change_minor:
        blocks.append(Row(_word("change", language), format_minor(data.change_minor, money)))
    return blocks


def _count(data: ReceiptData, language: str, _template: Template) -> list[Block]:
    return [Row(_word("pieces", language), str(len(data.lines)))]


def _taxes(data: ReceiptData, language: str, template: Template) -> list[Block]:
    if not data.taxes or template.tax == "none":
        return []
    if template.tax == "total":
        amount = sum(tax.tax_minor for tax in data.taxes)
        return [Row(_word("tax", language), format_minor(amount, data.currency))]
    blocks: list[Block] = [Rule("."), Text(_word("tax", language))]
    for tax in data.taxes:
        net = f"{_word('net', language)} {format_minor(tax.net_minor, data.currency)}"
        vat = f"{_word('vat', language)} {format_minor(tax.tax_minor, data.currency)}"
        blocks.append(Row(f"{tax.rate} {net}", vat))
    return blocks


def _footer(data: ReceiptData, _language: str, _template: Template) -> list[Block]:
    return [Feed(), *(Text(filled(line, data), align="center") for line in data.footer)]


def _code(data: ReceiptData, _language: str, template: Template) -> list[Block]:
    text = receipt_code(data.receipt_number)
    if template.code == "qr":
        return [QR(text, module_dots=4)]
    return [Barcode(text)] if template.code == "barcode" else []


Section = Callable[[ReceiptData, str, Template], list[Block]]
SECTIONS: Final[dict[str, Section]] = {  # in the order that a shop has by itself
    "logo": _logo,
    "store": _store,
    "header": _header,
    "title": _title,
    "number": _number,
    "goods": _goods,
    "totals": _totals,
    "tenders": _tenders,
    "count": _count,
    "tax": _taxes,
    "footer": _footer,
    "code": _code,
}
NEEDED: Final = frozenset({"store", "number", "goods", "totals"})  # no receipt without these


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
