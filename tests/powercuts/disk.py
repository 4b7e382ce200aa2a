"""A disk whose power can be cut at any write: an apsw VFS that knows what was synced.

    disk = CrashDisk(folder, random.Random(7))
    with apsw_engines():                     # SQLAlchemy talks to apsw, and so to this disk
        database = Database(f"sqlite:///{folder}/books.db")
        disk.cut_after = 5                   # the fifth write, truncate, sync or delete fails
        ...
        disk.restart(database.close)         # what survived is on the disk again

What survives: all that was synced, and of the rest nothing, all, or each piece with an even chance
(so later writes may be there and earlier ones not); a kept write loses each sector of 512 bytes
with one chance in ten (torn). Simplification: creating and deleting a file is durable at once.
"""

import contextlib
import functools
import itertools
import random
import sqlite3
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apsw
from sqlalchemy import create_engine

SECTOR = 512
WAYS = ("nothing", "some", "all")  # of what was not synced
Operation = tuple[str, Path, int, bytes]  # kind (write, truncate, sync, delete), file, at, data
_names = itertools.count()
DISKS: dict[Path, "CrashDisk"] = {}


class _File:
    """What is surely there, and what was written since."""

    def __init__(self, durable: bytes) -> None:
        self.durable = bytearray(durable)
        self.pending: list[tuple[int, bytes | None]] = []  # (offset, data), or (size, None)

    def sync(self) -> None:
        for at, data in self.pending:
            self.durable = _applied(self.durable, at, data)
        self.pending = []


def _applied(whole: bytearray, at: int, data: bytes | None) -> bytearray:
    if data is None:
        del whole[at:]
        return whole
    if len(whole) < at:
        whole.extend(b"\0" * (at - len(whole)))
    whole[at : at + len(data)] = data
    return whole


def surviving(file: _File, how: str, rng: random.Random) -> bytes:
    """One of the many images that a power cut may leave."""
    whole = bytearray(file.durable)
    for at, data in file.pending:
        if how == "nothing" or (how == "some" and rng.random() < 0.5):
            continue
        if data is None:
            whole = _applied(whole, at, data)
            continue
        for start in range(0, len(data), SECTOR):
            if rng.random() >= 0.1:
                whole = _applied(whole, at + start, data[start : start + SECTOR])
    return bytes(whole)


def images(
    log: list[Operation],
    rng: random.Random,
    count: int,
    target: Path,
    *,
    only: int | None = None,
    lies: bool = False,
) -> Iterator[tuple[int, str]]:
    """Cut a recorded run at every place in turn, round and round, `count` times in all.

    Writes each image into `target`, then yields (operations done before the cut, what survived).
    """
    done = 0
    first = next(n for n, one in enumerate(log) if one[0] == "sync")
    while done < count:
        files: dict[Path, _File] = {}
        for place, operation in enumerate(log):
            if place > first and (only is None or place >= max(only, first + 1)):
                how = rng.choice(WAYS)
                for old in target.iterdir():
                    if old.name.partition(".db")[1]:
                        old.unlink()
                for path, file in files.items():
                    (target / path.name).write_bytes(surviving(file, how, rng))
                yield place, how
                done += 1
                if done == count:
                    return
            _happens(files, operation, lies=lies and place > 2 * first)


def _happens(files: dict[Path, _File], operation: Operation, *, lies: bool) -> None:
    kind, path, at, data = operation
    if kind == "delete":
        files.pop(path, None)
        return
    file = files.setdefault(path, _File(b""))
    if kind == "sync":
        if not lies:
            file.sync()
    else:
        file.pending.append((at, None if kind == "truncate" else data))


class _VFSFile(apsw.VFSFile):
    def __init__(self, disk: "CrashDisk", name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = Path(name.filename() if hasattr(name, "filename") else name)
        self._file = disk.file(self._path)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.operation("write", self._path, offset, data)
        super().xWrite(data, offset)
        self._file.pending.append((offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.operation("truncate", self._path, size)
        super().xTruncate(size)
        self._file.pending.append((size, None))

    def xSync(self, _flags: int) -> None:  # noqa: N802
        self._disk.operation("sync", self._path)
        if not self._disk.lies:
            self._file.sync()

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._disk.alive()
        return super().xRead(amount, offset)


class _VFS(apsw.VFS):
    def __init__(self, disk: "CrashDisk") -> None:
        self._disk = disk
        super().__init__(disk.vfs_name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        self._disk.alive()
        if name is None:  # a temporary file: nobody misses it
            return apsw.VFSFile("", name, flags)
        return _VFSFile(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self._disk.operation("delete", Path(filename))
        super().xDelete(filename, syncdir)
        self._disk.files.pop(Path(filename), None)


class CrashDisk:
    """The files of one folder."""

    def __init__(self, folder: Path, rng: random.Random, *, lies: bool = False) -> None:
        self.folder = folder
        self.lies = lies  # says "synced" and keeps it in its cache
        self.cut_after: int | None = None  # operations until the power goes; None: it stays
        self.operations = 0
        self.dead = False
        self.recording = False
        self.log: list[Operation] = []
        self.files: dict[Path, _File] = {}
        self.vfs_name = f"crash-{next(_names)}"
        self._rng = rng
        self._vfs = _VFS(self)
        DISKS[folder] = self

    def alive(self) -> None:
        if self.dead:
            raise apsw.IOError("the power is off")

    def record(self) -> None:
        """From now on note every operation; what is on the disk now counts as synced."""
        self.log = [("write", path, 0, path.read_bytes()) for path in self.files]
        self.log += [("sync", path, 0, b"") for path in self.files]
        self.recording = True

    def operation(self, kind: str, path: Path, at: int = 0, data: bytes = b"") -> None:
        """Something is about to change on the disk."""
        self.alive()
        self.operations += 1
        if self.recording:
            self.log.append((kind, path, at, bytes(data)))
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after <= 0:
                self.dead = True
                raise apsw.IOError("the power went")

    def file(self, path: Path) -> _File:
        if path not in self.files:
            self.files[path] = _File(path.read_bytes() if path.exists() else b"")
        return self.files[path]

    def restart(self, close: Callable[[], None]) -> None:
        """Power off (`close` drops what the process had open), and on again."""
        self.dead = True
        close()
        how = self._rng.choice(WAYS)
        for path, file in self.files.items():
            path.write_bytes(surviving(file, how, self._rng))
        for shm in self.folder.glob("*-shm"):
            shm.unlink()
        self.files = {}
        self.dead, self.cut_after, self.operations = False, None, 0

    def forget(self) -> None:
        """The disk is not needed any more."""
        DISKS.pop(self.folder, None)
        self._vfs.unregister()


# -- apsw behind the DB-API ---------------------------------------------------------------------


def _told(fault: apsw.Error) -> sqlite3.Error:
    """As the standard library's driver would have said it."""
    kind: type[sqlite3.Error] = sqlite3.OperationalError
    if isinstance(fault, apsw.ConstraintError):
        kind = sqlite3.IntegrityError
    elif isinstance(fault, apsw.CorruptError | apsw.NotADBError):
        kind = sqlite3.DatabaseError
    return kind(str(fault))


class _Cursor:
    arraysize = 1

    def __init__(self, connection: "_Connection") -> None:
        self._connection = connection
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid = 0
        self._rows: list[Any] = []

    def execute(self, sql: str, parameters: Any = ()) -> "_Cursor":
        db = self._connection.db
        cursor = db.cursor()
        self.description = None
        cursor.exec_trace = self._traced
        before = db.total_changes()
        try:
            self._rows = list(cursor.execute(sql, parameters))
        except apsw.Error as fault:
            raise _told(fault) from None
        self.rowcount = db.total_changes() - before if self.description is None else -1
        self.lastrowid = db.last_insert_rowid()
        return self

    def _traced(self, cursor: Any, _sql: str, _bindings: Any) -> bool:
        columns = cursor.get_description()
        self.description = [(name, *[None] * 6) for name, _ in columns] or None
        return True

    def executemany(self, sql: str, many: Any) -> "_Cursor":
        count = 0
        for parameters in many:
            self.execute(sql, parameters)
            count += max(0, self.rowcount)
        self.rowcount = count
        return self

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[Any]:
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())

    def close(self) -> None:
        self._rows = []


class _Connection:
    isolation_level = None

    def __init__(self, path: str) -> None:
        disk = DISKS.get(Path(path).parent)
        try:
            self.db = apsw.Connection(path, **({"vfs": disk.vfs_name} if disk else {}))
        except apsw.Error as fault:
            raise _told(fault) from None

    @property
    def in_transaction(self) -> bool:
        return bool(self.db.in_transaction)

    def cursor(self, *_: Any) -> _Cursor:
        return _Cursor(self)

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        return _Cursor(self).execute(sql, parameters)

    def commit(self) -> None:
        if self.db.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        if self.db.in_transaction:
            self.execute("ROLLBACK")

    def create_function(self, name: str, _count: int, function: Any, **_: Any) -> None:
        self.db.create_scalar_function(name, function)

    def close(self) -> None:
        with contextlib.suppress(apsw.Error):
            self.db.close(True)


def _driver() -> types.ModuleType:
    module = types.ModuleType("apsw_behind_dbapi")
    module.__dict__.update({k: v for k, v in vars(sqlite3).items() if not k.startswith("__")})
    module.__dict__["connect"] = lambda path, **_: _Connection(str(path))
    return module


@contextlib.contextmanager
def apsw_engines() -> Iterator[None]:
    """Databases opened inside use apsw, and a `CrashDisk` where there is one for their folder."""
    ours = functools.partial(create_engine, module=_driver())
    with patch("protocol.node.database.create_engine", ours):
        yield
