"""How instants, names and figures are written on pages, in the shop's time zone."""

from datetime import datetime
from zoneinfo import ZoneInfo

import segno
from markupsafe import Markup

from edge.verdict import Verdict
from edge.web.tongue import _
from edge.web.visitor import shop, visitor
from protocol.clock import calendar
from protocol.money import format_minor
from protocol.quantity import format_milli
from protocol.roles import ROLES


def local(at_ms: int) -> datetime:
    """The wall time in the shop."""
    return calendar(at_ms).astimezone(ZoneInfo(shop().settings.tz))


def clock_text(at_ms: int | None) -> str:
    """`10:32` today, `11-22 10:32` before; a dash for never."""
    if not at_ms:
        return "—"
    then = local(at_ms)
    now = local(shop().clock.read().at_ms)
    if then.date() == now.date():
        return then.strftime("%H:%M")
    return then.strftime("%m-%d %H:%M" if then.year == now.year else "%Y-%m-%d %H:%M")


def moment(at_ms: int) -> str:
    """Date and time to the second, for logs."""
    return local(at_ms).strftime("%Y-%m-%d %H:%M:%S")


def age_text(at_ms: int | None) -> str:
    """How long ago, in words."""
    if not at_ms:
        return _("never")
    seconds = max(0, shop().clock.read().at_ms - at_ms) // 1000
    if seconds < 5:
        return _("just now")
    if seconds < 60:
        return _("%(n)s s ago", n=seconds)
    if seconds < 3600:
        return _("%(n)s min ago", n=seconds // 60)
    if seconds < 2 * 86400:
        return _("%(n)s h ago", n=seconds // 3600)
    return _("%(n)s days ago", n=seconds // 86400)


def named(row: object) -> str:
    """The name of goods or a shop in the page's language."""
    zh, en = getattr(row, "zh", ""), getattr(row, "en", "")
    first, second = (en, zh) if visitor().language == "en" else (zh, en)
    return first or second or getattr(row, "sku", "") or getattr(row, "store", "")


def name_of(names: dict[str, str]) -> str:
    """The same for a language -> name mapping."""
    language = visitor().language
    return names.get(language) or names.get("zh") or names.get("en") or ""


def money(minor: int | None) -> str:
    """An amount in the shop's currency."""
    return "—" if minor is None else format_minor(minor, shop().settings.currency)


def qty(milli: int) -> str:
    """A quantity."""
    return format_milli(milli)


def signed(milli: int) -> str:
    """A change of stock, with its sign."""
    return ("+" if milli > 0 else "") + format_milli(milli).replace("-", "−")


def person_name(person: str) -> str:
    """The name behind a person's id; the id itself when it is not (or no longer) known here."""
    if not person:
        return _("system")
    found = shop().people.person(person)
    return found.name if found else person


def store_name(store: str) -> str:
    """The name behind a shop's id."""
    if store == shop().settings.store:
        return _("this shop")
    found = next((one for one in shop().transfers.stores() if one.store == store), None)
    return named(found) if found else store


def role_name(role: str) -> str:
    """A role in the page's language."""
    return ROLES.get(role, {}).get(visitor().language, role)


def qr_svg(text: str) -> Markup:
    """A QR code that prints sharp."""
    code = segno.make_qr(text, error="m")
    return Markup(code.svg_inline(scale=1, border=2, omitsize=True, svgclass="qr"))  # noqa: S704 segno's own svg of data that it encodes


def verdict_text(verdict: Verdict, language: str = "") -> str:
    """What is the matter, also where the part itself has no more to say."""
    said = verdict.sentence(language or visitor().language)
    if said or verdict.state == "ok":
        return said
    if verdict.part == "central":
        return _("Head office cannot be reached while the network is down.")
    return _("This part needs a look.")


FILTERS = {
    "clock": clock_text,
    "moment": moment,
    "age": age_text,
    "named": named,
    "money": money,
    "qty": qty,
    "signed": signed,
    "person": person_name,
    "store": store_name,
    "qr": qr_svg,
    "role": role_name,
    "verdict": verdict_text,
}
