"""The time servers of a virtual shop on its page: what each does, and a choice to change it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flask import Flask, abort, redirect, request, url_for

from devices.sim.vntp import BEHAVIOURS, VirtualNtp

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as BaseResponse


def time_view(servers: Sequence[VirtualNtp]) -> list[dict[str, Any]]:
    """What the page shows of each."""
    return [
        {
            "n": n,
            "address": one.address,
            "named": one.named,
            "asked": one.asked,
            "ways": list(BEHAVIOURS),
        }
        for n, one in enumerate(servers, 1)
    ]


def add_time(app: Flask, servers: Sequence[VirtualNtp]) -> None:
    """The form's address: one server, or all of them, take on another behaviour."""

    @app.post("/time")
    def time() -> "BaseResponse":
        wish, which = request.form.get("behaviour", ""), request.form.get("server", "")
        chosen = [one for one in servers if which in {"all", one.address}]
        if wish not in BEHAVIOURS or not chosen:
            abort(404)
        for one in chosen:
            one.become(wish)
        return redirect(url_for("show", lang=request.args.get("lang")), code=303)
