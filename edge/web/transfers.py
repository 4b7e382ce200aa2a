"""Goods between shops: the note, what is coming, what is in transit, what is disputed."""

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge.transfers import TransferView
from edge.web.till import boot_of
from edge.web.visitor import needs, shop, visitor
from edge.web.words import goods_words, shared_words
from protocol.errors import TillmeshError

transfers = Blueprint("transfers", __name__, url_prefix="/transfers")


def _found(transfer: str) -> TransferView:
    found = shop().transfers.transfer(transfer[:40])
    if found is None:
        abort(404)
    return found


@transfers.get("")
@needs("see_stock")
def overview() -> ResponseReturnValue:
    """Both directions, with what remains in transit."""
    node = shop()
    return render_template(
        "transfers.html",
        boot=boot_of(shared_words()),
        incoming=node.transfers.incoming(),
        outgoing=node.transfers.outgoing(),
    )


@transfers.get("/by-note")
@needs("transfer")
def by_note() -> ResponseReturnValue:
    """Receive against the QR of a note, when the van was faster than the news."""
    node = shop()
    return render_template(
        "transfer_receive.html",
        boot=boot_of(
            goods_words(), receipt=node.node.new_id(), kind="arrive", lines=[], transfer=""
        ),
        found=None,
    )


@transfers.get("/<transfer>")
@needs("see_stock")
def show(transfer: str) -> ResponseReturnValue:
    """One transfer with its lines."""
    return render_template(
        "transfer.html",
        boot=boot_of(shared_words()),
        found=_found(transfer),
        here=shop().settings.store,
        printed="printed" in request.args,
    )


@transfers.get("/<transfer>/receive")
@needs("transfer")
def receive(transfer: str) -> ResponseReturnValue:
    """Book what arrived, line by line or by scanning."""
    node, found = shop(), _found(transfer)
    if found.to_store != node.settings.store:
        return redirect(url_for("transfers.show", transfer=transfer))
    lines = [
        {
            "sku": x.sku,
            "zh": x.zh,
            "en": x.en,
            "unit": x.unit,
            "decimals": x.decimals,
            "sent_milli": x.remaining_milli,
        }
        for x in found.lines
        if x.remaining_milli > 0
    ]
    boot = boot_of(
        goods_words(),
        receipt=node.node.new_id(),
        kind="arrive",
        lines=lines,
        transfer=found.transfer,
    )
    return render_template("transfer_receive.html", boot=boot, found=found)


@transfers.get("/<transfer>/note")
@needs("transfer")
def note(transfer: str) -> ResponseReturnValue:
    """The note that travels with the goods, with its QR."""
    found = _found(transfer)
    return render_template(
        "note.html",
        boot=boot_of(shared_words()),
        found=found,
        text=shop().transfers.note_text(found.transfer),
        said="said" in request.args,
        fault=None,
    )


@transfers.post("/<transfer>/note")
@needs("transfer")
def print_note(transfer: str) -> ResponseReturnValue:
    """Print the note on the receipt printer of a till."""
    node, found = shop(), _found(transfer)
    till = request.form.get("till", "")[:40] or visitor().till
    try:
        node.transfers.print_note(found.transfer, till=till, person=visitor().person)
    except TillmeshError as fault:
        return render_template(
            "note.html",
            boot=boot_of(shared_words()),
            found=found,
            text=node.transfers.note_text(found.transfer),
            said=False,
            fault=fault,
        ), 422
    return redirect(url_for("transfers.show", transfer=found.transfer, printed=1))
