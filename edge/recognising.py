"""From a raw code to a basket row: what was scanned, which product it is, what it costs now."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from devices import scan as codes
from devices.note import ReceiptCode, TransferNote
from devices.scan import Gs1, Gtin, InStorePrefix, Rcn, parse_prefix
from devices.weighing import in_grams, in_unit, net_of
from edge.catalogue import Catalogue, Found, Product
from edge.node import ShopNode
from edge.till import BasketLine, BasketState, Weight, red_row
from protocol.clock import Reading
from protocol.errors import Refusal, TillmeshError, define
from protocol.events import ChainSettings
from protocol.money import half_up_ratio
from protocol.node.sqljournal import Recorded
from protocol.node.tables import READ

define(
    {
        "CODE_UNKNOWN": (
            "No product has the code “{text}”. Find it by name, or put the goods aside. "
            "Everything else was kept.",
            "没有条码为“{text}”的商品。请按名称查找或先放一边，其他商品已保留。",
        ),
        "PRODUCT_UNKNOWN": (
            "There is no product “{sku}” in this shop's list. Nothing was changed.",
            "本店商品表中没有“{sku}”。没有任何更改。",
        ),
        "PRICE_MISSING": (
            "“{text}” has no price in this shop yet. Ask head office; everything else was kept.",
            "“{text}”在本店尚无价格。请联系总部，其他商品已保留。",
        ),
        "SCAN_NOT_GOODS": (
            "“{text}” is a {what}, not goods. Everything else was kept.",
            "“{text}”是{what}，不是商品。其他商品已保留。",
        ),
        "LABEL_PRICE_ODD": (
            "The label “{text}” carries a price that no weight gives exactly. Set the scale to "
            "print weights, or key the product in.",
            "秤码“{text}”中的金额无法对应准确重量。请将秤设为打印重量，或手工录入商品。",
        ),
    }
)
PAY_CODE_EARLY: Final = "SCAN_PAY_CODE_EARLY"


class Recogniser:
    """Looks codes up. The in-store codes are the shop's own (`code_prefixes`), else the chain's."""

    def __init__(self, node: ShopNode, catalogue: Catalogue) -> None:
        self._node = node
        self._catalogue = catalogue
        self._prefixes: tuple[InStorePrefix, ...] | None = None

    def prefixes(self, connection: Connection) -> tuple[InStorePrefix, ...]:
        """The chain's in-store codes; one that cannot be read is left out."""
        known = self._prefixes
        if known is None:
            found: Sequence[str] = self._node.settings.code_prefixes
            if not found:
                text = connection.execute(select(READ["chain"].c.prefixes)).scalar()
                found = msgspec.json.decode(text, type=list[str]) if text else []
            known = tuple(p for p in map(parse_prefix, found) if p is not None)
            self._prefixes = known
        return known

    def heard(self, recorded: Sequence[Recorded]) -> None:
        """Listener of the books: the chain's settings may have changed."""
        if any(isinstance(r.body, ChainSettings) for r in recorded):
            self.look_again()

    def look_again(self) -> None:
        """Read the layouts of in-store codes again."""
        self._prefixes = None

    def meaning(self, connection: Connection, raw: str, *, tender: bool = False) -> codes.Scan:
        """What a code is on this shop's table; payment codes count on the tender screen only."""
        return codes.read(raw, prefixes=self.prefixes(connection), tender=tender)

    def row(self, connection: Connection, raw: str, reading: Reading) -> BasketLine:
        """A product row, or a red row that keeps the raw code and says why.

        A payment code is no row, whatever the catalogue lists: SCAN_PAY_CODE_EARLY.
        """
        scan = self.meaning(connection, raw)
        if isinstance(scan, codes.Unknown) and scan.code == PAY_CODE_EARLY:
            raise Refusal(scan.code, **scan.params)
        shown = raw.strip()[:80]
        found, weight_g, price_minor = self._goods(connection, scan, raw)
        if found is None:
            return red_row(shown, *_why(scan, shown))
        try:
            line = self.product_row(connection, found, reading)
        except TillmeshError as fault:
            return red_row(shown, fault.code, dict(fault.params))
        line = msgspec.structs.replace(line, code=found.code)
        if weight_g is not None:
            return _by_label(line, weight_g, shown)
        if price_minor is not None:
            return _by_price(line, price_minor, shown)
        return line

    def goods(self, connection: Connection, raw: str) -> Found | None:
        """The product behind a code, for pages that only look."""
        return self._goods(connection, self.meaning(connection, raw), raw)[0]

    def _goods(
        self, connection: Connection, scan: codes.Scan, raw: str
    ) -> tuple[Found | None, int | None, int | None]:
        """The product, the weight in grams and the price that the label carries."""
        weight = price = None
        keys: tuple[str, ...] = ()
        match scan:
            case Gtin(keys=keys):
                pass
            case Gs1(keys=keys) | Rcn(keys=keys):
                weight, price = scan.weight_g, scan.price_minor
            case codes.Unknown(code=code) if code == PAY_CODE_EARLY:
                return None, None, None
            case codes.Unknown(raw=text):
                keys = (text,)  # a product may have a code of its own that is no barcode
            case codes.Member(number=text):
                keys = (text,)
            case _:
                return None, None, None
        for key in dict.fromkeys((*keys, raw.strip())):
            found = self._catalogue.find_code(connection, key)
            if found is not None:
                return found, weight, price
        product = self._catalogue.product(connection, raw.strip())
        if product is not None and product.active:
            return Found(product, 1000, ""), weight, price
        return None, None, None

    def product_row(self, connection: Connection, found: Found, reading: Reading) -> BasketLine:
        """The row of a known product at the list price of this moment; PRICE_MISSING.

        Weighed goods come without a weight: they wait for the scale, a label or a hand.
        """
        product = found.product
        judged = self._node.judged_ms(reading)
        price = self._catalogue.price_at(connection, product.sku, judged)
        if price is None:
            raise Refusal("PRICE_MISSING", text=product.name_zh or product.sku)
        return BasketLine(
            line=0,
            code=found.code,
            sku=product.sku,
            name=product.name,
            group=product.group,
            unit=product.unit,
            decimals=product.decimals,
            qty_milli=found.pack_qty_milli,
            unit_price_minor=price.price_minor,
            price_version=price.version,
            tax_rate_bp=product.tax_rate_bp,
            weighed=product.weighed,
            weight=Weight("waits") if product.weighed else None,
            no_discount=product.no_discount,
            floor_minor=product.floor_minor,
        )

    def by_sku(self, connection: Connection, sku: str) -> Product:
        """An active product; PRODUCT_UNKNOWN."""
        product = self._catalogue.product(connection, sku)
        if product is None or not product.active:
            raise Refusal("PRODUCT_UNKNOWN", sku=sku[:60])
        return product

    def renew(self, connection: Connection, state: BasketState, reading: Reading) -> BasketState:
        """List prices looked up again; a row that has none any more keeps what it had."""
        judged = self._node.judged_ms(reading)
        lines = []
        for line in state.lines:
            price = (
                self._catalogue.price_at(connection, line.sku, judged)
                if line.kind == "product"
                else None
            )
            lines.append(
                line
                if price is None
                else msgspec.structs.replace(
                    line, unit_price_minor=price.price_minor, price_version=price.version
                )
            )
        return msgspec.structs.replace(state, lines=tuple(lines))


def _why(scan: codes.Scan, shown: str) -> tuple[str, dict[str, object]]:
    match scan:
        case codes.Unknown(code="SCAN_NOT_A_CODE"):
            return "CODE_UNKNOWN", {"text": shown}
        case codes.Unknown():
            return scan.code, scan.params
        case ReceiptCode():
            return "SCAN_NOT_GOODS", {"text": shown, "what": "receipt / 小票"}
        case TransferNote():
            return "SCAN_NOT_GOODS", {"text": shown[:20], "what": "transfer note / 调拨单"}
        case codes.Member():
            return "SCAN_NOT_GOODS", {"text": shown, "what": "member card / 会员卡"}
        case _:
            return "CODE_UNKNOWN", {"text": shown}


def _by_label(line: BasketLine, weight_g: int, shown: str) -> BasketLine:
    """A label that carries a weight, or a red row when it is none or the unit is odd."""
    try:
        qty = in_unit(net_of(weight_g, 0), line.unit)
    except Refusal as fault:
        return red_row(shown, fault.code, dict(fault.params))
    weight = Weight("label", gross_g=weight_g)
    return msgspec.structs.replace(line, qty_milli=qty, weighed=True, weight=weight)


def _by_price(line: BasketLine, price_minor: int, shown: str) -> BasketLine:
    """A label that carries a price: the weight that gives exactly this price, else a red row."""
    unit = line.unit_price_minor
    guess = half_up_ratio(price_minor * 1000, unit) if unit else 0
    for qty in (guess, guess - 1, guess + 1):
        if qty > 0 and half_up_ratio(unit * qty, 1000) == price_minor:
            weight = Weight("label", gross_g=in_grams(qty, line.unit))
            return msgspec.structs.replace(line, qty_milli=qty, weighed=True, weight=weight)
    return red_row(shown, "LABEL_PRICE_ODD", {"text": shown})
