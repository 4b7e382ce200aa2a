"""Commands of head office that keep what must not be lost: backup, backup-key, restore, drill."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
import msgspec

from central.backup import plan_of, restore
from central.backupstatus import BackupStatus, guarded, note, read_status
from central.settings import Settings, load
from protocol.errors import TillmeshError, Unavailable, define
from protocol.node import backups
from protocol.node.chores import FIRST_S, Chores
from protocol.node.ntpclock import wall_ms
from protocol.node.proving import Proof
from protocol.node.vault import backups_in, make_backup_key

define(
    {
        "OFFICE_RUNS": (
            "Head office runs on {path}. Stop it first, then repeat the command.",
            "总部程序正在 {path} 上运行。请先停止，再执行此命令。",
        ),
    }
)


def back_up(settings: Settings, *, to: Path | None, accept_drop: bool = False) -> backups.Made:
    """Write one backup, prove it, and note how it went."""
    now, before = wall_ms(), read_status(settings.data_dir)

    def after(proof: Proof) -> BackupStatus:
        return guarded(before, proof.stock_milli, accept=accept_drop)

    try:
        made = backups.make(
            plan_of(settings, to=to), now, hold=lambda p: after(p).dropped_to_milli is not None
        )
    except TillmeshError as fault:
        failed = msgspec.structs.replace(
            before, at_ms=now, code=fault.code, detail=fault.sentence("en")
        )
        note(settings.data_dir, failed)
        raise
    good = msgspec.structs.replace(after(made.proof), at_ms=now, good_ms=now, code="", detail="")
    note(settings.data_dir, good)
    return made


@contextmanager
def _held(data_dir: Path, how: int) -> Iterator[None]:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable("OFFICE_RUNS", path=str(data_dir)) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held_by_server(data_dir: Path) -> Iterator[None]:
    """Several processes of head office may run side by side; a restore may not."""
    with _held(data_dir, fcntl.LOCK_SH):
        yield


@contextmanager
def held_alone(data_dir: Path) -> Iterator[None]:
    """No process of head office runs. Unavailable OFFICE_RUNS."""
    with _held(data_dir, fcntl.LOCK_EX):
        yield


def chores_of(settings: Settings, path: Path, *, first_s: float = FIRST_S) -> Chores:
    """What head office does by itself, the first of it so long after the start."""
    chores = Chores(first_s=first_s)
    folder = settings.backup_dir
    if folder is not None and settings.backup_key is not None:

        def last_ms() -> int:
            made = backups_in(folder, "central")
            return made[0][0].at_ms if made else 0

        command = ["central.cli", "-s", str(path.resolve()), "backup"]
        chores.add("backup", command, every_h=settings.backup_hours, last_ms=last_ms)
    return chores


@click.command("backup-key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup_key(file: Path) -> None:
    """Make the key file that backups are encrypted with. Keep a copy away from this machine."""
    key = make_backup_key(file)
    click.echo(f"{file}: written, key {key.fingerprint}. Without it no backup can be read.")


@click.command()
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), default=None)
@click.option("--accept-drop", is_flag=True, help="The stock may have fallen by half: it is right.")
@click.pass_obj
def backup(path: Path, to: Path | None, *, accept_drop: bool) -> None:
    """Write one encrypted backup and prove it in a sandbox; head office may run on."""
    made = back_up(load(path), to=to, accept_drop=accept_drop)
    click.echo(
        f"{made.path}: written; restored and checked in {made.seconds:.1f} s, "
        f"{made.proof.events} events, all chains whole"
    )


@click.command()
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), default=None)
@click.pass_obj
def drill(path: Path, to: Path | None) -> None:
    """Restore the newest backup into a sandbox, check it, and write a dated report beside it."""
    made, report = backups.drill(plan_of(load(path), to=to), wall_ms())
    click.echo(f"{made.path}: restored and checked in {made.seconds:.1f} s. Report: {report}")


@click.command("restore")
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--key", type=click.Path(path_type=Path), required=True, help="The key file.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), show_default=True)
@click.option("--database-url", default="", help="PostgreSQL, when the backup holds such a one.")
def restore_command(archive: Path, key: Path, folder: Path, database_url: str) -> None:
    """Put a backup in place of head office in a folder; head office must be stopped."""
    with held_alone(folder / "data"):
        label, aside = restore(archive, key, folder, database_url=database_url)
    click.echo(f"{folder}: head office as of {backups.named_time(label.at_ms)} UTC")
    if aside:
        click.echo(f"What was there before is in {aside}.")
    click.echo(
        "Start it. The shops send back what it lacks, also what head office itself said since; "
        "wait until Node health shows no lag before you say anything new."
    )


COMMANDS: Final = (backup_key, backup, drill, restore_command)
