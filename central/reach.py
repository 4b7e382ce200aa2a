"""Which promotion groups and products the published rules reach."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, select

from promotions.rule import Rule, RuleFaults, parse, slots_of
from promotions.window import Window
from protocol.node.tables import READ


class Published(msgspec.Struct, frozen=True):
    """A rule in force at head office; `rule` is None when this version cannot read it."""

    rule_id: str
    version: int
    at_ms: int
    document: bytes
    rule: Rule | None


def read_rule(document: object) -> Rule | None:
    """The rule, or None when it cannot be read here."""
    try:
        return parse(document)
    except RuleFaults:
        return None


def published(connection: Connection) -> list[Published]:
    """All published rules by id."""
    table = READ["promotion"]
    query = select(table).where(table.c.published).order_by(table.c.rule)
    return [
        Published(
            row.rule,
            row.version,
            row.at_ms,
            row.document.encode(),
            read_rule(msgspec.json.decode(row.document)),
        )
        for row in connection.execute(query)
    ]


def _may_still_apply(rule: Rule, tz: str, now_ms: int) -> bool:
    return rule.active and (
        not rule.when.timed or Window(rule.when, tz).reason(now_ms) != "EXPIRED"
    )


class Reach:
    """Asks the published rules; `tz` judges ends that name no zone."""

    def __init__(self, rules: Iterable[Published], *, tz: str, now_ms: int) -> None:
        self._rules = [
            each.rule
            for each in rules
            if each.rule is not None and _may_still_apply(each.rule, tz, now_ms)
        ]

    def of_group(self, group: str) -> tuple[str, ...]:
        """Ids of the rules that reach some product of this group by its group."""
        return tuple(
            rule.id
            for rule in self._rules
            if any(
                (slot.all or group in slot.groups) and group not in slot.exclude_groups
                for slot in slots_of(rule)
            )
        )

    def of_product(self, sku: str, group: str) -> tuple[str, ...]:
        """Ids of the rules that reach this product."""
        return tuple(
            rule.id
            for rule in self._rules
            if any(slot.covers(sku, group) for slot in slots_of(rule))
        )


def reach(connection: Connection, now_ms: int) -> Reach:
    """The present reach, with the first shop's zone for ends without one."""
    tz = connection.execute(select(READ["store"].c.tz).order_by(READ["store"].c.store)).scalar()
    return Reach(published(connection), tz=tz or "UTC", now_ms=now_ms)
