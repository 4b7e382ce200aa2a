"""Truth and read tables that shops and head office share.

*Truth* (migrated, never rebuilt): journal, heads and cursors, what peers acknowledged, epochs,
forks, refused messages. *Read* (folds of the journal, droppable): made from `protocol.folds`.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from protocol.codec import INTEGER_MAX
from protocol.folds import ROWS, SUMS

truth = MetaData()
read = MetaData()

READ_VERSION = 6  # raise it whenever a fold or a read table changes: nodes rebuild at boot

journal = Table(
    "journal",
    truth,
    Column("stream", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("epoch", String(16), primary_key=True),
    Column("branch", Integer, nullable=False),  # 0 is the main line, others are forks
    Column("hash", String(64), nullable=False),
    Column("type", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),  # as the writer encoded it
    Index("ix_journal_hash", "hash", unique=True),
    Index("ix_journal_id", "id"),
)
stream_head = Table(
    "stream_head",
    truth,
    Column("stream", Text, primary_key=True),
    Column("epoch", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
peer_ack = Table(
    "peer_ack",
    truth,
    Column("peer", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("epoch", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
own_epoch = Table(
    "own_epoch",
    truth,
    Column("node", Text, primary_key=True),
    Column("epoch", String(16), nullable=False),
)
parked = Table(
    "parked",
    truth,
    Column("hash", String(64), primary_key=True),
    Column("stream", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
refused = Table(
    "refused",
    truth,
    Column("n", Integer, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("sample", LargeBinary, nullable=False),  # the first bytes, for whoever investigates
)
fork = Table(
    "fork",
    truth,
    Column("stream", Text, primary_key=True),
    Column("parent_hash", String(64), primary_key=True),
    Column("parent_seq", BigInteger, nullable=False),
    Column("old_tip_seq", BigInteger, nullable=False),
    Column("branch", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
witness = Table(  # headers of batches that head office signed: it may need them back
    "witness",
    truth,
    Column("stream", Text, primary_key=True),
    Column("last", BigInteger, primary_key=True),
    Column("last_hash", String(64), primary_key=True),
    Column("first", BigInteger, nullable=False),
    Column("header", LargeBinary, nullable=False),
)
stream_base = Table(  # below it nothing is kept: a sealed snapshot says what was there
    "stream_base",
    truth,
    Column("stream", Text, primary_key=True),
    Column("epoch", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
banned_epoch = Table(  # a copied disk: what it writes is set aside, not applied
    "banned_epoch",
    truth,
    Column("stream", Text, primary_key=True),
    Column("epoch", String(16), primary_key=True),
    Column("after_seq", BigInteger, nullable=False),  # what it wrote up to here is shared past
    Column("at_ms", BigInteger, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("confirmed_by", Text, nullable=False),
)
fork_ruling = Table(  # what a person at head office said a fork was
    "fork_ruling",
    truth,
    Column("stream", Text, primary_key=True),
    Column("parent_hash", String(64), primary_key=True),
    Column("ruling", Text, nullable=False),  # restored or clone
    Column("asked_by", Text, nullable=False),
    Column("confirmed_by", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
spooled = Table(  # batches of a banned epoch, as they came
    "spooled",
    truth,
    Column("stream", Text, primary_key=True),
    Column("last_hash", String(64), primary_key=True),
    Column("epoch", String(16), nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("n", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)
node_state = Table(  # small persisted facts: high-water mark, read version
    "node_state",
    truth,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# Bytes in order, as Python and SQLite compare; PostgreSQL finds keys faster without a language.
_PLAIN: Final = Text().with_variant(Text(collation="C"), "postgresql")

_BOOLEANS: Final = {"weighed", "no_discount", "active", "published"}
_NUMBERS: Final = {
    "seq",
    "sales",
    "decimals",
    "engine",
    "line",
    "one",
    "tax_rate_bp",
}


def _column(table: str, name: str, *, key: bool) -> Column[object]:
    if name in _BOOLEANS:
        kind: object = Boolean
    elif (
        name in _NUMBERS
        or name.endswith(("_ms", "_minor", "_milli"))
        or (table, name) == ("promotion", "version")
    ):
        kind = BigInteger
    else:
        kind = _PLAIN
    return Column(name, kind, primary_key=key, nullable=name == "floor_minor")  # type: ignore[arg-type]


def _read_table(
    name: str, keys: tuple[str, ...], values: tuple[str, ...], *, ranked: bool
) -> Table:
    columns = [_column(name, k, key=True) for k in keys]
    columns += [_column(name, v, key=False) for v in values]
    if ranked:
        columns.append(Column("rank", BigInteger, nullable=False))
        return Table(name, read, *columns, sqlite_with_rowid=False)
    # SQLite would turn a sum past 64 bits into a float; browsers are exact up to 2^53.
    bounds = [CheckConstraint(f"{v} BETWEEN -{INTEGER_MAX} AND {INTEGER_MAX}") for v in values]
    return Table(
        name,
        read,
        *columns,
        *bounds,
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": 50},  # sums change in place while their page has room
    )


READ: Final[dict[str, Table]] = {
    **{name: _read_table(name, k, v, ranked=False) for name, (k, v) in SUMS.items()},
    **{name: _read_table(name, k, v, ranked=True) for name, (k, v) in ROWS.items()},
}

Index("ix_product_code_code", READ["product_code"].c.code)
Index("ix_stock_sku", READ["stock"].c.sku)
Index("ix_sale_at", READ["sale"].c.store, READ["sale"].c.at_ms)
Index("ix_sale_receipt", READ["sale"].c.receipt_number)

shelf_digest = Table(  # kept up with each change of a shelf
    "shelf_digest",
    read,
    Column("place", Text, primary_key=True),
    Column("digest", String(32), nullable=False),
    Column("products", Integer, nullable=False),
)
digest_check = Table(  # what a shop claimed, what this node has at the same position
    "digest_check",
    read,
    Column("store", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("epoch", String(16), primary_key=True),
    Column("claimed", String(32), nullable=False),
    Column("computed", String(32), nullable=False),
    Column("agreed", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
