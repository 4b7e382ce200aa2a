"""One database of a node: a writer that waits its turn, and readers that never do.

SQLite (shops, small chains) runs in WAL with synchronous=FULL; the pragmas are read back at boot
(measured: FULL lost 0 of 20,491 acknowledged commits in power cuts, NORMAL 2,771 of 35,387).
Write transactions open with BEGIN IMMEDIATE; an in-process lock gives them a fair order, SQLite's
busy time-out covers other processes. PostgreSQL serves larger chains.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from protocol.errors import Unavailable, define

BUSY_MS = 10_000
DAMAGED_SCHEMA = "the schema is unreadable"
POOL_S: Final = BUSY_MS / 1000  # so long a request waits for a connection
SERVER: Final = {  # of libpq: a server that is gone without a word is not waited for
    "connect_timeout": "5",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": BUSY_MS}

define(
    {
        "DATABASE_UNFIT": (
            "The database {url} does not keep what it confirms ({detail}). Nothing will be sold on "
            "it. Move it to a local disk, or repair the disk.",
            "数据库 {url} 无法可靠保存（{detail}），因此不允许销售。请换到本地磁盘或修复磁盘。",
        ),
        "DISK_FULL": (
            "The disk is full, so this could not be saved. Nothing was changed and no money is "
            "booked. Free some space, then do it again.",
            "磁盘已满，无法保存。没有任何更改，也没有记账。请清理磁盘空间后重试。",
        ),
        "DISK_FAULT": (
            "The disk did not confirm the record ({detail}). Nothing was changed and no money is "
            "booked. Do not take payment; call your operator.",
            "磁盘未能确认写入（{detail}）。没有任何更改，也没有记账。请勿收款，并联系管理员。",
        ),
        "DATABASE_DAMAGED": (
            "The database {path} is damaged ({detail}). Nothing was changed. Keep the file, then "
            "put a backup back with `restore`; what happened since comes back from the other side.",
            "数据库 {path} 已损坏（{detail}）。没有任何更改。"
            "请保留该文件，然后用 `restore` 恢复备份；此后的记录会从另一端补回。",
        ),
        "FILE_TROUBLE": (
            "The file {path} could not be read or written ({detail}). What was done before that "
            "stays done. Make room on the disk or correct the file, then repeat the command.",
            "无法读写文件 {path}（{detail}）。此前已完成的操作仍然有效。"
            "请清理磁盘空间或更正该文件，然后重新执行命令。",
        ),
        "DATABASE_BUSY": (
            "The database was busy for too long, so this was not saved. Nothing was changed; "
            "please do it again.",
            "数据库繁忙，未能保存。没有任何更改，请重试。",
        ),
        "DATABASE_AWAY": (
            "The database at {url} does not answer. Nothing was changed. Start it, or check the "
            "address in the settings: a running node goes on by itself, one that did not start is "
            "started again.",
            "数据库 {url} 没有响应。没有任何更改。请启动数据库或检查设置中的地址："
            "运行中的节点会自动恢复，未能启动的请重新启动。",
        ),
        "DATABASE_CROWDED": (
            "Too many wait for the database at once. Nothing was changed; try again in a moment.",
            "同时等待数据库的请求过多。没有任何更改，请稍后重试。",
        ),
    }
)


def _connected(dbapi: Any, _record: object) -> None:
    cursor = dbapi.cursor()
    for name, value in PRAGMAS.items():
        try:
            cursor.execute(f"PRAGMA {name}={value}").fetchall()
        except UnicodeDecodeError:  # it quotes what it found in the damaged schema
            raise sqlite3.DatabaseError(DAMAGED_SCHEMA) from None
        got = cursor.execute(f"PRAGMA {name}").fetchone()[0]
        if got != value:
            raise Unavailable("DATABASE_UNFIT", url="sqlite", detail=f"{name} is {got}")
    cursor.execute("PRAGMA cache_size=-16000").fetchall()
    cursor.close()


def _sqlite_engine(url: str, begin: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        connect_args={"isolation_level": None, "check_same_thread": False},
        pool_size=pool_size,
        max_overflow=32,
        pool_timeout=POOL_S,
    )
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


# An event is JSON of some kilobytes: pglz takes twice the time of all its indexes (measured).
_COMPRESSION = (
    "SELECT set_config(name, 'lz4', false) FROM pg_settings "
    "WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals)"
)


def _server_connected(dbapi: Any, _record: object) -> None:
    with dbapi.cursor() as cursor:
        cursor.execute(_COMPRESSION)
    dbapi.commit()


def _server_engine(url: str) -> Engine:
    known = make_url(url)
    engine = create_engine(
        known.set(query={**SERVER, **known.query}),
        pool_size=4,
        max_overflow=32,
        pool_timeout=POOL_S,
        pool_pre_ping=True,
    )
    event.listen(engine, "connect", _server_connected)
    return engine


def in_words(fault: DBAPIError, url: str = "") -> Unavailable:
    """A database fault as a sentence for people."""
    text = str(fault.orig)
    if "disk is full" in text or "No space left" in text:
        return Unavailable("DISK_FULL")
    if any(word in text for word in ("locked", "busy", "deadlock", "serialize", "canceling")):
        return Unavailable("DATABASE_BUSY")
    if "too many clients" in text or "connection slots" in text:
        return Unavailable("DATABASE_CROWDED")
    if fault.connection_invalidated or "connection" in text:  # a server, not a file
        return Unavailable("DATABASE_AWAY", url=url)
    return Unavailable("DISK_FAULT", detail=text[:120])


def as_damaged(fault: DBAPIError, path: str) -> Unavailable | None:
    """DATABASE_DAMAGED when a file is no whole database; None for any other fault."""
    text = str(fault.orig)
    if not any(word in text for word in ("malformed", "not a database", DAMAGED_SCHEMA)):
        return None
    return Unavailable("DATABASE_DAMAGED", path=path, detail=text[:120])


def file_in_words(fault: OSError) -> Unavailable:
    """The same for a file that a command met, whichever it was."""
    path = fault.filename2 or fault.filename or "-"
    return Unavailable("FILE_TROUBLE", path=str(path), detail=fault.strerror or str(fault)[:120])


def _of_the_disk(fault: DBAPIError) -> bool:
    """The disk's or the server's fault; not our own mistake, nor a value that no column holds."""
    lost = isinstance(fault, OperationalError) or fault.connection_invalidated
    return lost or type(fault) is DatabaseError


class Database:
    """Open engines of one database file or server. `url` as SQLAlchemy writes it."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url).render_as_string(hide_password=True)
        self.sqlite = url.startswith("sqlite")
        if self.sqlite:
            self.write = _sqlite_engine(url, "BEGIN IMMEDIATE", 1)
            self.read = _sqlite_engine(url, "BEGIN", 4)
        else:
            self.write = _server_engine(url)
            self.read = self.write
        driver: Any = self.write.dialect.dbapi
        self._driver_error: type[Exception] = driver.Error
        self._turn = threading.Lock()
        self.healthy = True

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A write transaction; commits at the end, rolls back on any exception.

        Raises Unavailable with a sentence when the disk or the server fails.
        """
        turn: Any = self._turn if self.sqlite else _NO_LOCK
        with turn:
            try:
                with self._in_words(), self.write.begin() as tx:
                    yield tx
            except Unavailable as fault:
                if isinstance(fault.__cause__, DBAPIError):
                    self.healthy = False
                raise
            self.healthy = True

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one moment; for reading only. Unavailable as in `begin`.

        Whoever asks again gets a fresh connection, as soon as the server is back.
        """
        with self._in_words(), self.read.begin() as connection:
            yield connection

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout as fault:
            raise Unavailable("DATABASE_CROWDED") from fault
        except DBAPIError as fault:
            if not _of_the_disk(fault):
                raise
            raise in_words(fault, self.url) from fault
        except self._driver_error as fault:  # from a connection's own first statements
            if self.sqlite:
                raise
            raise Unavailable("DATABASE_AWAY", url=self.url) from fault

    def close(self) -> None:
        """Give all connections back."""
        self.write.dispose()
        self.read.dispose()


class _NoLock:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


_NO_LOCK = _NoLock()
