"""Pairing a browser, signing in by PIN and out."""

from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from edge.web.visitor import (
    BROWSER_COOKIE,
    OPEN,
    PAIRED,
    SESSION_COOKIE,
    needs,
    remember,
    shop,
    visitor,
)
from protocol.errors import TillmeshError

session = Blueprint("session", __name__)


def own_path(target: str) -> str:
    """A place on these pages to go on to; anything else becomes the start."""
    parts = urlsplit(target)
    safe = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if safe and not parts.netloc and not parts.scheme else "/"


@session.get("/")
@needs(PAIRED)
def start() -> ResponseReturnValue:
    """Where a visitor belongs."""
    who = visitor()
    if who.signed is None:
        return redirect(url_for("session.sign_in"))
    if who.till and who.may("sell"):
        return redirect(url_for("till.page"))
    return redirect(url_for("stock.home"))


@session.get("/pair")
@needs(OPEN)
def pair() -> ResponseReturnValue:
    """Ask for the six digits."""
    if visitor().browser is not None and "again" not in request.args:
        return redirect(url_for("session.start"))
    return render_template("pair.html", fault=None)


@session.post("/pair")
@needs(OPEN)
def pair_browser() -> ResponseReturnValue:
    """Use the code."""
    code = "".join(c for c in request.form.get("code", "")[:20] if c.isdigit())
    name = request.form.get("name", "").strip()[:40]
    try:
        token = shop().pairing.pair(code, name=name)
    except TillmeshError as fault:
        return render_template("pair.html", fault=fault, name=name), 422
    answer = redirect(url_for("session.sign_in"))
    answer.delete_cookie(SESSION_COOKIE)
    return remember(answer, BROWSER_COOKIE, token)


@session.get("/sign-in")
@needs(PAIRED)
def sign_in() -> ResponseReturnValue:
    """The PIN pad."""
    target = own_path(request.args.get("next", "/"))
    return render_template("sign_in.html", fault=None, target=target, wait_s=0)


@session.post("/sign-in")
@needs(PAIRED)
def sign_in_person() -> ResponseReturnValue:
    """Check the PIN; a wrong one waits longer each time."""
    who = visitor()
    target = own_path(request.form.get("next", "/"))
    pin = request.form.get("pin", "")[:12]
    try:
        signed = shop().people.sign_in(
            pin,
            person=request.form.get("person", "")[:40],
            browser=who.browser.key if who.browser else "",
            till=who.till,
        )
    except TillmeshError as fault:
        wait = fault.params.get("seconds", 0)
        wait_s = wait if isinstance(wait, int) else 0
        page = render_template("sign_in.html", fault=fault, target=target, wait_s=wait_s)
        return page, 429 if wait_s else 422
    return remember(redirect(target), SESSION_COOKIE, signed.token, days=7)


@session.post("/sign-out")
@needs(PAIRED)
def sign_out() -> Response:
    """End the session; the basket stays on the till."""
    token = request.cookies.get(SESSION_COOKIE, "")
    if token:
        shop().people.sign_out(token)
    answer = redirect(url_for("session.sign_in"))
    answer.delete_cookie(SESSION_COOKIE)
    return answer
