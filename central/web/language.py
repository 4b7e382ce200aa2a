"""Languages of the pages, and how figures, names and instants are shown in them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from flask import Flask, g, request
from flask_babel import get_locale, gettext

from central.web.office import now_ms, office
from protocol.clock import EPOCH, calendar
from protocol.clockstatus import Status, span
from protocol.errors import TillmeshError, sentence
from protocol.money import SYMBOL, format_minor
from protocol.quantity import format_milli
from protocol.roles import ROLES
from protocol.wire import ClockFacts

LANGUAGES: Final = {"zh": "zh_Hans_CN", "en": "en"}
COOKIE: Final = "tillmesh_lang"
COOKIE_S: Final = 365 * 86_400


def select_locale() -> str:
    """`?lang=`, then the cookie, then what the browser prefers; Chinese when it says nothing."""
    for wish in (request.args.get("lang", ""), request.cookies.get(COOKIE, "")):
        if wish in LANGUAGES:
            return LANGUAGES[wish]
    best = request.accept_languages.best_match(["zh-CN", "zh", "en"], default="zh")
    return LANGUAGES[str(best)[:2]]


def language() -> str:
    """The page's language: "zh" or "en"."""
    return "en" if str(get_locale()).startswith("en") else "zh"


def pick(zh: str, en: str) -> str:
    """The text of the page's language."""
    return zh if language() == "zh" else en


def named(row: Any) -> str:
    """The name of anything that has name_zh and name_en."""
    return pick(row.name_zh, row.name_en)


def other_name(row: Any) -> str:
    """The name in the other language, empty when it is the same."""
    return "" if row.name_zh == row.name_en else pick(row.name_en, row.name_zh)


def money(minor: int | None, currency: str = "CNY") -> str:
    """An amount with its sign and thousands set apart; a dash when there is none."""
    if minor is None:
        return "—"
    if currency in SYMBOL:
        whole, _, part = format_minor(abs(minor), currency)[1:].partition(".")
        return f"{'-' if minor < 0 else ''}{SYMBOL[currency]}{int(whole):,}.{part}"
    return format_minor(minor, currency)


def plain_money(minor: int | None) -> str:
    """An amount as people type it: "12.50"."""
    return "" if minor is None else f"{minor // 100}.{minor % 100:02d}"


def quantity(milli: int | None) -> str:
    """A quantity without needless zeros."""
    return "—" if milli is None else format_milli(milli)


def percent_bp(basis_points: int) -> str:
    """`1300` as `13`."""
    return format_milli(basis_points * 10)


def zone_of(store: str = "") -> ZoneInfo:
    """The shop's time zone; head office's own is the one that most shops are in."""
    if "zones" not in g:
        g.zones = {s.store: s.tz for s in office().stores.stores()}
    names: list[str] = list(g.zones.values())
    common = max(sorted(set(names)), key=names.count) if names else "Asia/Shanghai"
    return ZoneInfo(g.zones.get(store, common))


def local(at_ms: int, store: str = "") -> datetime:
    """The wall time of an instant in a shop."""
    return calendar(at_ms).astimezone(zone_of(store))


def moment(at_ms: int, store: str = "") -> str:
    """Date and time to the second."""
    return f"{local(at_ms, store):%Y-%m-%d %H:%M:%S}" if at_ms else "—"


def day_and_minute(at_ms: int, store: str = "") -> str:
    """Date and time to the minute."""
    return f"{local(at_ms, store):%Y-%m-%d %H:%M}" if at_ms else "—"


def time_of_day(at_ms: int, store: str = "") -> str:
    """Hours, minutes and seconds."""
    return f"{local(at_ms, store):%H:%M:%S}" if at_ms else "—"


def stamp(at_ms: int, store: str = "") -> str:
    """The time of day; with its date when that is not today."""
    if not at_ms:
        return "—"
    same = local(at_ms, store).date() == local(now_ms(), store).date()
    return f"{local(at_ms, store):%H:%M}" if same else day_and_minute(at_ms, store)


def instant_of(text: str) -> int | None:
    """Read the value of a `datetime-local` field in head office's zone."""
    if not text.strip():
        return None
    try:
        wall = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    at = wall.replace(tzinfo=zone_of()) if wall.tzinfo is None else wall
    return (at - EPOCH) // timedelta(milliseconds=1)


def role_name(role: str) -> str:
    """A role as people call it."""
    return str(ROLES[role][language()]) if role in ROLES else role


def pair(texts: Sequence[str]) -> str:
    """One of an (en, zh) pair of sentences."""
    return pick(texts[1], texts[0])


def sentence_of(fault: TillmeshError) -> str:
    """What happened, in the page's language."""
    return str(fault.sentence(language()))


def why(clock: Status | ClockFacts) -> str:
    """Why a clock is not trusted, in the page's language."""
    return sentence(clock.code, clock.params, language()) if clock.code else ""


def store_name(store: str) -> str:
    """A shop's name, or its id when unknown."""
    if "store_names" not in g:
        g.store_names = {s.store: named(s) for s in office().stores.stores()}
    return str(g.store_names.get(store, store))


def person_name(person: str) -> str:
    """A person's name; head office itself when nobody did it."""
    if not person:
        return str(gettext("Head office"))
    if "person_names" not in g:
        g.person_names = {}
    if person not in g.person_names:
        g.person_names[person] = office().people.name_of(person)
    return str(g.person_names[person])


def install(app: Flask) -> None:
    """Give templates the words and the filters."""
    app.jinja_env.filters.update(
        money=money,
        plain_money=plain_money,
        qty=quantity,
        bp=percent_bp,
        moment=moment,
        minute=day_and_minute,
        clock=time_of_day,
        stamp=stamp,
        role=role_name,
        named=named,
        other_name=other_name,
        pair=pair,
        store_name=store_name,
        person_name=person_name,
        span=span,
        why=why,
    )
    app.jinja_env.globals.update(language=language, pick=pick, zone_of=zone_of)

    @app.after_request
    def remember(response):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        wish = request.args.get("lang", "")
        if wish in LANGUAGES:
            response.set_cookie(COOKIE, wish, max_age=COOKIE_S, samesite="Lax", httponly=True)
        return response
