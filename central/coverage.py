"""Which shop acts on which promotions, and which of its goods no promotion reaches."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from central.campaigns import Answer, answers_of
from central.paging import PAGE_SIZE, Page
from central.preflighting import Goods, Item
from central.reach import Published, published
from central.recording import Desk
from central.stores import Store, all_stores
from promotions.basket import Context
from promotions.conditions import filtered
from promotions.rule import Rule, slots_of
from promotions.ruleset import compile_rules
from promotions.scope import Selector
from protocol.errors import Refusal
from protocol.ids import ALL
from protocol.node.tables import READ

BARE_MAX: Final = 200
NO_ANSWER: Final = Answer()


class ShopCover(msgspec.Struct, frozen=True, kw_only=True):
    """One shop: how many of the published rules it has, refused, and not yet."""

    store: str
    name_zh: str
    name_en: str
    published: int
    in_force: int
    refused: int
    live: int  # in force, meant for this shop, and within their time now
    answered_ms: int

    @property
    def waiting(self) -> int:
        """Published, neither in force nor refused there."""
        return self.published - self.in_force - self.refused


class RuleCover(msgspec.Struct, frozen=True, kw_only=True):
    """One rule in one shop. `state`: in_force, refused or sent; `code`: why it is not live now."""

    rule: str
    name_zh: str
    name_en: str
    kind: str
    version: int
    state: str
    code: str
    reached: int


class ShopGoods(msgspec.Struct, frozen=True, kw_only=True):
    """A shop's rules, page by page, and its goods that nothing live reaches."""

    cover: ShopCover
    rules: Page[RuleCover]
    products: int
    promoted: int
    bare: tuple[Item, ...]

    @property
    def bare_count(self) -> int:
        """Goods that no live rule reaches."""
        return self.products - self.promoted


class _Members:
    """The goods of a zone by group, so that a rule's reach is a union of sets."""

    def __init__(self, goods: Goods, zone: str) -> None:
        self.all: set[str] = set()
        self.groups: dict[str, set[str]] = {}
        for sku, row in goods.rows.items():
            if row.no_discount or goods.price(sku, zone) is None:
                continue
            self.all.add(sku)
            self.groups.setdefault(row.promo_group, set()).add(sku)

    def of(self, rule: Rule) -> set[str]:
        """Everything that some selector of the rule covers."""
        return set().union(*(self._slot(slot) for slot in slots_of(rule)))

    def _slot(self, slot: Selector) -> set[str]:
        if slot.all:
            found = set(self.all)
        else:
            found = self.all & slot.skus
            found = found.union(*(self.groups.get(group, set()) for group in slot.groups))
        out = set(slot.exclude_skus)
        return found - out.union(*(self.groups.get(group, set()) for group in slot.exclude_groups))


class Coverage:
    """Views; nothing is recorded."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def shops(self) -> list[ShopCover]:
        """Every shop in one line."""
        now_ms = self._desk.clock.read().at_ms
        with self._desk.books.database.reading() as connection:
            rules = published(connection)
            answers = answers_of(connection)
            stores = all_stores(connection)
        return [_cover(s, rules, answers.get(s.store, NO_ANSWER), now_ms) for s in stores]

    def shop(self, store: str, page: int = 1) -> ShopGoods:
        """One shop's rules and goods. Refusal HQ_STORE_UNKNOWN."""
        now_ms = self._desk.clock.read().at_ms
        with self._desk.books.database.reading() as connection:
            shop = _store(connection, store)
            rules = published(connection)
            answer = answers_of(connection).get(store, NO_ANSWER)
            ranks = _ranks(connection)
            goods = Goods(connection, [shop.zone], now_ms)
        members = _Members(goods, shop.zone)
        codes = _codes(shop, rules, now_ms)
        number = max(1, page)
        some = rules[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
        rows = tuple(_rule(each, answer, codes, members, ranks) for each in some)
        promoted: set[str] = set()
        for each in rules:
            if each.rule is not None and not codes[each.rule_id] and _holds(answer, each):
                promoted |= members.of(each.rule)
        bare = sorted(members.all - promoted)
        return ShopGoods(
            cover=_cover(shop, rules, answer, now_ms),
            rules=Page(rows=rows, number=number, size=PAGE_SIZE, total=len(rules)),
            products=len(members.all),
            promoted=len(promoted),
            bare=tuple(goods.item(sku) for sku in bare[:BARE_MAX]),
        )


def _store(connection: Connection, store: str) -> Store:
    found = next((s for s in all_stores(connection) if s.store == store), None)
    if found is None:
        raise Refusal("HQ_STORE_UNKNOWN", store=store[:40])
    return found


def _ranks(connection: Connection) -> dict[str, int]:
    table = READ["promotion"]
    return {row.rule: row.rank for row in connection.execute(select(table.c.rule, table.c.rank))}


def _codes(shop: Store, rules: Sequence[Published], now_ms: int) -> dict[str, str]:
    """Why each rule is not live in this shop at this instant; "" when it is."""
    compiled = compile_rules([p.rule for p in rules if p.rule is not None], shop.tz)
    context = Context(
        currency=shop.currency,
        store_tz=shop.tz,
        store=shop.store,
        price_zone=shop.zone,
        time_ms=now_ms,
    )
    return {
        p.rule_id: filtered(compiled.live[p.rule_id], context) if p.rule else "RULE_UNSUPPORTED"
        for p in rules
    }


def _holds(answer: Answer, each: Published) -> bool:
    return f"{each.rule_id}@{each.version}" in answer.rules


def _refuses(answer: Answer, each: Published) -> bool:
    return any((r.rule, r.version) == (each.rule_id, each.version) for r in answer.refused)


def _cover(shop: Store, rules: Sequence[Published], answer: Answer, now_ms: int) -> ShopCover:
    codes = _codes(shop, rules, now_ms)
    held = [each for each in rules if _holds(answer, each)]
    return ShopCover(
        store=shop.store,
        name_zh=shop.name_zh,
        name_en=shop.name_en,
        published=len(rules),
        in_force=len(held),
        refused=sum(_refuses(answer, each) for each in rules),
        live=sum(not codes[each.rule_id] for each in held),
        answered_ms=answer.at_ms,
    )


def _rule(
    each: Published,
    answer: Answer,
    codes: Mapping[str, str],
    members: _Members,
    ranks: Mapping[str, Any],
) -> RuleCover:
    rule = each.rule
    state = "in_force" if _holds(answer, each) else "refused" if _refuses(answer, each) else "sent"
    if state == "sent" and answer.upto.get(ALL, 0) >= ranks[each.rule_id]:
        state = "received"
    return RuleCover(
        rule=each.rule_id,
        name_zh=rule.title("zh") if rule else each.rule_id,
        name_en=rule.title("en") if rule else each.rule_id,
        kind=rule.type if rule else "?",
        version=each.version,
        state=state,
        code=codes[each.rule_id],
        reached=len(members.of(rule)) if rule else 0,
    )
