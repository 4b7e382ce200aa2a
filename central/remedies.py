"""What mends a promotion at once: no more end, one more product, every shop compiling anew.

Each is one event in `all`; the first two publish the next version of the rule.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from central.campaigns import Campaigns
from central.catalogue import Catalogue
from central.goods import Product
from central.recording import Desk, record
from central.stores import all_stores
from promotions.rule import RuleFaults, parse, slots_of
from promotions.scope import Selector
from protocol.errors import Refusal, define
from protocol.events import RulesRefreshRequested
from protocol.ids import ALL
from protocol.node.tables import READ

SHOWN: Final = 3  # requests of one rule
_asked, _told = READ["rules_refresh"], READ["rules_answer"]

define(
    {
        "RULE_PERMANENT": (
            "The promotion {rule} has neither a start nor an end: it is permanent already.",
            "促销 {rule} 没有开始和结束时间，已是长期促销。",
        ),
        "PRODUCT_IN_RULE": (
            "{sku} is in the promotion {rule} already. Nothing was changed.",
            "{sku} 已在促销 {rule} 中。没有任何更改。",
        ),
        "PRODUCT_GROUP_OUT": (
            "The promotion {rule} leaves out the whole group {group} of {sku}. Take the group out "
            "of its exclusions first.",
            "促销 {rule} 排除了 {sku} 所在的整个组 {group}。请先取消对该组的排除。",
        ),
        "PRODUCT_WITHOUT_DISCOUNT": (
            "{sku} is barred from all discounts, so no promotion can reach it. Change the product "
            "first.",
            "{sku} 设为不参与任何优惠，促销无法覆盖。请先修改商品。",
        ),
        "SLOT_UNKNOWN": (
            "The promotion {rule} has no part number {slot}; it has {slots}.",
            "促销 {rule} 没有第 {slot} 部分；共 {slots} 部分。",
        ),
    }
)


class RefreshAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One shop's answer to a request; `answered_ms` 0 means none yet."""

    store: str
    name_zh: str
    name_en: str
    answered_ms: int
    took_ms: int
    rules_hash: str
    tills: tuple[str, ...]


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """A request and who answered it."""

    request: str
    at_ms: int
    person: str
    answers: tuple[RefreshAnswer, ...]

    @property
    def answered(self) -> int:
        """How many shops did."""
        return sum(each.answered_ms > 0 for each in self.answers)

    @property
    def slowest_ms(self) -> int:
        """The longest way of an answer."""
        return max((each.took_ms for each in self.answers), default=0)


class Remedies:
    """Verbs that act on a published rule; `by` is the person."""

    def __init__(self, desk: Desk, campaigns: Campaigns, catalogue: Catalogue) -> None:
        self._desk = desk
        self._campaigns = campaigns
        self._catalogue = catalogue

    # -- force refresh ------------------------------------------------------------------------

    def refresh(self, rule: str, *, by: str) -> str:
        """Ask every shop to compile anew and to answer; return the request's id."""
        self._campaigns.campaign(rule)
        request = self._desk.new_id()
        with self._desk.books.begin() as tx:
            said = RulesRefreshRequested(request=request, rule=rule)
            record(self._desk, tx, {ALL: [(request, said)]}, by=by)
        return request

    def refreshes(self, rule: str) -> list[Refresh]:
        """The newest requests of a rule, with every shop's answer."""
        query = select(_asked).where(_asked.c.rule == rule)
        query = query.order_by(_asked.c.at_ms.desc(), _asked.c.request.desc()).limit(SHOWN)
        with self._desk.books.database.reading() as connection:
            return [
                Refresh(
                    request=row.request,
                    at_ms=row.at_ms,
                    person=row.person,
                    answers=_answers(connection, row.request, row.at_ms),
                )
                for row in connection.execute(query).all()
            ]

    # -- the next version at once -------------------------------------------------------------

    def make_permanent(self, rule: str, *, by: str) -> int:
        """Publish it without start and end. Refusal RULE_NOT_REVISED, RULE_PERMANENT."""

        def change(document: dict[str, Any]) -> dict[str, Any]:
            when = document.get("when") or {}
            if not {"start", "end"} & when.keys():
                raise Refusal("RULE_PERMANENT", rule=rule[:40])
            kept = {k: v for k, v in when.items() if k not in {"start", "end"}}
            if not {"daily", "days"} & kept.keys():  # a zone without times says nothing
                kept.pop("tz", None)
            rest = {k: v for k, v in document.items() if k != "when"}
            return {**rest, "when": kept} if kept else rest

        return self._campaigns.revise(rule, change, by=by)

    def add_product(self, rule: str, sku: str, *, by: str, slot: int = 0) -> int:
        """Publish it with this product named (in one part of a bundle)."""
        product = self._catalogue.product(sku.strip())
        if product.no_discount:
            raise Refusal("PRODUCT_WITHOUT_DISCOUNT", sku=product.sku)
        return self._campaigns.revise(
            rule, lambda document: _with_product(document, product, slot), by=by
        )


def _answers(connection: Connection, request: str, at_ms: int) -> tuple[RefreshAnswer, ...]:
    rows = connection.execute(select(_told).where(_told.c.request == request))
    told = {row.store: row for row in rows}
    found = []
    for shop in all_stores(connection):
        row = told.get(shop.store)
        found.append(
            RefreshAnswer(
                store=shop.store,
                name_zh=shop.name_zh,
                name_en=shop.name_en,
                answered_ms=row.at_ms if row else 0,
                took_ms=max(0, row.at_ms - at_ms) if row else 0,
                rules_hash=row.rules_hash if row else "",
                tills=msgspec.json.decode(row.tills, type=tuple[str, ...]) if row else (),
            )
        )
    return tuple(found)


def _with_product(document: dict[str, Any], product: Product, slot: int) -> dict[str, Any]:
    rule = str(document.get("id", ""))[:40]
    slots = slots_of(parse(document, strict=False))
    if not 0 <= slot < len(slots):
        raise Refusal("SLOT_UNKNOWN", rule=rule, slot=slot + 1, slots=len(slots))
    found = slots[slot]
    if found.covers(product.sku, product.group):
        raise Refusal("PRODUCT_IN_RULE", rule=rule, sku=product.sku)
    if product.group in found.exclude_groups:
        raise Refusal("PRODUCT_GROUP_OUT", rule=rule, sku=product.sku, group=product.group)
    if isinstance(document.get("slots"), list):
        parts = list(document["slots"])
        parts[slot] = {**parts[slot], "select": _named(parts[slot]["select"], found, product)}
        return {**document, "slots": parts}
    return {**document, "select": _named(document.get("select") or {}, found, product)}


def _named(select_: dict[str, Any], found: Selector, product: Product) -> dict[str, Any]:
    """The selector with the product in it: no longer left out, and named unless all are."""
    out = {**select_}
    if product.sku in found.exclude_skus:
        out["exclude_skus"] = [sku for sku in out["exclude_skus"] if sku != product.sku]
        if not out["exclude_skus"]:
            del out["exclude_skus"]
    reached = found.all or product.group in found.groups or product.sku in found.skus
    if not reached:
        out["skus"] = [*out.get("skus", ()), product.sku]
    return out


def selectors(document: dict[str, Any] | None) -> list[Selector]:
    """The selectors of a document, one per part; empty when it cannot be read."""
    try:
        return list(slots_of(parse(document, strict=False)))
    except RuleFaults:
        return []
