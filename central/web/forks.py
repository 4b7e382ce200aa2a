"""Forks of journals: a picture of both ways, and what a person says it was."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from central.web.fields import typed
from central.web.office import office, signed_in
from central.web.session import needs
from protocol.errors import Refusal, TillmeshError

pages = Blueprint("forks", __name__)


def _page(fault: TillmeshError | None = None) -> ResponseReturnValue:
    tls = office().settings.mqtt.tls
    page = render_template("forks.html", forks=office().forks.forks(), fault=fault, tls=tls)
    return page, (422 if fault else 200)


@pages.get("/forks")
@needs("see_health")
def forks() -> ResponseReturnValue:
    """All forks, the newest first."""
    return _page()


@pages.post("/forks/restored")
@needs("manage_stores")
def restored() -> ResponseReturnValue:
    """It was a restored backup: both ways stay."""
    try:
        office().forks.call_restored(typed("stream"), typed("parent"), person=signed_in().account)
    except TillmeshError as fault:
        return _page(fault)
    flash(gettext("Noted: a restored backup. Both ways stay and count."))
    return redirect(url_for(".forks"))


@pages.post("/forks/clone")
@needs("manage_stores")
def clone() -> ResponseReturnValue:
    """It is a copied machine: two persons ban it."""
    try:
        branch = typed("branch")
        if not branch.isdecimal() or len(branch) > 9:
            raise Refusal("FORK_UNKNOWN")
        second = office().accounts.confirm(typed("second"), request.form.get("password", ""))
        office().forks.call_clone(
            typed("stream"),
            typed("parent"),
            int(branch),
            person=signed_in().account,
            second=second,
        )
    except TillmeshError as fault:
        return _page(fault)
    flash(gettext("Banned. What that machine goes on writing is set aside, not applied."))
    if office().settings.mqtt.tls:
        flash(
            gettext(
                "It holds the shop's key and certificate too: both are revoked. Give the shop's "
                "own machine a token now; it sells on, and what it sold is sent then."
            )
        )
    return redirect(url_for(".forks"))
