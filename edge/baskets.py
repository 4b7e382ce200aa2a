"""Baskets in the work tables: one per till, versioned, changed in one short transaction."""

import threading
from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from edge import payments
from edge import till as pure
from edge.node import ShopNode
from edge.tables import basket, held_basket
from edge.till import BasketState
from edge.views import HeldView
from protocol.errors import Conflict, Refusal, define

HELD_MAX = 200

define(
    {
        "BASKET_CHANGED": (
            "This sale was changed meanwhile (version {have}, the page showed {seen}). Nothing was "
            "lost: look at it again, then repeat the last step.",
            "本单已被更改（当前版本 {have}，页面显示 {seen}）。没有丢失内容，请查看后重试。",
        ),
        "BASKET_NOT_EMPTY": (
            "There is a sale on this till. Pay, hold or clear it first; nothing was changed.",
            "本收银台有未完成的销售。请先结账、挂单或清空；没有任何更改。",
        ),
        "BASKET_EMPTY": (
            "There is nothing in this sale yet. Scan something first.",
            "本单还没有商品，请先扫码。",
        ),
        "HELD_UNKNOWN": (
            "This held sale is no longer there; another till may have taken it up.",
            "该挂单已不存在，可能已被其他收银台取出。",
        ),
        "HELD_FULL": (
            "{limit} sales are on hold already. Take some up or clear them first.",
            "挂单已达 {limit} 张，请先取出或清理。",
        ),
    }
)


_insert = sqlite_insert(basket)
_SAVE: Final = _insert.on_conflict_do_update(  # built once: it runs with every scan
    index_elements=["till"],
    set_={name: _insert.excluded[name] for name in ("sale", "version", "state", "changed_ms")},
)

_LOAD: Final = select(basket.c.state, basket.c.version).where(basket.c.till == bindparam("at_till"))
_HELD: Final = select(func.count()).select_from(held_basket)


class Kept(msgspec.Struct, frozen=True):
    """A basket and its version; versions of a till only ever rise, over sales too."""

    state: BasketState
    version: int


class Baskets:
    """Load and change. A lock per till keeps verbs of one process in order."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node
        self._locks: dict[str, threading.RLock] = {}
        self._gate = threading.Lock()

    def lock(self, till: str) -> threading.RLock:
        """Held by a verb from its first look to its commit."""
        with self._gate:
            return self._locks.setdefault(till, threading.RLock())

    def load(self, connection: Connection, till: str) -> Kept:
        """The basket of a till; an empty one with a new sale's id when there is none."""
        row = connection.execute(_LOAD, {"at_till": till}).first()
        if row is None:
            return Kept(BasketState(sale=self._node.new_id()), 0)
        return Kept(pure.read(row.state), row.version)

    def save(self, tx: Connection, till: str, state: BasketState, version: int) -> Kept:
        """Write the next version."""
        values = {
            "sale": state.sale,
            "version": version + 1,
            "state": pure.dump(state),
            "changed_ms": self._node.clock.read().at_ms,
        }
        tx.execute(_SAVE, {"till": till, **values})
        return Kept(state, version + 1)

    def change(
        self,
        till: str,
        step: Callable[[BasketState], BasketState],
        *,
        expect_version: int | None = None,
    ) -> Kept:
        """Apply one pure step, durably; the page hears of it."""
        with self.lock(till):
            with self._node.books.begin() as tx:
                kept = self.load(tx, till)
                demand_version(kept, expect_version)
                payments.demand_thawed(tx, kept.state.sale)
                kept = self.save(tx, till, step(kept.state), kept.version)
            self.tell(till, kept)
        return kept

    def tell(self, till: str, kept: Kept) -> None:
        """Say on the hub that there is a newer version."""
        shown = kept.state.shown_line
        red = any(x.line == shown and x.kind == "unknown" for x in kept.state.lines)
        fact = {"version": kept.version, "line": shown, "unknown": red}
        self._node.hub.publish(f"basket/{till}", fact)

    def empty(self, before: BasketState) -> BasketState:
        """The next sale; a scan of the last one that is asked again stays one scan."""
        return BasketState(sale=self._node.new_id(), taken=before.taken)

    def renew(self, *, restored: bool) -> None:
        """At a start: new ids for sales that were not begun; after a restore for all.

        Another copy of this database may have recorded a sale under an id that waits here, and
        paying under it again would be answered with that other sale. A frozen one keeps its id:
        its content cannot change, so it is the same sale.
        """
        with self._node.books.begin() as tx:
            for row in tx.execute(select(basket)).all():
                state = pure.read(row.state)
                begun = bool(state.lines or state.to_weigh)
                if (restored or not begun) and payments.read_frozen(tx, state.sale) is None:
                    fresh = msgspec.structs.replace(state, sale=self._node.new_id())
                    self.save(tx, row.till, fresh, row.version)
            for row in tx.execute(select(held_basket)).all() if restored else ():
                fresh = msgspec.structs.replace(pure.read(row.state), sale=self._node.new_id())
                tx.execute(
                    update(held_basket)
                    .where(held_basket.c.held == row.held)
                    .values(state=pure.dump(fresh))
                )

    def hold(self, till: str, *, person: str, note: str) -> Kept:
        """Move the basket aside and leave the till empty, in one transaction."""
        with self.lock(till):
            with self._node.books.begin() as tx:
                kept = self.load(tx, till)
                if not kept.state.lines:
                    raise Refusal("BASKET_EMPTY")
                payments.demand_thawed(tx, kept.state.sale)
                if self.held_count(tx) >= HELD_MAX:
                    raise Refusal("HELD_FULL", limit=HELD_MAX)
                tx.execute(
                    insert(held_basket),
                    {
                        "held": kept.state.sale,
                        "till": till,
                        "person": person,
                        "note": note[:100],
                        "state": pure.dump(kept.state),
                        "held_ms": self._node.clock.read().at_ms,
                    },
                )
                kept = self.save(tx, till, self.empty(kept.state), kept.version)
            self.tell(till, kept)
        self._node.hub.publish("held", {})
        return kept

    def peek_held(self, connection: Connection, held: str) -> BasketState:
        """A held basket; HELD_UNKNOWN when somebody took it."""
        row = connection.execute(
            select(held_basket.c.state).where(held_basket.c.held == held)
        ).first()
        if row is None:
            raise Refusal("HELD_UNKNOWN")
        return pure.read(row.state)

    def resume(self, till: str, held: str, renew: Callable[[BasketState], BasketState]) -> Kept:
        """Move a held basket to this till, once; `renew` looks list prices up anew."""
        with self.lock(till):
            with self._node.books.database.reading() as connection:
                state = renew(self.peek_held(connection, held))
            with self._node.books.begin() as tx:
                kept = self.load(tx, till)
                if kept.state.lines or kept.state.to_weigh:
                    raise Refusal("BASKET_NOT_EMPTY")
                gone = tx.execute(delete(held_basket).where(held_basket.c.held == held))
                if gone.rowcount != 1:
                    raise Refusal("HELD_UNKNOWN")
                kept = self.save(tx, till, state, kept.version)
            self.tell(till, kept)
        self._node.hub.publish("held", {})
        return kept

    def held_count(self, connection: Connection) -> int:
        """How many sales wait."""
        return connection.execute(_HELD).scalar_one()

    def list_held(self, connection: Connection) -> list[HeldView]:
        """All of them, oldest first."""
        rows = connection.execute(
            select(held_basket).order_by(held_basket.c.held_ms, held_basket.c.held)
        )
        views = []
        for row in rows:
            lines = pure.read(row.state).lines
            first = next((x.name for x in lines if x.kind == "product"), {})
            views.append(
                HeldView(
                    row.held,
                    row.till,
                    row.person,
                    row.note,
                    row.held_ms,
                    len(lines),
                    sum(x.qty_milli for x in lines if x.kind == "product"),
                    first.get("zh", ""),
                    first.get("en", ""),
                )
            )
        return views


def demand_version(kept: Kept, expect_version: int | None) -> None:
    """BASKET_CHANGED when the page acted on an older picture."""
    if expect_version is not None and expect_version != kept.version:
        raise Conflict("BASKET_CHANGED", have=kept.version, seen=expect_version)
