"""Who may open which page: sessions, permissions per route, and proof that a form is our own."""

import hmac
from collections.abc import Callable
from typing import Any, Final, TypeVar

from flask import (
    Blueprint,
    Flask,
    current_app,
    g,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from central.accounts import SESSION_MS
from central.web.office import office, session_or_none
from protocol.errors import Refusal, define
from protocol.roles import demand, may

COOKIE: Final = "tillmesh_session"
OPEN: Final = ""  # the permission of a route that needs nobody to be signed in
WRITING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
View = TypeVar("View", bound=Callable[..., Any])

pages = Blueprint("session", __name__)

define(
    {
        "SIGN_IN_NEEDED": (
            "You are not signed in, or your session ended. Sign in again; nothing was changed.",
            "您尚未登录，或登录已过期。请重新登录；没有任何更改。",
        ),
        "FORM_STALE": (
            "This page was too old to be sent, or came from somewhere else. Nothing was changed. "
            "Open the page again and repeat.",
            "页面已过期，或请求来自其他地方。没有任何更改。请重新打开页面后再试。",
        ),
        "PAGE_UNKNOWN": (
            "There is no page at this address. Use the menu to go on.",
            "此地址没有页面。请使用菜单继续。",
        ),
    }
)


def needs(action: str) -> Callable[[View], View]:
    """Declare the permission of a route; every route must have one (OPEN for all the world)."""

    def mark(view: View) -> View:
        view.needs = action  # type: ignore[attr-defined]
        return view

    return mark


def permission_of(endpoint: str) -> str | None:
    """What a route needs; None when nobody declared it (then it is refused)."""
    if endpoint == "static":
        return OPEN
    return getattr(current_app.view_functions[endpoint], "needs", None)


def allowed(action: str) -> bool:
    """May the person of this request do that? For templates."""
    session = session_or_none()
    return session is not None and may(session.account.role, action)


def csrf_token() -> str:
    """The token for forms and for the page's own requests."""
    session = session_or_none()
    return session.csrf if session else ""


def _same_origin() -> bool:
    """Without a session there is no token: then the browser's own word counts."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is None or origin == request.host_url.rstrip("/")


def _check_form() -> None:
    session = session_or_none()
    if session is None:
        good = _same_origin()
    else:
        sent = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
        good = hmac.compare_digest(sent.encode(), session.csrf.encode())
    if not good:
        raise Refusal("FORM_STALE")


def _check_text() -> None:
    """Nobody types a NUL, and PostgreSQL holds none: it must not become a fault of our own."""
    fields = [request.args, *([request.form] if request.method in WRITING else [])]
    texts = [request.path]
    for name, values in (pair for field in fields for pair in field.lists()):
        texts += [name, *values]
    if any("\0" in text for text in texts):
        raise BadRequest


def guard() -> ResponseReturnValue | None:
    """Before every request: who is it, may he, and is the form our own."""
    token = request.cookies.get(COOKIE, "")
    g.session = office().accounts.session(token) if token else None
    _check_text()
    if request.endpoint is None:  # an unknown address or method: the error pages answer
        return None
    action = permission_of(request.endpoint)
    if action == OPEN and request.method not in WRITING:
        return None
    if action != OPEN:
        if g.session is None:
            if request.path.startswith(("/api/", "/live")) or request.headers.get("X-Part"):
                raise Refusal("SIGN_IN_NEEDED")
            back = request.full_path.rstrip("?") if request.method == "GET" else "/"
            return redirect(url_for("session.sign_in", next=back))
        if action is None:
            raise Refusal("PAGE_UNKNOWN")
        demand(g.session.account.role, action)
    if request.method in WRITING:
        _check_form()
    return None


def _safe_next(text: str) -> str:
    """Only an address of our own: one slash, never two, nothing that a browser bends."""
    good = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if good and text.isprintable() else "/"


@pages.get("/sign-in")
@needs(OPEN)
def sign_in() -> ResponseReturnValue:
    """The sign-in page."""
    if session_or_none():
        return redirect("/")
    return render_template("sign_in.html", next=_safe_next(request.args.get("next", "/")))


@pages.post("/sign-in")
@needs(OPEN)
def do_sign_in() -> ResponseReturnValue:
    """Check name and password; delays and lock-out come back as a sentence."""
    person = request.form.get("person", "").strip()
    after = _safe_next(request.form.get("next", "/"))
    try:
        session = office().accounts.sign_in(person, request.form.get("password", ""))
    except Refusal as fault:
        return render_template("sign_in.html", next=after, person=person, fault=fault), 422
    answer = redirect(after)
    answer.set_cookie(
        COOKIE,
        session.token,
        max_age=SESSION_MS // 1000,
        httponly=True,
        samesite="Lax",
        secure=request.is_secure,
    )
    return answer


@pages.post("/sign-out")
@needs("see_chain")
def sign_out() -> ResponseReturnValue:
    """End the session."""
    office().accounts.sign_out(request.cookies.get(COOKIE, ""))
    answer = redirect(url_for("session.sign_in"))
    answer.delete_cookie(COOKIE)
    return answer


def install(app: Flask) -> None:
    """Guard every route of the application."""
    app.before_request(guard)
    app.register_blueprint(pages)
    app.jinja_env.globals.update(allowed=allowed, csrf_token=csrf_token, who=session_or_none)
