"""Goods between shops: what is under way, what came short, and closing a dispute by two persons."""

from typing import Final

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from central.transfers import Transfer
from central.web.fields import typed
from central.web.office import office, signed_in
from central.web.session import needs
from protocol.errors import Refusal, TillmeshError
from protocol.events import Moved
from protocol.quantity import parse_milli

pages = Blueprint("transfers", __name__)
VIEWS: Final = ("in_transit", "disputes", "all")


def _rows(view: str) -> list[Transfer]:
    house = office().transfers
    if view == "disputes":
        return house.disputes()
    return house.transfers() if view == "all" else house.in_transit()


def _view() -> str:
    view = request.args.get("view", VIEWS[0])
    return view if view in VIEWS else VIEWS[0]


@pages.get("/transfers")
@needs("see_chain")
def transfers() -> ResponseReturnValue:
    """In transit, disputed, or all."""
    view = _view()
    return render_template("transfers.html", view=view, rows=_rows(view))


@pages.get("/transfers/list")
@needs("see_chain")
def listing() -> ResponseReturnValue:
    """The live part."""
    view = _view()
    return render_template("parts/transfer_list.html", view=view, rows=_rows(view))


@pages.get("/transfers/<transfer>")
@needs("see_chain")
def transfer(transfer: str) -> ResponseReturnValue:
    """One transfer, line by line."""
    return render_template("transfer.html", transfer=office().transfers.transfer(transfer))


def _settled_lines(found: Transfer) -> list[Moved]:
    lines = []
    for line in found.lines:
        text = typed(f"qty-{line.sku}")
        if text and (milli := parse_milli(text)):
            lines.append(Moved(sku=line.sku, qty_milli=milli))
    if not lines:
        raise Refusal("SETTLE_NOTHING")
    return lines


@pages.post("/transfers/<transfer>/settle")
@needs("settle_dispute")
def settle(transfer: str) -> ResponseReturnValue:
    """Write off what never came; a second person vouches with his own password."""
    found = office().transfers.transfer(transfer)
    try:
        lines = _settled_lines(found)
        second = office().accounts.confirm(typed("second"), request.form.get("password", ""))
        office().transfers.settle(
            transfer,
            lines,
            reason=typed("reason"),
            person=signed_in().account,
            second=second,
        )
    except TillmeshError as fault:
        page = render_template("transfer.html", transfer=found, fault=fault, text=request.form)
        return page, 422
    flash(gettext("Written off. Both shops get the news."))
    return redirect(url_for(".transfer", transfer=transfer))
