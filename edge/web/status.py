"""The status header: printer, shop computer, head office, internet and clock told apart."""

from collections.abc import Iterable
from typing import Final

import msgspec

from edge.verdict import Verdict
from edge.web.clocks import clock_lines
from edge.web.tongue import _
from edge.web.visitor import shop
from edge.web.wording import clock_text, moment, verdict_text

RANK: Final = {"ok": 0, "unknown": 1, "warn": 2, "bad": 3}


class Part(msgspec.Struct, frozen=True):
    """One of the five."""

    key: str
    icon: str
    name: str
    state: str  # ok, warn, bad, unknown
    says: str
    why: str
    can: str
    more: tuple[str, ...] = ()


class Mark(msgspec.Struct, frozen=True):
    """A badge beside them."""

    state: str
    text: str
    detail: str


class Status(msgspec.Struct, frozen=True):
    """What the header shows; pages get it whole, in their language."""

    parts: tuple[Part, ...]
    unsynced: Mark
    ages: Mark
    at: str


def _says(state: str) -> str:
    return {
        "ok": _("works"),
        "warn": _("look at it"),
        "bad": _("away"),
        "unknown": _("not known"),
    }[state]


def _worst(verdicts: Iterable[Verdict]) -> Verdict | None:
    return max(verdicts, key=lambda v: RANK[v.state], default=None)


def _part(key: str, icon: str, name: str, *, found: Verdict | None, language: str) -> Part:
    if found is None:
        return Part(key, icon, name, "unknown", _says("unknown"), "", _("Nothing is set up here."))
    why = verdict_text(found, language) if found.state != "ok" else ""
    can = found.can_still(language) or (_can() if found.state == "ok" else "")
    return Part(key, icon, name, found.state, _says(found.state), why, can)


def _can() -> str:
    return _("Everything that needs it works.")


def read_status(till: str, language: str) -> Status:
    """The header now, for one till ("" shows the worst printer of the shop)."""
    node = shop()
    verdicts = node.health.verdicts()

    def of(*names: str) -> Verdict | None:
        wanted = [v for v in verdicts if v.part.partition("/")[0] in names]
        mine = [v for v in wanted if till and v.part.partition("/")[2] in ("", till)]
        return _worst(mine if till else wanted)

    def part(key: str, icon: str, name: str, found: Verdict | None) -> Part:
        return _part(key, icon, name, found=found, language=language)

    mine = (("scanner", "scan", _("Scanner")), ("scale", "scale", _("Scale")))
    parts = (
        part("printer", "printer", _("Printer"), of("printer")),
        *(part(key, icon, name, found) for key, icon, name in mine if (found := of(key))),
        part("edge", "shop", _("Shop computer"), of("disk", "database", "parked")),
        part("office", "office", _("Head office"), of("central")),
        part("internet", "globe", _("Internet"), of("broker")),
        msgspec.structs.replace(
            part("clock", "clock", _("Clock"), of("clock")), more=clock_lines(till, language)
        ),
    )
    return Status(parts, _unsynced(verdicts), _ages(verdicts, language), clock_text(_now()))


def _now() -> int:
    return shop().clock.read().at_ms


def _unsynced(verdicts: list[Verdict]) -> Mark:
    waiting = shop().health.unsynced()
    queue = next((v for v in verdicts if v.part == "queue"), None)
    text = _("%(n)s to send", n=waiting) if waiting else _("all sent")
    return Mark(queue.state if queue else "ok", text, "")


def _ages(verdicts: list[Verdict], language: str) -> Mark:
    node = shop()
    told = [v for v in verdicts if v.part in {"rules", "prices"}]
    worst = _worst(told)
    force = node.rules.in_force
    prices_ms = prices_changed_ms()
    text = _(
        "Prices %(at)s · rules %(rules)s",
        at=clock_text(prices_ms),
        rules=clock_text(force.changed_ms),
    )
    detail = _(
        "Newest price from %(prices)s; promotions %(hash)s from %(rules)s, %(n)s in force.",
        prices=moment(prices_ms) if prices_ms else "—",
        rules=moment(force.changed_ms) if force.changed_ms else "—",
        hash=force.hash[:8],
        n=len(force.versions),
    )
    if worst and worst.state != "ok":
        detail = f"{worst.sentence(language)} {detail}"
    return Mark(worst.state if worst else "ok", text, detail)


def rules_note() -> str:
    """Why promotions may be missing here: head office has not been heard. "" when all is well."""
    node = shop()
    if node.syncing.status().central_up:
        return ""
    return _(
        "No connection to head office: promotions published since are not known here. The newest "
        "rule in force is from %(at)s; %(n)s are in force.",
        at=clock_text(node.rules.in_force.changed_ms),
        n=len(node.rules.in_force.versions),
    )


def prices_changed_ms() -> int:
    """When head office last set a price that this shop knows."""
    node = shop()
    tills = node.settings.tills
    return node.selling.view(tills[0].id).prices_changed_ms if tills else 0
