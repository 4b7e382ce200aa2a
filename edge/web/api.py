"""The till's JSON API: one call, one verb of `edge.selling`. Answers carry the whole basket."""

from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from edge.catalogue import Hit
from edge.scanning import Screen
from edge.views import BasketView, PaidSale
from edge.web import shapes as s
from edge.web.shapes import answers, give
from edge.web.status import rules_note
from edge.web.visitor import needs, shop, visitor
from edge.web.wording import clock_text, person_name

till_api = APIBlueprint(
    "till_api",
    __name__,
    url_prefix="/api",
    abp_tags=[Tag(name="till", description="The sale in progress")],
    abp_security=s.WRITING,
)


@till_api.get("/till/basket", responses=answers(BasketView), security=s.READING)
@needs("sell", till=True)
def basket() -> Response:
    """The basket as it stands."""
    return give(shop().selling.view(visitor().till))


@till_api.post("/till/scan", responses=answers(BasketView))
@needs("sell", till=True)
def scan(body: s.ScanBody) -> Response:
    """Ring up one code. A code that is not known becomes a red row."""
    who = visitor()
    return give(
        shop().selling.scan(
            who.till, body.raw, who.person, scan_id=body.id, qty_milli=body.qty_milli
        )
    )


@till_api.post("/till/add", responses=answers(BasketView))
@needs("sell", till=True)
def add(body: s.AddBody) -> Response:
    """Ring up a product picked from a list."""
    who = visitor()
    return give(
        shop().selling.add_product(
            who.till, body.sku, body.qty_milli, person=who.person, scan_id=body.id
        )
    )


@till_api.post("/till/lines/<int:line>/quantity", responses=answers(BasketView))
@needs("sell", till=True)
def quantity(path: s.LinePath, body: s.QuantityBody) -> Response:
    """Another quantity of a row."""
    who = visitor()
    return give(shop().selling.set_quantity(who.till, path.line, body.qty_milli, person=who.person))


@till_api.post("/till/lines/<int:line>/void", responses=answers(BasketView))
@needs("sell", till=True)
def void(path: s.LinePath) -> Response:
    """Take a row out; a red row is dealt with by this."""
    who, selling = visitor(), shop().selling
    row = next((x for x in selling.view(who.till).lines if x.line == path.line), None)
    if row is not None and row.kind == "unknown":
        return give(selling.dismiss_unknown(who.till, path.line, person=who.person))
    return give(selling.void_line(who.till, path.line, person=who.person))


@till_api.post("/till/clear", responses=answers(BasketView))
@needs("sell", till=True)
def clear() -> Response:
    """Void the whole sale."""
    who = visitor()
    return give(shop().selling.clear(who.till, person=who.person))


@till_api.get("/till/explain", responses=answers(s.Reasons), security=s.READING)
@needs("sell", till=True)
def explain(query: s.ExplainQuery) -> Response:
    """Why each promotion did or did not apply."""
    found = shop().selling.explain(visitor().till, query.line or None, every=bool(query.every))
    return give(s.Reasons(tuple(found), rules_note()))


@till_api.post("/till/hold", responses=answers(BasketView))
@needs("sell", till=True)
def hold(body: s.HoldBody) -> Response:
    """Put the sale aside."""
    who = visitor()
    return give(shop().selling.hold(who.till, person=who.person, note=body.note))


@till_api.get("/till/held", responses=answers(s.HeldList), security=s.READING)
@needs("sell", till=True)
def held() -> Response:
    """Sales put aside in this shop."""
    rows = (
        s.HeldOut(
            h.held, h.till, person_name(h.person), clock_text(h.held_ms), h.items_milli,
            h.first_zh, h.first_en,
        )
        for h in shop().selling.list_held()
    )  # fmt: skip
    return give(s.HeldList(tuple(rows)))


@till_api.post("/till/resume", responses=answers(BasketView))
@needs("sell", till=True)
def resume(body: s.ResumeBody) -> Response:
    """Take up a held sale."""
    who = visitor()
    return give(shop().selling.resume(who.till, body.held, person=who.person))


@till_api.post("/till/pay", responses=answers(PaidSale))
@needs("sell", till=True)
def pay(body: s.PayBody) -> Response:
    """Take the money: the same sale twice is one sale and the same answer."""
    who = visitor()
    tenders = [one.told() for one in body.tenders]
    return give(shop().selling.pay(who.till, body.sale, tenders, person=who.person))


@till_api.get("/till/recent", responses=answers(s.RecentList), security=s.READING)
@needs("sell", till=True)
def recent() -> Response:
    """The newest sales of this till."""
    rows = (
        s.RecentOut(r.sale, r.receipt_number, clock_text(r.at_ms), r.total_minor, r.items_milli)
        for r in shop().selling.recent(visitor().till)
    )
    return give(s.RecentList(tuple(rows)))


@till_api.post("/till/reprint", responses=answers(s.Copy))
@needs("sell", till=True)
def reprint(body: s.SaleBody) -> Response:
    """Print a receipt again, marked as a copy."""
    who = visitor()
    return give(s.Copy(shop().selling.reprint(body.sale, till=who.till, person=who.person)))


@till_api.post("/till/drawer", responses=answers(s.Done))
@needs("sell", till=True)
def drawer() -> Response:
    """Open the drawer without a sale."""
    who = visitor()
    shop().selling.open_drawer(who.till, person=who.person)
    return give(s.Done("/till"))


@till_api.post("/till/screen", responses=answers(s.Done))
@needs("sell", till=True)
def screen(body: s.ScreenBody) -> Response:
    """The till's page lives and shows this: its scanner's codes go there."""
    who, scanning = visitor(), shop().scanning
    if body.screen == "away":
        scanning.till_gone(who.till, page=body.page)
    else:
        scanning.till_alive(who.till, who.person, Screen(body.screen), page=body.page)
    return give(s.Done("/till"))


@till_api.post("/till/missed/seen", responses=answers(s.Done))
@needs("sell", till=True)
def missed_seen() -> Response:
    """The cashier has seen the scans that were kept out."""
    shop().scanning.dismiss_missed(visitor().till)
    return give(s.Done("/till"))


def hit_view(hit: Hit) -> s.HitView:
    """A search hit for a page."""
    product = hit.product
    return s.HitView(
        product.sku, product.name_zh, product.name_en, hit.code, product.unit, product.decimals,
        hit.price.price_minor if hit.price else None, hit.on_hand_milli,
    )  # fmt: skip


def _read_hits(text: str) -> tuple[s.HitView, ...]:
    return tuple(hit_view(hit) for hit in shop().selling.search(text)) if text.strip() else ()


@till_api.get("/goods", responses=answers(s.Hits), security=s.READING)
@needs("see_stock")
def goods(query: s.SearchQuery) -> Response:
    """Products by name, article number or code."""
    return give(s.Hits(_read_hits(query.q)))


@till_api.get("/goods/find", responses=answers(s.FoundView), security=s.READING)
@needs("see_stock")
def find(query: s.FindQuery) -> Response:
    """The product behind a scanned or typed code."""
    row: Any = shop().stockroom.find(query.code)
    if row is None:
        return give(s.FoundView(None))
    return give(
        s.FoundView(
            s.HitView(
                row.sku, row.zh, row.en, row.code, row.unit, row.decimals, row.price_minor,
                row.on_hand_milli,
            )
        )
    )  # fmt: skip
