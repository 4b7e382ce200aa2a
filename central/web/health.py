"""Node health: who speaks, how far behind, on which clock, and whether the books agree."""

from importlib.metadata import version

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from central.web.chain import parked_events, refused_messages, shops
from central.web.language import instant_of
from central.web.office import office, signed_in
from central.web.session import needs
from protocol.errors import TillmeshError

pages = Blueprint("health", __name__)


def _time(fault: TillmeshError | None = None) -> dict[str, object]:
    house = office()
    return {
        "time_wanted": house.timekeeping.wanted,
        "fault": fault,
    }


def _all() -> dict[str, object]:
    house = office()
    return {
        "shops": shops(),
        "link": house.syncing.status(),
        "workers": house.syncing.workers(),
        "queue": house.syncing.replicator.queue()[0],
        "lags": {lag.store: lag for lag in house.repricing.status()},
        "differences": house.repricing.differences(limit=20),
        "refused": refused_messages(),
        "parked": parked_events(),
        "clock": house.timekeeping.status(),
        "tzdata": version("tzdata"),
        "unbalanced": house.stock.sum_of_places(),
    }


@pages.get("/health")
@needs("see_health")
def health() -> ResponseReturnValue:
    """All nodes."""
    return render_template("health.html", **_all(), **_time())


@pages.post("/health/time")
@needs("confirm_time")
def confirm_time() -> ResponseReturnValue:
    """An administrator vouches for head office's time."""
    try:
        office().timekeeping.confirm(
            instant_of(request.form.get("time", "")), by=signed_in().account.person
        )
    except TillmeshError as fault:
        return render_template("health.html", **_all(), **_time(fault)), 422
    return redirect(url_for("health.health"))


@pages.get("/health/live")
@needs("see_health")
def live() -> ResponseReturnValue:
    """The live part."""
    return render_template("parts/health.html", **_all())


@pages.post("/health/retry")
@needs("manage_stores")
def retry() -> ResponseReturnValue:
    """After an update: fold everything anew, and forward what could not be forwarded."""
    before, after = office().transfers.retry_parked()
    done = before - after
    flash(gettext("%(done)s events are in use now, %(left)s wait on.", done=done, left=after))
    return redirect(url_for(".health"))
