"""A copy of everything that head office cannot do without: database, key, peppers, settings.

The copy leaves the epoch out, so a head office that is started from it mints a new one: what it
says then can never be mistaken for what it had said after the copy was made.
"""

import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from central.settings import Settings
from protocol.errors import Refusal, Unavailable, define
from protocol.node.tables import own_epoch

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

define(
    {
        "BACKUP_NOWHERE": (
            "Say where to: set backup_dir in the settings, or use --to.",
            "请指定位置：在设置中填写 backup_dir，或使用 --to。",
        ),
        "BACKUP_FAILED": (
            "The backup into {path} failed ({detail}). What was written there is no backup.",
            "备份到 {path} 失败（{detail}）。该处的内容不是有效备份。",
        ),
    }
)


def back_up(settings: Settings, at_ms: int, *, to: Path | None = None) -> Path:
    """Write a new folder below `to` (or the settings' backup_dir); return it."""
    parent = to or settings.backup_dir
    if parent is None:
        raise Refusal("BACKUP_NOWHERE")
    named = (EPOCH + timedelta(milliseconds=at_ms)).strftime("%Y%m%d-%H%M%S")
    folder = parent / f"{settings.chain}-{named}"
    try:
        folder.mkdir(mode=0o700, parents=True)
        shutil.copy2(settings.key_path, folder / "central.key")
        if settings.peppers_dir.is_dir():
            shutil.copytree(settings.peppers_dir, folder / "peppers")
        if settings.path is not None:
            shutil.copy2(settings.path, folder / "central.toml")
        if settings.database_url.startswith("sqlite"):
            _copy_sqlite(settings.database_url, folder / "central.db")
        else:
            _dump_postgres(settings.database_url, folder / "central.dump")
    except (OSError, sqlite3.Error, subprocess.SubprocessError) as fault:
        raise Unavailable("BACKUP_FAILED", path=str(folder), detail=str(fault)[:200]) from fault
    return folder


def _copy_sqlite(url: str, target: Path) -> None:
    """SQLite's own online copy: consistent while others write."""
    source = make_url(url).database or ""
    with closing(sqlite3.connect(source)) as here, closing(sqlite3.connect(target)) as there:
        here.backup(there)
        there.execute(f"DELETE FROM {own_epoch.name}")  # noqa: S608 - a name of our own
        there.commit()
        (told,) = there.execute("PRAGMA integrity_check").fetchone()
    if told != "ok":
        raise sqlite3.DatabaseError(told)
    target.chmod(0o600)


def _dump_postgres(url: str, target: Path) -> None:
    program = shutil.which("pg_dump")
    if program is None:
        raise OSError("pg_dump is not installed")
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    done = subprocess.run(  # noqa: S603 - our own program, no shell
        [
            program,
            "--format=custom",
            f"--exclude-table-data={own_epoch.name}",
            f"--file={target}",
            f"--dbname={plain}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(done.stderr.strip()[-200:])
    target.chmod(0o600)
