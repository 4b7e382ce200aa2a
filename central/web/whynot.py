"""Why did this sale not get this promotion: by receipt number, or from the sale's page."""

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from central.web.office import office
from central.web.session import needs

pages = Blueprint("whynot", __name__)


@pages.get("/why")
@needs("see_chain")
def ask() -> ResponseReturnValue:
    """Receipt number and promotion; straight to the answer when only one sale has it."""
    receipt = request.args.get("receipt", "").strip()
    rule = request.args.get("rule", "").strip()
    rows = office().sales.find_receipt(receipt) if receipt else []
    exact = [row for row in rows if row.receipt_number == receipt] or rows
    if rule and len(exact) == 1:
        row = exact[0]
        return redirect(url_for(".why", store=row.store, sale=row.sale, rule=rule))
    return render_template(
        "why_ask.html",
        receipt=receipt,
        rule=rule,
        rows=rows,
        campaigns=office().campaigns.campaigns(),
    )


@pages.get("/sales/<store>/<sale>/why")
@needs("see_chain")
def why(store: str, sale: str) -> ResponseReturnValue:
    """One promotion's answer (`?rule=`), or the fate of all promotions in this sale."""
    rule = request.args.get("rule", "").strip()
    house = office()
    known = [c for c in house.campaigns.campaigns() if c.version]
    if not rule:
        return render_template(
            "why_all.html",
            detail=house.sales.sale(store, sale),
            fates=house.whynot.fates(store, sale),
            campaigns=known,
        )
    found = house.whynot.why(store, sale, rule)
    return render_template("why.html", why=found, rule=rule, campaigns=known)
