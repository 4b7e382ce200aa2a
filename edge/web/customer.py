"""The window that faces the customer, in the shop's language; it asks for no person."""

import msgspec
from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue
from flask_babel import force_locale

from edge.web.live import TOPICS
from edge.web.shapes import give
from edge.web.tongue import _
from edge.web.visitor import LANGUAGES, PAIRED, needs, shop, visitor
from edge.web.wording import name_of
from protocol.errors import Refusal

customer = Blueprint("customer", __name__)


def _till() -> str:
    till = visitor().till
    if not till:
        raise Refusal("TILL_NEEDED")
    return till


@customer.get("/customer")
@needs(PAIRED)
def page() -> ResponseReturnValue:
    """The goods, the total and the change, readable from afar."""
    till, node = _till(), shop()
    language = "en" if node.settings.receipt_language == "en" else "zh"
    visitor().language = language
    with force_locale(LANGUAGES[language]):
        words = {
            "welcome": _("Welcome"),
            "total": _("Total"),
            "saved": _("You save {amount}"),
            "change": _("Change"),
            "given": _("Given {amount}"),
            "thanks": _("Thank you"),
            "on_scale": _("On the scale"),
            "tare": _("less tare {n} g"),
            "items": _("items: {n}"),
        }
        boot = {
            "lang": language,
            "currency": node.settings.currency,
            "topics": list(TOPICS),
            "words": words,
            "name": name_of(node.settings.name) or node.settings.store,
            "picture": msgspec.to_builtins(node.showing.picture(till)),
        }
        return render_template("customer.html", boot=boot, language=language)


@customer.get("/customer/picture")
@needs(PAIRED)
def picture() -> Response:
    """What the customer sees now."""
    return give(shop().showing.picture(_till()))
