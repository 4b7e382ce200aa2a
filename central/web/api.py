"""The JSON API: the same verbs for programs. /openapi.json describes it, and is generated."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel

from central.web import chain
from central.web import schema as s
from central.web.language import language
from central.web.live import mark
from central.web.office import now_ms, office
from central.web.session import needs

FAULTS: dict[str | int | HTTPStatus, type[BaseModel] | dict[Any, Any] | None] = {
    str(code): s.Fault for code in (400, 401, 403, 404, 405, 413, 415, 422, 500, 503)
}
pages = APIBlueprint(
    "api",
    __name__,
    url_prefix="/api",
    abp_tags=[Tag(name="head office")],
    abp_security=[{"session": []}],
    abp_responses=FAULTS,
)


def plain(row: object) -> Any:
    """A record as JSON types."""
    return msgspec.to_builtins(row)


def listed(rows: Iterable[object], total: int | None = None) -> dict[str, Any]:
    """The answer of a list."""
    found = [plain(row) for row in rows]
    return {"total": len(found) if total is None else total, "rows": found}


@pages.get("/now", responses={"200": s.Now})
@needs("see_chain")
def now() -> dict[str, Any]:
    """Head office's clock; what a page asks when it has no live stream of its own."""
    return {"now": now_ms(), "mark": mark()}


@pages.get("/stores", responses={"200": s.Rows})
@needs("see_chain")
def stores() -> dict[str, Any]:
    """All shops with the state of their nodes."""
    rows = [
        {**plain(each.store), "state": each.state, "lag": each.lag, "seen_ms": each.report.seen_ms}
        for each in chain.shops()
    ]
    return {"total": len(rows), "rows": rows}


@pages.get("/products", responses={"200": s.Rows})
@needs("see_chain")
def products(query: s.Search) -> dict[str, Any]:
    """Products by SKU, name, group or barcode."""
    page = office().catalogue.products(query.search, query.page)
    return listed(page.rows, page.total)


@pages.get("/products/<sku>", responses={"200": s.One})
@needs("see_chain")
def product(path: s.SkuPath) -> dict[str, Any]:
    """One product with its prices."""
    found = office().catalogue.product(path.sku)
    return {"item": {**plain(found), "prices": plain(office().catalogue.prices(path.sku))}}


@pages.get("/stock", responses={"200": s.Rows})
@needs("see_stock")
def stock(query: s.StockSearch) -> dict[str, Any]:
    """Which shop has what, in thousandths."""
    page = office().stock.stock(query.search, query.page, store=query.store)
    return listed(page.rows, page.total)


@pages.get("/stock/<sku>", responses={"200": s.One})
@needs("see_stock")
def stock_of(path: s.SkuPath) -> dict[str, Any]:
    """One product: every place it is in; the quantities sum to zero."""
    row = office().stock.row(path.sku)
    places = office().stock.places(path.sku)
    return {"item": {**plain(row), "places": plain(places)}}


@pages.get("/sales", responses={"200": s.Rows})
@needs("see_chain")
def sales(query: s.SalesQuery) -> dict[str, Any]:
    """Sales, newest first."""
    return listed(
        office().sales.sales(
            store=query.store, business_date=query.business_date, limit=query.limit
        )
    )


@pages.get("/sales/<store>/<sale>", responses={"200": s.One})
@needs("see_chain")
def sale(path: s.SalePath) -> dict[str, Any]:
    """One sale with its lines and the whole pricing context."""
    return {"item": plain(office().sales.sale(path.store, path.sale))}


@pages.get("/days", responses={"200": s.Rows})
@needs("see_chain")
def days(query: s.DayQuery) -> dict[str, Any]:
    """Every shop's figures of a business day."""
    return listed(office().sales.days(query.business_date))


@pages.get("/promotions", responses={"200": s.Rows})
@needs("see_chain")
def promotions() -> dict[str, Any]:
    """All rules, drafts included."""
    return listed(office().campaigns.campaigns())


@pages.get("/promotions/<rule>/shops", responses={"200": s.Rows})
@needs("see_chain")
def promotion_shops(path: s.RulePath) -> dict[str, Any]:
    """How far a rule is in each shop."""
    office().campaigns.campaign(path.rule)
    return listed(office().campaigns.status(path.rule))


@pages.post("/promotions/check", responses={"200": s.Checked})
@needs("publish_promotion")
def check(body: s.RuleDocument) -> dict[str, Any]:
    """Every fault of a rule document; nothing is kept. Needs the X-CSRF-Token header."""
    faults = office().campaigns.check(body.document)
    return {
        "faults": [
            {
                "path": fault.path,
                "found": fault.found,
                "expected": fault.expected,
                "words": fault.words(language()),
                "sentence": fault.sentence(language()),
            }
            for fault in faults
        ]
    }


@pages.get("/transfers", responses={"200": s.Rows})
@needs("see_chain")
def transfers() -> dict[str, Any]:
    """Transfers with goods still under way, disputes included."""
    return listed(office().transfers.in_transit())


@pages.get("/alarms", responses={"200": s.Rows})
@needs("see_health")
def alarms() -> dict[str, Any]:
    """What somebody should look at now."""
    rows = [
        {**plain(a), "sentence": a.sentence(language()), "todo": a.todo(language())}
        for a in office().alarms.alarms()
    ]
    return {"total": len(rows), "rows": rows}


@pages.get("/health", responses={"200": s.Rows})
@needs("see_health")
def health() -> dict[str, Any]:
    """Each shop's node as it last spoke."""
    return listed(
        {
            "store": each.store.store,
            "state": each.state,
            "lag": each.lag,
            "report": plain(each.report),
            "agreed": each.proof.agreed if each.proof else None,
        }
        for each in chain.shops()
    )
