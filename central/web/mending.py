"""What mends a published promotion at once, and who answered a forced refresh."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from central.web.campaigns import shops_by_id
from central.web.fields import demand_sure, typed
from central.web.office import me, office
from central.web.session import needs

pages = Blueprint("mending", __name__)


def _back(rule: str) -> ResponseReturnValue:
    """To the sale that the remedy was found on, or to the promotion."""
    store, sale = typed("store"), typed("sale")
    if store and sale:
        return redirect(url_for("whynot.why", store=store, sale=sale, rule=rule))
    return redirect(url_for("campaigns.campaign", rule=rule))


def _tell(version: int) -> None:
    flash(
        gettext(
            "Version %(version)s is published and effective in each shop as soon as it answers.",
            version=version,
        )
    )


@pages.post("/promotions/<rule>/permanent")
@needs("publish_promotion")
def permanent(rule: str) -> ResponseReturnValue:
    """No start and no end any more."""
    demand_sure()
    _tell(office().remedies.make_permanent(rule, by=me()))
    return _back(rule)


@pages.post("/promotions/<rule>/products")
@needs("publish_promotion")
def add_product(rule: str) -> ResponseReturnValue:
    """One more product."""
    slot = typed("slot") or "1"
    number = int(slot) if slot.isascii() and slot.isdigit() and len(slot) < 4 else 0
    _tell(office().remedies.add_product(rule, typed("sku"), slot=number - 1, by=me()))
    return _back(rule)


@pages.post("/promotions/<rule>/refresh")
@needs("publish_promotion")
def refresh(rule: str) -> ResponseReturnValue:
    """Every shop compiles anew and answers."""
    office().remedies.refresh(rule, by=me())
    flash(gettext("Asked. Each shop answers on the promotion's page, with its tills."))
    return redirect(url_for("campaigns.campaign", rule=rule) + "#refresh")


@pages.get("/promotions/<rule>/refreshes")
@needs("see_chain")
def refreshes(rule: str) -> ResponseReturnValue:
    """The live part with the answers."""
    found = office().remedies.refreshes(rule)
    return render_template("parts/refreshes.html", refreshes=found, nodes=shops_by_id())


@pages.get("/coverage")
@needs("see_chain")
def coverage() -> ResponseReturnValue:
    """Which shop acts on which promotions."""
    return render_template("coverage.html", shops=office().coverage.shops())


@pages.get("/coverage/<store>")
@needs("see_chain")
def coverage_of(store: str) -> ResponseReturnValue:
    """One shop's rules and the goods that nothing reaches."""
    page = request.args.get("page", 1, type=int)
    return render_template("coverage_shop.html", found=office().coverage.shop(store, page))


@pages.get("/coverage-table")
@needs("see_chain")
def coverage_table() -> ResponseReturnValue:
    """The live part of the list."""
    return render_template("parts/coverage.html", shops=office().coverage.shops())
