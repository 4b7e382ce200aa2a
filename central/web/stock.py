"""Stock: which shop has what, as of when; one product's places and movements."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from central.web.chain import shops
from central.web.office import office
from central.web.session import needs

pages = Blueprint("stock", __name__)


def _matrix() -> dict[str, object]:
    house = office()
    search, store = request.args.get("search", "").strip(), request.args.get("store", "")
    number = max(1, request.args.get("page", 1, int))
    return {
        "page": house.stock.stock(search, number, store=store),
        "as_of": house.stock.as_of(),
        "shops": [s for s in shops() if not store or s.store.store == store],
        "search": search,
        "store": store,
    }


@pages.get("/stock")
@needs("see_stock")
def stock() -> ResponseReturnValue:
    """The matrix."""
    return render_template("stock.html", all_stores=office().stores.stores(), **_matrix())


@pages.get("/stock/matrix")
@needs("see_stock")
def matrix() -> ResponseReturnValue:
    """The live part."""
    return render_template("parts/stock_matrix.html", **_matrix())


def _one(sku: str) -> dict[str, object]:
    house = office()
    return {
        "row": house.stock.row(sku),
        "product": house.catalogue.product(sku),
        "places": house.stock.places(sku),
        "movements": house.stock.movements(sku),
    }


@pages.get("/stock/<sku>")
@needs("see_stock")
def one(sku: str) -> ResponseReturnValue:
    """One product: where it is and how it came there."""
    return render_template("stock_product.html", **_one(sku))


@pages.get("/stock/<sku>/live")
@needs("see_stock")
def one_live(sku: str) -> ResponseReturnValue:
    """The live part of one product."""
    return render_template("parts/stock_product.html", **_one(sku))
