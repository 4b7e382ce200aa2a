"""Is a set of books whole? Chains walked, ledger summed, read tables folded again and compared."""

from hashlib import sha256
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Table, func, select

from protocol.errors import Corrupt, define
from protocol.journal import Position
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.snapshots import Seal, load_tables, rows_of
from protocol.node.sqljournal import SqlRecords
from protocol.node.tables import READ, journal, read, shelf_digest, truth

define(
    {
        "SNAPSHOT_DISAGREES": (
            "Head office's snapshot and this shop's books differ in {table}. Nothing was changed. "
            "Run `tillmesh-edge rebuild` while the shop is closed; if it stays, call your "
            "operator.",
            "总部快照与本店账簿在 {table} 中不一致，没有任何更改。"
            "请在歇业时运行 `tillmesh-edge rebuild`；若仍不一致，请联系管理员。",
        ),
    }
)


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What a look through the books found; `faults` is empty when all is well."""

    events: int
    heads: dict[str, Position]
    digests: dict[str, str]  # read table -> sha256 of its rows
    stock_milli: int  # everything on the shelves of all shops
    faults: tuple[str, ...]


def table_digest(connection: Connection, table: Table) -> str:
    """SHA-256 over the rows of a table, in the order of its key."""
    total = sha256()
    keys = list(table.primary_key)
    for row in rows_of(connection, table, keys):
        total.update(msgspec.json.encode(tuple(row)))
        total.update(b"\n")
    return total.hexdigest()


def read_digests(connection: Connection) -> dict[str, str]:
    """The digest of every read table."""
    tables = {**READ, shelf_digest.name: shelf_digest}
    return {name: table_digest(connection, tables[name]) for name in sorted(tables)}


def unbalanced(connection: Connection) -> list[str]:
    """Products whose places do not sum to zero."""
    stock = READ["stock"]
    total = func.sum(stock.c.qty_milli + stock.c.sold_milli)
    query = select(stock.c.sku).group_by(stock.c.sku).having(total != 0).order_by(stock.c.sku)
    return [str(sku) for sku in connection.execute(query).scalars()]


def stock_total(connection: Connection) -> int:
    """What lies on the shelves of all shops, in thousandths; a negative shelf counts as empty."""
    stock = READ["stock"]
    on_shelf = stock.c.place.like("shop/%") & (stock.c.qty_milli > 0)
    return int(
        connection.execute(select(func.sum(stock.c.qty_milli)).where(on_shelf)).scalar() or 0
    )


def prove_snapshot(books: Books, seal: Seal, file: Path, work: Path) -> None:
    """Fold a snapshot and what follows it in a scratch database; SNAPSHOT_DISAGREES.

    Nothing of the books is touched, and nobody who writes there waits.
    """
    scratch = Database(f"sqlite:///{work / 'scratch.db'}")
    try:
        truth.create_all(scratch.write)
        read.create_all(scratch.write)
        with books.database.reading() as source, scratch.begin() as tx:
            load_tables(tx, file)
            folded = {stream: at.seq for stream, at in seal.positions.items()}
            books.fold_into(tx, source, folded, books.streams(source))
            ours, theirs = read_digests(source), read_digests(tx)
    finally:
        scratch.close()
    for name, digest in ours.items():
        if theirs[name] != digest:
            raise Corrupt("SNAPSHOT_DISAGREES", table=name)


def prove(books: Books) -> Proof:
    """Walk, sum, fold anew and compare. The books are a copy: their read tables are rebuilt."""
    faults = [f"{f.stream} event {f.seq}: {f.detail}" for f in books.verify()]
    with books.database.reading() as connection:
        records = SqlRecords(connection)
        heads = {stream: records.head(stream) for stream in books.streams(connection)}
        events = int(connection.execute(select(func.count()).select_from(journal)).scalar() or 0)
        before = read_digests(connection)
        faults += [
            f"stock of {sku}: its places do not sum to zero" for sku in unbalanced(connection)
        ]
    if not faults:
        books.rebuild()
    with books.database.reading() as connection:
        after = read_digests(connection)
        total = stock_total(connection)
    faults += [
        f"read table {name}: not what the journal says"
        for name in before
        if before[name] != after[name]
    ]
    return Proof(
        events=events, heads=heads, digests=after, stock_milli=total, faults=tuple(faults[:20])
    )
