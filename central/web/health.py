"""Node health: who speaks, how far behind, on which clock, and whether the books agree."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from central.web.chain import parked_events, refused_messages, shops
from central.web.office import office
from central.web.session import needs

pages = Blueprint("health", __name__)


def _all() -> dict[str, object]:
    house = office()
    return {
        "shops": shops(),
        "link": house.syncing.status(),
        "lags": {lag.store: lag for lag in house.repricing.status()},
        "differences": house.repricing.differences(limit=20),
        "refused": refused_messages(),
        "parked": parked_events(),
        "clock": house.clock.read(),
        "unbalanced": house.stock.sum_of_places(),
    }


@pages.get("/health")
@needs("see_health")
def health() -> ResponseReturnValue:
    """All nodes."""
    return render_template("health.html", **_all())


@pages.get("/health/live")
@needs("see_health")
def live() -> ResponseReturnValue:
    """The live part."""
    return render_template("parts/health.html", **_all())
