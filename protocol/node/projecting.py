"""Run folds: events in, one set-based write out; what cannot be folded is parked, alone."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from protocol.codec import INTEGER_MAX, TEXT_MAX, Envelope
from protocol.errors import Corrupt, TillmeshError, define
from protocol.events import Event, StockDigest
from protocol.folds import ROWS, SUMS, Add, Delta, Put, fold
from protocol.ids import stream_store
from protocol.ledger import shelf
from protocol.node.sqljournal import Recorded, upsert, upsert_on
from protocol.node.tables import READ, digest_check, parked, shelf_digest

_CHUNK = 500
_DIGEST_MASK = (1 << 128) - 1
_DIGEST = re.compile("[0-9a-f]{32}")
_UNSTORABLE = (DataError, IntegrityError, OverflowError)  # the value's fault, not the disk's

Fold = Callable[[Event | None, Envelope], list[Delta]]
Sums = dict[str, dict[Any, Any]]
Rows = dict[str, dict[Any, Put]]

define(
    {
        "VALUE_OUT_OF_RANGE": (
            "A value of this event cannot be stored: {value}.",
            "事件中的数值无法保存：{value}。",
        ),
    }
)


def _short(delta: Delta) -> list[Any]:
    """Values that stand in an index: databases bound their length."""
    if isinstance(delta, Add):
        return list(delta.key)
    places = _INDEXED[delta.table]
    return [*delta.key, *(delta.values[n] for n in places)]


_INDEXED: dict[str, tuple[int, ...]] = {
    name: tuple(
        n for n, v in enumerate(values) if any(v in index.columns for index in READ[name].indexes)
    )
    for name, (_, values) in ROWS.items()
}


def _storable(deltas: Iterable[Delta]) -> None:
    """Refuse what a database would refuse in mid-transaction, before it gets there."""
    moved = 0
    for delta in deltas:
        amounts = delta.amounts if isinstance(delta, Add) else delta.values
        if isinstance(delta, Add):
            moved += sum(map(abs, delta.amounts))
        for value in (*delta.key, *amounts, moved):
            if (isinstance(value, int) and abs(value) > INTEGER_MAX) or (
                isinstance(value, str) and "\0" in value
            ):
                raise Corrupt("VALUE_OUT_OF_RANGE", value=repr(value)[:80])
        for value in _short(delta):
            if value is None or (isinstance(value, str) and len(value) > TEXT_MAX):
                raise Corrupt("VALUE_OUT_OF_RANGE", value=repr(value)[:80])


def row_hash(sku: str, qty_milli: int) -> int:
    """One shelf row's part of the digest; a row of zero has none."""
    if qty_milli == 0:
        return 0
    return int.from_bytes(sha256(f"{sku}\0{qty_milli}".encode()).digest()[:16], "big")


def _order(put: Put) -> tuple[Any, ...]:
    """What wins: the higher rank; of equal rank (branches of a fork), the greater values.

    `_wins` says the same in SQL, so that no order of arrival changes a table.
    """
    return (put.rank, *(-1 if v is None else v for v in put.values))


def _wins(dialect: str, name: str, excluded: Any) -> ColumnElement[bool]:
    def parts(columns: Any) -> Any:
        return tuple_(*(_comparable(dialect, table.c[v], columns[v]) for v in ROWS[name][1]))

    table = READ[name]
    return or_(
        excluded["rank"] > table.c["rank"],
        and_(excluded["rank"] == table.c["rank"], parts(excluded) > parts(table.c)),
    )


def _comparable(dialect: str, column: Any, value: Any) -> Any:
    if column.nullable:
        return func.coalesce(value, -1)
    if isinstance(column.type, Text) and dialect == "postgresql":
        return value.collate("C")  # as Python and SQLite compare
    return value


def _collapse(
    deltas: Iterable[Delta],
) -> tuple[dict[str, dict[Any, Any]], dict[str, dict[Any, Put]]]:
    sums: dict[str, dict[Any, Any]] = {}
    rows: dict[str, dict[Any, Put]] = {}
    for delta in deltas:
        if isinstance(delta, Add):
            table = sums.setdefault(delta.table, {})
            before = table.get(delta.key)
            table[delta.key] = (
                delta.amounts
                if before is None
                else tuple(a + b for a, b in zip(before, delta.amounts, strict=True))
            )
        else:
            puts = rows.setdefault(delta.table, {})
            if delta.key not in puts or _order(delta) > _order(puts[delta.key]):
                puts[delta.key] = delta
    return sums, rows


# Statements are built once per dialect: building costs more than running them (measured).


@cache
def _add_statement(dialect: str, name: str) -> Any:
    table, (keys, values) = READ[name], SUMS[name]
    statement = upsert_on(dialect, table)
    statement = statement.on_conflict_do_update(
        index_elements=list(keys),
        set_={v: table.c[v] + statement.excluded[v] for v in values},
    )
    if name == "stock":
        statement = statement.returning(table.c.place, table.c.sku, table.c.qty_milli)
    return statement


@cache
def _put_statement(dialect: str, name: str) -> Any:
    keys, values = ROWS[name]
    statement = upsert_on(dialect, READ[name])
    return statement.on_conflict_do_update(
        index_elements=list(keys),
        set_={v: statement.excluded[v] for v in (*values, "rank")},
        where=_wins(dialect, name, statement.excluded),
    )


@cache
def _proof_statement(dialect: str) -> Any:
    statement = upsert_on(dialect, shelf_digest)
    excluded = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["place"],
        set_={"digest": excluded.digest, "products": excluded.products},
    )


_PROOF = select(shelf_digest.c.digest, shelf_digest.c.products).where(
    shelf_digest.c.place == bindparam("at_place")
)


def _add(tx: Connection, name: str, amounts: dict[Any, Any]) -> None:
    keys, values = SUMS[name]
    statement = _add_statement(tx.dialect.name, name)
    ordered = sorted(amounts)  # one lock order for all writers
    params = [
        {**dict(zip(keys, k, strict=True)), **dict(zip(values, amounts[k], strict=True))}
        for k in ordered
    ]
    if name != "stock":
        tx.execute(statement, params)
        return
    changed = tx.execute(statement, params)
    _keep_digests(tx, [(r.place, r.sku, r.qty_milli, amounts[r.place, r.sku][0]) for r in changed])


def _keep_digests(tx: Connection, changed: Sequence[tuple[str, str, int, int]]) -> None:
    """Move each shelf's digest by what its rows changed: (place, sku, new, delta)."""
    moves: dict[str, tuple[int, int]] = {}
    for place, sku, new, delta in changed:
        if place.startswith("shop/"):
            digest, products = moves.get(place, (0, 0))
            digest += row_hash(sku, new) - row_hash(sku, new - delta)
            moves[place] = (digest, products + (new != 0) - (new != delta))
    for place, (digest, products) in sorted(moves.items()):
        before, count = shelf_proof(tx, place)
        now = f"{(int(before, 16) + digest) & _DIGEST_MASK:032x}"
        values = {"place": place, "digest": now, "products": count + products}
        tx.execute(_proof_statement(tx.dialect.name), values)


def shelf_proof(tx: Connection, place: str) -> tuple[str, int]:
    """The digest of a shelf and how many products are on it."""
    row = tx.execute(_PROOF, {"at_place": place}).first()
    return (row.digest, row.products) if row else ("0" * 32, 0)


def _put(tx: Connection, name: str, puts: dict[Any, Put]) -> None:
    keys, values = ROWS[name]
    statement = _put_statement(tx.dialect.name, name)
    ordered = sorted(puts)
    for start in range(0, len(ordered), _CHUNK):
        tx.execute(
            statement,
            [
                {
                    **dict(zip(keys, k, strict=True)),
                    **dict(zip(values, puts[k].values, strict=True)),
                    "rank": puts[k].rank,
                }
                for k in ordered[start : start + _CHUNK]
            ],
        )


def write(tx: Connection, deltas: Iterable[Delta]) -> None:
    """Write deltas in one go per table."""
    sums, rows = _collapse(deltas)
    for name in sorted(sums):
        _add(tx, name, sums[name])
    for name in sorted(rows):
        _put(tx, name, rows[name])


def _check_digest(tx: Connection, body: StockDigest, envelope: Envelope) -> None:
    store = stream_store(envelope.stream) or ""
    if not _DIGEST.fullmatch(body.digest) or not envelope.stream.startswith("shop/"):
        raise Corrupt("VALUE_OUT_OF_RANGE", value=repr(body.digest)[:80])
    computed, _ = shelf_proof(tx, shelf(store))
    values = {
        "claimed": body.digest,
        "computed": computed,
        "agreed": computed == body.digest,
        "at_ms": envelope.ts,
    }
    tx.execute(
        upsert(tx, digest_check).on_conflict_do_update(
            index_elements=["store", "seq", "epoch"], set_=values
        ),
        {"store": store, "seq": envelope.seq, "epoch": envelope.epoch, **values},
    )


def park(tx: Connection, event: Recorded, fault: Exception) -> None:
    """Set one event aside with its reason; the journal keeps it, the rest goes on."""
    reason = str(fault) if isinstance(fault, TillmeshError) else f"{type(fault).__name__}: {fault}"
    tx.execute(
        upsert(tx, parked).on_conflict_do_nothing(),
        {
            "hash": event.stored.position.hash,
            "stream": event.stored.stream,
            "seq": event.stored.position.seq,
            "type": event.envelope.type,
            "reason": reason[:1000].replace("\0", ""),
        },
    )


def project(
    tx: Connection, events: Iterable[Recorded], *, fold_one: Fold = fold, writer: bool = False
) -> int:
    """Fold events into the read tables, in the caller's transaction; return how many were parked.

    A shop's `StockDigest` is compared exactly at its position. What may not be said or cannot be
    stored is parked by a follower; at its `writer` it raises, so that nothing is recorded.
    """
    pending: list[tuple[Recorded, list[Delta]]] = []
    count = 0
    for event in events:
        try:
            deltas = fold_one(event.body, event.envelope)
            _storable(deltas)
            pending.append((event, deltas))
            if isinstance(event.body, StockDigest):
                count += _write_all(tx, pending, writer=writer)
                pending = []
                _check_digest(tx, event.body, event.envelope)
        except DBAPIError:
            raise
        except Exception as fault:
            if writer and isinstance(fault, TillmeshError):
                raise
            park(tx, event, fault)
            count += 1
    return count + _write_all(tx, pending, writer=writer)


def _write_all(
    tx: Connection, folded: Sequence[tuple[Recorded, list[Delta]]], *, writer: bool
) -> int:
    """Write in one go; if the database refuses a value, event by event, and park that one."""
    deltas = [delta for _, of_one in folded for delta in of_one]
    if not deltas:
        return 0
    try:
        with tx.begin_nested():
            write(tx, deltas)
    except _UNSTORABLE as fault:
        if writer or len(folded) == 1:
            reason = Corrupt("VALUE_OUT_OF_RANGE", value=str(getattr(fault, "orig", fault))[:200])
            if writer:
                raise reason from fault
            park(tx, folded[0][0], reason)
            return 1
        return sum(_write_all(tx, [one], writer=False) for one in folded)
    return 0


def empty_read_tables(tx: Connection) -> None:
    """Before a rebuild."""
    for table in [*READ.values(), shelf_digest, digest_check]:
        tx.execute(delete(table))
    tx.execute(delete(parked))
