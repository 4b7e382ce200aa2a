"""Sales of today, the state of the node, and the settings that a shop may change itself."""

from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from devices.weighing import code_hash
from edge.web.clocks import clock_view
from edge.web.till import boot_of
from edge.web.visitor import needs, shop, visitor
from edge.web.words import shared_words
from protocol.errors import Refusal, TillmeshError
from protocol.node.tables import READ, parked, refused

upkeep = Blueprint("upkeep", __name__)

REFUSED_SHOWN = 50


@upkeep.get("/sales")
@needs("see_stock")
def sales() -> ResponseReturnValue:
    """The day's figures and its receipts."""
    node = shop()
    recent = node.selling.recent(limit=200)
    return render_template(
        "sales.html",
        boot=boot_of(shared_words()),
        recent=recent,
        day=_day(),
        printed=request.args.get("printed", ""),
        fault=None,
    )


def _day() -> dict[str, int | str] | None:
    """The newest business day of this shop."""
    table = READ["sales_day"]
    node = shop()
    with node.books.database.reading() as connection:
        row = connection.execute(
            select(table)
            .where(table.c.store == node.settings.store)
            .order_by(table.c.business_date.desc())
            .limit(1)
        ).first()
    return None if row is None else dict(row._mapping)  # noqa: SLF001  SQLAlchemy's own name


@upkeep.get("/sales/<sale>")
@needs("see_stock")
def receipt(sale: str) -> ResponseReturnValue:
    """One sale as it was recorded."""
    found = shop().selling.sale(sale[:40])
    if found is None:
        abort(404)
    return render_template(
        "sale.html",
        boot=boot_of(shared_words()),
        sale=found,
        printed=request.args.get("printed", ""),
        fault=None,
    )


@upkeep.post("/sales/<sale>/reprint")
@needs("sell")
def reprint(sale: str) -> ResponseReturnValue:
    """Print it again at a till of the shop."""
    node = shop()
    found = node.selling.sale(sale[:40])
    if found is None:
        abort(404)
    till = visitor().till or found.till
    try:
        copy = node.selling.reprint(found.sale, till=till, person=visitor().person)
    except TillmeshError as fault:
        page = render_template(
            "sale.html", boot=boot_of(shared_words()), sale=found, printed="", fault=fault
        )
        return page, 422
    return redirect(url_for("upkeep.receipt", sale=found.sale, printed=copy))


@upkeep.get("/health")
@needs("see_health")
def health() -> ResponseReturnValue:
    """One verdict per part, what to do, and what was parked or refused."""
    return _health_page()


@upkeep.post("/health/time")
@needs("confirm_time")
def confirm_time() -> ResponseReturnValue:
    """A manager vouches for the time with the PIN, after a power cut without a network."""
    node, who, browser = shop(), visitor().person, visitor().browser
    try:
        typed = datetime.fromisoformat(request.form.get("time", "")[:20])
        true_ms = int(typed.replace(tzinfo=ZoneInfo(node.settings.tz)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return _health_page(Refusal("TIME_STRANGE")), 422
    try:
        pin = request.form.get("pin", "")[:12]
        node.people.check_pin(who, pin, browser=browser.key if browser else "")
        node.timekeeping.confirm(true_ms, person=who)
    except TillmeshError as fault:
        return _health_page(fault), 422
    return redirect(url_for("upkeep.health"))


def _health_page(fault: TillmeshError | None = None) -> str:
    node = shop()
    with node.books.database.reading() as connection:
        waiting = connection.execute(
            select(parked).order_by(parked.c.stream, parked.c.seq).limit(REFUSED_SHOWN)
        ).all()
        turned_away = connection.execute(
            select(refused.c.n, refused.c.at_ms, refused.c.topic, refused.c.code, refused.c.detail)
            .order_by(refused.c.n.desc())
            .limit(REFUSED_SHOWN)
        ).all()
    return render_template(
        "health.html",
        boot=boot_of(shared_words()),
        verdicts=node.health.verdicts(),
        parked=waiting,
        refused=turned_away,
        jobs=node.printing.jobs(limit=20),
        unsynced=node.health.unsynced(),
        time_wanted=node.timekeeping.wanted,
        time=clock_view(),
        fault=fault,
    )


@upkeep.post("/health/jobs/<job>")
@needs("shift")
def job(job: str) -> ResponseReturnValue:
    """A person looked at a print job: again, or no paper."""
    printing = shop().printing
    if request.form.get("what") == "again":
        printing.print_again(job[:80])
    else:
        printing.drop(job[:80])
    return redirect(url_for("upkeep.health"))


@upkeep.get("/settings")
@needs("see_health")
def settings() -> ResponseReturnValue:
    """About this shop, its tills, the paired browsers, the people."""
    return _settings_page()


def _settings_page(fault: TillmeshError | None = None, *, code: str = "") -> ResponseReturnValue:
    node = shop()
    page = render_template(
        "settings.html",
        boot=boot_of(shared_words()),
        settings=node.settings,
        browsers=node.pairing.browsers(),
        staff=node.people.staff(),
        force=node.rules.in_force,
        weighing_hash=code_hash(),
        code=code,
        code_till=request.form.get("till", ""),
        fault=fault,
    )
    return page, (422 if fault else 200)


@upkeep.post("/settings/code")
@needs("pair_till")
def make_code() -> ResponseReturnValue:
    """A code for another browser."""
    try:
        code = shop().pairing.make_code(request.form.get("till", "")[:40], person=visitor().person)
    except TillmeshError as fault:
        return _settings_page(fault)
    return _settings_page(code=code)


@upkeep.post("/settings/unpair")
@needs("pair_till")
def unpair() -> ResponseReturnValue:
    """Forget a browser."""
    shop().pairing.unpair(request.form.get("key", "")[:80], person=visitor().person)
    return redirect(url_for("upkeep.settings"))


@upkeep.post("/settings/unlock")
@needs("pair_till")
def unlock() -> ResponseReturnValue:
    """Lift somebody's lock-out."""
    shop().people.unlock(request.form.get("person", "")[:40], by=visitor().person)
    return redirect(url_for("upkeep.settings"))
