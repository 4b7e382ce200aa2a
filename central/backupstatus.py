"""How head office's last backup went, and the guard over the stock.

The guard: when the stock of all shops together is less than half of what it was at the last good
backup, somebody may have wiped it. An alarm stands and no old backup is removed until a person
says that it is right (`backup --accept-drop`).
"""

from pathlib import Path
from typing import Final

import msgspec

STATUS: Final = "backup-status.json"


class BackupStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the last backup went, and what the guard remembers. Quantities in thousandths."""

    at_ms: int = 0
    good_ms: int = 0
    code: str = ""  # empty when the last one went well
    detail: str = ""
    stock_milli: int = 0  # at the last backup that the guard let pass
    dropped_to_milli: int | None = None  # what the guard found instead


def read_status(data_dir: Path) -> BackupStatus:
    """The last backup's outcome."""
    try:
        return msgspec.json.decode((data_dir / STATUS).read_bytes(), type=BackupStatus)
    except (OSError, ValueError):
        return BackupStatus()


def note(data_dir: Path, status: BackupStatus) -> None:
    """Write it down."""
    fresh = data_dir / f".{STATUS}.new"
    fresh.write_bytes(msgspec.json.encode(status))
    fresh.replace(data_dir / STATUS)


def guarded(before: BackupStatus, total_milli: int, *, accept: bool) -> BackupStatus:
    """What the guard remembers after a backup with this much stock."""
    held = before.dropped_to_milli is not None and not accept
    fell = 2 * total_milli < before.stock_milli and not accept
    if held or fell:
        return msgspec.structs.replace(before, dropped_to_milli=total_milli)
    return msgspec.structs.replace(before, stock_milli=total_milli, dropped_to_milli=None)
