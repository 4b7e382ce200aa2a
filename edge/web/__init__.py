"""The shop's pages and its JSON API.

    app = create_app(shop)          # a Flask application (flask-openapi3) over a wired node
    server = Server(app, host, port)  # edge.web.serving: cheroot, with room for the live streams

A view parses, calls one verb of the shop and renders. What a view demands stands beside it
(`visitor.needs`); `create_app` refuses to start when one forgot.
"""

import os
from typing import Any, Final

from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI

from edge.compose import Shop
from edge.web import faults, language, shapes
from edge.web.api import till_api
from edge.web.clocks import clocks
from edge.web.customer import customer
from edge.web.documents import documents_api
from edge.web.labels import labels
from edge.web.live import Streams, live
from edge.web.metering import EXTENSION as METERS
from edge.web.metering import meters, registry_of
from edge.web.payments import payments, payments_api
from edge.web.session import session
from edge.web.status import read_status
from edge.web.stock import stock
from edge.web.till import till
from edge.web.transfers import transfers
from edge.web.upkeep import upkeep
from edge.web.visitor import (
    BROWSER_COOKIE,
    OPEN,
    SESSION_COOKIE,
    finish,
    guard,
    need_of,
    needs,
    visitor,
)
from edge.web.visitor import shop as shop_here
from edge.web.weighing import weighing_api
from edge.web.wording import FILTERS, name_of

BODY_BYTES_MAX: Final = 256 * 1024
SECURITY: Final[dict[str, Any]] = {
    "browser": {"type": "apiKey", "in": "cookie", "name": BROWSER_COOKIE},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
    "form": {"type": "apiKey", "in": "header", "name": "X-CSRF"},
}


def create_app(shop: Shop) -> OpenAPI:
    """The pages of one shop."""
    app = OpenAPI(
        __name__,
        info=Info(title="Tillmesh edge", version="1"),
        security_schemes=SECURITY,
        validation_error_callback=faults.on_invalid,
        doc_ui=False,
    )
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.config["TESTING"] = bool(os.environ.get("PYTEST_CURRENT_TEST"))
    app.extensions["tillmesh_shop"] = shop
    app.extensions["tillmesh_streams"] = Streams()
    app.extensions[METERS] = registry_of(shop)
    language.set_up(app)
    faults.register(app)
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.before_request(guard)
    app.after_request(finish)
    app.context_processor(_shared)
    for blueprint in (session, till, payments, stock, transfers, upkeep, clocks, live, meters):
        app.register_blueprint(blueprint)
    app.register_blueprint(customer)
    app.register_blueprint(labels)
    for api in (till_api, payments_api, weighing_api, documents_api):
        app.register_api(api)
    shapes.describe(app)

    @app.route("/openapi.json")
    @needs(OPEN)
    def openapi_json() -> dict[str, Any]:
        """The API in its own words, generated."""
        return app.api_doc

    open_doors = [e for e in app.view_functions if need_of(app, e) is None]
    if open_doors:
        raise RuntimeError(f"views without a declared permission: {open_doors}")
    return app


def _shared() -> dict[str, Any]:
    """What every template may use."""
    node, who = shop_here(), visitor()
    return {
        "who": who,
        "shop_name": name_of(node.settings.name) or node.settings.store,
        "status": read_status(who.till, who.language) if who.browser else None,
        "running_shift": node.shifts.current(who.till) if who.till and who.signed else None,
    }
