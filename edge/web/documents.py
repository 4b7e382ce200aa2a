"""The manager's JSON API: a document is one call with the id that its page made."""

from collections.abc import Sequence

from flask import Response, url_for
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from edge.stockroom import Piece
from edge.transfers import Arrived
from edge.web import shapes as s
from edge.web.shapes import answers, give
from edge.web.tongue import _, plural
from edge.web.visitor import needs, shop, visitor
from edge.web.wording import store_name

documents_api = APIBlueprint(
    "documents_api",
    __name__,
    url_prefix="/api",
    abp_tags=[Tag(name="stock", description="Counting, receiving, scrapping, sending goods")],
    abp_security=s.WRITING,
)


def pieces(lines: Sequence[s.PieceBody]) -> list[Piece]:
    """The rows as the verbs take them."""
    return [Piece(line.sku, line.qty_milli) for line in lines]


@documents_api.post("/documents/count", responses=answers(s.Done))
@needs("count")
def count(body: s.CountBody) -> Response:
    """Book counted figures: the shelf moves by counted minus book."""
    differed = shop().stockroom.count(
        body.document,
        pieces(body.lines),
        person=visitor().person,
        opening=body.opening,
        note=body.note,
    )
    if body.opening:
        said = _("Opening stock booked: %(n)s products.", n=len(body.lines))
    else:
        said = _(
            "Count booked: %(n)s products, %(d)s of them differed.", n=len(body.lines), d=differed
        )
    return give(s.Done(url_for("stock.shelf", said="count"), said))


@documents_api.post("/documents/receive", responses=answers(s.Done))
@needs("receive")
def receive(body: s.ReceiveBody) -> Response:
    """Book goods from a supplier."""
    shop().stockroom.receive(
        body.document, body.supplier, pieces(body.lines), person=visitor().person, note=body.note
    )
    said = _("Received: %(n)s products are on the shelf.", n=len(body.lines))
    return give(s.Done(url_for("stock.shelf", said="receive"), said))


@documents_api.post("/documents/scrap", responses=answers(s.Done))
@needs("scrap")
def scrap(body: s.ScrapBody) -> Response:
    """Book goods that were thrown away."""
    shop().stockroom.scrap(body.document, body.reason, pieces(body.lines), person=visitor().person)
    said = _("Scrapped: %(n)s products are off the shelf.", n=len(body.lines))
    return give(s.Done(url_for("stock.shelf", said="scrap"), said))


@documents_api.post("/documents/dispatch", responses=answers(s.Done))
@needs("transfer")
def dispatch(body: s.DispatchBody) -> Response:
    """Send goods to another shop; the note is printed where this browser has a printer."""
    who = visitor()
    shop().transfers.dispatch(
        body.document,
        body.to_store,
        pieces(body.lines),
        person=who.person,
        note=body.note,
        till=who.till,
    )
    said = _("The goods are on their way to %(shop)s.", shop=store_name(body.to_store))
    return give(s.Done(url_for("transfers.note", transfer=body.document, said="1"), said))


@documents_api.post("/notes/read", responses=answers(s.NoteOut))
@needs("transfer")
def read_note(body: s.NoteBody) -> Response:
    """What the QR of a transfer note says; the news of it may not be here yet."""
    node = shop()
    note = node.transfers.read_note(body.text)
    with node.books.database.reading() as connection:
        lines = []
        for sku, milli in note.lines:
            product = node.catalogue.product(connection, sku)
            zh, en = (product.name_zh, product.name_en) if product else (sku, sku)
            unit, decimals = (product.unit, product.decimals) if product else ("pc", 3)
            lines.append(s.NoteLine(sku, zh, en, unit, decimals, milli))
    known = node.transfers.transfer(note.transfer_id) is not None
    return give(
        s.NoteOut(note.transfer_id, note.source, store_name(note.source), known, tuple(lines))
    )


@documents_api.post("/transfers/<transfer>/receive", responses=answers(s.Done))
@needs("transfer")
def arrive(path: s.TransferPath, body: s.ArrivalBody) -> Response:
    """Book what came; what lacks or is broken stays in transit as a dispute."""
    lines = [Arrived(x.sku, x.qty_milli, x.broken_milli) for x in body.lines]
    view = shop().transfers.receive(
        path.transfer, body.receipt, lines, person=visitor().person, by_note=body.by_note
    )
    if view.state == "disputed":
        missing = sum(1 for line in view.lines if line.remaining_milli)
        said = plural(
            "Booked. %(num)s product is short or broken: it stays in dispute with your name on it.",
            "Booked. %(num)s products are short or broken: they stay in dispute with your name.",
            missing,
        )
    else:
        said = _("Booked. Everything came.")
    return give(s.Done(url_for("transfers.show", transfer=path.transfer), said))
