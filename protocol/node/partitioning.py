"""The journal of a large head office, by months (PostgreSQL): the past is put away in one piece.

The table is partitioned by the writer's time. Months are made ahead; what a wrong clock dates far
away lands in a partition of its own and moves when its month is made. A journal that was one table
becomes the partition of everything until now, without being copied.
"""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, text

AHEAD: Final = 3  # months after the present one
LOCK: Final = 0x71560001  # one process at a time
REST: Final = "journal_rest"

_COLUMNS: Final = """
    stream TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    epoch VARCHAR(16) COLLATE "C" NOT NULL,
    branch INTEGER NOT NULL,
    hash VARCHAR(64) COLLATE "C" NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    data BYTEA NOT NULL
"""


def month_of(at_ms: int) -> tuple[int, int]:
    """Year and month, UTC."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.year, at.month


def starts(year: int, month: int) -> int:
    """The first millisecond of a month; months may be counted on past December."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)


def name_of(at_ms: int) -> str:
    """The partition that holds an instant: `journal_2026_11`."""
    year, month = month_of(at_ms)
    return f"journal_{year}_{month:02d}"


def is_partitioned(connection: Connection) -> bool:
    """Is the journal of this database kept by months?"""
    kind = connection.execute(text("SELECT relkind FROM pg_class WHERE oid = 'journal'::regclass"))
    return bool(kind.scalar() == "p")


def partitions(connection: Connection) -> list[str]:
    """Their names, in order."""
    query = text(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'journal'::regclass ORDER BY c.relname"
    )
    return list(connection.execute(query).scalars())


def partition(tx: Connection, now_ms: int) -> None:
    """Turn a journal that is one table into one of months; does nothing when it is."""
    if tx.dialect.name != "postgresql" or is_partitioned(tx):
        return
    newest = tx.execute(text("SELECT max(at_ms) FROM journal")).scalar()
    year, month = month_of(max(now_ms, min(int(newest or 0), now_ms)))
    until = starts(year, month + 1)
    for statement in (
        "ALTER TABLE journal RENAME TO journal_before",
        "ALTER TABLE journal_before DROP CONSTRAINT journal_pkey",
        "DROP INDEX ix_journal_hash",
        "DROP INDEX ix_journal_id",
        f"CREATE TABLE journal ({_COLUMNS}, PRIMARY KEY (stream, seq, epoch, at_ms)) "
        "PARTITION BY RANGE (at_ms)",
        "CREATE UNIQUE INDEX ix_journal_hash ON journal (hash, at_ms)",
        "CREATE INDEX ix_journal_id ON journal (id)",
        f"CREATE TABLE {REST} PARTITION OF journal DEFAULT",
        # What stood in the one table keeps its rows where they are; only keys are made anew.
        'ALTER TABLE journal_before ALTER stream TYPE TEXT COLLATE "C", '
        'ALTER epoch TYPE VARCHAR(16) COLLATE "C", ALTER hash TYPE VARCHAR(64) COLLATE "C"',
        f"WITH later AS (DELETE FROM journal_before WHERE at_ms >= {until} RETURNING *) "  # noqa: S608
        f"INSERT INTO {REST} SELECT stream, seq, epoch, branch, hash, type, id, at_ms, data "
        "FROM later",
        "ALTER TABLE journal ATTACH PARTITION journal_before "
        f"FOR VALUES FROM (MINVALUE) TO ({until})",
    ):
        tx.execute(text(statement))
    make_ahead(tx, now_ms)


def make_ahead(tx: Connection, now_ms: int, *, months: int = AHEAD) -> list[str]:
    """Make the months that are missing, from the present one on; return their names.

    Does nothing for a journal that is one table.
    """
    if tx.dialect.name != "postgresql" or not is_partitioned(tx):
        return []
    tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    known, made = set(partitions(tx)), []
    first = _end_of_past(tx)
    year, month = month_of(now_ms)
    for n in range(months + 1):
        begin, end = starts(year, month + n), starts(year, month + n + 1)
        name = name_of(begin)
        if name in known or begin < first:
            continue
        _make(tx, name, begin, end)
        made.append(name)
    return made


def _end_of_past(tx: Connection) -> int:
    """Where `journal_before` ends; 0 when there is none."""
    query = text(
        "SELECT substring(pg_get_expr(relpartbound, oid) from 'TO \\(''?(-?[0-9]+)''?\\)') "
        "FROM pg_class WHERE relname = 'journal_before' AND relispartition"
    )
    return int(tx.execute(query).scalar() or 0)


def _make(tx: Connection, name: str, begin: int, end: int) -> None:
    """A month; what waited for it among the rest moves in."""
    span = f"at_ms >= {begin} AND at_ms < {end}"
    for statement in (
        f"CREATE TABLE {name} (LIKE journal INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
        f"WITH moved AS (DELETE FROM {REST} WHERE {span} RETURNING *) "  # noqa: S608
        f"INSERT INTO {name} SELECT * FROM moved",
        f"ALTER TABLE journal ATTACH PARTITION {name} FOR VALUES FROM ({begin}) TO ({end})",
    ):
        tx.execute(text(statement))
