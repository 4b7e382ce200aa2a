"""The composed head office behind a request, and who is asking."""

from typing import cast

from flask import current_app, g

from central.accounts import Session
from central.compose import HeadOffice

EXTENSION = "tillmesh"


def office() -> HeadOffice:
    """The head office that this application serves."""
    return cast("HeadOffice", current_app.extensions[EXTENSION])


def session_or_none() -> Session | None:
    """The signed-in browser, or None."""
    return cast("Session | None", g.get("session"))


def signed_in() -> Session:
    """The signed-in browser; only below a guard."""
    session = session_or_none()
    if session is None:
        raise RuntimeError("a page without a guard asked who is signed in")
    return session


def me() -> str:
    """The sign-in name, as verbs want it in `by`."""
    return signed_in().account.person


def now_ms() -> int:
    """The instant of this request."""
    if "now_ms" not in g:
        g.now_ms = office().clock.read().at_ms
    return cast("int", g.now_ms)
