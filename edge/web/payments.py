"""Payments over devices: the till's calls, and the page that lists what is open."""

from flask import Blueprint, Response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from edge.tendering import PayAsk
from edge.views import PaymentView
from edge.web import shapes as s
from edge.web.shapes import answers, give
from edge.web.till import boot_of
from edge.web.visitor import needs, shop, visitor
from edge.web.words import shared_words
from protocol.roles import demand

payments_api = APIBlueprint(
    "payments_api",
    __name__,
    url_prefix="/api",
    abp_tags=[Tag(name="payments", description="Money that is not cash")],
    abp_security=s.WRITING,
)
payments = Blueprint("payments", __name__)


@payments_api.post("/till/payments", responses=answers(PaymentView))
@needs("sell", till=True)
def ask(body: s.PaymentBody) -> Response:
    """Ask for money; how it stands is asked at its own address."""
    who = visitor()
    wanted = PayAsk(
        attempt=body.attempt, kind=body.kind, amount_minor=body.amount_minor, code=body.code
    )
    return give(shop().tendering.start_payment(who.till, body.sale, wanted, person=who.person))


@payments_api.get("/till/payments", responses=answers(s.PaymentList), security=s.READING)
@needs("sell", till=True)
def open_here() -> Response:
    """What is open at this till."""
    return give(s.PaymentList(tuple(shop().tendering.open_at(visitor().till))))


@payments_api.get("/till/payments/<attempt>", responses=answers(PaymentView), security=s.READING)
@needs("sell", till=True)
def look(path: s.PaymentPath) -> Response:
    """How it stands; `paid` is the sale when it is recorded."""
    return give(shop().tendering.view(path.attempt))


@payments_api.post("/till/payments/<attempt>/cancel", responses=answers(PaymentView))
@needs("sell", till=True)
def cancel(path: s.PaymentPath) -> Response:
    """Undo it: whatever was taken goes back."""
    return give(_cancel(path.attempt))


def _cancel(attempt: str) -> PaymentView:
    """At one's own till; elsewhere it takes a manager."""
    who, tendering = visitor(), shop().tendering
    if tendering.view(attempt).till != who.till and who.signed is not None:
        demand(who.signed.person.role, "override")
    return tendering.cancel_payment(attempt, person=who.person)


@payments.get("/payments")
@needs("sell")
def listed() -> ResponseReturnValue:
    """Everything that is open, and the newest that are settled."""
    tendering = shop().tendering
    open_now = tendering.list_open()
    named = {view.attempt for view in open_now}
    settled = [view for view in tendering.list_newest() if view.attempt not in named]
    return render_template(
        "payments.html", boot=boot_of(shared_words()), open_now=open_now, settled=settled
    )


@payments.post("/payments/<attempt>/cancel")
@needs("sell")
def give_back(attempt: str) -> ResponseReturnValue:
    """The same from the list."""
    _cancel(attempt[:40])
    return redirect(url_for("payments.listed"))
