"""Sales as they come in, the day's figures, and one sale with everything that priced it."""

from typing import Any

import msgspec
from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from central.sales import SaleDetail, SaleRow
from central.web.office import office
from central.web.session import needs

pages = Blueprint("sales", __name__)
PAGE = 50


def _before() -> tuple[int, str, str] | None:
    parts = request.args.get("before", "").split("~", 2)
    if len(parts) != 3 or not parts[0].isascii() or not parts[0].isdigit():
        return None
    return int(parts[0][:15]), parts[1], parts[2]


def _rows() -> list[SaleRow]:
    receipt = request.args.get("receipt", "").strip()
    if receipt:
        return office().sales.find_receipt(receipt)
    return office().sales.sales(
        store=request.args.get("store", ""),
        business_date=request.args.get("date", "").strip(),
        before=_before(),
        limit=PAGE + 1,
    )


@pages.get("/sales")
@needs("see_chain")
def sales() -> ResponseReturnValue:
    """The stream, filtered, with the day's figures above it."""
    rows = _rows()
    older = rows[PAGE - 1] if len(rows) > PAGE else None
    date = request.args.get("date", "").strip()
    return render_template(
        "sales.html",
        rows=rows[:PAGE],
        older=older,
        days=office().sales.days(date),
        stores=office().stores.stores(),
        date=date,
        store=request.args.get("store", ""),
        receipt=request.args.get("receipt", "").strip(),
        paging=_before() is not None,
    )


@pages.get("/sales/stream")
@needs("see_chain")
def stream() -> ResponseReturnValue:
    """The live part of the stream."""
    return render_template("parts/sales_table.html", rows=_rows()[:PAGE])


@pages.get("/sales/days")
@needs("see_chain")
def days() -> ResponseReturnValue:
    """The live part with the day's figures."""
    found = office().sales.days(request.args.get("date", "").strip())
    return render_template("parts/sales_days.html", days=found)


def _difference(detail: SaleDetail) -> dict[str, Any]:
    if not detail.difference:
        return {}
    try:
        found = msgspec.json.decode(detail.difference)
    except msgspec.DecodeError:
        return {"detail": detail.difference}
    return found if isinstance(found, dict) else {"detail": found}


def _rule_names(detail: SaleDetail) -> dict[str, str]:
    return {
        product: name.get("zh", name.get("en", product))
        for product, name in ((line.sku, line.name) for line in detail.body.lines)
    }


@pages.get("/sales/<store>/<sale>")
@needs("see_chain")
def sale(store: str, sale: str) -> ResponseReturnValue:
    """One sale."""
    detail = office().sales.sale(store, sale)
    return render_template(
        "sale.html",
        detail=detail,
        sale=detail.body,
        difference=_difference(detail),
        names=_rule_names(detail),
        stream=f"shop/{store}",
    )
