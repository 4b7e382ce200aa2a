"""The outermost layer: faults become a sentence with a code, as a page or as JSON."""

import uuid
from typing import Any, Final

import structlog
from flask import Flask, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, default_exceptions

from central.web.language import language
from protocol.errors import (
    Conflict,
    Corrupt,
    Refusal,
    TillmeshError,
    Unavailable,
    define,
)

log = structlog.get_logger("web")

STATUS: Final = {
    "SIGN_IN_NEEDED": 401,
    "NOT_ALLOWED": 403,
    "FORM_STALE": 403,
    "PAGE_UNKNOWN": 404,
    "STREAMS_FULL": 503,
}

define(
    {
        "METHOD_UNKNOWN": (
            "This address cannot be asked in this way. Nothing was changed.",
            "此地址不支持该请求方式。没有任何更改。",
        ),
        "REQUEST_TOO_LARGE": (
            "What was sent is too large. Nothing was changed. Send it in smaller parts.",
            "提交的内容过大。没有任何更改。请分批提交。",
        ),
        "REQUEST_UNREADABLE": (
            "The request could not be read. Nothing was changed.",
            "无法读取请求。没有任何更改。",
        ),
    }
)


def status_of(fault: TillmeshError) -> int:
    """The HTTP status of a fault."""
    if fault.code in STATUS:
        return STATUS[fault.code]
    if isinstance(fault, Refusal):
        return 404 if fault.code.endswith("_UNKNOWN") and request.method == "GET" else 422
    if isinstance(fault, Conflict):
        return 409
    return 503 if isinstance(fault, Unavailable) else 500


def wants_json() -> bool:
    """Requests of programs and of the page's own modules."""
    return request.path.startswith(("/api/", "/live", "/openapi"))


def as_json(fault: TillmeshError) -> dict[str, Any]:
    """The body that the API answers with."""
    return {"code": fault.code, "sentence": fault.sentence(language())}


def _answer(fault: TillmeshError, status: int) -> ResponseReturnValue:
    headers = {"Retry-After": "15"} if status == 503 else {}
    if wants_json() or request.headers.get("X-Part"):
        return jsonify(as_json(fault)), status, headers
    return render_template("fault.html", fault=fault, status=status), status, headers


def known(fault: TillmeshError) -> ResponseReturnValue:
    """A fault of the domain."""
    return _answer(fault, status_of(fault))


def http(fault: HTTPException) -> ResponseReturnValue:
    """What Flask itself refuses."""
    status = fault.code or 500
    if status < 400:  # a redirect of the router
        return fault.get_response()
    code = {404: "PAGE_UNKNOWN", 405: "METHOD_UNKNOWN", 413: "REQUEST_TOO_LARGE"}.get(
        status, "REQUEST_UNREADABLE" if status < 500 else "INTERNAL"
    )
    params = {"reference": "-"} if code == "INTERNAL" else {}
    answer = _answer(Refusal(code, **params), status)
    if status == 405 and isinstance(answer, tuple) and getattr(fault, "valid_methods", None):
        allow = ", ".join(sorted(fault.valid_methods))  # type: ignore[attr-defined]
        return (*answer[:2], {"Allow": allow})
    return answer


def nested(_: RecursionError) -> ResponseReturnValue:
    """JSON that nests without end is a wrong request, no fault of our own."""
    log.warning("request_nested_too_deeply", path=request.path)
    return _answer(Refusal("REQUEST_UNREADABLE"), 400)


def install(app: Flask) -> None:
    """Translate everything; what nobody foresaw gets a reference that the log has too."""

    def unforeseen(fault: Exception) -> ResponseReturnValue:
        reference = uuid.uuid4().hex[:8]
        log.error("request_failed", reference=reference, exc_info=fault)
        return _answer(Corrupt("INTERNAL", reference=reference), 500)

    app.register_error_handler(RecursionError, nested)
    app.register_error_handler(TillmeshError, known)
    app.register_error_handler(Exception, unforeseen)
    for code in default_exceptions:
        app.register_error_handler(code, http)
