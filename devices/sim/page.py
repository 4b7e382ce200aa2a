"""The virtual shop's page: receipts as pictures, and what a hand does to devices as buttons.

It works without scripts (each button is a form); with them it refreshes itself. zh-CN and en.
"""

import zlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from flask import Flask, Response, abort, jsonify, redirect, render_template, request, url_for

from devices.label import preview_png
from devices.sim.vpay import BEHAVIOURS
from devices.sim.words import ACTIONS, WORDS

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse

    from devices.sim.paper import Paper
    from devices.sim.store import VirtualShop, VirtualTill
    from devices.sim.vlabel import VirtualLabelPrinter
    from devices.sim.vpay import VirtualProvider

SHOWN: Final = 12


def create_page(shop: "VirtualShop") -> Flask:
    """The WSGI application for one shop."""
    app = Flask(__name__)

    @app.before_request
    def same_origin() -> None:
        _refuse_other_sites()

    @app.get("/")
    def show() -> str:
        language = _language()
        words = {key: texts[language] for key, texts in WORDS.items()}
        parts = {"tills": _tills(shop), "back": _back_room(shop)}
        return render_template("shop.html", shop=shop, words=words, language=language, **parts)

    @app.get("/tills")
    def tills() -> str:
        """The part of the page that changes."""
        words = {key: texts[_language()] for key, texts in WORDS.items()}
        parts = {"tills": _tills(shop), "back": _back_room(shop)}
        return render_template("tills.html", shop=shop, words=words, **parts)

    @app.get("/state.json")
    def state() -> Response:
        return jsonify({"shop": shop.name, "tills": _tills(shop)})

    @app.get("/paper/<till>/<int:number>.png")
    def paper(till: str, number: int) -> Response:
        headers = {"Cache-Control": "max-age=3600"}
        return Response(_png(_till(shop, till), number), mimetype="image/png", headers=headers)

    @app.post("/till/<till>/<action>")
    def act(till: str, action: str) -> "BaseResponse":
        if action not in ACTIONS:
            abort(404)
        _act(_till(shop, till), action, request.form.get("code", ""))
        return redirect(url_for("show", lang=request.args.get("lang")), code=303)

    if shop.labels is not None and shop.provider is not None:
        _add_back_room(app, shop.labels, shop.provider)

    return app


def _add_back_room(app: Flask, printer: "VirtualLabelPrinter", provider: "VirtualProvider") -> None:
    """The label printer's last labels, and how the next payment will go."""

    @app.get("/label/<int:back>.png")
    def label(back: int) -> Response:
        labels = printer.labels
        if back >= min(len(labels), SHOWN):
            abort(404)
        return Response(preview_png(labels[-1 - back]), mimetype="image/png")

    @app.post("/provider")
    def script() -> "BaseResponse":
        behaviour = request.form.get("behaviour", "")
        if behaviour not in BEHAVIOURS:
            abort(404)
        provider.script(behaviour)
        return redirect(url_for("show", lang=request.args.get("lang")), code=303)


def _back_room(shop: "VirtualShop") -> dict[str, Any]:
    if shop.labels is None or shop.provider is None:
        return {}
    return {
        "labels": min(len(shop.labels.labels), SHOWN),
        "count": len(shop.labels.labels),
        "captured": len(shop.provider.captured),
        "reversed": len(shop.provider.reversed),
        "next": shop.provider.scripted(),
        "behaviours": BEHAVIOURS,
    }


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
    printer = till.printer
    knobs = printer.brain.knobs
    return {
        "name": till.name,
        "power": printer.powered,
        "connected": printer.connected,
        "paper": knobs.paper,
        "cover": knobs.cover_open,
        "drawer": printer.kicks,
        "faults": printer.faults[-5:],
        "scanner": till.scanner.plugged,
        "grams": till.scale.grams if till.scale is not None else None,
        "display": till.display.screen.lines() if till.display is not None else None,
        "papers": [_sheet(number, paper) for number, paper in printer.numbered(SHOWN)],
    }


def _sheet(number: int, paper: "Paper") -> dict[str, Any]:
    text = paper.text()
    version = zlib.crc32(text.encode("utf-8"))  # a new run starts at 0 again: not the same picture
    return {"number": number, "torn": paper.torn, "text": text, "version": version}


def _act(till: "VirtualTill", action: str, code: str) -> None:
    printer, scanner = till.printer, till.scanner
    if action == "scan":
        if 0 < len(code) <= 2048:
            scanner.scan(code)
        return
    if action == "weigh":
        if till.scale is not None and code.isascii() and code.isdigit() and len(code) <= 5:
            till.scale.put(int(code))
        return
    {
        "unplug": scanner.unplug,
        "plug": scanner.plug,
        "paper-out": lambda: printer.set(paper=0),
        "paper-low": lambda: printer.set(paper=1),
        "paper-in": lambda: printer.set(paper=2, lines_left=None),
        "cover-open": lambda: printer.set(cover_open=True),
        "cover-close": lambda: printer.set(cover_open=False),
        "power-off": printer.power_off,
        "power-on": printer.power_on,
    }[action]()
