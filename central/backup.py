"""Head office's backup: database, key, peppers and settings in one encrypted file; and back.

The copy leaves the epoch out, so a head office that is started from it mints a new one: what it
says then can never be mistaken for what it had said after the copy was made.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from central.migrations import upgrade
from central.settings import Settings, SettingsFaults, load
from protocol.errors import Refusal, define
from protocol.ids import CENTRAL
from protocol.node import backups, vault
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.ntpclock import random_hex
from protocol.node.proving import Proof, prove
from protocol.node.sqljournal import SqlJournal
from protocol.node.swapping import swap_in
from protocol.node.tables import own_epoch, read

KIND: Final = "central"
SETTINGS, DUMP, SQLITE = "central.toml", "data/central.dump", "data/central.db"
STAYS: Final = re.compile(r".*\.db(-wal|-shm)?|lock|backup.*|snapshots|\..*")
SERVER_S: Final = 10

define(
    {
        "RESTORE_NEEDS_SERVER": (
            "The backup {path} holds a PostgreSQL database. Say where it goes: database_url in "
            "the settings, or --database-url.",
            "备份 {path} 包含 PostgreSQL 数据库。"
            "请在设置的 database_url 或用 --database-url 指定位置。",
        ),
        "DATABASE_IN_USE": (
            "The database {name} is in use. Nothing was changed. Stop head office, then repeat.",
            "数据库 {name} 正在使用。没有任何更改。请先停止总部程序再执行。",
        ),
    }
)


def plan_of(settings: Settings, *, to: Path | None = None) -> backups.Plan:
    """How head office is backed up. Refusal BACKUP_NOWHERE."""
    folder = to or settings.backup_dir
    if folder is None:
        raise Refusal("BACKUP_NOWHERE")
    return backups.Plan(
        node=CENTRAL,
        chain=settings.chain,
        kind=KIND,
        folder=folder,
        key_file=settings.backup_key,
        work=settings.data_dir,
        copies=settings.backup_copies,
        gather=lambda work: _gather(settings, work),
        check=lambda made: check_folder(made, settings.database_url),
    )


def _gather(settings: Settings, work: Path) -> Mapping[str, Path]:
    files = {"data/central.key": settings.key_path}
    for file in sorted(p for p in settings.data_dir.rglob("*") if p.is_file()):
        inside = file.relative_to(settings.data_dir)
        if not STAYS.fullmatch(inside.parts[0]) and settings.backup_dir not in file.parents:
            files[f"data/{inside.as_posix()}"] = file
    if settings.path is not None:
        files[SETTINGS] = settings.path
    if settings.database_url.startswith("sqlite"):
        source = Path(make_url(settings.database_url).database or "")
        backups.copy_sqlite(source, work / "central.db", without=own_epoch.name)
        files[SQLITE] = work / "central.db"
    else:
        _dump_postgres(settings.database_url, work / "central.dump")
        files[DUMP] = work / "central.dump"
    return files


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise OSError(f"{name} is not installed")
    return found


def _plain(url: str | URL) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise OSError(done.stderr.strip()[-200:])


def _dump_postgres(url: str, target: Path) -> None:
    _run(
        [
            _program("pg_dump"),
            "--format=custom",
            f"--exclude-table-data={own_epoch.name}",
            f"--file={target}",
            f"--dbname={_plain(url)}",
        ]
    )
    target.chmod(0o600)


# -- looking at a restored copy ---------------------------------------------------------------


def check_folder(folder: Path, database_url: str) -> Proof:
    """Look through a restored copy; a PostgreSQL dump goes into a database of its own, for now."""
    if (folder / SQLITE).exists():
        return _check(f"sqlite:///{folder / SQLITE}")
    with _scratch(database_url, "check") as url:
        _load_postgres(folder / DUMP, url)
        return _check(url)


def _check(url: str) -> Proof:
    database = Database(url)
    try:
        upgrade(database)
        read.create_all(database.write)
        return prove(Books(database, SqlJournal(CENTRAL, random_hex(16))))
    finally:
        database.close()


def _load_postgres(dump: Path, url: str) -> None:
    _run(
        [
            _program("pg_restore"),
            "--no-owner",
            "--exit-on-error",
            "--single-transaction",
            f"--dbname={_plain(url)}",
            str(dump),
        ]
    )


@contextmanager
def _server(database_url: str) -> Iterator[Connection]:
    """A connection to the server's maintenance database. OSError when it refuses."""
    engine = create_engine(
        make_url(database_url).set(database="postgres"),
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": SERVER_S},
    )
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as fault:
        raise OSError(f"PostgreSQL: {fault.orig}"[:200]) from fault
    finally:
        engine.dispose()


def _say(server: Connection, sentence: str, *names: str) -> None:
    """A statement with names in it, quoted."""
    quoted = [server.dialect.identifier_preparer.quote_identifier(name) for name in names]
    server.exec_driver_sql(sentence.format(*quoted))


@contextmanager
def _scratch(database_url: str, word: str) -> Iterator[str]:
    """A database that is gone afterwards."""
    name = f"{make_url(database_url).database}_{word}_{random_hex(6)}"
    with _server(database_url) as server:
        _say(server, "CREATE DATABASE {} TEMPLATE template0", name)
    try:
        yield make_url(database_url).set(database=name).render_as_string(hide_password=False)
    finally:
        with _server(database_url) as server:
            _say(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


# -- restoring ----------------------------------------------------------------------------------


def restore(
    archive: Path, key_file: Path, place: Path, *, database_url: str = ""
) -> tuple[vault.Label, str]:
    """Put a backup in `place`, the folder of the settings file; head office must be stopped.

    It is checked first, then put in place in one step: a crash leaves the old or the new. Returns
    the label and where the old data lies now (a folder, a database, or nothing). Raises Corrupt
    BACKUP_DAMAGED, Refusal RESTORE_OTHER, RESTORE_NEEDS_SERVER.
    """
    key = vault.load_backup_key(key_file)
    label = vault.read_label(archive)
    if label.kind != KIND:
        raise vault.damaged(archive, f"it is a backup of {label.kind}")
    here = _settings_at(place / SETTINGS)
    if here is not None and here.chain != label.chain:
        raise Refusal(
            "RESTORE_OTHER",
            path=str(archive),
            found=label.chain,
            wanted=here.chain,
            place=str(place),
        )
    url = database_url or (here.database_url if here else "")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with backups.working(place, "restoring") as made:
        vault.extract_backup(archive, key, made)
        server = (made / DUMP).exists()
        if server and not url.startswith("postgresql"):
            raise Refusal("RESTORE_NEEDS_SERVER", path=str(archive))
        aside = f"before_{backups.named_time(label.at_ms).replace('-', '_')}_{random_hex(4)}"
        if server:
            return label, _restore_server(archive, made, place, url=url, aside=aside)
        _sound(archive, check_folder(made, ""))
        _put_settings(made / SETTINGS, place / SETTINGS, url="")
        old = swap_in(made / "data", place / "data", aside=place / f"data.{aside}")
        return label, str(old or "")


def _settings_at(path: Path) -> Settings | None:
    try:
        return load(path) if path.exists() else None
    except SettingsFaults:
        return None


def _sound(archive: Path, proof: Proof) -> None:
    if proof.faults:
        raise vault.damaged(archive, "; ".join(proof.faults)[:300])


def _restore_server(archive: Path, made: Path, place: Path, *, url: str, aside: str) -> str:
    """Into a new database, checked there, then both names change in one transaction."""
    wanted = str(make_url(url).database)
    old = f"{wanted}_{aside}"
    with _scratch(url, "restoring") as fresh_url:
        _load_postgres(made / DUMP, fresh_url)
        _sound(archive, _check(fresh_url))
        _put_settings(made / SETTINGS, place / SETTINGS, url=url)
        (made / DUMP).unlink()
        swap_in(made / "data", place / "data", aside=place / f"data.{aside}")
        there = _rename(url, wanted=wanted, fresh=str(make_url(fresh_url).database), old=old)
    return old if there else ""


def _rename(url: str, *, wanted: str, fresh: str, old: str) -> bool:
    """Both names in one transaction; was there a database before? Refusal DATABASE_IN_USE."""
    with _server(url) as server:
        found = server.execute(
            text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": wanted}
        )
        there = found.first() is not None
        _say(server, "BEGIN")
        try:
            if there:
                _say(server, "ALTER DATABASE {} RENAME TO {}", wanted, old)
            _say(server, "ALTER DATABASE {} RENAME TO {}", fresh, wanted)
        except OperationalError as fault:  # ObjectInUse: somebody is connected
            _say(server, "ROLLBACK")
            if "being accessed" in str(fault.orig):
                raise Refusal("DATABASE_IN_USE", name=wanted) from None
            raise
        _say(server, "COMMIT")
    return there


def _put_settings(source: Path, target: Path, *, url: str) -> None:
    """The settings that were backed up, with the data beside them."""
    if not source.exists():
        return
    text = source.read_text(encoding="utf-8")
    text = re.sub(r'(?m)^(\s*data_dir\s*=\s*)"[^"\n]*"', r'\g<1>"data"', text)
    told = f'database_url = "{url}"' if url else "# database_url: the file in data_dir"
    text = re.sub(r'(?m)^\s*database_url\s*=\s*"[^"\n]*"', lambda _: told, text)
    fresh = target.with_name(f".{target.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(target)
    vault.sync_folder(target.parent)
