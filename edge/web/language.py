"""Flask-Babel for these pages: catalogue, locale, and the switch."""

from pathlib import Path

from flask import Flask, g, has_request_context, request, url_for
from flask_babel import Babel

from edge.web.visitor import LANGUAGES, choose_language

FOLDER = Path(__file__).parent.parent / "translations"


def locale() -> str:
    """The locale of this request."""
    if not has_request_context():
        return "en"
    chosen = g.visitor.language if "visitor" in g else choose_language()
    return LANGUAGES[chosen]


def switch_to(language: str) -> str:
    """This page's address in another language; of a posted form, its start page."""
    if request.method != "GET" or request.endpoint is None:
        return f"/?lang={language}"
    arguments = {**request.args.to_dict(), **(request.view_args or {}), "lang": language}
    return url_for(request.endpoint, **arguments)


def set_up(app: Flask) -> None:
    """Wire it."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(FOLDER)
    app.config["BABEL_DEFAULT_LOCALE"] = "en"
    Babel(app, locale_selector=locale)
    app.jinja_env.globals["switch_to"] = switch_to
