"""Write what folds gave: one set-based statement per table, made for the database in use.

Per line of a sale this is the hottest place of head office (measured: the statements of an ORM-like
writer cost six times as much). SQLite takes tuples through one prepared text. PostgreSQL takes
columns as arrays, and by COPY the rows that nobody can have written before.
"""

from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from operator import add, itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Boolean, Column, Connection, Text, bindparam, select

from protocol.codec import INTEGER_MAX, TEXT_MAX
from protocol.errors import Corrupt, define
from protocol.folds import ROWS, SUMS, Add, Delta, Put
from protocol.node.bulk import array_literal, copy_text, copying
from protocol.node.tables import READ, shelf_digest

DIGEST_MASK: Final = (1 << 128) - 1
HASHES_KEPT: Final = 20_000
ONCE: Final = "stock_move"  # its key is the event's place: no other event has it
LINES_AT_ONCE: Final = 1_000
_encode = msgspec.json.Encoder().encode

Sums = dict[str, dict[Any, tuple[int, ...]]]
Rows = dict[str, dict[Any, Put]]
Lines = list[tuple[Any, ...]]


define(
    {
        "VALUE_OUT_OF_RANGE": (
            "A value of this event cannot be stored: {value}.",
            "事件中的数值无法保存：{value}。",
        ),
    }
)


class Unfit(ValueError):
    """A value that a database would refuse in mid-transaction; nothing was written."""


@lru_cache(HASHES_KEPT)  # what a row becomes now, it stops being next time
def row_hash(sku: str, qty_milli: int) -> int:
    """One shelf row's part of the digest; a row of zero has none."""
    if qty_milli == 0:
        return 0
    return int.from_bytes(sha256(f"{sku}\0{qty_milli}".encode()).digest()[:16], "big")


# -- what is to be written ------------------------------------------------------------------------


def _order(put: Put) -> tuple[Any, ...]:
    """What wins: the higher rank; of equal rank (branches of a fork), the greater values.

    `_wins` says the same in SQL, so that no order of arrival changes a table.
    """
    return (put.rank, *(-1 if v is None else v for v in put.values))


def storable(deltas: Iterable[Delta]) -> None:
    """Refuse what a database would refuse in mid-transaction: VALUE_OUT_OF_RANGE.

    Whether an event is parked depends on the event alone, never on what was written with it:
    `collapse` and `_fits` pass only what passes here, event by event.
    """
    moved = 0
    for delta in deltas:
        if isinstance(delta, Add):
            moved += sum(map(abs, delta.amounts))
            bounded: Sequence[Any] = delta.key
            values = (*delta.key, *delta.amounts, moved)
        else:
            flags = _bounded(delta.table)
            values = (*delta.key, *delta.values)
            bounded = [v for v, flag in zip(values, flags, strict=False) if flag]
        for value in values:
            if (isinstance(value, int) and abs(value) > INTEGER_MAX) or (
                isinstance(value, str) and "\0" in value
            ):
                raise Corrupt("VALUE_OUT_OF_RANGE", value=repr(value)[:80])
        for value in bounded:
            if value is None or (isinstance(value, str) and len(value) > TEXT_MAX):
                raise Corrupt("VALUE_OUT_OF_RANGE", value=repr(value)[:80])


def collapse(deltas: Iterable[Delta]) -> tuple[Sums, Rows]:
    """One amount and one row per key; Unfit when what was left out could not be held."""
    sums: Sums = {}
    rows: Rows = {}
    moved = 0
    beaten: list[Delta] = []
    for delta in deltas:
        key = delta.key
        if isinstance(delta, Add):
            amounts = delta.amounts
            moved += abs(amounts[0]) if len(amounts) == 1 else sum(map(abs, amounts))
            totals = sums.get(delta.table)
            if totals is None:
                totals = sums[delta.table] = {}
            before = totals.get(key)
            totals[key] = amounts if before is None else tuple(map(add, before, amounts))
        else:
            puts = rows.get(delta.table)
            if puts is None:
                puts = rows[delta.table] = {}
            known = puts.get(key)
            if known is not None:
                beaten += [known, delta]
            if known is None or _order(delta) > _order(known):
                puts[key] = delta
    if moved > INTEGER_MAX:
        raise Unfit("a sum")
    try:
        storable(beaten)
    except Corrupt as fault:
        raise Unfit(str(fault)) from fault
    return sums, rows


def _columns(name: str) -> list[Column[Any]]:
    return list(READ[name].c)


@cache
def _bounded(name: str) -> tuple[bool, ...]:
    """Which columns stand in an index: databases bound the length of those."""
    table = READ[name]
    keys = SUMS[name][0] if name in SUMS else ROWS[name][0]
    return tuple(
        c.name in keys or any(c in index.columns.values() for index in table.indexes)
        for c in table.c
    )


def _fits(name: str, columns: Sequence[Sequence[Any]]) -> None:
    """Raise Unfit unless every column holds only what both databases take."""
    for column, of_table, bounded in zip(columns, _columns(name), _bounded(name), strict=True):
        try:
            if of_table.nullable:
                bad = any(v is not None and abs(v) > INTEGER_MAX for v in column)
            elif isinstance(of_table.type, Text):
                bad = "\0" in "".join(column) or (bounded and max(map(len, column)) > TEXT_MAX)
            else:
                bad = max(column) > INTEGER_MAX or min(column) < -INTEGER_MAX
        except TypeError:  # nothing where something must be
            bad = True
        if bad:
            raise Unfit(f"{name}.{of_table.name}")


# -- statements -----------------------------------------------------------------------------------


def _comparable(dialect: str, column: Column[Any], of: str) -> str:
    text = f"{of}.{column.name}"
    if column.nullable:
        return f"coalesce({text}, -1)"
    if isinstance(column.type, Text) and dialect == "postgresql":
        return f'{text} COLLATE "C"'  # as Python and SQLite compare
    return text


def _wins(dialect: str, name: str) -> str:
    columns = [READ[name].c[v] for v in ROWS[name][1]]
    new = ", ".join(_comparable(dialect, c, "excluded") for c in columns)
    old = ", ".join(_comparable(dialect, c, name) for c in columns)
    return f"excluded.rank > {name}.rank OR (excluded.rank = {name}.rank AND ({new}) > ({old}))"


def _array(column: Column[Any]) -> str:
    if isinstance(column.type, Boolean):
        return "%s::boolean[]"
    return "%s::text[]" if isinstance(column.type, Text) else "%s::bigint[]"


@cache
def _statement(dialect: str, name: str, *, returning: bool = False) -> str:
    """The upsert of a read table; on PostgreSQL it takes one array per column."""
    columns = _columns(name)
    names = ", ".join(c.name for c in columns)
    if dialect == "postgresql":
        source = f"SELECT * FROM unnest({', '.join(map(_array, columns))})"  # noqa: S608 - own names
    elif returning:
        parts = ", ".join(f"json_extract(value, '$[{n}]')" for n in range(len(columns)))
        source = f"SELECT {parts} FROM json_each(?) WHERE true"  # noqa: S608
    else:
        source = f"VALUES ({', '.join('?' * len(columns))})"
    if name in SUMS:
        keys, values = SUMS[name]
        sets = ", ".join(f"{v} = {name}.{v} + excluded.{v}" for v in values)
        where = ""
    else:
        keys, values = ROWS[name]
        sets = ", ".join(f"{v} = excluded.{v}" for v in (*values, "rank"))
        where = f" WHERE {_wins(dialect, name)}"
    back = f" RETURNING {names}" if returning else ""
    return (
        f"INSERT INTO {name} ({names}) {source} "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}{where}{back}"
    )


def _upsert(tx: Connection, name: str, rows: Sequence[Sequence[Any]], columns: Any) -> None:
    statement = _statement(tx.dialect.name, name)
    if tx.dialect.name == "postgresql":
        tx.exec_driver_sql(statement, tuple(map(array_literal, columns)))
    else:
        tx.exec_driver_sql(statement, list(rows))


def _returned(tx: Connection, name: str, rows: Sequence[Sequence[Any]], columns: Any) -> Any:
    statement = _statement(tx.dialect.name, name, returning=True)
    if tx.dialect.name == "postgresql":
        return tx.exec_driver_sql(statement, tuple(map(array_literal, columns))).all()
    return tx.exec_driver_sql(statement, (_encode(rows).decode(),)).all()


# -- writing --------------------------------------------------------------------------------------


def write(tx: Connection, deltas: Iterable[Delta], *, fresh: bool = False) -> None:
    """Write deltas in one go per table; Unfit or a database's refusal when a value cannot be held.

    `fresh`: no event behind them was ever written before, so its own rows need no comparison.
    The caller's savepoint takes back what was written before a fault.
    """
    sums, rows = collapse(deltas)
    once = rows.pop(ONCE, None) if fresh and tx.dialect.name == "postgresql" else None
    if once is None:
        _write(tx, _prepared(sums, rows))
        return
    lines = [(*key, *put.values, put.rank) for key, put in once.items()]
    _fits(ONCE, list(zip(*lines, strict=True)))
    names = ", ".join(c.name for c in _columns(ONCE))
    with copying(tx, f"COPY {ONCE} ({names}) FROM STDIN") as copy:
        for start in range(0, len(lines), LINES_AT_ONCE):
            copy.write(copy_text(lines[start : start + LINES_AT_ONCE]))
        prepared = _prepared(sums, rows)
    _write(tx, prepared)


def _prepared(sums: Sums, rows: Rows) -> dict[str, tuple[Lines, Lines]]:
    """Table -> its lines and its columns, in one lock order for all writers, and checked."""
    found: dict[str, tuple[Lines, Lines]] = {}
    for name in sorted(sums):
        lines = [(*key, *amounts) for key, amounts in sorted(sums[name].items())]
        found[name] = lines, list(zip(*lines, strict=True))
    for name in sorted(rows):
        puts = sorted(rows[name].items(), key=itemgetter(0))
        lines = [(*key, *put.values, put.rank) for key, put in puts]
        found[name] = lines, list(zip(*lines, strict=True))
    for name, (_, columns) in found.items():
        _fits(name, columns)
    return found


def _write(tx: Connection, prepared: dict[str, tuple[Lines, Lines]]) -> None:
    for name, (lines, columns) in prepared.items():
        if name == "stock":
            _stock(tx, lines)
        else:
            _upsert(tx, name, lines, columns)


def _stock(tx: Connection, rows: list[tuple[Any, ...]]) -> None:
    """Shelves with their digests, the other places without."""
    shelves = [row for row in rows if row[0].startswith("shop/")]
    others = [row for row in rows if not row[0].startswith("shop/")]
    if others:
        _upsert(tx, "stock", others, zip(*others, strict=True))
    if shelves:
        amounts = {(place, sku): qty for place, sku, qty in shelves}
        changed = _returned(tx, "stock", shelves, zip(*shelves, strict=True))
        _keep_digests(tx, [(p, sku, new, amounts[p, sku]) for p, sku, new in changed])


_PROOFS = select(shelf_digest.c.place, shelf_digest.c.digest, shelf_digest.c.products).where(
    shelf_digest.c.place.in_(bindparam("places", expanding=True))
)


@cache
def _proof_statement(dialect: str) -> str:
    mark = "%s" if dialect == "postgresql" else "?"
    return (
        f"INSERT INTO shelf_digest (place, digest, products) VALUES ({mark}, {mark}, {mark}) "  # noqa: S608
        "ON CONFLICT (place) DO UPDATE SET digest = excluded.digest, products = excluded.products"
    )


def _keep_digests(tx: Connection, changed: Iterable[tuple[str, str, int, int]]) -> None:
    """Move each shelf's digest by what its rows changed: (place, sku, new, delta)."""
    moves: dict[str, list[int]] = {}
    for place, sku, new, delta in changed:
        move = moves.setdefault(place, [0, 0])
        move[0] += row_hash(sku, new) - row_hash(sku, new - delta)
        move[1] += (new != 0) - (new != delta)
    before = {r[0]: (int(r[1], 16), r[2]) for r in tx.execute(_PROOFS, {"places": list(moves)})}
    rows = []
    for place, (digest, products) in sorted(moves.items()):
        old, count = before.get(place, (0, 0))
        rows.append((place, f"{(old + digest) & DIGEST_MASK:032x}", count + products))
    tx.exec_driver_sql(_proof_statement(tx.dialect.name), rows)
