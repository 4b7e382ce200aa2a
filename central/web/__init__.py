"""Head office's pages: `create_app(head_office)` serves them, the JSON API and the live stream.

A module per screen; a view reads the request, calls one verb of head office and renders. Every
route declares its permission (`session.needs`); one that does not is refused.
"""

from pathlib import Path
from typing import Final, cast

from flask import Flask, current_app, request
from flask.typing import ResponseReturnValue
from flask.wrappers import Response
from flask_babel import Babel
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI

from central.compose import HeadOffice
from central.web import (
    alarms,
    api,
    campaigns,
    catalogue,
    faults,
    forks,
    handing,
    health,
    identity,
    importing,
    language,
    live,
    mending,
    metering,
    overview,
    people,
    preflights,
    prices,
    sales,
    session,
    stock,
    stores,
    transfers,
    whynot,
)
from central.web.office import EXTENSION, now_ms
from central.web.session import OPEN, needs

UPLOAD_BYTES_MAX: Final = 8 * 1024 * 1024
STATIC_S: Final = 300
CSP: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def _headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


@needs(OPEN)
def openapi() -> ResponseReturnValue:
    """The description of the JSON API, generated from its code."""
    return cast("OpenAPI", current_app).api_doc


def create_app(head_office: HeadOffice) -> Flask:
    """The application of one composed head office."""
    app = OpenAPI(
        "central.web",
        info=Info(title="Tillmesh head office", version="1"),
        doc_ui=False,
        security_schemes={
            "session": {"type": "apiKey", "in": "cookie", "name": session.COOKIE},
        },
    )
    app.extensions[EXTENSION] = head_office
    app.config.update(
        MAX_CONTENT_LENGTH=UPLOAD_BYTES_MAX,
        SEND_FILE_MAX_AGE_DEFAULT=STATIC_S,
        BABEL_TRANSLATION_DIRECTORIES=str(Path(__file__).parents[1] / "translations"),
        BABEL_DEFAULT_LOCALE="en",
    )
    app.secret_key = head_office.key.sign(b"tillmesh-central web cookies")
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    Babel(app, locale_selector=language.select_locale)
    app.after_request(_headers)
    language.install(app)
    session.install(app)
    faults.install(app)
    for one in (
        overview,
        catalogue,
        importing,
        prices,
        campaigns,
        preflights,
        mending,
        whynot,
        stock,
        sales,
        transfers,
        people,
        stores,
        identity,
        health,
        alarms,
        forks,
        handing,
        live,
        metering,
    ):
        app.register_blueprint(one.pages)
    app.register_api(api.pages)
    app.jinja_env.globals.update(now_ms=now_ms, alarm_count=alarms.count)
    app.jinja_env.globals["office_name"] = head_office.settings.name
    live.install(app)
    metering.install(app, head_office)

    app.add_url_rule("/openapi.json", view_func=openapi)

    return app
