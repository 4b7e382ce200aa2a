"""Payments in the work tables: every try to collect money that is not cash, and what froze for it.

A try is written before its first byte leaves, and each state before that state's first message. A
sale that a try belongs to is **frozen**: priced once, kept as the event's body, and recorded just
so when the money is there. Its basket cannot change meanwhile, so money and sale agree.
"""

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Select, bindparam, delete, exists, insert, select, update

from devices.payment import PayAnswer, PayState
from edge.tables import frozen_sale, payment
from edge.views import TenderIn
from protocol.clock import DAY_MS
from protocol.errors import Conflict, define
from protocol.events import SaleCompleted
from protocol.node.sqljournal import upsert

KEPT_MS: Final = 31 * DAY_MS  # settled tries, for questions at the counter

define(
    {
        "PAY_RUNNING": (
            "A payment of this sale is open. The sale is kept as it is; finish the payment or "
            "cancel it first.",
            "本单有一笔付款尚未结束，商品已锁定。请先完成或取消该付款。",
        ),
    }
)

OPEN_STATES: Final = tuple(str(s) for s in PayState if not s.final)
_FROZEN: Final = select(frozen_sale).where(frozen_sale.c.sale == bindparam("of_sale"))


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One try, as the table holds it."""

    attempt: str
    sale: str
    till: str
    person: str
    kind: str
    provider: str
    trace: int
    code_end: str
    amount_minor: int
    state: PayState
    booked: bool
    provider_id: str
    reason: str
    started_ms: int
    changed_ms: int

    @property
    def held(self) -> bool:
        """Money that is here and not yet in a recorded sale."""
        return self.state is PayState.PAID and not self.booked

    @property
    def unsettled(self) -> bool:
        """Does the till wait for it?"""
        return not self.state.final and not self.state.frees_till

    @property
    def open(self) -> bool:
        """Something is still to be done about it."""
        return self.held or not self.state.final

    def tender(self) -> TenderIn:
        """As part of the sale."""
        return TenderIn(self.kind, self.amount_minor, self.provider_id, self.provider, self.attempt)


class Frozen(msgspec.Struct, frozen=True):
    """A sale as it was when the first payment was asked for; without tenders and number."""

    sale: str
    till: str
    person: str
    body: SaleCompleted

    @property
    def total_minor(self) -> int:
        """What is to be paid."""
        return self.body.total_minor


def read_row(connection: Connection, attempt: str) -> Row | None:
    """One try."""
    found = connection.execute(select(payment).where(payment.c.attempt == attempt)).first()
    return None if found is None else _row(found)


def of_sale(connection: Connection, sale: str) -> list[Row]:
    """All tries of a sale, in order."""
    query = select(payment).where(payment.c.sale == sale)
    return _rows(connection, query)


def list_open(connection: Connection) -> list[Row]:
    """Every try that is not settled, and money that is in no sale yet."""
    unsettled = payment.c.state.in_(OPEN_STATES)
    held = (payment.c.state == str(PayState.PAID)) & (payment.c.booked == 0)
    return _rows(connection, select(payment).where(unsettled | held))


def list_newest(connection: Connection, limit: int) -> list[Row]:
    """The newest tries of the shop, newest first."""
    query = select(payment).order_by(payment.c.started_ms.desc(), payment.c.attempt.desc())
    return [_row(found) for found in connection.execute(query.limit(limit))]


def _rows(connection: Connection, query: Select[Any]) -> list[Row]:
    ordered = query.order_by(payment.c.started_ms, payment.c.attempt)
    return [_row(found) for found in connection.execute(ordered)]


def _row(found: Any) -> Row:
    values = {name: getattr(found, name) for name in Row.__struct_fields__}
    values |= {"state": PayState(found.state), "booked": bool(found.booked)}
    return Row(**values)


def write_row(tx: Connection, row: Row) -> None:
    """A new try, before anything is sent; old settled ones go."""
    values = msgspec.structs.asdict(row)
    tx.execute(insert(payment), values | {"state": str(row.state), "booked": int(row.booked)})
    old = payment.c.changed_ms < row.started_ms - KEPT_MS
    settled = payment.c.state.not_in(OPEN_STATES) & (
        (payment.c.booked == 1) | (payment.c.state != str(PayState.PAID))
    )
    tx.execute(delete(payment).where(old, settled))


def move(tx: Connection, attempt: str, state: PayState, answer: PayAnswer, at_ms: int) -> bool:
    """Write a new state; False when it stands there already, or the money is in a sale."""
    values: dict[str, object] = {"state": str(state), "changed_ms": at_ms}
    if answer.provider_id:
        values["provider_id"] = answer.provider_id[:60]
    if answer.reason:
        values["reason"] = answer.reason[:200]
    changed = tx.execute(
        update(payment)
        .where(payment.c.attempt == attempt, payment.c.booked == 0)
        .where(payment.c.state != str(state))
        .values(**values)
    )
    return bool(changed.rowcount)


def book(tx: Connection, sale: str, rows: list[Row]) -> None:
    """The sale is being recorded with this money; PAY_RUNNING when one is not there any more."""
    for row in rows:
        changed = tx.execute(
            update(payment)
            .where(payment.c.attempt == row.attempt, payment.c.booked == 0)
            .where(payment.c.state == str(PayState.PAID))
            .values(booked=1)
        )
        if changed.rowcount != 1:
            raise Conflict("PAY_RUNNING")
    tx.execute(delete(frozen_sale).where(frozen_sale.c.sale == sale))


def read_frozen(connection: Connection, sale: str) -> Frozen | None:
    """The sale as it was frozen; None when no payment is open for it."""
    found = connection.execute(_FROZEN, {"of_sale": sale}).first()
    if found is None:
        return None
    body = msgspec.json.decode(found.body, type=SaleCompleted)
    return Frozen(found.sale, found.till, found.person, body)


def freeze(tx: Connection, frozen: Frozen, at_ms: int) -> None:
    """Keep it; the first one stays."""
    row = {
        "sale": frozen.sale,
        "till": frozen.till,
        "person": frozen.person,
        "body": msgspec.json.encode(frozen.body),
        "frozen_ms": at_ms,
    }
    tx.execute(upsert(tx, frozen_sale).on_conflict_do_nothing(), row)


def thaw(tx: Connection, sale: str) -> None:
    """Let the basket change again, unless money is held or on its way."""
    busy = exists().where(
        payment.c.sale == sale,
        payment.c.state.not_in([str(s) for s in PayState if s.frees_till]),
    )
    tx.execute(delete(frozen_sale).where(frozen_sale.c.sale == sale, ~busy))


def demand_thawed(connection: Connection, sale: str) -> None:
    """PAY_RUNNING while a payment of this sale is open: its basket must stay as it is."""
    if connection.execute(_FROZEN, {"of_sale": sale}).first() is not None:
        raise Conflict("PAY_RUNNING")
