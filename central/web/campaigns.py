"""Promotions: drafts with a form and the document beside it, and how every shop answered."""

import contextlib
from typing import Any, Final

import msgspec
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from central.remedies import selectors
from central.web.chain import Shop, shops
from central.web.fields import demand_sure, typed
from central.web.office import me, office
from central.web.session import needs
from promotions.reading import Fault
from promotions.rule import DOCUMENT_BYTES_MAX
from protocol.errors import TillmeshError, define
from protocol.ids import check_id

pages = Blueprint("campaigns", __name__)
EXAMPLE: Final[dict[str, Any]] = {
    "type": "percent_off",
    "name": {"zh": "", "en": ""},
    "percent": 10,
    "select": {"groups": []},
}

define(
    {
        "DOCUMENT_WRONG": (
            "The document is no JSON object ({detail}). It was kept as you left it; mend it there.",
            "文档不是有效的 JSON 对象（{detail}）。已按原样保存，请在文档中修正。",
        ),
    }
)


def shops_by_id() -> dict[str, Shop]:
    """Nodes by shop, for their clock and state."""
    return {shop.store.store: shop for shop in shops()}


def pretty(document: object) -> str:
    """A document as people read it."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


@pages.get("/promotions")
@needs("see_chain")
def campaigns() -> ResponseReturnValue:
    """All rules, drafts included."""
    return render_template("promotions.html", campaigns=office().campaigns.campaigns())


@pages.get("/promotions/list")
@needs("see_chain")
def listing() -> ResponseReturnValue:
    """The live part of the list."""
    return render_template("parts/promotion_list.html", campaigns=office().campaigns.campaigns())


def _editor(
    rule: str, text: str, *, new: bool = False, faults: tuple[Fault, ...] | None = None, **more: Any
) -> str:
    house = office()
    return render_template(
        "promotion_edit.html",
        rule=rule,
        text=text,
        new=new,
        faults=faults,
        groups=house.catalogue.groups(),
        stores=house.stores.stores(),
        price_zones=house.catalogue.zones(),
        zones_known=sorted({store.tz for store in house.stores.stores()}),
        **more,
    )


@pages.get("/promotions/new")
@needs("publish_promotion")
def new() -> ResponseReturnValue:
    """An empty draft."""
    return _editor("", pretty(EXAMPLE), new=True)


@pages.get("/promotions/<rule>")
@needs("see_chain")
def campaign(rule: str) -> ResponseReturnValue:
    """One rule and how each shop answered."""
    found = office().campaigns.campaign(rule)
    return render_template(
        "promotion.html",
        campaign=found,
        status=office().campaigns.status(rule) if found.version else [],
        nodes=shops_by_id(),
        document=pretty(found.document) if found.document else "",
        refreshes=office().remedies.refreshes(rule) if found.version else [],
        parts=selectors(found.document),
    )


@pages.get("/promotions/<rule>/shops")
@needs("see_chain")
def push(rule: str) -> ResponseReturnValue:
    """The live part with the shops' answers."""
    return render_template(
        "parts/push_status.html", status=office().campaigns.status(rule), nodes=shops_by_id()
    )


@pages.get("/promotions/<rule>/edit")
@needs("publish_promotion")
def edit(rule: str) -> ResponseReturnValue:
    """The draft, or the published document as the beginning of one."""
    kept = office().campaigns.draft(rule)
    if kept is None:
        document = office().campaigns.campaign(rule).document or {"id": rule, **EXAMPLE}
        return _editor(rule, pretty({k: v for k, v in document.items() if k != "version"}))
    return _editor(rule, kept.text)


def _with_id(text: str, rule: str) -> str:
    """The document with the id of the page; text that is no JSON stays as it is."""
    with contextlib.suppress(msgspec.DecodeError):
        document = msgspec.json.decode(text)
        if isinstance(document, dict) and document.get("id") != rule:
            return pretty({"id": rule, **{k: v for k, v in document.items() if k != "id"}})
    return text


def _act(rule: str, wish: str) -> ResponseReturnValue:
    if wish == "discard":
        office().campaigns.discard_draft(rule)
        flash(gettext("The draft is gone."))
        return redirect(url_for(".campaigns"))
    if wish == "publish":  # nothing is published unseen
        return redirect(url_for("preflights.preflight", rule=rule))
    flash(gettext("The draft is kept."))
    return redirect(url_for(".edit", rule=rule))


@pages.post("/promotions/save")
@needs("publish_promotion")
def save() -> ResponseReturnValue:
    """Keep the draft; then check it, look at its preflight, or forget it."""
    rule, text = typed("rule"), request.form.get("text", "")[: DOCUMENT_BYTES_MAX + 1]
    is_new, wish = "new" in request.form, request.form.get("do", "save")
    try:
        check_id(rule, "rule")
        text = _with_id(text, rule)
        faults = office().campaigns.save_draft(rule, text, by=me())
        if wish == "check":
            return _editor(rule, text, faults=faults)
        if wish == "publish" and faults:
            return _editor(rule, text, faults=faults, not_published=True), 422
        return _act(rule, wish)
    except TillmeshError as fault:
        return _editor(rule, text, new=is_new, fault=fault), 422


@pages.post("/promotions/<rule>/withdraw")
@needs("publish_promotion")
def withdraw(rule: str) -> ResponseReturnValue:
    """End a rule everywhere."""
    demand_sure()
    office().campaigns.withdraw(rule, by=me())
    flash(gettext("Withdrawn. Each shop ends it as soon as it has the news."))
    return redirect(url_for(".campaign", rule=rule))
