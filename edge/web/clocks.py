"""The shop's time on pages: what it stands on, and how the browsers' clocks differ from it."""

from typing import Any, Final

import msgspec
from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from edge.clockhealth import screen_notice
from edge.screens import Screen
from edge.timekeeping import zone_data
from edge.web.tongue import _
from edge.web.visitor import PAIRED, needs, shop, visitor
from edge.web.wording import clock_text, moment
from protocol.clock import ClockState
from protocol.clockstatus import CENTRAL, Basis, Note, Status, span, status_of
from protocol.errors import Refusal

clocks = Blueprint("clocks", __name__)
BODY_MAX: Final = 500


class Row(msgspec.Struct, frozen=True):
    """One source of time, as a page shows it."""

    name: str
    state: str  # ok, warn
    says: str


def uncertainty(u_ms: int) -> str:
    """`± 0.02 s`, `± 2 s`, `± 3 min`."""
    if u_ms < 10_000:
        return f"± {u_ms / 1000:.2f} s" if u_ms < 1_000 else f"± {u_ms / 1000:.1f} s"
    return f"± {u_ms / 1000:.0f} s" if u_ms < 120_000 else f"± {u_ms / 60_000:.0f} min"


def _stands(status: Status) -> str:
    """In one sentence: on what the time stands."""
    state, u = status.reading.state, uncertainty(status.reading.u_ms)
    since = clock_text(status.since_ms)
    if state is ClockState.TRUSTED:
        return (
            _(
                "Trusted since %(since)s: %(n)s sources agree, %(u)s.",
                since=since,
                n=status.used,
                u=u,
            )
            if status.used
            else _("Trusted since %(since)s, %(u)s.", since=since, u=u)
        )
    if state is ClockState.BEHIND:
        return _("Not trusted since %(since)s: the hardware clock is behind.", since=since)
    if state is ClockState.UNKNOWN:
        return _("Not trusted since %(since)s: nobody vouches for the time.", since=since)
    return {
        Basis.HARDWARE: _("Counts on from the shop computer's own clock, %(u)s.", u=u),
        Basis.MANAGER: _("Counts on from what a manager confirmed, %(u)s.", u=u),
        Basis.CONTINUED: _("Counts on from before the restart, %(u)s.", u=u),
    }.get(status.basis) or _("Counts on by itself since %(since)s, %(u)s.", since=since, u=u)


def _row(note: Note, language: str) -> Row:
    name = _("Head office") if note.source == CENTRAL else note.source
    if note.used and note.off_ms is not None:
        off = f"{span(note.off_ms)} {uncertainty(note.error_ms)}"
        return Row(name, "ok", _("used, %(off)s", off=off))
    return Row(name, "warn", note.sentence(language))


def source_rows(status: Status, language: str) -> tuple[Row, ...]:
    """Every source, used or why not."""
    return tuple(_row(note, language) for note in status.sources)


def clock_lines(till: str, language: str) -> tuple[str, ...]:
    """What the header's sheet says below the clock: its ground, each source, this screen."""
    node = shop()
    status = status_of(node.clock)
    lines = [_stands(status)]
    lines += [f"{row.name}: {row.says}" for row in source_rows(status, language)]
    lines += [
        screen_notice(one).text(language)
        for one in node.screens.screens()
        if one.wrong and till and one.till == till
    ]
    return tuple(lines)


def clock_view() -> dict[str, Any]:
    """The health page's part on time."""
    node, who = shop(), visitor()
    status = status_of(node.clock)
    return {
        "now": moment(status.reading.at_ms),
        "state": status.reading.state.value,
        "stands": _stands(status),
        "why": status.why(who.language),
        "contested": status.contested,
        "sources": source_rows(status, who.language),
        "zone": node.settings.tz,
        "tzdata": zone_data(),
        "day_starts": node.settings.day_starts,
        "screens": [_screen(one, who.language) for one in node.screens.screens()],
    }


def _screen(one: Screen, language: str) -> dict[str, Any]:
    return {
        "till": one.till,
        "name": one.name,
        "off": span(one.off_ms),
        "zone": one.zone,
        "seen_ms": one.seen_ms,
        "wrong": screen_notice(one).text(language) if one.wrong else "",
    }


@clocks.get("/live/time")
@needs(PAIRED)
def time_now() -> ResponseReturnValue:
    """Our time, for a browser that compares its own."""
    return jsonify({"now_ms": shop().clock.read().at_ms})


@clocks.post("/live/clock")
@needs(PAIRED)
def report() -> ResponseReturnValue:
    """A browser says how its clock differs from ours; shown, never used."""
    said = request.get_json(silent=True) if (request.content_length or 0) <= BODY_MAX else None
    off_ms = said.get("off_ms") if isinstance(said, dict) else None
    zone = said.get("zone") if isinstance(said, dict) else None
    browser = visitor().browser
    if type(off_ms) is not int or not isinstance(zone, str) or browser is None:
        raise Refusal("SCREEN_CLOCK_WRONG")
    shop().screens.report(browser, off_ms=off_ms, zone=zone)
    return jsonify({})
