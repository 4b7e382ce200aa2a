"""Payments of a virtual shop on its page: what was collected, and how the next one will go."""

import secrets
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, abort, redirect, request, url_for

from devices.sim.book import BEHAVIOURS, Book

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

    from devices.sim.store import VirtualShop, VirtualTill

PROVIDER: Final = "scan-pay"
OFTEN: Final = ("ok", "slow", "refused", "lost-answer", "never")  # a button each


def payments_view(shop: "VirtualShop") -> list[dict[str, Any]]:
    """What the page shows of the provider and of each card terminal."""
    return [_view(name, book) for name, book in _books(shop).items()]


def _books(shop: "VirtualShop") -> dict[str, Book]:
    found: dict[str, Book] = {} if shop.provider is None else {PROVIDER: shop.provider}
    for name, till in shop.tills.items():
        if till.terminal is not None:
            found[f"card-{name}"] = till.terminal
    return found


def _view(name: str, book: Book) -> dict[str, Any]:
    return {
        "name": name,
        "till": name.removeprefix("card-") if name != PROVIDER else "",
        "captured": len(book.captured),
        "reversed": len(book.reversed),
        "next": book.scripted(),
        "down": book.down,
        "behaviours": BEHAVIOURS,
        "often": OFTEN,
    }


def add_payments(app: Flask, shop: "VirtualShop") -> None:
    """The forms' address: script the next payment, or cut the line."""

    @app.post("/payments/<name>")
    def payments(name: str) -> "BaseResponse":
        book, wish = _books(shop).get(name), request.form.get("behaviour", "")
        if book is None or wish not in {*BEHAVIOURS, "down", "up"}:
            abort(404)
        if wish in BEHAVIOURS:
            book.script(wish)
        else:
            book.down = wish == "down"
        return redirect(url_for("show", lang=request.args.get("lang")), code=303)


def show_pay_code(till: "VirtualTill") -> None:
    """The customer holds a phone under the scanner: a fresh WeChat payment code."""
    till.scanner.scan("13" + "".join(secrets.choice("0123456789") for _ in range(16)))
