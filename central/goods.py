"""What a product must be: every rule in one table, every fault with its column."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from stdnum import ean

from protocol.errors import Refusal, define, sentence
from protocol.events import ProductCode, ProductListed
from protocol.ids import check_id
from protocol.money import MINOR_MAX
from protocol.quantity import DECIMALS_MAX, MILLI_MAX, check_precision

UNITS: Final = ("pc", "kg", "m", "l")
NAME_MAX: Final = 100
CODES_MAX: Final = 50
CODE_LENGTH_MAX: Final = 48
GTIN_LENGTHS: Final = {8, 12, 13, 14}
TAX_BP_MAX: Final = 10_000

define(
    {
        "HQ_PRODUCT_UNKNOWN": ("There is no product {sku}.", "没有商品 {sku}。"),
        "GROUP_UNKNOWN": (
            "There is no promotion group “{group}”. A product needs an existing group, or no "
            "promotion would ever reach it: define the group first.",
            "没有促销组“{group}”。商品必须属于已有的促销组，否则任何促销都不会生效：请先定义该组。",
        ),
        "NAME_TOO_LONG": (
            "A name has 1 to {most} characters and no line breaks; it stands on the receipt.",
            "名称须为 1 到 {most} 个字符且不含换行，它会印在小票上。",
        ),
        "TAX_WRONG": (
            "A tax rate lies between 0 and 100 percent, like 13 or 9.5.",
            "税率须在 0 到 100 之间，例如 13 或 9.5。",
        ),
        "DECIMALS_WRONG": (
            "A quantity may have 0 to {most} decimals.",
            "数量的小数位须为 0 到 {most} 位。",
        ),
        "UNIT_WRONG": (
            "“{unit}” is not a unit. Choose one of: {units}.",
            "“{unit}”不是单位。请选择：{units}。",
        ),
        "FLOOR_WRONG": (
            "The lowest price cannot be “{text}”. Type an amount like 12.50, or leave it empty.",
            "最低价不能是“{text}”。请输入如 12.50 的金额，或留空。",
        ),
        "CODE_WRONG": (
            "“{barcode}” cannot be a barcode: letters, digits and - . / only, {most} at most.",
            "“{barcode}”不能作为条码：只能用字母、数字和 - . /，最多 {most} 个字符。",
        ),
        "GTIN_WRONG": (
            "The barcode {barcode} has a wrong check digit. Compare it with the package.",
            "条码 {barcode} 的校验码错误。请与包装核对。",
        ),
        "CODE_TWICE": (
            "The barcode {barcode} stands twice in this list.",
            "条码 {barcode} 在列表中出现了两次。",
        ),
        "CODES_TOO_MANY": (
            "A product has at most {most} barcodes.",
            "一个商品最多有 {most} 个条码。",
        ),
        "CODE_TAKEN": (
            "The barcode {barcode} belongs to {sku} ({name}) already. Take it away there first.",
            "条码 {barcode} 已属于 {sku}（{name}）。请先在该商品中删除。",
        ),
        "PACK_WRONG": (
            "The pack quantity of {barcode} must be above zero and fit the product's decimals.",
            "条码 {barcode} 的包装数量须大于零，且符合商品的小数位。",
        ),
    }
)


class CellFault(msgspec.Struct, frozen=True, kw_only=True):
    """One wrong cell. `row` counts lines of a file from 1 (the heading is 1); 0 = a form."""

    row: int = 0
    column: str
    code: str
    params: dict[str, str] = {}

    def sentence(self, language: str) -> str:
        """What is wrong and what is expected."""
        return sentence(self.code, self.params, language)


class ProductFaults(Refusal):
    """All that is wrong with one product; the sentence is that of the first fault."""

    def __init__(self, faults: tuple[CellFault, ...]) -> None:
        super().__init__(faults[0].code, **faults[0].params)
        self.faults = faults


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """A product as it is now; `price_minor` is the chain's price in force, None when unpriced."""

    sku: str
    name_zh: str
    name_en: str
    group: str
    tax_rate_bp: int
    decimals: int = 2
    unit: str = "pc"
    weighed: bool = False
    no_discount: bool = False
    floor_minor: int | None = None
    codes: tuple[ProductCode, ...] = ()
    active: bool = True
    price_minor: int | None = None

    def title(self, language: str) -> str:
        """The name in this language."""
        return self.name_zh if language.startswith("zh") else self.name_en


def tidy(product: Product) -> Product:
    """Spaces trimmed, the missing language filled in, codes in one order."""
    zh, en = " ".join(product.name_zh.split()), " ".join(product.name_en.split())
    codes = tuple(
        sorted(
            (msgspec.structs.replace(c, code=c.code.strip()) for c in product.codes),
            key=lambda c: c.code,
        )
    )
    return msgspec.structs.replace(
        product,
        sku=product.sku.strip(),
        name_zh=zh or en,
        name_en=en or zh,
        group=product.group.strip(),
        codes=codes,
    )


Faults = Iterable[CellFault]


def _sku(p: Product) -> Faults:
    try:
        check_id(p.sku, "SKU")
    except Refusal as fault:
        yield CellFault(column="sku", code=fault.code, params={"text": p.sku[:60], "kind": "SKU"})


def _names(p: Product) -> Faults:
    for column, name in (("name_zh", p.name_zh), ("name_en", p.name_en)):
        if not name or len(name) > NAME_MAX or not name.isprintable():
            yield CellFault(column=column, code="NAME_TOO_LONG", params={"most": str(NAME_MAX)})


def _figures(p: Product) -> Faults:
    if not 0 <= p.tax_rate_bp <= TAX_BP_MAX:
        yield CellFault(column="tax_rate", code="TAX_WRONG")
    if not 0 <= p.decimals <= DECIMALS_MAX:
        yield CellFault(
            column="decimals", code="DECIMALS_WRONG", params={"most": str(DECIMALS_MAX)}
        )
    if p.floor_minor is not None and not 0 <= p.floor_minor <= MINOR_MAX:
        yield CellFault(column="floor", code="FLOOR_WRONG", params={"text": str(p.floor_minor)})
    if p.unit not in UNITS:
        yield CellFault(
            column="unit",
            code="UNIT_WRONG",
            params={"unit": p.unit[:20], "units": ", ".join(UNITS)},
        )


def _code_shape(code: str) -> str:
    """The fault's code, or ""."""
    plain = code.replace("-", "").replace(".", "").replace("/", "")
    if not plain.isascii() or not plain.isalnum() or len(code) > CODE_LENGTH_MAX:
        return "CODE_WRONG"
    if code.isdigit() and len(code) in GTIN_LENGTHS and not ean.is_valid(code):
        return "GTIN_WRONG"
    return ""


def _codes(p: Product) -> Faults:
    seen: set[str] = set()
    if len(p.codes) > CODES_MAX:
        yield CellFault(column="codes", code="CODES_TOO_MANY", params={"most": str(CODES_MAX)})
    for each in p.codes:
        params = {"barcode": each.code[:60], "most": str(CODE_LENGTH_MAX)}
        wrong = "CODE_TWICE" if each.code in seen else _code_shape(each.code)
        seen.add(each.code)
        if not wrong and not _pack_fits(each.pack_qty_milli, p.decimals):
            wrong = "PACK_WRONG"
        if wrong:
            yield CellFault(column="codes", code=wrong, params=params)


def _pack_fits(milli: int, decimals: int) -> bool:
    try:
        check_precision(milli, decimals=min(max(decimals, 0), DECIMALS_MAX))
    except Refusal:
        return False
    return 0 < milli <= MILLI_MAX


CHECKS: Final[tuple[Callable[[Product], Faults], ...]] = (_sku, _names, _figures, _codes)


def faults_of(product: Product) -> list[CellFault]:
    """Everything that is wrong with the product itself."""
    return [fault for check in CHECKS for fault in check(product)]


def said_of(product: Product) -> ProductListed:
    """The product as an event."""
    return ProductListed(
        sku=product.sku,
        name={"zh": product.name_zh, "en": product.name_en},
        group=product.group,
        tax_rate_bp=product.tax_rate_bp,
        decimals=product.decimals,
        unit=product.unit,
        weighed=product.weighed,
        no_discount=product.no_discount,
        floor_minor=product.floor_minor,
        codes=product.codes,
        active=product.active,
    )
