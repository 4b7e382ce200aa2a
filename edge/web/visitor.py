"""Who asks: the paired browser, the signed-in person, the language; and what a page demands.

Every view declares its permission with `needs`; one that does not is refused to everybody, so a
forgotten line cannot open a door.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import msgspec
from flask import Flask, current_app, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from edge.compose import Shop
from edge.pairing import Browser
from edge.people import SignedIn
from protocol.errors import Refusal, define
from protocol.roles import MAY, demand

BROWSER_COOKIE: Final = "tm_browser"
SESSION_COOKIE: Final = "tm_session"
CSRF_COOKIE: Final = "tm_csrf"
LANGUAGE_COOKIE: Final = "tm_language"
YEAR_S: Final = 365 * 24 * 3600
LANGUAGES: Final = {"zh": "zh_Hans_CN", "en": "en"}

OPEN: Final = "open"  # anybody who reaches the node
PAIRED: Final = "paired"  # a browser of this shop
SIGNED_IN: Final = "signed_in"  # any person of this shop
BUILT_IN: Final = frozenset({"static"})
BY_ITSELF: Final = frozenset({"live.stream", "live.now", "till_api.screen"})  # no person acted

define(
    {
        "PAIR_FIRST": (
            "This browser does not belong to the shop yet. Open the start page and type the code.",
            "此浏览器尚未与门店配对。请打开首页并输入配对码。",
        ),
        "SIGN_IN_FIRST": (
            "You are signed out. The sale on the till was kept; sign in to go on.",
            "您已退出登录。收银台上的商品已保留，请登录后继续。",
        ),
        "TILL_NEEDED": (
            "This browser is paired as an office or phone screen, not with a till. "
            "Pair it with a till to sell.",
            "此浏览器配对为后台或手机，不是收银台。请与收银台配对后销售。",
        ),
        "FORM_EXPIRED": (
            "This form was open for too long or came from another page. Nothing was changed; "
            "open it again.",
            "表单已过期或来自其他页面。没有任何更改，请重新打开。",
        ),
    }
)


class Need(msgspec.Struct, frozen=True):
    """What a view asks of its visitor: a level or an action of protocol.roles; a till or not."""

    action: str
    till: bool = False


@dataclass(slots=True)
class Visitor:
    """One request's visitor."""

    language: str  # zh or en
    csrf: str
    browser: Browser | None = None
    signed: SignedIn | None = None

    @property
    def till(self) -> str:
        """The till this browser belongs to; "" for a phone or an office screen."""
        return self.browser.till if self.browser else ""

    @property
    def person(self) -> str:
        """Id of the signed-in person; SIGN_IN_FIRST when there is none."""
        if self.signed is None:
            raise Refusal("SIGN_IN_FIRST")
        return self.signed.person.person

    def may(self, action: str) -> bool:
        """For menus: is this open to the person?"""
        return self.signed is not None and self.signed.person.role in MAY[action]


View = TypeVar("View", bound=Callable[..., Any])


def needs(action: str, *, till: bool = False) -> Callable[[View], View]:
    """Declare a view's permission; write it below the route."""
    if action not in {OPEN, PAIRED, SIGNED_IN}:
        MAY[action]

    def declare(view: View) -> View:
        view.needs = Need(action, till)  # type: ignore[attr-defined]
        return view

    return declare


def shop() -> Shop:
    """The node behind these pages."""
    return cast("Shop", current_app.extensions["tillmesh_shop"])


def visitor() -> Visitor:
    """Who asks."""
    return cast("Visitor", g.visitor)


def need_of(app: Flask, endpoint: str | None) -> Need | None:
    """The declared permission of an endpoint; None when it declares nothing."""
    if endpoint in BUILT_IN:
        return Need(OPEN)
    view = app.view_functions.get(endpoint or "")
    return getattr(view, "needs", None)


def csrf_token(secret: str) -> str:
    """What a form must carry, made from a cookie that other sites cannot read."""
    return hashlib.sha256(b"tillmesh-form:" + secret.encode()).hexdigest()


def wants_json() -> bool:
    """Is this a call of the API rather than a page for people?"""
    return request.path.startswith(("/api/", "/live", "/openapi"))


def choose_language() -> str:
    """?lang=, then the cookie, then what the browser prefers; Chinese when it says nothing."""
    asked = request.args.get("lang", "")[:2] or request.cookies.get(LANGUAGE_COOKIE, "")
    if asked in LANGUAGES:
        return asked
    best = request.accept_languages.best_match(["zh-CN", "zh", "en"], default="zh")
    return "en" if best == "en" else "zh"


def _meet() -> None:
    secret = request.cookies.get(CSRF_COOKIE, "")
    if not 20 <= len(secret) <= 100:
        secret = secrets.token_urlsafe(32)
        g.new_csrf_cookie = secret
    g.visitor = Visitor(language=choose_language(), csrf=csrf_token(secret))
    if request.endpoint == "static":
        return
    node = shop()
    if token := request.cookies.get(BROWSER_COOKIE):
        g.visitor.browser = node.pairing.browser(token)
    if g.visitor.browser and (token := request.cookies.get(SESSION_COOKIE)):
        acts = request.endpoint not in BY_ITSELF
        g.visitor.signed = node.people.session(token, browser=g.visitor.browser.key, acts=acts)


def _check_form() -> None:
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return
    sent = request.headers.get("X-CSRF") or request.form.get("csrf", "")
    if "new_csrf_cookie" in g or not hmac.compare_digest(sent.encode(), visitor().csrf.encode()):
        raise Refusal("FORM_EXPIRED")


def _admit(need: Need) -> ResponseReturnValue | None:
    who = visitor()
    if need.action == OPEN:
        return None
    if who.browser is None:
        if wants_json():
            raise Refusal("PAIR_FIRST")
        return redirect(url_for("session.pair"))
    if need.action == PAIRED:
        return None
    if who.signed is None:
        if wants_json():
            raise Refusal("SIGN_IN_FIRST")
        back = request.full_path.rstrip("?") if request.method == "GET" else "/"
        return redirect(url_for("session.sign_in", next=back))
    if need.action != SIGNED_IN:
        demand(who.signed.person.role, need.action)
    if need.till and not who.till:
        raise Refusal("TILL_NEEDED")
    return None


def guard() -> ResponseReturnValue | None:
    """Before every request: who is it, may they, and is the form ours?"""
    _meet()
    if request.endpoint is None:  # Flask answers 404 or 405
        return None
    need = need_of(current_app, request.endpoint)
    if need is None:
        raise RuntimeError(f"{request.endpoint} declares no permission")
    answer = _admit(need)
    if answer is None:
        _check_form()
    return answer


def finish(response: Response) -> Response:
    """After every request: cookies of the visit and the security headers."""
    secure = request.is_secure
    if "new_csrf_cookie" in g:
        response.set_cookie(
            CSRF_COOKIE, g.new_csrf_cookie, httponly=True, secure=secure, samesite="Strict"
        )
    asked = request.args.get("lang", "")[:2]
    if asked in LANGUAGES:
        response.set_cookie(
            LANGUAGE_COOKIE, asked, max_age=YEAR_S, secure=secure, samesite="Lax", httponly=True
        )
    headers = response.headers
    headers["Content-Security-Policy"] = (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=()"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if request.endpoint != "static":
        headers["Cache-Control"] = "no-store"
    return response


def remember(response: Response, cookie: str, token: str, *, days: int = 365) -> Response:
    """Give the browser a token that only we can read."""
    response.set_cookie(
        cookie,
        token,
        max_age=days * 24 * 3600,
        httponly=True,
        secure=request.is_secure,
        samesite="Lax",
    )
    return response
