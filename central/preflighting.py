"""Before publishing: whom will this rule reach, whom not and why, and what does it do to sales?

`promotions.preflight` judges; here its inputs are gathered: the goods with each zone's prices, the
shops, and sample baskets (the chain's newest sales, and baskets made to fill the rule).
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from central.reach import Published, published
from central.recording import Desk
from central.samples import Sample, made_samples, recent_samples
from central.stores import Store, all_stores
from promotions.basket import BasketLine, Context
from promotions.engine import price
from promotions.preflight import Loses, Product, Reach, Shop, preflight
from promotions.rule import Rule, parse, slots_of
from promotions.ruleset import compile_rules
from promotions.window import Window
from protocol.node.tables import READ

NAMED_MAX: Final = 200
STEP_MS: Final = 15 * 60_000
LOOK_MS: Final = 8 * 86_400_000
FAR_MS: Final = 10**14  # beyond any wall time that a rule may name


class Item(msgspec.Struct, frozen=True):
    """A product as the page names it."""

    sku: str
    name_zh: str
    name_en: str
    group: str
    price_minor: int | None = None  # of the first zone that has one


class Missed(msgspec.Struct, frozen=True):
    """A product that the rule names but does nothing for.

    `code`: BARRED, EXCLUDED, NO_PRICE or ZERO_EFFECT; `zones` where, empty = everywhere.
    """

    item: Item
    code: str
    zones: tuple[str, ...] = ()


class InShop(msgspec.Struct, frozen=True, kw_only=True):
    """The rule in one shop; `code` is empty where it will be live."""

    store: str
    name_zh: str
    name_en: str
    code: str
    reached: int
    unknown_skus: tuple[str, ...]
    empty_groups: tuple[str, ...]
    start_ms: int | None  # instants in which the shop's own zone has put them
    end_ms: int | None


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """The rule on sample baskets: what it would have done beside the other rules."""

    real: bool
    baskets: int
    touched: int
    applied: int
    saved_before_minor: int  # by all rules, without this one
    saved_after_minor: int
    example: str = ""  # the receipt of a real sale in which it applied


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that should be known before publishing."""

    rule: str
    shops: tuple[InShop, ...]
    reached: tuple[Item, ...]
    reached_count: int
    missed: tuple[Missed, ...]
    others: int  # products that it does not name
    never: str  # a code when it can never apply anywhere, else ""
    loses: Loses | None
    displaced: tuple[str, ...]  # rules that would never win again on the samples
    tried: tuple[Tried, ...]
    unpromoted: tuple[Item, ...]  # no rule in force reaches them, this one neither
    unpromoted_count: int

    @property
    def blind(self) -> tuple[InShop, ...]:
        """Shops in which it will not be live."""
        return tuple(each for each in self.shops if each.code)

    @property
    def clean(self) -> bool:
        """Nothing that somebody should look at."""
        return not (self.never or self.loses or self.blind or self.missed)


class Goods:
    """The active goods of the chain, and what each zone asks for them."""

    def __init__(self, connection: Connection, zones: Iterable[str], now_ms: int) -> None:
        table = READ["product"]
        rows = connection.execute(select(table).where(table.c.active).order_by(table.c.sku)).all()
        self.rows = {row.sku: row for row in rows}
        self._prices: dict[str, dict[str, int]] = {}
        asked = READ["price"]
        query = select(asked).where(asked.c.effective_from_ms <= now_ms)
        for row in connection.execute(query.order_by(asked.c.effective_from_ms)):
            self._prices.setdefault(row.zone, {})[row.sku] = row.price_minor
        self.zones = sorted(set(zones))

    def price(self, sku: str, zone: str) -> int | None:
        """The list price in a zone; the chain's where the zone has none."""
        own = self._prices.get(zone, {}).get(sku)
        return self._prices.get("", {}).get(sku) if own is None else own

    def item(self, sku: str) -> Item:
        """The product as it is named."""
        row = self.rows[sku]
        prices = (self.price(sku, zone) for zone in self.zones or ("",))
        known = next((p for p in prices if p is not None), None)
        return Item(sku, row.name_zh, row.name_en, row.promo_group, known)

    def sold_in(self, zone: str) -> list[Product]:
        """The goods that have a price in this zone."""
        found = ((row, self.price(sku, zone)) for sku, row in self.rows.items())
        return [
            Product(row.sku, row.promo_group, minor, row.no_discount)
            for row, minor in found
            if minor is not None
        ]

    def line(self, sku: str, zone: str, qty_milli: int) -> BasketLine:
        """So much of a product, as a till would put it into the basket."""
        row = self.rows[sku]
        return BasketLine(
            sku=sku,
            group=row.promo_group,
            unit_price_minor=self.price(sku, zone) or 0,
            qty_milli=qty_milli,
            weighed=row.weighed,
            no_discount=row.no_discount,
            floor_minor=row.floor_minor,
        )


class Preflighting:
    """Asks what a rule would do; records nothing."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def report(self, document: object) -> Preflight:
        """The report on a document, as if it were published now. RuleFaults when unreadable."""
        rule = parse(document)
        now_ms = self._desk.clock.read().at_ms
        with self._desk.books.database.reading() as connection:
            stores = all_stores(connection)
            others = [p for p in published(connection) if p.rule_id != rule.id]
            goods = Goods(connection, {s.zone for s in stores}, now_ms)
            real = recent_samples(connection)
        return _Report(rule, goods, stores, now_ms).made(others, real)


class _Report:
    """One rule before its publishing."""

    def __init__(self, rule: Rule, goods: Goods, stores: Sequence[Store], now_ms: int) -> None:
        self.rule = rule
        self.goods = goods
        self.stores = stores
        self.now_ms = now_ms
        self.slots = slots_of(rule)

    def made(self, others: Sequence[Published], real: Sequence[Sample]) -> Preflight:
        shops, never = self._places()
        reached, missed, named = self._products({s.store for s in shops if not s.code})
        rivals = [p.rule for p in others if p.rule is not None and p.rule.active]
        loses, displaced, tried = self._tried(rivals, real, reached)
        bare = self._unpromoted(rivals)
        return Preflight(
            rule=self.rule.id,
            shops=tuple(shops),
            reached=tuple(self.goods.item(sku) for sku in reached[:NAMED_MAX]),
            reached_count=len(reached),
            missed=tuple(missed[:NAMED_MAX]),
            others=len(self.goods.rows) - named,
            never=never,
            loses=loses,
            displaced=displaced,
            tried=tried,
            unpromoted=tuple(self.goods.item(sku) for sku in bare[:NAMED_MAX]),
            unpromoted_count=len(bare),
        )

    # -- where --------------------------------------------------------------------------------

    def _places(self) -> tuple[list[InShop], str]:
        """Every shop, and why the rule can never apply when that is so in all of them."""
        found: list[InShop] = []
        never: list[str] = []
        for zone in self.goods.zones:
            here = [s for s in self.stores if s.zone == zone]
            shops = [Shop(s.store, s.tz, s.zone, s.currency) for s in here]
            sold = self.goods.sold_in(zone)
            report = preflight([self.rule], sold, shops, at_ms=self.now_ms)
            by_store = {each.store: each for each in report.reach}
            found += [self._in_shop(s, by_store[s.store]) for s in here]
            never.append(report.never[0].code if report.never else "")
        channels = self.rule.when.channels
        if channels is not None and "pos" not in channels:
            found = [msgspec.structs.replace(s, code="WRONG_CHANNEL") for s in found]
            return sorted(found, key=lambda s: s.store), "WRONG_CHANNEL"
        code = "" if not never or "" in never else min(never)
        return sorted(found, key=lambda s: s.store), code

    def _in_shop(self, store: Store, reach: Reach) -> InShop:
        window = Window(self.rule.when, store.tz)
        return InShop(
            store=store.store,
            name_zh=store.name_zh,
            name_en=store.name_en,
            code=reach.code or ("" if reach.reached else "NO_ELIGIBLE_ITEM"),
            reached=reach.reached,
            unknown_skus=tuple(reach.unknown_skus),
            empty_groups=tuple(reach.empty_groups),
            start_ms=window.start if window.start > -FAR_MS else None,
            end_ms=window.end - 1 if window.end < FAR_MS else None,
        )

    # -- which goods --------------------------------------------------------------------------

    def _products(self, live: set[str]) -> tuple[list[str], list[Missed], int]:
        """Reached SKUs, named ones that it does nothing for, and how many are named at all."""
        zones = sorted({s.zone for s in self.stores if s.store in live}) or self.goods.zones
        reached: list[str] = []
        missed: list[Missed] = []
        for sku, row in self.goods.rows.items():
            covered = any(slot.covers(sku, row.promo_group) for slot in self.slots)
            if not covered:
                if self._excluded(sku, row.promo_group):
                    missed.append(Missed(self.goods.item(sku), "EXCLUDED"))
                continue
            if row.no_discount:
                missed.append(Missed(self.goods.item(sku), "BARRED"))
                continue
            bad = self._not_sold(sku, zones)
            missed += bad
            if not any(not each.zones for each in bad):
                reached.append(sku)
        return reached, missed, len(reached) + sum(not m.zones for m in missed)

    def _excluded(self, sku: str, group: str) -> bool:
        return any(
            (slot.all or sku in slot.skus or group in slot.groups) and not slot.covers(sku, group)
            for slot in self.slots
        )

    def _not_sold(self, sku: str, zones: Sequence[str]) -> list[Missed]:
        """Zones without a price, and zones where its price leaves nothing to take off."""
        bare = [zone for zone in zones if self.goods.price(sku, zone) is None]
        idle = [z for z in zones if z not in bare and self._idle(sku, z)]
        found = []
        for code, where in (("NO_PRICE", bare), ("ZERO_EFFECT", idle)):
            if where:
                everywhere = len(where) == len(zones)
                shown = () if everywhere else tuple(where)
                found.append(Missed(self.goods.item(sku), code, shown))
        return found

    def _idle(self, sku: str, zone: str) -> bool:
        """A rule on single pieces that takes nothing off this one."""
        if self.rule.stage != "line":
            return False
        store = next((s for s in self.stores if s.zone == zone), None)
        tz = store.tz if store else "UTC"
        bare = msgspec.structs.replace(self.rule, when=parse(BARE).when)
        line = self.goods.line(sku, zone, 1_000)
        outcome = price([line], compile_rules([bare], tz), Context(store_tz=tz))
        return not outcome.total_discount_minor

    def _unpromoted(self, rivals: Sequence[Rule]) -> list[str]:
        rules = [rule for rule in (*rivals, self.rule) if not self._over(rule)]
        slots = [slot for rule in rules for slot in slots_of(rule)]
        return [
            sku
            for sku, row in self.goods.rows.items()
            if not row.no_discount and not any(s.covers(sku, row.promo_group) for s in slots)
        ]

    def _over(self, rule: Rule) -> bool:
        tz = self.stores[0].tz if self.stores else "UTC"
        return rule.when.timed and Window(rule.when, tz).reason(self.now_ms) == "EXPIRED"

    # -- on baskets ---------------------------------------------------------------------------

    def _instant(self, tz: str) -> int:
        """An instant at which the rule is live in a zone (now, when it is or never will be)."""
        window = Window(self.rule.when, tz)
        first = max(self.now_ms, window.start)
        for at in range(first, min(first + LOOK_MS, window.end), STEP_MS):
            if not window.reason(at):
                return at
        return self.now_ms

    def _tried(
        self, rivals: Sequence[Rule], real: Sequence[Sample], reached: Sequence[str]
    ) -> tuple[Loses | None, tuple[str, ...], tuple[Tried, ...]]:
        made = made_samples(self.rule, self.goods, self.stores, reached)
        instants = {s.tz: self._instant(s.tz) for s in self.stores}
        kept: list[tuple[bool, list[Sample]]] = []
        for is_real, some in ((True, list(real)), (False, made)):
            moved = [
                s.at(instants[s.context.store_tz]) for s in some if s.context.store_tz in instants
            ]
            kept.append((is_real, moved))
        pairs = [(s.basket, s.context) for _, some in kept for s in some]
        near = [
            r
            for r in rivals
            if any(slot.covers(x.sku, x.group) for slot in slots_of(r) for b, _ in pairs for x in b)
        ]
        first = [Shop(s.store, s.tz, s.zone, s.currency) for s in self.stores[:1]]
        after = preflight([self.rule, *near], (), first, pairs).always_lose
        before = {each.rule_id for each in preflight(near, (), first, pairs).always_lose}
        loses = next((each for each in after if each.rule_id == self.rule.id), None)
        displaced = [e.rule_id for e in after if e.rule_id not in {*before, self.rule.id}]
        tried = tuple(self._try(some, near, real=is_real) for is_real, some in kept if some)
        return loses, tuple(displaced), tried

    def _try(self, samples: Sequence[Sample], near: Sequence[Rule], *, real: bool) -> Tried:
        zones = {s.context.store_tz for s in samples}
        old = {tz: compile_rules(near, tz) for tz in zones}
        new = {tz: compile_rules([self.rule, *near], tz) for tz in zones}
        touched = applied = before = after = 0
        example = ""
        for sample in samples:
            tz = sample.context.store_tz
            was = price(sample.basket, old[tz], sample.context)
            now = price(sample.basket, new[tz], sample.context)
            before += was.total_discount_minor
            after += now.total_discount_minor
            touched += self.rule.id in now.touching
            if any(each.rule_id == self.rule.id for each in now.applied):
                applied += 1
                example = example or sample.receipt
        return Tried(
            real=real,
            baskets=len(samples),
            touched=touched,
            applied=applied,
            saved_before_minor=before,
            saved_after_minor=after,
            example=example,
        )


BARE: Final = {"id": "-", "type": "percent_off", "percent": 1, "select": {"all": True}}
