"""List prices: the chain's, a zone's, from when on, and what they were."""

import msgspec
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from central.catalogue import Price, Product
from central.web.fields import amount, typed
from central.web.language import instant_of
from central.web.office import me, now_ms, office
from central.web.pricelog import changes
from central.web.session import needs
from protocol.errors import Refusal, TillmeshError

pages = Blueprint("prices", __name__)


class Row(msgspec.Struct, frozen=True):
    """One product: zone -> price in force ("" is the chain), and the next change."""

    product: Product
    zones: dict[str, Price]
    coming: Price | None


def _row(product: Product) -> Row:
    known = office().catalogue.prices(product.sku)
    coming = [p for p in known if p.effective_from_ms > now_ms()]
    return Row(
        product,
        {p.zone: p for p in known if p.in_force},
        min(coming, key=lambda p: p.effective_from_ms, default=None),
    )


@pages.get("/prices")
@needs("see_chain")
def prices() -> ResponseReturnValue:
    """All products with their prices in force, zone by zone."""
    search = request.args.get("search", "").strip()
    found = office().catalogue.products(
        search, max(1, request.args.get("page", 1, int)), inactive=False
    )
    rows = [_row(product) for product in found.rows]
    return render_template(
        "prices.html", page=found, rows=rows, zones=office().catalogue.zones(), search=search
    )


def _price_page(sku: str, fault: TillmeshError | None = None) -> ResponseReturnValue:
    house = office()
    page = render_template(
        "price.html",
        product=house.catalogue.product(sku),
        prices=house.catalogue.prices(sku),
        changes=changes(sku),
        zone_options=[
            ("", gettext("The whole chain")),
            *((zone, gettext("Zone %(zone)s", zone=zone)) for zone in house.catalogue.zones()),
        ],
        text=request.form,
        fault=fault,
    )
    return page, (422 if fault else 200)


@pages.get("/prices/<sku>")
@needs("see_chain")
def price(sku: str) -> ResponseReturnValue:
    """One product: every price it ever had, and a form for the next."""
    return _price_page(sku)


@pages.post("/prices/<sku>")
@needs("set_price")
def set_price(sku: str) -> ResponseReturnValue:
    """Set a price for the chain or one zone, now or later."""
    try:
        wished = typed("from")
        at = instant_of(wished)
        if wished and at is None:
            raise Refusal("MOMENT_WRONG", text=wished[:40])
        office().catalogue.set_price(
            sku,
            amount(typed("price")),
            by=me(),
            zone=typed("zone") or None,
            effective_from_ms=at,
        )
    except TillmeshError as fault:
        return _price_page(sku, fault)
    flash(gettext("The price is set. Each shop acts on it as soon as it has it."))
    return redirect(url_for(".price", sku=sku))
