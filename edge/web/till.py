"""The till's page and the shift around it."""

from typing import Any

import msgspec
from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from edge.shifts import ShiftReport
from edge.web.live import TOPICS
from edge.web.visitor import needs, shop, visitor
from edge.web.words import till_words
from protocol.errors import Refusal, TillmeshError
from protocol.money import parse_minor

till = Blueprint("till", __name__)

TENDERS = ("cash",)


def boot_of(words: dict[str, str], **more: Any) -> dict[str, Any]:
    """What a page's scripts start from."""
    who = visitor()
    return {
        "csrf": who.csrf,
        "lang": who.language,
        "currency": shop().settings.currency,
        "till": who.till,
        "words": words,
        "topics": list(TOPICS),
        **more,
    }


@till.get("/till")
@needs("sell", till=True)
def page() -> ResponseReturnValue:
    """The till; without an open shift, its opening."""
    who, node = visitor(), shop()
    if node.shifts.current(who.till) is None:
        return redirect(url_for("till.shift"))
    basket = msgspec.to_builtins(node.selling.view(who.till))
    return render_template(
        "till.html",
        boot=boot_of(
            till_words(),
            basket=basket,
            tenders=node.tendering.providers.kinds(who.till),
            payments=msgspec.to_builtins(node.tendering.open_at(who.till)),
        ),
        missed=node.scanning.missed(who.till),
    )


@till.get("/shift")
@needs("shift", till=True)
def shift() -> ResponseReturnValue:
    """Open a shift, or see the one that runs."""
    return _shift_page()


def _shift_page(fault: TillmeshError | None = None) -> ResponseReturnValue:
    who, node = visitor(), shop()
    running = node.shifts.current(who.till)
    page = render_template(
        "shift.html",
        running=running,
        held=node.selling.list_held(),
        rows=len(node.selling.view(who.till).lines) if running else 0,
        new_id=node.node.new_id(),
        fault=fault,
        form=request.form,
    )
    return page, (422 if fault else 200)


def _amount(name: str) -> int:
    return parse_minor(request.form.get(name, "").strip().lstrip("¥￥") or "0")


@till.post("/shift/open")
@needs("shift", till=True)
def open_shift() -> ResponseReturnValue:
    """Start with the float that was counted in."""
    who = visitor()
    try:
        shop().shifts.open(
            who.till,
            person=who.person,
            float_minor=_amount("float"),
            shift=request.form.get("shift", "")[:40],
        )
    except TillmeshError as fault:
        return _shift_page(fault)
    return redirect(url_for("till.page"))


@till.post("/shift/cash")
@needs("shift", till=True)
def move_cash() -> ResponseReturnValue:
    """Cash into or out of the drawer, with a reason."""
    who = visitor()
    sign = -1 if request.form.get("way") == "out" else 1
    reason = request.form.get("reason", "").strip()[:80]
    try:
        amount = _amount("amount")
        if not amount:
            raise Refusal("MONEY_UNREADABLE", text=request.form.get("amount", "")[:20])
        shop().shifts.move_cash(
            who.till, person=who.person, amount_minor=sign * amount, reason=reason
        )
    except TillmeshError as fault:
        return _shift_page(fault)
    return redirect(url_for("till.shift", moved=1))


@till.get("/shift/close")
@needs("shift", till=True)
def count_drawer() -> ResponseReturnValue:
    """The blind count: no expected figures on this page."""
    return _count_page()


def _count_page(fault: TillmeshError | None = None) -> ResponseReturnValue:
    who, node = visitor(), shop()
    running = node.shifts.current(who.till)
    if running is None:
        return redirect(url_for("till.shift"))
    view = node.selling.view(who.till)
    report = node.shifts.x_report(who.till)
    by_hand = {*TENDERS, *node.settings.payment.by_hand}  # the rest was counted by its provider
    kinds = [one.kind for one in report.totals if one.kind in by_hand] or list(TENDERS)
    page = render_template(
        "shift_close.html",
        running=running,
        kinds=kinds,
        rows=len(view.lines),
        held=report.held,
        fault=fault,
        form=request.form,
    )
    return page, (422 if fault else 200)


@till.post("/shift/close")
@needs("shift", till=True)
def close_shift() -> ResponseReturnValue:
    """Book the count; the report follows."""
    who = visitor()
    try:
        counted = {
            name.removeprefix("counted_"): _amount(name)
            for name in request.form
            if name.startswith("counted_")
        }
        report = shop().shifts.close(
            who.till,
            person=who.person,
            counted=counted,
            shift=request.form.get("shift", "")[:40],
        )
    except TillmeshError as fault:
        return _count_page(fault)
    return redirect(url_for("till.report", shift=report.shift))


@till.get("/shift/<shift>")
@needs("shift")
def report(shift: str) -> ResponseReturnValue:
    """The Z report of a closed shift."""
    found: ShiftReport | None = shop().shifts.report(shift)
    if found is None:
        raise Refusal("SHIFT_UNKNOWN")
    return render_template("shift_report.html", report=found)
