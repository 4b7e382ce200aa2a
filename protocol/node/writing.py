"""Write what folds gave: one set-based statement per table, made for the database in use.

Per line of a sale this is the hottest place of head office (measured: the statements of an ORM-like
writer cost six times as much). SQLite takes tuples through one prepared text. PostgreSQL takes
columns as arrays, and by COPY the rows that nobody can have written before.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import cache, lru_cache
from hashlib import sha256
from operator import add, itemgetter
from typing import Any, Final

import msgspec
from sqlalchemy import Boolean, Column, Connection, Text, bindparam, select

from protocol.codec import INTEGER_MAX, TEXT_MAX
from protocol.errors import Corrupt, define
from protocol.folds import ROWS, SUMS, Add, Delta, Moved, Put, spread
from protocol.ledger import account
from protocol.node.bulk import array_literal, copy_text, copying, plain_lines
from protocol.node.tables import READ, shelf_digest

DIGEST_MASK: Final = (1 << 128) - 1
HASHES_KEPT: Final = 20_000
MOVES: Final = "stock_move"
_encode = msgspec.json.Encoder().encode

Sums = dict[str, dict[Any, tuple[int, ...]]]
Rows = dict[str, dict[Any, Put]]
Stock = dict[str, dict[str, list[int]]]  # row's place -> sku -> its amounts
Shelf = tuple[str, str, int]  # place, sku, what lies there now
Lines = list[tuple[Any, ...]]


class Collapsed(msgspec.Struct):
    """One amount and one row per key."""

    sums: Sums = {}
    rows: Rows = {}
    stock: Stock = {}
    moves: list[Moved] = []


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
    for delta in spread(deltas):
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


def collapse(deltas: Iterable[Delta]) -> Collapsed:
    """One amount and one row per key; Unfit when what was left out could not be held."""
    found = Collapsed()
    sums, rows = found.sums, found.rows
    moved = 0
    beaten: list[Delta] = []
    for delta in deltas:
        if isinstance(delta, Moved):
            found.moves.append(delta)
            moved += _post(found.stock, delta)
        elif isinstance(delta, Add):
            key, amounts = delta.key, delta.amounts
            moved += sum(map(abs, amounts))
            totals = sums.setdefault(delta.table, {})
            before = totals.get(key)
            totals[key] = amounts if before is None else tuple(map(add, before, amounts))
        else:
            key, puts = delta.key, rows.setdefault(delta.table, {})
            known = puts.get(key)
            if known is not None:
                beaten += [known, delta]
            if known is None or _order(delta) > _order(known):
                puts[key] = delta
    for (place, sku), amounts in sums.pop("stock", {}).items():
        row = found.stock.setdefault(place, {}).setdefault(sku, [0, 0])
        row[:] = map(add, row, amounts)
    if moved > INTEGER_MAX:
        raise Unfit("a sum")
    try:
        storable(beaten)
    except Corrupt as fault:
        raise Unfit(str(fault)) from fault
    return found


def _post(stock: Stock, moved: Moved) -> int:
    """Both places of each movement; returns how much that is. The hottest loop of head office."""
    source = target = ""
    left: dict[str, list[int]] = {}
    entered = left
    out = into = total = 0
    for p in moved.postings:
        if p.source is not source or p.target is not target:
            source, target = p.source, p.target
            (here, out), (there, into) = account(source), account(target)
            left, entered = stock.setdefault(here, {}), stock.setdefault(there, {})
        sku, qty = p.sku, p.qty_milli
        total += qty if qty > 0 else -qty
        if sku in left:
            row = left[sku]
        else:
            row = left[sku] = [0, 0]
        row[out] -= qty
        if entered is not left:
            row = entered.setdefault(sku, [0, 0])
        row[into] += qty
    return 2 * total


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
    keys_and_first = ", ".join((*keys, values[0]))
    back = f" RETURNING {keys_and_first}" if returning else ""
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


def _returned(tx: Connection, name: str, columns: Sequence[Sequence[Any]]) -> Any:
    """Upsert, and read back what the rows became: (place, sku, quantity)."""
    statement = _statement(tx.dialect.name, name, returning=True)
    if tx.dialect.name == "postgresql":
        rows: Any = tuple(map(array_literal, columns))
    else:
        rows = (_encode(list(zip(*columns, strict=True))).decode(),)
    with closing(tx.exec_driver_sql(statement, rows)) as result:
        cursor: Any = result.cursor
        return cursor.fetchall()  # SQLAlchemy's own rows cost as much as the query


# -- writing --------------------------------------------------------------------------------------


def write(tx: Connection, deltas: Iterable[Delta], *, fresh: bool = False) -> Sequence[Shelf]:
    """Write deltas in one go per table; return what the changed shelf rows became.

    Raises Unfit or a database's refusal when a value cannot be held.

    `fresh`: no event behind them was ever written before, so its own rows need no comparison.
    The caller's savepoint takes back what was written before a fault.
    """
    found = collapse(deltas)
    stock = _prepared_stock(found.stock)  # checks what movements name, before any is sent
    if found.moves and fresh and tx.dialect.name == "postgresql":
        names = ", ".join(c.name for c in _columns(MOVES))
        with copying(tx, f"COPY {MOVES} ({names}) FROM STDIN") as copy:
            copy.write(_text(found.moves))
            prepared = _prepared(found)
    else:
        prepared = _prepared(found)
        if found.moves:
            lines = [row for moved in found.moves for row in moved.rows()]
            _upsert(tx, MOVES, lines, zip(*lines, strict=True))
    changed = _stock(tx, stock, found.stock)
    for name, lines in prepared.items():
        _upsert(tx, name, lines, zip(*lines, strict=True))
    return changed


def _text(moves: Sequence[Moved]) -> str:
    """The rows of these movements as COPY reads them, sorted by product: its index grows in order.

    Places and products are checked with the stock that they change, and the rest of a row by the
    codec, when the event was read.
    """
    lines: list[str] = []
    for m in moves:
        at = f"\t{m.at_ms}\t{m.stream}\t{m.seq}\t{m.epoch}\t"
        document, kind, actor, till = m.written
        after = f"\t{document}\t{kind}\t{actor}\t{till}\t{m.seq}"
        lines += [
            f"{p.sku}{at}{n}\t{p.source}\t{p.target}\t{p.qty_milli}{after}"
            for n, p in enumerate(m.postings)
        ]
    lines.sort()
    plain = plain_lines(lines, len(_columns(MOVES)))
    if plain is None:
        rows = [row for m in moves for row in m.rows()]
        if any("\0" in v for row in rows for v in row if isinstance(v, str)):
            raise Unfit(MOVES)
        return copy_text(rows)
    return plain


def _prepared(found: Collapsed) -> dict[str, Lines]:
    """Table -> its lines, in one lock order for all writers, and checked."""
    lines: dict[str, Lines] = {}
    for name in sorted(found.sums):
        lines[name] = [(*key, *amounts) for key, amounts in sorted(found.sums[name].items())]
    for name in sorted(found.rows):
        puts = sorted(found.rows[name].items(), key=itemgetter(0))
        lines[name] = [(*key, *put.values, put.rank) for key, put in puts]
    for name, of_table in lines.items():
        _fits(name, list(zip(*of_table, strict=True)))
    return lines


Shelves = tuple[list[list[Any]], list[list[Any]]]  # columns: shelves, other places


def _prepared_stock(stock: Stock) -> Shelves:
    """Columns of the shelves and of the other places, in lock order, and checked."""
    shelves: list[list[Any]] = [[], [], [], []]
    others: list[list[Any]] = [[], [], [], []]
    for place in sorted(stock):
        rows = stock[place]
        places, skus, qty, sold = shelves if place.startswith("shop/") else others
        names = sorted(rows)
        places += [place] * len(names)
        skus += names
        qty += [rows[sku][0] for sku in names]
        sold += [rows[sku][1] for sku in names]
    for columns in (shelves, others):
        if columns[0]:
            _fits("stock", columns)
    return shelves, others


def _stock(tx: Connection, prepared: Shelves, stock: Stock) -> Sequence[Shelf]:
    """Shelves with their digests, the other places without."""
    shelves, others = prepared
    if others[0]:
        _upsert(tx, "stock", list(zip(*others, strict=True)), others)
    if not shelves[0]:
        return ()
    changed: Sequence[Shelf] = _returned(tx, "stock", shelves)
    _keep_digests(tx, changed, stock)
    return changed


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


def _keep_digests(tx: Connection, changed: Iterable[Shelf], stock: Stock) -> None:
    """Move each shelf's digest by what its rows became."""
    moves: dict[str, list[int]] = {}
    before_place = ""
    rows, move = stock.get(before_place, {}), [0, 0]
    for place, sku, new in changed:
        if place != before_place:
            before_place, rows = place, stock[place]
            move = moves.setdefault(place, [0, 0])
        old = new - rows[sku][0]
        move[0] += row_hash(sku, new) - row_hash(sku, old)
        if new == 0 or old == 0:
            move[1] += (new != 0) - (old != 0)
    before = {r[0]: (int(r[1], 16), r[2]) for r in tx.execute(_PROOFS, {"places": list(moves)})}
    proofs = []
    for place, (digest, products) in sorted(moves.items()):
        known, count = before.get(place, (0, 0))
        proofs.append((place, f"{(known + digest) & DIGEST_MASK:032x}", count + products))
    tx.exec_driver_sql(_proof_statement(tx.dialect.name), proofs)
