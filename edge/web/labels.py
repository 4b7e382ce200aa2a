"""Shelf labels: choose products, look at the labels as they will be, print them."""

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge.web.till import boot_of
from edge.web.visitor import needs, shop, visitor
from edge.web.words import shared_words
from protocol.errors import TillmeshError

labels = Blueprint("labels", __name__)


@labels.get("/labels")
@needs("receive")
def choose() -> ResponseReturnValue:
    """Products by search, or those whose price changed today."""
    return _page()


def _page(fault: TillmeshError | None = None) -> ResponseReturnValue:
    labelling = shop().labelling
    search = request.args.get("q", "").strip()[:60]
    rows = labelling.find(search) if search else labelling.changed_today()
    page = render_template(
        "labels.html",
        boot=boot_of(shared_words()),
        rows=rows,
        search=search,
        size=labelling.size,
        condition=labelling.condition(),
        printed=request.args.get("printed", "")[:6],
        form=request.form,
        fault=fault,
    )
    return page, (422 if fault else 200)


@labels.get("/labels/<sku>.png")
@needs("receive")
def preview(sku: str) -> Response:
    """The label as a picture, the same that is printed."""
    return Response(shop().labelling.picture(sku[:40]), mimetype="image/png")


@labels.post("/labels")
@needs("receive")
def print_labels() -> ResponseReturnValue:
    """Print what was chosen."""
    wanted = [
        (name.removeprefix("copies-"), int(text))
        for name, text in request.form.items()
        if name.startswith("copies-") and text.isascii() and text.isdigit() and len(text) < 4
    ]
    try:
        printed = shop().labelling.print(wanted, person=visitor().person)
    except TillmeshError as fault:
        return _page(fault)
    return redirect(url_for("labels.choose", q=request.args.get("q") or None, printed=printed))
