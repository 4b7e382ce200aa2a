"""What lies in this shop and in the others, and the pages that change it."""

from typing import Final

import msgspec
from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge.neighbours import ages, figures_of
from edge.stockroom import StockPage, StockRow
from edge.web.till import boot_of
from edge.web.tongue import _
from edge.web.visitor import SIGNED_IN, needs, shop, visitor
from edge.web.words import goods_words, shared_words

stock = Blueprint("stock", __name__)

PAGE_MAX: Final = 10_000


class Elsewhere(msgspec.Struct, frozen=True):
    """What another shop has of a product."""

    store: str
    qty_milli: int
    at_ms: int


def _page_asked() -> int:
    text = request.args.get("page", "1")
    return min(max(int(text), 1), PAGE_MAX) if text.isdecimal() and len(text) < 6 else 1


def _search() -> str:
    return request.args.get("q", "").strip()[:60]


@stock.get("/home")
@needs(SIGNED_IN)
def home() -> ResponseReturnValue:
    """The manager's first page: what waits, and where to go."""
    node, who = shop(), visitor()
    incoming = node.transfers.incoming() if who.may("see_stock") else []
    return render_template(
        "home.html",
        boot=boot_of(shared_words()),
        coming=[t for t in incoming if t.state == "coming"],
        disputed=[t for t in incoming if t.state == "disputed"],
        oversold=node.stockroom.on_hand(oversold=True).total,
        payments=node.tendering.list_open(),
        trouble=[v for v in node.health.verdicts() if v.state != "ok"],
    )


@stock.get("/stock")
@needs("see_stock")
def shelf() -> ResponseReturnValue:
    """This shop's goods, with what the neighbours have of them."""
    node = shop()
    only_oversold = request.args.get("oversold") == "1"
    found = node.stockroom.on_hand(_search(), page=_page_asked(), oversold=only_oversold)
    others = _elsewhere(found)
    return render_template(
        "stock.html",
        boot=boot_of(shared_words()),
        found=found,
        search=_search(),
        oversold=only_oversold,
        others=others,
        stores=_stores(),
        said=_said(request.args.get("said", "")),
    )


def _said(what: str) -> str:
    return {
        "count": _("The count is booked."),
        "receive": _("The goods are on the shelf."),
        "scrap": _("The goods are off the shelf."),
    }.get(what, "")


def _elsewhere(page: StockPage) -> dict[str, list[Elsewhere]]:
    """Sku -> what the other shops have of it, as far as this shop knows."""
    found: dict[str, list[Elsewhere]] = {}
    with shop().books.database.reading() as connection:
        for figure in figures_of(connection, [row.sku for row in page.rows]):
            one = Elsewhere(figure.store, figure.qty_milli, figure.at_ms)
            found.setdefault(figure.sku, []).append(one)
    return found


def _stores() -> list[tuple[str, int | None]]:
    """The other shops with the age of their figures; None when nothing has come yet."""
    node = shop()
    with node.books.database.reading() as connection:
        known = ages(connection)
    return [(one.store, known.get(one.store)) for one in node.transfers.stores()]


def _row(sku: str) -> StockRow:
    row = shop().stockroom.find(sku)
    if row is None or row.sku != sku:
        abort(404)
    return row


@stock.get("/stock/<sku>")
@needs("see_stock")
def log(sku: str) -> ResponseReturnValue:
    """Every movement of a product, on a time axis, and what the neighbours have."""
    node, row = shop(), _row(sku)
    page = StockPage((row,), 1, 1, 1)
    return render_template(
        "stock_log.html",
        boot=boot_of(shared_words()),
        row=row,
        moves=node.stockroom.stock_log(sku),
        others=_elsewhere(page).get(sku, []),
    )


def _goods(kind: str) -> ResponseReturnValue:
    node = shop()
    document = node.node.new_id()
    return render_template(
        f"goods_{kind}.html",
        boot=boot_of(goods_words(), document=document, kind=kind),
        stores=node.transfers.stores() if kind == "dispatch" else [],
        opening=request.args.get("opening") == "1",
    )


@stock.get("/count")
@needs("count")
def count() -> ResponseReturnValue:
    """Correct by counting, or book the opening stock."""
    return _goods("count")


@stock.get("/receive")
@needs("receive")
def receive() -> ResponseReturnValue:
    """Goods from a supplier."""
    return _goods("receive")


@stock.get("/scrap")
@needs("scrap")
def scrap() -> ResponseReturnValue:
    """Goods to throw away."""
    return _goods("scrap")


@stock.get("/send")
@needs("transfer")
def dispatch() -> ResponseReturnValue:
    """Goods for another shop."""
    return _goods("dispatch")


@stock.get("/manager")
@needs(SIGNED_IN)
def manager() -> ResponseReturnValue:
    """An address that is easy to say."""
    return redirect(url_for("stock.home"))
