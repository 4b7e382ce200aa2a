"""Is head office alive, and its figures for Prometheus."""

from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry

from central.compose import HeadOffice
from central.metering import figures
from central.web.office import office
from central.web.session import OPEN, needs
from protocol.errors import Refusal
from protocol.node import metering

pages = Blueprint("metering", __name__)
EXTENSION = "tillmesh.meters"


def install(app: Flask, head_office: HeadOffice) -> None:
    """Give the application its registry."""
    app.extensions[EXTENSION] = metering.registry(lambda: figures(head_office))


def _may_read(house: HeadOffice) -> bool:
    headers = cast("Any", request.headers)
    return metering.may_read(house.settings.data_dir, request.remote_addr or "", headers)


@pages.get("/healthz")
@needs(OPEN)
def healthz() -> ResponseReturnValue:
    """200 while it works, 503 when not; the parts only for this machine."""
    house = office()
    parts = metering.health(house.books, house.syncing.replicator)
    told = parts if _may_read(house) else {"alive": parts["alive"]}
    return jsonify(told), 200 if parts["alive"] else 503


@pages.get("/metrics")
@needs(OPEN)
def metrics() -> ResponseReturnValue:
    """Figures, for this machine or with the token."""
    house = office()
    if not _may_read(house):
        fault = Refusal("METRICS_CLOSED")
        return Response(f"{fault.sentence('en')} [{fault.code}]\n", 403, mimetype="text/plain")
    found = cast("CollectorRegistry", current_app.extensions[EXTENSION])
    return Response(metering.page(found), content_type=metering.CONTENT_TYPE)
