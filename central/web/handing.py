"""Snapshots for the shops' machines, over HTTP or HTTPS: the seal, then the file, resumable.

A machine signs its question with its node key, so nobody else reads a shop's people and prices.
"""

import re
from typing import Final

import msgspec
from flask import Blueprint, Response, request, send_file
from flask.typing import ResponseReturnValue

from central.web.office import office
from central.web.session import OPEN, needs
from protocol.errors import Refusal, define
from protocol.ids import is_id
from protocol.node import signing

pages = Blueprint("handing", __name__)
SKEW_MS: Final = 300_000
_AT: Final = re.compile(r"[0-9]{1,16}")
_UPTO: Final = re.compile(r"([a-z]+(?:/[A-Za-z0-9_-]+)?):([0-9]{1,16})(?:,|$)")

define(
    {
        "ASKER_UNKNOWN": (
            "The question carries no valid signature of {store}'s machine. Accept its key at head "
            "office, then try again.",
            "请求没有门店 {store} 设备的有效签名。请先在总部登记其公钥，然后重试。",
        ),
    }
)


def _asked_by(store: str) -> Response | None:
    """None when the shop's machine asks; else the answer: its clock may be far from ours."""
    now = office().clock.read().at_ms
    at, sig = request.headers.get("X-Node-At", ""), request.headers.get("X-Node-Sig", "")
    if not _AT.fullmatch(at) or abs(int(at) - now) > SKEW_MS:
        return Response(msgspec.json.encode({"now": now}), 409, mimetype="application/json")
    key = (office().stores.node_key(store) or "") if is_id(store) else ""
    if not signing.check(key, f"snapshot {store} {at}".encode(), sig):
        fault = Refusal("ASKER_UNKNOWN", store=store[:40])
        said = {"code": fault.code, "en": fault.sentence("en"), "zh": fault.sentence("zh")}
        return Response(msgspec.json.encode(said), 403, mimetype="application/json")
    return None


@pages.get("/node/<store>/snapshot")
@needs(OPEN)
def seal(store: str) -> ResponseReturnValue:
    """The seal of a recent snapshot, or 202 while one is made.

    `?upto=shop/S1:123,all:45`: no event after these, for a shop that folds the others itself.
    """
    turned_away = _asked_by(store)
    if turned_away is not None:
        return turned_away
    asked = _UPTO.findall(request.args.get("upto", "")[:1_000])
    found = office().snapshots.wanted(store, {stream: int(seq) for stream, seq in asked})
    if found is None:
        return Response(status=202)
    return Response(msgspec.json.encode(found), mimetype="application/json")


@pages.get("/node/<store>/snapshot/file")
@needs(OPEN)
def file(store: str) -> ResponseReturnValue:
    """The file itself; Range is understood."""
    turned_away = _asked_by(store)
    if turned_away is not None:
        return turned_away
    path = office().snapshots.path(store).resolve()
    return send_file(path, mimetype="application/octet-stream", conditional=True, etag=False)
