"""The two inputs of a price: what lies on the counter, and in which circumstances.

Both are plain structs, written into sale events as JSON and read back years later for a re-run.
`read_basket` and `read_context` take the documents of the JSON Lines interface and refuse, with
every fault, what cannot be a basket; `price` itself accepts any struct and never raises.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from promotions.figures import FIGURE_MAX, milli, whole
from protocol.errors import Refusal, define

BUDGET_DEFAULT: Final = 60_000  # states expanded; calibrated to stay about 20 ms
LINES_MAX: Final = 5_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

define(
    {
        "BASKET_UNREADABLE": (
            "The basket cannot be read: {path} is {found}, expected {expected}.",
            "无法读取购物篮：{path} 为 {found}，应为{expected}。",
        ),
    }
)


class BasketLine(msgspec.Struct, frozen=True):
    """One row of the basket; `qty_milli` is in thousandths of a piece or kilogram."""

    sku: str
    group: str | None = None
    unit_price_minor: int = 0
    qty_milli: int = 1000
    weighed: bool = False
    no_discount: bool = False
    is_return: bool = False
    floor_minor: int | None = None


class Context(msgspec.Struct, frozen=True):
    """Where, when, for whom and by which means; nothing here is looked up by the engine."""

    currency: str = "CNY"
    store_tz: str = "UTC"
    channel: str = "pos"
    resolution: str = "best"
    time_ms: int | None = None
    clock_state: str = "trusted"
    uncertainty_ms: int = 0
    cache_version: int | None = None
    store: str | None = None
    price_zone: str | None = None
    member: str | None = None
    tender: str | None = None
    coupons: dict[str, str] = {}
    budget: int = BUDGET_DEFAULT

    @property
    def clock_trusted(self) -> bool:
        """Untrusted by name, or one of the judge's two states that must not decide."""
        return self.clock_state not in {"untrusted", "behind", "unknown"}


def _refuse(path: str, found: object, expected: str) -> Refusal:
    return Refusal("BASKET_UNREADABLE", path=path, found=repr(found)[:60], expected=expected)


def _text(document: dict[str, Any], key: str, path: str) -> str | None:
    found = document.get(key)
    if found is None:
        return None
    if not isinstance(found, str) or len(found) > 200:
        raise _refuse(f"{path}.{key}", found, "a text")
    return found


def _figure(found: object, path: str, low: int = 0) -> int:
    value = whole(found)
    if value is None or not low <= value <= FIGURE_MAX:
        raise _refuse(path, found, "a whole number of minor units")
    return value


def _flag(document: dict[str, Any], key: str, path: str) -> bool:
    found = document.get(key)
    if found is None:
        return False
    if not isinstance(found, bool):
        raise _refuse(f"{path}.{key}", found, "true or false")
    return found


def read_line(document: object, path: str) -> BasketLine:
    """One basket line of a request."""
    if not isinstance(document, dict):
        raise _refuse(path, document, "an object")
    sku = _text(document, "sku", path)
    if not sku:
        raise _refuse(f"{path}.sku", sku, "a text")
    is_return = _flag(document, "is_return", path)
    qty = milli(document.get("qty", 1))
    if qty is not None and is_return:
        qty = abs(qty)
    if qty is None or not 0 < qty <= FIGURE_MAX:
        raise _refuse(
            f"{path}.qty", document.get("qty"), "a positive quantity with at most 3 decimals"
        )
    floor = document.get("floor_minor")
    price = document.get("unit_price_minor")
    return BasketLine(
        sku=sku,
        group=_text(document, "group", path),
        unit_price_minor=_figure(price, f"{path}.unit_price_minor"),
        qty_milli=qty,
        weighed=_flag(document, "weighed", path),
        no_discount=_flag(document, "no_discount", path),
        is_return=is_return,
        floor_minor=None if floor is None else _figure(floor, f"{path}.floor_minor"),
    )


def read_basket(document: object) -> list[BasketLine]:
    """The basket of a request."""
    if not isinstance(document, list):
        raise _refuse("basket", document, "a list of lines")
    if len(document) > LINES_MAX:
        raise _refuse("basket", len(document), f"at most {LINES_MAX} lines")
    return [read_line(line, f"basket[{i}]") for i, line in enumerate(document)]


def read_time(found: object) -> int:
    """ISO 8601 with Z or an offset, as UTC milliseconds (finer digits are cut)."""
    try:
        at = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise _refuse("context.time", found, "an instant like 2026-01-17T14:30:00Z")
    return (at - EPOCH) // timedelta(milliseconds=1)


def _coupons(found: object) -> dict[str, str]:
    if found is None:
        return {}
    if isinstance(found, list):
        found = dict.fromkeys((c for c in found if isinstance(c, str)), "ok")
    if not isinstance(found, dict) or not all(isinstance(s, str) for s in found.values()):
        raise _refuse("context.coupons", found, "{code: ok, used or expired} or a list of codes")
    return dict(found)


def _clock(found: object) -> tuple[str, int]:
    if found is None:
        return "trusted", 0
    if not isinstance(found, dict):
        raise _refuse("context.clock", found, "{state, uncertainty_ms}")
    state = _text(found, "state", "context.clock") or "trusted"
    return state.lower(), _figure(found.get("uncertainty_ms") or 0, "context.clock.uncertainty_ms")


def _optional_whole(document: dict[str, Any], key: str) -> int | None:
    found = document.get(key)
    return None if found is None else _figure(found, f"context.{key}", -FIGURE_MAX)


def read_context(document: object) -> Context:
    """The context of a request; unknown fields are ignored, absent ones take their default."""
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise _refuse("context", document, "an object")
    state, uncertainty = _clock(document.get("clock"))
    resolution = _text(document, "resolution", "context") or "best"
    if resolution not in {"best", "priority"}:
        raise _refuse("context.resolution", resolution, "best or priority")
    budget = _optional_whole(document, "budget")
    return Context(
        currency=_text(document, "currency", "context") or "CNY",
        store_tz=_text(document, "store_tz", "context") or "UTC",
        channel=_text(document, "channel", "context") or "pos",
        resolution=resolution,
        time_ms=None if document.get("time") is None else read_time(document["time"]),
        clock_state=state,
        uncertainty_ms=uncertainty,
        cache_version=_optional_whole(document, "cache_version"),
        store=_text(document, "store", "context"),
        price_zone=_text(document, "price_zone", "context"),
        member=_text(document, "member", "context"),
        tender=_text(document, "tender", "context"),
        coupons=_coupons(document.get("coupons")),
        budget=BUDGET_DEFAULT if budget is None else max(0, budget),
    )
