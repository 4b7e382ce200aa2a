"""Sealed snapshots: what a shop's streams amount to at a place, so that it need not hold them all.

A snapshot is one compressed file: the read tables as head office folds them from that shop's
streams up to the seal's places, then the events of the shop's own journal after its place. The
seal names places with hashes, the digest of each table and of the file; head office signs it. A
node that starts from one keeps it: a rebuild starts there, `verify` starts at the signed heads.
"""

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Final

import msgspec
from sqlalchemy import Connection, Table, insert, select
from sqlalchemy.exc import OperationalError, StatementError

from protocol.errors import Corrupt, Refusal, Unavailable, define
from protocol.journal import Position, Stored
from protocol.node import signing
from protocol.node.sqljournal import SqlRecords, upsert
from protocol.node.tables import READ, READ_VERSION, journal, shelf_digest, stream_base
from protocol.node.vault import sync_folder

CHUNK: Final = 1_000
LINE_MAX: Final = 4 << 20
FILE: Final = "base-{}.snapshot"  # beside the database, named by its hash
TABLES: Final = {**READ, "shelf_digest": shelf_digest}
GZIP_LEVEL: Final = 3

define(
    {
        "SNAPSHOT_DAMAGED": (
            "The snapshot {path} is not what head office sealed ({detail}). Nothing of it was "
            "used. It is fetched anew at the next try.",
            "快照 {path} 与总部封存的内容不符（{detail}），没有使用其中任何内容。下次将重新获取。",
        ),
        "SNAPSHOT_VERSION": (
            "The snapshot is of another version of Tillmesh ({found}, this one reads {wanted}). "
            "Bring shop and head office to the same version; the shop can also fetch a new one.",
            "快照来自其他版本（{found}，本机为 {wanted}）。"
            "请将门店与总部升级到同一版本，或重新获取快照。",
        ),
        "SNAPSHOT_MISSING": (
            "The snapshot {path} that this shop's books start from is missing. Put it back from a "
            "backup, or replace this computer as the operations guide says.",
            "本店账簿所依据的快照 {path} 缺失。请从备份恢复，或按运维手册更换电脑。",
        ),
        "SNAPSHOT_NOT_EMPTY": (
            "This shop has books already; a snapshot is only for a shop that starts. Nothing was "
            "changed.",
            "本店已有账簿，快照仅用于新启动的门店。没有任何更改。",
        ),
    }
)


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """What head office signs. `positions`: up to where each stream is in the tables."""

    store: str
    at_ms: int
    read_version: int
    positions: dict[str, Position]
    heads: dict[str, Position]  # the same, and the end of the events that follow
    digests: dict[str, str]
    sha256: str
    size: int
    sig: str = ""

    def signed_part(self) -> bytes:
        """The bytes under the signature."""
        return msgspec.json.encode(msgspec.structs.replace(self, sig=""), order="sorted")


def check_seal(seal: Seal, public_key: str, *, store: str) -> None:
    """SNAPSHOT_DAMAGED unless head office sealed it for this shop; SNAPSHOT_VERSION."""
    if seal.store != store or not signing.check(public_key, seal.signed_part(), seal.sig):
        raise Corrupt("SNAPSHOT_DAMAGED", path=store, detail="its seal is not head office's")
    if seal.read_version != READ_VERSION:
        raise Refusal("SNAPSHOT_VERSION", found=seal.read_version, wanted=READ_VERSION)


def file_of(database: Path, seal: Seal) -> Path:
    """Where the snapshot of a seal lies: another one never has its name, so none is replaced."""
    return database.with_name(FILE.format(seal.sha256[:16]))


def forget_files(database: Path, but: Seal | None) -> None:
    """Remove the snapshots that no books begin with any more."""
    kept = file_of(database, but) if but else None
    for path in database.parent.glob(FILE.format("*")):
        if path != kept:
            path.unlink(missing_ok=True)


def put_file(part: Path, database: Path, seal: Seal) -> Path:
    """Give a checked download its name, so that a power cut leaves it whole or not at all."""
    path = file_of(database, seal)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)
    return path


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hex."""
    total = sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            total.update(data)
    return total.hexdigest()


def check_file(path: Path, seal: Seal) -> None:
    """SNAPSHOT_DAMAGED unless the file is the sealed one."""
    try:
        found = file_digest(path)
    except FileNotFoundError:
        raise Unavailable("SNAPSHOT_MISSING", path=str(path)) from None
    if found != seal.sha256:
        raise Corrupt("SNAPSHOT_DAMAGED", path=str(path), detail="its bytes are others")


# -- writing ------------------------------------------------------------------------------------


def write_file(path: Path, tables: Connection, tail: Iterable[tuple[Any, ...]]) -> dict[str, str]:
    """Write read tables and events (seq, epoch, branch, hash, data); return the tables' digests."""
    digests = {}
    with path.open("wb") as raw:
        with gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as file:
            for name in sorted(TABLES):
                digests[name] = _write_table(file, tables, name)
            for row in tail:
                *place, data = row
                _line(file, {"event": [*place, data.decode()]})
        raw.flush()
        os.fsync(raw.fileno())
    return digests


def _line(file: "IO[bytes] | gzip.GzipFile", value: Any) -> None:
    file.write(msgspec.json.encode(value) + b"\n")


def _write_table(file: gzip.GzipFile, tables: Connection, name: str) -> str:
    table, total = TABLES[name], sha256()
    chunk: list[Any] = []
    for row in rows_of(tables, table, list(table.primary_key)):
        total.update(msgspec.json.encode(tuple(row)) + b"\n")
        chunk.append(tuple(row))
        if len(chunk) >= CHUNK:
            _line(file, {"table": name, "rows": chunk})
            chunk = []
    if chunk:
        _line(file, {"table": name, "rows": chunk})
    return total.hexdigest()


def rows_of(connection: Connection, table: Table, keys: Iterable[Any]) -> Iterable[Any]:
    """Rows in byte order of the key on every database, a few thousand in memory."""
    postgres = connection.dialect.name == "postgresql"
    order = [k.collate("C") if postgres and k.type.python_type is str else k for k in keys]
    result = connection.execution_options(yield_per=CHUNK).execute(select(table).order_by(*order))
    yield from result


# -- reading ------------------------------------------------------------------------------------


_Event = tuple[int, str, int, str, str]  # sequence, epoch, branch, hash, bytes as text


class _Line(msgspec.Struct):
    table: str = ""
    rows: list[list[Any]] = []
    event: list[Any] = []


def _lines(path: Path) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(_Line)
    try:
        with gzip.open(path, "rb") as file:
            while line := file.readline(LINE_MAX):
                yield decoder.decode(line)
    except FileNotFoundError:
        raise Unavailable("SNAPSHOT_MISSING", path=str(path)) from None
    except (OSError, EOFError, ValueError, zlib.error) as fault:
        raise _damaged(path, fault) from fault


def _damaged(path: Path, fault: Exception) -> Corrupt:
    return Corrupt("SNAPSHOT_DAMAGED", path=str(path), detail=str(fault)[:100])


def rows_in(path: Path) -> Iterator[tuple[str, list[list[Any]]]]:
    """Rows of the read tables, a thousand at a time, in the order of their columns."""
    for line in _lines(path):
        if not line.table:
            return
        if line.table not in TABLES:
            raise Corrupt("SNAPSHOT_DAMAGED", path=str(path), detail="an unknown table")
        yield line.table, line.rows


def load_tables(tx: Connection, path: Path) -> None:
    """Fill the (empty) read tables with a snapshot's rows."""
    for name, rows in rows_in(path):
        table = TABLES[name]
        names = [c.name for c in table.columns]
        try:
            values = [dict(zip(names, row, strict=True)) for row in rows]
            if values:
                tx.execute(insert(table), values)
        except (ValueError, OverflowError, StatementError) as fault:
            if isinstance(fault, OperationalError):
                raise  # the disk's fault, not the file's
            raise _damaged(path, fault) from fault


def read_tail(path: Path, stream: str) -> Iterator[list[tuple[Stored, int]]]:
    """The events that follow, with their branches, in chunks."""
    chunk: list[tuple[Stored, int]] = []
    for line in _lines(path):
        if line.event:
            try:
                seq, epoch, branch, hash_, data = msgspec.convert(line.event, _Event)
            except ValueError as fault:
                raise _damaged(path, fault) from fault
            stored = Stored(stream, Position(epoch, seq, hash_), data.encode())
            chunk.append((stored, branch))
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def agreed(records: SqlRecords, seal: Seal, stream: str) -> bool:
    """Does our line have the sealed hash at the sealed place?"""
    at = seal.positions[stream]
    return at.seq == 0 or records.hash_at(stream, at.seq) == at.hash


def set_base(tx: Connection, positions: Mapping[str, Position]) -> None:
    """From now on the books begin after these places."""
    for stream, at in positions.items():
        values = {"epoch": at.epoch, "seq": at.seq, "hash": at.hash}
        tx.execute(
            upsert(tx, stream_base).on_conflict_do_update(index_elements=["stream"], set_=values),
            {"stream": stream, **values},
        )


def tail_of(
    connection: Connection, stream: str, after_seq: int
) -> Iterator[tuple[int, str, int, str, bytes]]:
    """Every event of a stream after a sequence, all branches, in (sequence, epoch) order."""
    c = journal.c
    query = (
        select(c.seq, c.epoch, c.branch, c.hash, c.data)
        .where(c.stream == stream, c.seq > after_seq)
        .order_by(c.seq, c.epoch)
    )
    for row in connection.execution_options(yield_per=CHUNK).execute(query):
        yield (row.seq, row.epoch, row.branch, row.hash, bytes(row.data))
