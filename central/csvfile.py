"""Products as CSV: what people type into spreadsheets, checked row by row and column by column.

| column | also called | content |
|---|---|---|
| sku, name_zh, name_en, group | 编码, 中文名, 英文名, 促销组 | needed; one name is enough |
| tax_rate | 税率 | percent: 13, 9.5 or 13% |
| unit, decimals | 单位, 小数位 | pc, kg, m, l · 0 to 3 |
| weighed, no_discount, active | 称重, 不打折, 启用 | yes/no, 1/0, true/false, 是/否 |
| floor, price | 最低价, 价格 | an amount like 12.50, or empty |
| codes | 条码 | parted by spaces; `code*12` is a pack of 12 |

A cell that a spreadsheet would take for a formula is written with a leading apostrophe, and read
without it.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from central.goods import CellFault, Product, faults_of, tidy
from protocol.errors import Refusal, define
from protocol.events import ProductCode
from protocol.money import parse_minor
from protocol.quantity import format_milli, parse_milli

COLUMNS: Final = (
    "sku",
    "name_zh",
    "name_en",
    "group",
    "tax_rate",
    "unit",
    "decimals",
    "weighed",
    "no_discount",
    "floor",
    "codes",
    "active",
    "price",
)
ALSO: Final = {
    "编码": "sku",
    "商品编码": "sku",
    "中文名": "name_zh",
    "名称": "name_zh",
    "英文名": "name_en",
    "促销组": "group",
    "税率": "tax_rate",
    "单位": "unit",
    "小数位": "decimals",
    "称重": "weighed",
    "不打折": "no_discount",
    "最低价": "floor",
    "条码": "codes",
    "启用": "active",
    "价格": "price",
}
UNITS_ZH: Final = {"件": "pc", "个": "pc", "千克": "kg", "公斤": "kg", "米": "m", "升": "l"}
NEEDED: Final = ("sku", "group", "tax_rate")
YES: Final = {"yes", "y", "1", "true", "是", "x"}
NO: Final = {"no", "n", "0", "false", "否", ""}
ROWS_MAX: Final = 200_000
TEXT_MAX: Final = 64 * 1024 * 1024
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

define(
    {
        "CSV_HEADING": (
            "The first line must name the columns; “{column}” is missing. Export the products "
            "once to see how the file looks.",
            "第一行必须是列名；缺少“{column}”。可先导出一次商品查看文件格式。",
        ),
        "CSV_COLUMN_UNKNOWN": (
            "There is no column “{column}”; nothing was read from it. Known: {known}.",
            "没有“{column}”这一列，未读取其内容。可用列：{known}。",
        ),
        "CSV_COLUMN_TWICE": (
            "The column “{column}” stands twice in the first line.",
            "第一行中“{column}”列出现了两次。",
        ),
        "CSV_TOO_LARGE": (
            "The file has more than {most} rows. Split it.",
            "文件超过 {most} 行。请拆分。",
        ),
        "CSV_UNREADABLE": (
            "This row cannot be read as CSV: {detail}.",
            "此行不是有效的 CSV：{detail}。",
        ),
        "CSV_CELLS": (
            "This row has {found} cells, the heading has {expected}.",
            "此行有 {found} 个单元格，而标题行有 {expected} 个。",
        ),
        "CSV_SKU_TWICE": (
            "The product {sku} stands in row {first} already. Only that row was taken.",
            "商品 {sku} 已在第 {first} 行出现，仅采用该行。",
        ),
        "YES_NO_WRONG": (
            "“{text}” is neither yes nor no.",
            "“{text}”既不是“是”也不是“否”。",
        ),
        "PRICE_WRONG": (
            "“{text}” is not a price. Type an amount like 12.50, or leave it empty.",
            "“{text}”不是价格。请输入如 12.50 的金额，或留空。",
        ),
    }
)


class ImportResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an import found or did. `applied` False = a preview."""

    applied: bool
    rows: int
    new: tuple[str, ...] = ()  # SKUs
    changed: tuple[str, ...] = ()
    unchanged: int = 0
    priced: int = 0  # prices set
    faults: tuple[CellFault, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()  # (en, zh)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row that could be read, with the price it names."""

    row: int
    product: Product
    price_minor: int | None


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file: good rows, and every fault."""

    rows: int
    good: tuple[Row, ...]
    faults: tuple[CellFault, ...]


class _Wrong(Exception):
    def __init__(self, fault: str, /, **params: str) -> None:
        super().__init__(fault)
        self.code = fault
        self.params = params


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in YES | NO:
        raise _Wrong("YES_NO_WRONG", text=text[:20])
    return word in YES


def _tax(text: str) -> int:
    try:
        return parse_minor(text.removesuffix("%").strip() or "x")
    except Refusal:
        raise _Wrong("TAX_WRONG") from None


def _amount(code: str) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        try:
            return parse_minor(text.lstrip("¥￥")) if text else None
        except Refusal:
            raise _Wrong(code, text=text[:40]) from None

    return read


def _decimals(text: str) -> int:
    if text and (not text.isascii() or not text.isdigit() or len(text) > 1):
        raise _Wrong("DECIMALS_WRONG", most="3")
    return int(text or "2")


def _codes(text: str) -> tuple[ProductCode, ...]:
    codes = []
    for each in text.replace(";", " ").replace("|", " ").split():
        code, star, pack = each.partition("*")
        try:
            codes.append(ProductCode(code=code, pack_qty_milli=parse_milli(pack if star else "1")))
        except Refusal:
            raise _Wrong("PACK_WRONG", barcode=code[:60]) from None
    return tuple(codes)


READERS: Final[dict[str, Callable[[str], Any]]] = {
    "tax_rate": _tax,
    "decimals": _decimals,
    "weighed": _flag,
    "no_discount": _flag,
    "active": lambda text: _flag(text or "yes"),
    "floor": _amount("FLOOR_WRONG"),
    "price": _amount("PRICE_WRONG"),
    "codes": _codes,
    "unit": lambda text: UNITS_ZH.get(text, text or "pc"),
}
FIELDS: Final = {"tax_rate": "tax_rate_bp", "floor": "floor_minor"}


def _plain(cell: str) -> str:
    """A cell as it was meant: without the apostrophe that keeps spreadsheets calm."""
    text = cell.strip()
    return text[1:] if text[:1] == "'" and text.lstrip("'").startswith(FORMULA) else text


def _headings(cells: list[str]) -> tuple[list[str], list[CellFault]]:
    names, faults = [], []
    for cell in cells:
        word = cell.strip().lstrip("\ufeff").lower()
        name = ALSO.get(word, word)
        if name not in COLUMNS:
            known = ", ".join(COLUMNS)
            params = {"column": word[:40], "known": known}
            faults.append(
                CellFault(row=1, column=word[:40], code="CSV_COLUMN_UNKNOWN", params=params)
            )
        elif name in names:
            faults.append(
                CellFault(row=1, column=name, code="CSV_COLUMN_TWICE", params={"column": name})
            )
        names.append(name)
    for needed in NEEDED:
        if needed not in names:
            params = {"column": needed}
            faults.append(CellFault(row=1, column=needed, code="CSV_HEADING", params=params))
    if "name_zh" not in names and "name_en" not in names:
        params = {"column": "name_zh / name_en"}
        faults.append(CellFault(row=1, column="name_zh", code="CSV_HEADING", params=params))
    return names, faults


def _read_row(number: int, cells: dict[str, str]) -> tuple[Row | None, list[CellFault]]:
    faults: list[CellFault] = []
    values: dict[str, Any] = {}
    for column in COLUMNS:
        text = _plain(cells.get(column, ""))
        reader = READERS.get(column)
        try:
            values[FIELDS.get(column, column)] = reader(text) if reader else text
        except _Wrong as wrong:
            faults.append(
                CellFault(row=number, column=column, code=wrong.code, params=wrong.params)
            )
    price = values.pop("price", None)
    blank: dict[str, Any] = {
        "tax_rate_bp": 0,
        "decimals": 3,
    }  # what could not be read has its fault already
    product = tidy(Product(**{**blank, **values}))
    more = [msgspec.structs.replace(fault, row=number) for fault in faults_of(product)]
    faults += more
    if faults:
        return None, faults
    return Row(row=number, product=product, price_minor=price), []


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells; a delimiter of ; or tab is recognised by the first line."""
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    for cells in reader:
        yield start, cells
        start = reader.line_num + 1


def read_products(text: str) -> Read:
    """Every row of the file: good ones as products, wrong ones as faults with their columns."""
    good: list[Row] = []
    faults: list[CellFault] = []
    seen: dict[str, int] = {}
    names: list[str] = []
    count = number = 0
    try:
        for number, cells in _rows(text):
            if not names:
                names, faults = _headings(cells)
                if any(f.code != "CSV_COLUMN_UNKNOWN" for f in faults):
                    break
                continue
            if not any(cell.strip() for cell in cells):
                continue
            count += 1
            if count > ROWS_MAX:
                params = {"most": str(ROWS_MAX)}
                faults.append(CellFault(row=number, column="", code="CSV_TOO_LARGE", params=params))
                break
            _take(number, cells, names, seen, (good, faults))
    except csv.Error as fault:
        params = {"detail": str(fault)}
        faults.append(CellFault(row=number + 1, column="", code="CSV_UNREADABLE", params=params))
    if not names:
        faults.append(CellFault(row=1, column="sku", code="CSV_HEADING", params={"column": "sku"}))
    return Read(rows=count, good=tuple(good), faults=tuple(faults))


def _take(
    number: int,
    cells: list[str],
    names: list[str],
    seen: dict[str, int],
    out: tuple[list[Row], list[CellFault]],
) -> None:
    good, faults = out
    if len(cells) != len(names):
        params = {"found": str(len(cells)), "expected": str(len(names))}
        faults.append(CellFault(row=number, column="", code="CSV_CELLS", params=params))
        return
    row, wrong = _read_row(number, dict(zip(names, cells, strict=True)))
    faults += wrong
    if row is None:
        return
    first = seen.setdefault(row.product.sku, number)
    if first != number:
        params = {"sku": row.product.sku, "first": str(first)}
        faults.append(CellFault(row=number, column="sku", code="CSV_SKU_TWICE", params=params))
    else:
        good.append(row)


def _calm(value: str) -> str:
    return f"'{value}" if value.lstrip("'").startswith(FORMULA) else value


def _decimal(minor: int | None) -> str:
    return "" if minor is None else f"{minor // 100}.{minor % 100:02d}"


def _code_text(code: ProductCode) -> str:
    pack = "" if code.pack_qty_milli == 1000 else f"*{format_milli(code.pack_qty_milli)}"
    return f"{code.code}{pack}"


def write_products(products: Iterable[Product]) -> str:
    """All products as CSV with a byte-order mark, so that spreadsheets read Chinese right."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for p in products:
        cells = (
            p.sku,
            p.name_zh,
            p.name_en,
            p.group,
            _decimal(p.tax_rate_bp).removesuffix(".00"),
            p.unit,
            str(p.decimals),
            "yes" if p.weighed else "no",
            "yes" if p.no_discount else "no",
            _decimal(p.floor_minor),
            " ".join(_code_text(c) for c in p.codes),
            "yes" if p.active else "no",
            _decimal(p.price_minor),
        )
        writer.writerow([_calm(cell) for cell in cells])
    return "\ufeff" + out.getvalue()
