"""A shop's backup: database, key, pepper, password and settings in one encrypted file; and back."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from edge import migrations
from edge.settings import Settings, read_document
from protocol.errors import Refusal
from protocol.ids import NodeId
from protocol.journal import GENESIS, Position
from protocol.node import backups, vault
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.ntpclock import random_hex
from protocol.node.proving import Proof, prove
from protocol.node.sqljournal import SqlJournal
from protocol.node.swapping import clear_leftovers, swap_in
from protocol.node.tables import read
from protocol.wire import NUMBER_MAX

KIND: Final = "edge"
STATUS: Final = "backup-status.json"  # beside the database, for the health page
SETTINGS, PEPPER, PASSWORD = "edge.toml", "pepper", "mqtt-password"
STAYS: Final = re.compile(r"edge\.db.*|lock.*|last-head.*|backup-status.*|base\.part|\..*")
# Its journal has been further than this: receipts go on in a new generation.
AHEAD: Final = Position("0" * 16, NUMBER_MAX - 1, GENESIS)


class BackupStatus(msgspec.Struct, frozen=True):
    """How the last backup went; `code` is empty when it went well."""

    at_ms: int
    code: str = ""
    detail: str = ""


def read_status(data_dir: Path) -> BackupStatus | None:
    """The last backup's outcome; None when there was none."""
    try:
        return msgspec.json.decode((data_dir / STATUS).read_bytes(), type=BackupStatus)
    except (OSError, ValueError):
        return None


def note(settings: Settings, status: BackupStatus) -> None:
    """Write it down."""
    path = Path(settings.data_dir) / STATUS
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(status))
    fresh.replace(path)


def plan_of(settings: Settings, path: Path | None, *, to: Path | None = None) -> backups.Plan:
    """How this shop is backed up; `path` is its settings file. Refusal BACKUP_NOWHERE."""
    folder = to or (Path(settings.backup_dir) if settings.backup_dir else None)
    if folder is None:
        raise Refusal("BACKUP_NOWHERE")
    return backups.Plan(
        node=settings.store,
        chain=settings.chain,
        kind=KIND,
        folder=folder,
        key_file=Path(settings.backup_key) if settings.backup_key else None,
        work=Path(settings.data_dir),
        copies=settings.backup_copies,
        gather=lambda work: _gather(settings, path, work),
        check=lambda folder: check_folder(folder, settings.store),
    )


def _gather(settings: Settings, path: Path | None, work: Path) -> Mapping[str, Path]:
    data = Path(settings.data_dir)
    backups.copy_sqlite(settings.database_path, work / "edge.db")
    (work / "last-head").write_bytes(msgspec.json.encode(AHEAD))
    files = {"data/edge.db": work / "edge.db", "data/last-head": work / "last-head"}
    for file in sorted(p for p in data.rglob("*") if p.is_file()):
        inside = file.relative_to(data)
        if not STAYS.fullmatch(inside.parts[0]) and Path(settings.backup_dir) not in file.parents:
            files[f"data/{inside.as_posix()}"] = file
    files[PEPPER] = Path(settings.pepper_file)
    if settings.mqtt.password_file:
        files[PASSWORD] = Path(settings.mqtt.password_file)
    if path is not None:
        files[SETTINGS] = path
    return files


def check_folder(folder: Path, store: str) -> Proof:
    """Look through a restored node's books; its read tables are folded anew."""
    database = Database(f"sqlite:///{folder / 'data' / 'edge.db'}")
    try:
        migrations.upgrade(database)
        read.create_all(database.write)
        return prove(Books(database, SqlJournal(NodeId(store), random_hex(16))))
    finally:
        database.close()


def restore(archive: Path, key_file: Path, place: Path) -> tuple[vault.Label, Path | None]:
    """Put a backup in `place`, the folder of the settings file: checked first, then in one step.

    A node that stands there must be stopped, and must be the same shop (RESTORE_OTHER). Returns
    the label and where its old data folder now lies.
    """
    key = vault.load_backup_key(key_file)
    label = vault.read_label(archive)
    _same_shop(archive, label, place)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with backups.working(place, "restoring") as made:
        vault.extract_backup(archive, key, made)
        check_folder_or_refuse(archive, made, label.node)
        clear_leftovers(made / "data", ".*")
        for name in (SETTINGS, PEPPER, PASSWORD):
            _put_file(made / name, place / name)
        aside = place / f"data.before-{backups.named_time(label.at_ms)}-{random_hex(4)}"
        old = swap_in(made / "data", place / "data", aside=aside)
        if old is not None and not (old / "edge.db").exists():  # nothing but a lock file
            shutil.rmtree(old, ignore_errors=True)
            old = None
        return label, old


def check_folder_or_refuse(archive: Path, made: Path, store: str) -> None:
    """BACKUP_DAMAGED when the books inside are not whole."""
    proof = check_folder(made, store)
    if proof.faults:
        raise vault.damaged(archive, "; ".join(proof.faults)[:300])


def _same_shop(archive: Path, label: vault.Label, place: Path) -> None:
    if label.kind != KIND:
        raise vault.damaged(archive, f"it is a backup of {label.kind}")
    if (place / SETTINGS).exists():
        wanted = str(read_document(place / SETTINGS).get("store"))
        if wanted != label.node:
            raise Refusal(
                "RESTORE_OTHER",
                path=str(archive),
                found=label.node,
                wanted=wanted,
                place=str(place),
            )


def _put_file(source: Path, target: Path) -> None:
    """One small file, old or new, never half. Settings point into this folder afterwards."""
    if not source.exists():
        return
    fresh = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, fresh)
    fresh.chmod(0o600)
    if target.name == SETTINGS:
        fresh.write_text(_at_home(fresh.read_text(encoding="utf-8")), encoding="utf-8")
    fresh.replace(target)
    vault.sync_folder(target.parent)


def _at_home(text: str) -> str:
    """The settings with the paths of the three things that a backup holds."""
    homes = {"data_dir": "data", "pepper_file": PEPPER, "password_file": PASSWORD}
    for name, value in homes.items():
        text = re.sub(rf'(?m)^(\s*{name}\s*=\s*)"[^"\n]+"', rf'\g<1>"{value}"', text)
    return text
