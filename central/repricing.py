"""Every sale priced again at head office, behind the ingest, with its own cursor per shop.

The rules are those that the shop said it had in force (by the hash that the sale carries), the
context is the one in the sale: so the same engine must give the same fen, line by line.
"""

import threading
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from sqlalchemy import Connection, func, select

from central.recording import Desk
from central.rulebooks import Rulebooks
from central.sharing import REPRICE, Duty
from central.tables import reprice_cursor, reprice_result
from promotions.basket import BasketLine, Context
from promotions.engine import PricedBasket, price
from promotions.ruleset import ENGINE_NUMBER, RuleSet
from protocol.codec import Envelope, body_of, decode
from protocol.errors import Corrupt, TillmeshError, Unavailable
from protocol.events import SaleCompleted
from protocol.ids import shop_stream
from protocol.journal import Stored
from protocol.node.sqljournal import Recorded, SqlRecords, read_line, upsert
from protocol.node.tables import READ, fork

AGREED: Final = "agreed"
DIFFERS: Final = "differs"
OTHER_ENGINE: Final = (
    "other_engine"  # priced by another engine number; the detail says what differs
)
UNKNOWN_RULES: Final = "unknown_rules"  # the rules it was priced with cannot be rebuilt here
UNREADABLE: Final = "unreadable"  # its pricing context cannot be read here

WAIT_S: Final = 5.0
log = structlog.get_logger("repricing")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A sale that head office prices otherwise (or cannot): `outcome` is one of the words above."""

    store: str
    sale: str
    receipt_number: str
    at_ms: int
    outcome: str
    sold_discount_minor: int
    repriced_discount_minor: int
    detail: str  # JSON


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far the follower is in one shop's stream."""

    store: str
    done_seq: int
    head_seq: int

    @property
    def behind(self) -> int:
        """Events not looked at yet."""
        return self.head_seq - self.done_seq


class Result(msgspec.Struct, frozen=True):
    """What pricing one sale again gave."""

    outcome: str
    repriced_minor: int
    detail: dict[str, Any]


class Repricing:
    """The follower; `start` runs it in a thread, `step` does what is there now."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._mine = Duty(desk.books.database, REPRICE)  # one of several processes follows
        self._rulebooks = Rulebooks()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._working = threading.Lock()
        self._thread: threading.Thread | None = None
        desk.books.listeners.append(self._heard)

    def _heard(self, recorded: Sequence[Recorded]) -> None:
        if any(isinstance(event.body, SaleCompleted) for event in recorded):
            self._wake.set()

    def start(self) -> None:
        """Follow in the background, woken by what is committed."""
        self._thread = threading.Thread(target=self._run, name="repricing", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the events at hand."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._mine.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                while self._mine() and self._advance(100)[0] and not self._stopping.is_set():
                    pass
            except Unavailable as fault:  # the database is away: try again
                log.warning("repricing_waits", fault=type(fault).__name__)
            self._wake.wait(WAIT_S)

    def step(self, *, limit: int = 200) -> int:
        """Look at up to `limit` events of every shop; return how many sales were priced."""
        return self._advance(limit)[1]

    def _advance(self, limit: int) -> tuple[int, int]:
        """Events looked at, sales priced."""
        with self._working:
            with self._desk.books.database.reading() as connection:
                stores = _stores(connection)
            done = [self._one_store(store, limit) for store in stores]
        return sum(d[0] for d in done), sum(d[1] for d in done)

    def _one_store(self, store: str, limit: int) -> tuple[int, int]:
        with self._desk.books.database.reading() as connection:
            after = _cursor(connection, store)
            events = read_line(connection, shop_stream(store), after, limit=limit)
            if not events:
                return 0, 0
            rows = [row for stored in events if (row := self._price(connection, store, stored))]
        tip = events[-1].position
        with self._desk.books.database.begin() as tx:
            for row in rows:
                values = {k: v for k, v in row.items() if k not in {"store", "sale"}}
                tx.execute(
                    upsert(tx, reprice_result).on_conflict_do_update(
                        index_elements=["store", "sale"], set_=values
                    ),
                    row,
                )
            moved = {"seq": tip.seq, "hash": tip.hash}
            tx.execute(
                upsert(tx, reprice_cursor).on_conflict_do_update(
                    index_elements=["store"], set_=moved
                ),
                {"store": store, **moved},
            )
        if rows:
            differs = sum(row["outcome"] != AGREED for row in rows)
            self._desk.hub.publish(
                "repriced", {"store": store, "sales": len(rows), "differs": differs}
            )
        return len(events), len(rows)

    def _price(self, connection: Connection, store: str, stored: Stored) -> dict[str, Any] | None:
        opened = _open(stored)
        if opened is None:
            return None
        envelope, body = opened
        try:
            result = self._again(connection, store, envelope.seq, body)
        except TillmeshError:
            raise
        except Exception as fault:  # noqa: BLE001 - one odd sale must not hold up the others
            result = Result(UNREADABLE, 0, {"fault": f"{type(fault).__name__}: {fault}"[:300]})
        return {
            "store": store,
            "sale": body.sale,
            "outcome": result.outcome,
            "receipt_number": body.receipt_number,
            "at_ms": envelope.ts,
            "sold_minor": body.discount_minor,
            "repriced_minor": result.repriced_minor,
            "detail": msgspec.json.encode(result.detail).decode() if result.detail else "",
        }

    def _again(self, connection: Connection, store: str, seq: int, body: SaleCompleted) -> Result:
        try:
            context = msgspec.convert(body.context, Context)
        except msgspec.ValidationError as fault:
            return Result(UNREADABLE, 0, {"fault": str(fault)[:300]})
        rules = self._rulebooks.find(connection, store, seq, body.rules_hash, tz=context.store_tz)
        if rules is None:
            outcome = UNKNOWN_RULES if body.engine == ENGINE_NUMBER else OTHER_ENGINE
            return Result(outcome, 0, {"rules_hash": body.rules_hash, "engine": body.engine})
        return compare(body, rules, context)

    # -- views --------------------------------------------------------------------------------

    def status(self) -> list[Lag]:
        """The lag per shop."""
        with self._desk.books.database.reading() as connection:
            records = SqlRecords(connection)
            return [
                Lag(
                    store=store,
                    done_seq=_cursor(connection, store),
                    head_seq=records.head(shop_stream(store)).seq,
                )
                for store in _stores(connection)
            ]

    def differences(self, *, limit: int = 200) -> list[Difference]:
        """Newest first: all that is not AGREED."""
        table = reprice_result
        query = (
            select(table)
            .where(table.c.outcome != AGREED)
            .order_by(table.c.at_ms.desc(), table.c.sale)
            .limit(limit)
        )
        with self._desk.books.database.reading() as connection:
            return [
                Difference(
                    store=row.store,
                    sale=row.sale,
                    receipt_number=row.receipt_number,
                    at_ms=row.at_ms,
                    outcome=row.outcome,
                    sold_discount_minor=row.sold_minor,
                    repriced_discount_minor=row.repriced_minor,
                    detail=row.detail,
                )
                for row in connection.execute(query)
            ]


def basket_of(body: SaleCompleted) -> list[BasketLine]:
    """The basket of a sale as it was priced."""
    return [
        BasketLine(
            sku=line.sku,
            group=line.group,
            unit_price_minor=line.unit_price_minor,
            qty_milli=line.qty_milli,
            weighed=line.weighed,
            no_discount=line.no_discount,
            is_return=line.is_return,
            floor_minor=line.floor_minor,
        )
        for line in body.lines
    ]


def compare(body: SaleCompleted, rules: RuleSet, context: Context) -> Result:
    """Price a sale's basket again and say what is not the same."""
    again = price(basket_of(body), rules, context)
    detail = _differences(body, again)
    if body.engine != rules.engine:
        detail = {"engine": {"sold": body.engine, "here": rules.engine}, **detail}
        return Result(OTHER_ENGINE, again.total_discount_minor, detail)
    return Result(DIFFERS if detail else AGREED, again.total_discount_minor, detail)


def _differences(body: SaleCompleted, again: PricedBasket) -> dict[str, Any]:
    """What was sold beside what comes out here; only what is not the same."""
    pairs: dict[str, tuple[Any, Any]] = {
        "discount_minor": (body.discount_minor, again.total_discount_minor),
        "per_line": ([line.discount_minor for line in body.lines], list(again.per_line)),
        "applied": (
            sorted([a.rule, a.discount_minor] for a in body.applied),
            sorted([a.rule_id, a.discount_minor] for a in again.applied),
        ),
        "gifts": (
            sorted([g.sku, g.qty_milli] for g in body.gifts),
            sorted([sku, pieces * 1000] for sku, pieces in again.gifts),
        ),
    }
    return {
        name: {"sold": sold, "here": here} for name, (sold, here) in pairs.items() if sold != here
    }


def _open(stored: Stored) -> tuple[Envelope, SaleCompleted] | None:
    envelope = decode(stored.data)
    try:
        body = body_of(envelope)
    except Corrupt:  # parked already, with its reason
        return None
    return (envelope, body) if isinstance(body, SaleCompleted) else None


def _stores(connection: Connection) -> list[str]:
    table = READ["store"]
    return list(connection.execute(select(table.c.store).order_by(table.c.store)).scalars())


def _cursor(connection: Connection, store: str) -> int:
    """Where to go on; behind the fork when the place became a side branch since."""
    row = connection.execute(
        select(reprice_cursor.c.seq, reprice_cursor.c.hash).where(reprice_cursor.c.store == store)
    ).first()
    if row is None:
        return 0
    stream = shop_stream(store)
    if SqlRecords(connection).hash_at(stream, row.seq) == row.hash:
        return int(row.seq)
    parent = connection.execute(
        select(func.min(fork.c.parent_seq)).where(fork.c.stream == stream)
    ).scalar()
    return min(int(parent or 0), int(row.seq))
