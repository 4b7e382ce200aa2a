"""Commands of the shop that keep what must not be lost: backup, backup-key, restore, drill."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from edge.backup import BackupStatus, note, plan_of, restore
from edge.settings import Settings, load
from protocol.errors import TillmeshError, Unavailable, define
from protocol.node import backups
from protocol.node.chores import Chores
from protocol.node.ntpclock import wall_ms
from protocol.node.vault import backups_in, make_backup_key

PRUNE_LOOK_H: Final = 24
PRUNE_JITTER_S: Final = 7200  # so that not all shops ask head office at once

define(
    {
        "RUNNING_ALREADY": (
            "A node is running on {path}. Stop it first, then repeat the command.",
            "{path} 上的节点正在运行。请先停止，再执行此命令。",
        ),
    }
)


@contextmanager
def held_alone(
    folder: Path, *, name: str = "lock", busy: str = "RUNNING_ALREADY"
) -> Iterator[None]:
    """One process per data folder: two would write one journal under two epochs.

    Unavailable `busy` when another one holds the lock of that name.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise Unavailable("DATA_UNREACHABLE", path=str(folder), detail=str(fault)) from fault
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable(busy, path=str(folder)) from None
        yield
    finally:
        os.close(descriptor)


def chores_of(settings: Settings, path: Path) -> Chores:
    """What this shop does by itself."""
    chores = Chores()
    if settings.backup_dir:
        command = ["edge.cli", "-s", str(path.resolve()), "backup"]

        def last_ms() -> int:
            made = backups_in(Path(settings.backup_dir), "edge")
            return made[0][0].at_ms if made else 0

        chores.add("backup", command, every_h=settings.backup_hours, last_ms=last_ms)
    if settings.keep_days and settings.head_office:
        command = ["edge.cli", "-s", str(path.resolve()), "prune", "--due"]
        chores.add("prune", command, every_h=PRUNE_LOOK_H, jitter_s=PRUNE_JITTER_S)
    return chores


@click.command("backup-key")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup_key(file: Path) -> None:
    """Make the key file that backups are encrypted with. Keep a copy away from this machine."""
    key = make_backup_key(file)
    click.echo(f"{file}: written, key {key.fingerprint}. Without it no backup can be read.")


@click.command()
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), default=None)
@click.pass_obj
def backup(path: Path, to: Path | None) -> None:
    """Write one encrypted backup, and prove it by a restore into a sandbox; the shop may run on."""
    settings = load(path)
    now = wall_ms()
    try:
        made = backups.make(plan_of(settings, path, to=to), now)
    except TillmeshError as fault:
        note(settings, BackupStatus(now, fault.code, fault.sentence("en")))
        raise
    note(settings, BackupStatus(now))
    click.echo(
        f"{made.path}: written; restored and checked in {made.seconds:.1f} s, "
        f"{made.proof.events} events, all chains whole"
    )


@click.command()
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), default=None)
@click.pass_obj
def drill(path: Path, to: Path | None) -> None:
    """Restore the newest backup into a sandbox, check it, and write a dated report beside it."""
    made, report = backups.drill(plan_of(load(path), path, to=to), wall_ms())
    click.echo(f"{made.path}: restored and checked in {made.seconds:.1f} s. Report: {report}")


@click.command("restore")
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--key", type=click.Path(path_type=Path), required=True, help="The key file.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), show_default=True)
def restore_command(archive: Path, key: Path, folder: Path) -> None:
    """Put a backup in place of the shop in a folder; the node there must be stopped."""
    with held_alone(folder / "data"):
        label, aside = restore(archive, key, folder)
    click.echo(f"{folder}: shop {label.node} as of {backups.named_time(label.at_ms)} UTC")
    if aside is not None:
        click.echo(f"What was there before is in {aside}.")
    click.echo(
        f"Start it while head office can be reached: tillmesh-edge -s {folder / 'edge.toml'} run"
    )


COMMANDS: Final = (backup_key, backup, drill, restore_command)
