"""Products and promotion groups."""

from typing import Final

import msgspec
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from central.catalogue import Product
from central.web.fields import optional_amount, percent_bp, typed
from central.web.language import pair
from central.web.office import me, office
from central.web.session import needs
from protocol.errors import Refusal, TillmeshError, define
from protocol.events import ProductCode
from protocol.quantity import MILLI, parse_milli

pages = Blueprint("catalogue", __name__)
UNITS: Final = ("pc", "kg", "g", "l", "m", "box")
BLANK: Final = Product(
    sku="", name_zh="", name_en="", group="", tax_rate_bp=1300, decimals=0, active=True
)

define(
    {
        "GROUP_MISSING": (
            "Choose a promotion group. Without one, promotions pass the product by and nobody "
            "notices. Nothing was saved.",
            "请选择促销组。没有促销组的商品会被所有促销漏掉，且无人察觉。尚未保存。",
        ),
    }
)


@pages.get("/products")
@needs("see_chain")
def products() -> ResponseReturnValue:
    """The list."""
    search = request.args.get("search", "").strip()
    page = office().catalogue.products(search, max(1, request.args.get("page", 1, int)))
    return render_template("products.html", page=page, search=search)


def _form_page(
    product: Product, *, new: bool, fault: TillmeshError | None = None
) -> ResponseReturnValue:
    house = office()
    text = dict(request.form) if fault else {}
    pairs = _code_pairs() if fault else [(c.code, c.pack_qty_milli) for c in product.codes]
    page = render_template(
        "product.html",
        product=product,
        new=new,
        fault=fault,
        text=text,
        codes=pairs,
        units=UNITS,
        groups=house.catalogue.groups(),
        row=None if new else house.stock.row(product.sku),
        prices=[] if new else house.catalogue.prices(product.sku),
        stores={s.store: s for s in house.stores.stores()},
    )
    return page, (422 if fault else 200)


def _code_pairs() -> list[tuple[str, str]]:
    codes = request.form.getlist("code")
    packs = request.form.getlist("pack")
    packs += ["1"] * (len(codes) - len(packs))
    return [(c.strip(), p.strip() or "1") for c, p in zip(codes, packs, strict=False) if c.strip()]


def _read_codes() -> tuple[ProductCode, ...]:
    return tuple(
        ProductCode(code=code, pack_qty_milli=parse_milli(pack) or MILLI)
        for code, pack in _code_pairs()
    )


def _read_product(sku: str) -> Product:
    group = typed("group")
    if not group:
        raise Refusal("GROUP_MISSING")
    name_zh, name_en = typed("name_zh"), typed("name_en")
    return Product(
        sku=sku,
        name_zh=name_zh or name_en,
        name_en=name_en or name_zh,
        group=group,
        tax_rate_bp=percent_bp(typed("tax_rate")),
        decimals=request.form.get("decimals", 2, int),
        unit=typed("unit") or "pc",
        weighed="weighed" in request.form,
        no_discount="no_discount" in request.form,
        floor_minor=optional_amount(typed("floor")),
        codes=_read_codes(),
        active="active" in request.form,
    )


def _save(sku: str) -> None:
    read, price = _read_product(sku), optional_amount(typed("price"))  # both before either is said
    listed = office().catalogue.list_product(read, by=me())
    priced = price is not None and price != listed.product.price_minor
    if price is not None and priced:
        office().catalogue.set_price(sku, price, by=me())
    if listed.changed or priced:
        flash(gettext("Saved. The shops get it with the next batch."))
    else:
        flash(gettext("Nothing was different, so nothing was sent."))
    for warning in listed.warnings:
        flash(pair(warning), "warn")


@pages.get("/products/new")
@needs("list_product")
def new_product() -> ResponseReturnValue:
    """An empty form."""
    return _form_page(BLANK, new=True)


@pages.post("/products/new")
@needs("list_product")
def add_product() -> ResponseReturnValue:
    """List a new product."""
    sku = typed("sku")
    try:
        _save(sku)
    except TillmeshError as fault:
        return _form_page(msgspec.structs.replace(BLANK, sku=sku), new=True, fault=fault)
    return redirect(url_for(".product", sku=sku))


@pages.get("/products/<sku>")
@needs("see_chain")
def product(sku: str) -> ResponseReturnValue:
    """One product with its form, prices and stock."""
    return _form_page(office().catalogue.product(sku), new=False)


@pages.post("/products/<sku>")
@needs("list_product")
def change_product(sku: str) -> ResponseReturnValue:
    """Save the form."""
    before = office().catalogue.product(sku)
    try:
        _save(sku)
    except TillmeshError as fault:
        return _form_page(before, new=False, fault=fault)
    return redirect(url_for(".product", sku=sku))


@pages.get("/groups")
@needs("see_chain")
def groups() -> ResponseReturnValue:
    """Promotion groups."""
    return render_template("groups.html", groups=office().catalogue.groups(), nav_mark="groups")


@pages.post("/groups")
@needs("list_product")
def save_group() -> ResponseReturnValue:
    """Define or rename a group."""
    zh, en = typed("name_zh"), typed("name_en")
    try:
        office().catalogue.define_group(typed("group"), zh=zh or en, en=en or zh, by=me())
    except TillmeshError as fault:
        known = office().catalogue.groups()
        page = render_template(
            "groups.html", groups=known, fault=fault, text=request.form, nav_mark="groups"
        )
        return page, 422
    flash(gettext("Saved. The shops get it with the next batch."))
    return redirect(url_for(".groups"))
