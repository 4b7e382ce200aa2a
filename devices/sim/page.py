"""The virtual shop's page: receipts as pictures, and what a hand does to devices as buttons.

It works without scripts (each button is a form); with them it refreshes itself. zh-CN and en.
A device has its panel in `templates/panels/`, what it shows in `_others`, its buttons in `hands`.
"""

import zlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from flask import Flask, Response, abort, jsonify, redirect, render_template, request, url_for

from devices.label import preview_png
from devices.sim.hands import HANDS
from devices.sim.paypage import add_payments, payments_view
from devices.sim.timepage import add_time, time_view
from devices.sim.words import WORDS

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

    from devices.sim.paper import Paper
    from devices.sim.store import VirtualShop, VirtualTill
    from devices.sim.vlabel import VirtualLabelPrinter

SHOWN: Final = 12


def create_page(shop: "VirtualShop") -> Flask:
    """The WSGI application for one shop."""
    app = Flask(__name__)

    @app.before_request
    def same_origin() -> None:
        _refuse_other_sites()

    @app.context_processor
    def everywhere() -> dict[str, Any]:
        """What every template may use."""
        language = _language()
        words = {key: texts[language] for key, texts in WORDS.items()}
        return {"shop": shop, "words": words, "language": language}

    @app.get("/")
    def show() -> str:
        return render_template("shop.html", **_parts(shop))

    @app.get("/tills")
    def tills() -> str:
        """The part of the page that changes."""
        return render_template("tills.html", **_parts(shop))

    @app.get("/state.json")
    def state() -> Response:
        return jsonify({"shop": shop.name, "tills": _tills(shop)})

    @app.post("/till/<till>/<action>")
    def act(till: str, action: str) -> "BaseResponse":
        if action not in HANDS:
            abort(404)
        HANDS[action](_till(shop, till), request.form.get("code", ""))
        return redirect(url_for("show", lang=request.args.get("lang")), code=303)

    _add_papers(app, shop)
    add_time(app, shop.time_servers)
    add_payments(app, shop)
    if shop.labels is not None:
        _add_back_room(app, shop.labels)

    return app


def _parts(shop: "VirtualShop") -> dict[str, Any]:
    parts: dict[str, Any] = {"tills": _tills(shop), "back": _back_room(shop)}
    parts["payments"] = payments_view(shop)
    return {**parts, "time": time_view(shop.time_servers)}


def _add_papers(app: Flask, shop: "VirtualShop") -> None:
    """What came out of the printers, and what is just coming out, as pictures."""

    @app.get("/paper/<till>/<int:number>.png")
    def paper(till: str, number: int) -> Response:
        headers = {"Cache-Control": "max-age=3600"}
        return Response(_png(_till(shop, till), number), mimetype="image/png", headers=headers)

    @app.get("/printing/<till>.png")
    def printing(till: str) -> Response:
        sheet = _till(shop, till).printer.printing()
        if not sheet.items:
            abort(404)
        return Response(sheet.png(), mimetype="image/png", headers={"Cache-Control": "no-store"})


def _add_back_room(app: Flask, printer: "VirtualLabelPrinter") -> None:
    """The label printer's last labels."""

    @app.get("/label/<int:back>.png")
    def label(back: int) -> Response:
        labels = printer.labels
        if back >= min(len(labels), SHOWN):
            abort(404)
        return Response(preview_png(labels[-1 - back]), mimetype="image/png")


def _back_room(shop: "VirtualShop") -> dict[str, Any]:
    if shop.labels is None:
        return {}
    return {"labels": min(len(shop.labels.labels), SHOWN), "count": len(shop.labels.labels)}


def _refuse_other_sites() -> None:
    """A page of another site must not press our buttons."""
    origin = request.headers.get("Origin")
    if request.method == "POST" and origin and urlsplit(origin).netloc != request.host:
        abort(403)


def _png(till: "VirtualTill", number: int) -> bytes:
    sheet = dict(till.printer.numbered(SHOWN * 4)).get(number)
    if sheet is None:
        abort(404)
    return sheet.png()


def _language() -> str:
    asked = request.args.get("lang") or request.accept_languages.best_match(["zh-CN", "zh", "en"])
    return "en" if asked == "en" else "zh-CN"


def _till(shop: "VirtualShop", name: str) -> "VirtualTill":
    if name not in shop.tills:
        abort(404)
    return shop.tills[name]


def _tills(shop: "VirtualShop") -> list[dict[str, Any]]:
    return [_view(till) for till in shop.tills.values()]


def _view(till: "VirtualTill") -> dict[str, Any]:
    """One till for the templates: what each panel shows."""
    return {"name": till.name} | _printer(till) | _others(till)


def _printer(till: "VirtualTill") -> dict[str, Any]:
    printer = till.printer
    knobs = printer.brain.knobs
    return {
        "power": printer.powered,
        "plugged": printer.plugged,
        "connected": printer.connected,
        "paper": knobs.paper,
        "cover": knobs.cover_open,
        "jam": knobs.cutter_jam,
        "mute": printer.mute,
        "drawer": printer.kicks,
        "faults": printer.faults[-5:],
        "printing": len(printer.printing().items),
        "papers": [_sheet(number, paper) for number, paper in printer.numbered(SHOWN)],
    }


def _others(till: "VirtualTill") -> dict[str, Any]:
    return {
        "scanner": till.scanner.plugged,
        "grams": till.scale.grams if till.scale is not None else None,
        "scale_in": till.scale.plugged if till.scale is not None else None,
        "shaking": till.scale.moving if till.scale is not None else None,
        "display": till.display.screen.lines() if till.display is not None else None,
    }


def _sheet(number: int, paper: "Paper") -> dict[str, Any]:
    text = paper.text()
    version = zlib.crc32(text.encode("utf-8"))  # a new run starts at 0 again: not the same picture
    return {"number": number, "torn": paper.torn, "text": text, "version": version}
