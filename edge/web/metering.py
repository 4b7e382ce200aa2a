"""Is the node alive, and its figures for Prometheus."""

from pathlib import Path
from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry

from edge.compose import Shop
from edge.metering import figures
from edge.web.visitor import OPEN, needs, shop
from protocol.errors import Refusal
from protocol.node import metering

meters = Blueprint("metering", __name__)
EXTENSION = "tillmesh_meters"


def registry_of(node: Shop) -> CollectorRegistry:
    """Made once per application."""
    return metering.registry(lambda: figures(node))


def _may_read(node: Shop) -> bool:
    headers = cast("Any", request.headers)
    return metering.may_read(Path(node.settings.data_dir), request.remote_addr or "", headers)


@meters.get("/healthz")
@needs(OPEN)
def healthz() -> ResponseReturnValue:
    """200 while it can sell, 503 when not; the parts only for this machine."""
    node = shop()
    parts = metering.health(node.books, node.syncing.replicator)
    told = parts if _may_read(node) else {"alive": parts["alive"]}
    return jsonify(told), 200 if parts["alive"] else 503


@meters.get("/metrics")
@needs(OPEN)
def metrics() -> ResponseReturnValue:
    """Figures, for this machine or with the token."""
    if not _may_read(shop()):
        fault = Refusal("METRICS_CLOSED")
        return Response(f"{fault.sentence('en')} [{fault.code}]\n", 403, mimetype="text/plain")
    found = cast("CollectorRegistry", current_app.extensions[EXTENSION])
    return Response(metering.page(found), content_type=metering.CONTENT_TYPE)
