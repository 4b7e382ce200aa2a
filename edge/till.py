"""The sale in progress, pure: what lies on the counter and what one may do with it."""

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from devices.weighing import in_grams, in_unit, net_of
from protocol.errors import Refusal, define
from protocol.quantity import MILLI_MAX, check_precision

LINES_MAX: Final = 500
TAKEN_MAX: Final = 64
CODE_MAX: Final = 120  # of a raw code that is kept in a red row

define(
    {
        "BASKET_FULL": (
            "This sale already has {limit} lines. The last scan was not added. Take payment for "
            "these, then start the next sale.",
            "本单已有 {limit} 行，最后一次扫码未加入。请先结账，再开新单。",
        ),
        "LINE_UNKNOWN": (
            "Line {line} is no longer in this sale. Nothing was changed.",
            "第 {line} 行已不在本单中。没有任何更改。",
        ),
        "WEIGHING_GONE": (
            "These goods are weighed already or were taken out. Nothing was changed.",
            "该商品已称重或已移除。没有任何更改。",
        ),
        "QUANTITY_NOTHING": (
            "A quantity must be above 0. To take the line out, void it.",
            "数量必须大于 0。如需删除该行，请使用“删行”。",
        ),
        "LINE_NOT_COUNTABLE": (
            "Line {line} has an unknown code, so it has no quantity. Remove it or find the "
            "product by name.",
            "第 {line} 行条码未知，不能改数量。请移除该行或按名称查找商品。",
        ),
    }
)


class Weight(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a weighed row got its quantity; `waits`: it has none yet."""

    by: Literal["waits", "scale", "label", "manual"]
    gross_g: int = 0
    tare_g: int = 0


class BasketLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row. `line` never changes and is never used again in the same sale.

    An unknown code is a row too: it keeps the raw code and its reason, and blocks payment.
    """

    line: int
    kind: Literal["product", "unknown"] = "product"
    code: str = ""  # as scanned or typed; empty when picked from a list
    sku: str = ""
    name: dict[str, str] = {}
    group: str | None = None
    unit: str = "pc"
    decimals: int = 2
    qty_milli: int = 1000
    unit_price_minor: int = 0
    price_version: str = ""
    tax_rate_bp: int = 0
    weighed: bool = False
    weight: Weight | None = None
    no_discount: bool = False
    floor_minor: int | None = None
    reason: str = ""  # of an unknown row: stable code
    reason_params: dict[str, str] = {}


class BasketState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of it. `sale` is the id that the sale will have; `next_line` numbers the next row."""

    sale: str
    lines: tuple[BasketLine, ...] = ()
    to_weigh: tuple[BasketLine, ...] = ()  # named, not weighed yet: no rows, but they block payment
    next_line: int = 1
    shown_line: int = 0  # the row that changed last
    taken: tuple[str, ...] = ()  # ids of the newest scans: asked again, they are not doubled


def line_of(state: BasketState, line: int) -> BasketLine:
    """One row; LINE_UNKNOWN when it is not there (any more)."""
    for one in state.lines:
        if one.line == line:
            return one
    raise Refusal("LINE_UNKNOWN", line=line)


def _demand_room(state: BasketState) -> None:
    if len(state.lines) + len(state.to_weigh) >= LINES_MAX:
        raise Refusal("BASKET_FULL", limit=LINES_MAX)


def _with(state: BasketState, lines: tuple[BasketLine, ...], shown: int) -> BasketState:
    return msgspec.structs.replace(state, lines=lines, shown_line=shown)


def _joins(last: BasketLine, new: BasketLine) -> bool:
    """Two scans in a row of one product at one price are one row with a larger quantity."""
    return (
        last.kind == new.kind == "product"
        and not new.weighed
        and (last.sku, last.code, last.price_version) == (new.sku, new.code, new.price_version)
        and last.unit_price_minor == new.unit_price_minor
    )


def add(state: BasketState, new: BasketLine) -> BasketState:
    """Put a product or a red row at the end; `new.line` is given here.

    Goods without their weight wait beside the rows until they are weighed.
    """
    if state.lines and _joins(state.lines[-1], new):
        last = state.lines[-1]
        qty = _bounded(last.qty_milli + new.qty_milli)
        grown = msgspec.structs.replace(last, qty_milli=qty)
        return _with(state, (*state.lines[:-1], grown), last.line)
    _demand_room(state)
    placed = msgspec.structs.replace(
        new, line=state.next_line, qty_milli=_bounded(new.qty_milli), code=new.code[:CODE_MAX]
    )
    if placed.weight is not None and placed.weight.by == "waits":
        grown_state = msgspec.structs.replace(state, to_weigh=(*state.to_weigh, placed))
    else:
        grown_state = _with(state, (*state.lines, placed), placed.line)
    return msgspec.structs.replace(grown_state, next_line=state.next_line + 1)


def waiting(state: BasketState, line: int) -> BasketLine:
    """One of the goods that are to be weighed; WEIGHING_GONE when it is not there (any more)."""
    for one in state.to_weigh:
        if one.line == line:
            return one
    raise Refusal("WEIGHING_GONE")


def set_tare(state: BasketState, line: int, tare_g: int) -> BasketState:
    """What of the weight is the bag or the bowl."""
    found = waiting(state, line)
    weight = Weight("waits", tare_g=tare_g)
    changed = msgspec.structs.replace(found, weight=weight)
    rest = tuple(changed if x.line == line else x for x in state.to_weigh)
    return msgspec.structs.replace(state, to_weigh=rest)


def weighed(state: BasketState, line: int, weight: Weight) -> BasketState:
    """The goods become a row with what the weight leaves after the tare."""
    found = waiting(state, line)
    net = in_unit(net_of(weight.gross_g, weight.tare_g), found.unit)
    return _placed(state, msgspec.structs.replace(found, weight=weight, qty_milli=_bounded(net)))


def weighed_by_hand(state: BasketState, line: int, qty_milli: int) -> BasketState:
    """The goods become a row with the net weight that a person typed."""
    return _placed(state, by_hand(waiting(state, line), qty_milli))


def _placed(state: BasketState, row: BasketLine) -> BasketState:
    rest = msgspec.structs.replace(state, to_weigh=_without(state, row.line))
    return _with(rest, (*state.lines, row), row.line)


def not_weighed(state: BasketState, line: int) -> BasketState:
    """The goods are put aside without a weight."""
    waiting(state, line)
    return msgspec.structs.replace(state, to_weigh=_without(state, line))


def _without(state: BasketState, line: int) -> tuple[BasketLine, ...]:
    return tuple(x for x in state.to_weigh if x.line != line)


def once(
    state: BasketState, scan_id: str, step: Callable[[BasketState], BasketState]
) -> BasketState:
    """Do a step under its id; the same id again changes nothing, even after a power cut."""
    if not scan_id:
        return step(state)
    if scan_id in state.taken:
        return state
    return msgspec.structs.replace(step(state), taken=(*state.taken, scan_id)[-TAKEN_MAX:])


def times(row: BasketLine, qty_milli: int | None) -> BasketLine:
    """So many of what one scan stands for (a case of 12 scanned as `3*` is 36)."""
    if qty_milli is None or row.kind == "unknown":
        return row
    if row.weight is not None and row.weight.by == "waits":
        return by_hand(row, qty_milli)
    qty = check_precision(row.qty_milli * qty_milli // 1000, decimals=row.decimals)
    return msgspec.structs.replace(row, qty_milli=qty)


def by_hand(row: BasketLine, qty_milli: int) -> BasketLine:
    """A weight that a person typed, and marked as such."""
    qty = check_precision(_bounded(qty_milli), decimals=row.decimals)
    weight = Weight("manual", gross_g=in_grams(qty, row.unit))
    return msgspec.structs.replace(row, qty_milli=qty, weight=weight)


def _bounded(qty_milli: int) -> int:
    if qty_milli <= 0:
        raise Refusal("QUANTITY_NOTHING")
    if qty_milli > MILLI_MAX:
        raise Refusal("QUANTITY_TOO_LARGE", text=str(qty_milli // 1000))
    return qty_milli


def set_quantity(state: BasketState, line: int, qty_milli: int) -> BasketState:
    """Another quantity, exact in the product's precision."""
    found = line_of(state, line)
    if found.kind == "unknown":
        raise Refusal("LINE_NOT_COUNTABLE", line=line)
    check_precision(_bounded(qty_milli), decimals=found.decimals)
    changed = msgspec.structs.replace(found, qty_milli=qty_milli)
    if found.weight is not None:
        changed = by_hand(found, qty_milli)
    return _with(state, tuple(changed if x.line == line else x for x in state.lines), line)


def void_line(state: BasketState, line: int) -> BasketState:
    """Take a row out; its number is not used again."""
    line_of(state, line)
    return _with(state, tuple(x for x in state.lines if x.line != line), 0)


def products(state: BasketState) -> tuple[BasketLine, ...]:
    """The rows that can be sold, in order."""
    return tuple(x for x in state.lines if x.kind == "product")


def unknown(state: BasketState) -> tuple[BasketLine, ...]:
    """The red rows."""
    return tuple(x for x in state.lines if x.kind == "unknown")


def red_row(code: str, reason: str, params: dict[str, Any]) -> BasketLine:
    """The row of a code that stands for nothing: nothing scanned is ever lost."""
    texts = {name: str(value)[:CODE_MAX] for name, value in params.items()}
    return BasketLine(line=0, kind="unknown", code=code, reason=reason, reason_params=texts)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(BasketState).decode


def dump(state: BasketState) -> bytes:
    """The bytes of the work table."""
    return _encode(state)


def read(data: bytes) -> BasketState:
    """Back from the work table."""
    return _decode(data)
