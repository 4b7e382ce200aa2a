"""What people and programs see when something is refused or breaks: a sentence and a code."""

import secrets
from typing import Any, Final

import structlog
from flask import Flask, Response, jsonify, render_template, request
from pydantic import ValidationError
from werkzeug.exceptions import BadRequest, HTTPException

from edge.web.tongue import _
from edge.web.visitor import visitor, wants_json
from protocol.errors import Conflict, Corrupt, Refusal, TillmeshError, Unavailable

log = structlog.get_logger("web")

STATUS: Final[dict[str, int]] = {
    "PAIR_FIRST": 401,
    "SIGN_IN_FIRST": 401,
    "NOT_ALLOWED": 403,
    "TILL_NEEDED": 403,
    "FORM_EXPIRED": 403,
    "PIN_WAIT": 429,
    "PIN_LOCKED": 429,
}
KINDS: Final = ((Unavailable, 503), (Conflict, 409), (Refusal, 409), (Corrupt, 409))


def status_of(fault: TillmeshError) -> int:
    """The HTTP status of an error of the house."""
    if fault.code in STATUS:
        return STATUS[fault.code]
    return next((status for kind, status in KINDS if isinstance(fault, kind)), 500)


def _sentence(status: int) -> str:
    return {
        400: _("The request could not be read. Nothing was changed."),
        404: _("There is nothing at this address."),
        405: _("This address does not take such a request. Nothing was changed."),
        413: _("That is more than this page takes at once. Nothing was changed."),
        415: _("The request must be sent as JSON. Nothing was changed."),
    }.get(status, _("The request was refused. Nothing was changed."))


def _answer(status: int, code: str, message: str, **more: Any) -> tuple[Response | str, int]:
    if wants_json():
        return jsonify(code=code, message=message, **more), status
    try:
        return render_template("fault.html", code=code, message=message, **more), status
    except Exception:
        log.exception("fault_page_failed")
        return Response(f"{message} ({code})", mimetype="text/plain"), status


def on_refusal(fault: TillmeshError) -> tuple[Response | str, int]:
    """An error of the house: its own words."""
    status = status_of(fault)
    if status == 500:
        return on_crash(fault)
    return _answer(status, fault.code, fault.sentence(visitor().language))


def on_http(fault: HTTPException) -> tuple[Response | str, int] | HTTPException:
    """An error of the protocol (404, 405, ...)."""
    status = fault.code or 500
    if status < 400:
        return fault
    answer, status = _answer(status, f"HTTP_{status}", _sentence(status))
    if status == 405 and isinstance(answer, Response):
        allowed = getattr(fault, "valid_methods", None) or ()
        answer.headers["Allow"] = ", ".join(sorted(allowed))
    return answer, status


def on_crash(fault: Exception) -> tuple[Response | str, int]:
    """Anything else: a reference for the log, nothing of the inside."""
    reference = secrets.token_hex(4).upper()
    log.error("request_failed", reference=reference, exc_info=fault)
    crash = TillmeshError("INTERNAL", reference=reference)
    language = visitor().language
    return _answer(500, "INTERNAL", crash.sentence(language), reference=reference)


def on_invalid(fault: ValidationError) -> Response:
    """A JSON body or query that does not have the described form."""
    first = fault.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    message = _(
        "The request does not have the right form: %(where)s. Nothing was changed.", where=where
    )
    answer = jsonify(code="FORM_INVALID", message=message, detail=f"{where}: {first['msg']}")
    answer.status_code = 422
    return answer


def on_nested(_fault: RecursionError) -> tuple[Response | str, int] | HTTPException:
    """JSON that nests without end is a wrong request, no fault of our own."""
    log.warning("request_nested_too_deeply", path=request.path)
    return on_http(BadRequest())


def register(app: Flask) -> None:
    """Catch everything."""
    app.register_error_handler(RecursionError, on_nested)
    app.register_error_handler(TillmeshError, on_refusal)
    app.register_error_handler(HTTPException, on_http)
    app.register_error_handler(Exception, on_crash)
