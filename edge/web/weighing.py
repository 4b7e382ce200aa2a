"""Weighed goods at the till: what waits, the tare, the scale's weight or a typed one."""

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from edge.views import BasketView
from edge.web import shapes as s
from edge.web.shapes import answers, give
from edge.web.visitor import needs, shop, visitor

weighing_api = APIBlueprint(
    "weighing_api",
    __name__,
    url_prefix="/api",
    abp_tags=[Tag(name="weighing", description="Goods that are sold by weight")],
    abp_security=s.WRITING,
)


def _basket() -> Response:
    return give(shop().selling.view(visitor().till))


@weighing_api.get("/till/weighing", responses=answers(s.WeighingNow), security=s.READING)
@needs("sell", till=True)
def now() -> Response:
    """The first goods that wait for their weight, and what lies on the scale."""
    return give(s.WeighingNow(shop().weighing.now(visitor().till)))


@weighing_api.post("/till/weighing/<int:line>/tare", responses=answers(s.WeighingNow))
@needs("sell", till=True)
def tare(path: s.LinePath, body: s.TareBody) -> Response:
    """The bag or the bowl weighs so much."""
    who, weighing = visitor(), shop().weighing
    weighing.set_tare(who.till, path.line, body.tare_g, person=who.person)
    return give(s.WeighingNow(weighing.now(who.till)))


@weighing_api.post("/till/weighing/<int:line>/take", responses=answers(BasketView))
@needs("sell", till=True)
def take(path: s.LinePath) -> Response:
    """Make the row from what lies on the scale now."""
    who = visitor()
    shop().weighing.weigh(who.till, path.line, person=who.person)
    return _basket()


@weighing_api.post("/till/weighing/<int:line>/typed", responses=answers(BasketView))
@needs("sell", till=True)
def typed(path: s.LinePath, body: s.QuantityBody) -> Response:
    """Make the row from a typed weight, while no scale works."""
    who = visitor()
    shop().weighing.weigh_by_hand(who.till, path.line, body.qty_milli, person=who.person)
    return _basket()


@weighing_api.post("/till/weighing/<int:line>/aside", responses=answers(BasketView))
@needs("sell", till=True)
def aside(path: s.LinePath) -> Response:
    """These goods are not sold."""
    who = visitor()
    shop().weighing.put_aside(who.till, path.line, person=who.person)
    return _basket()
