"""How head office's last backup went, and the guard over the stock.

The guard: when the stock of all shops together is less than half of what it was at the last good
backup, somebody may have wiped it. An alarm stands and no old backup is removed until a person
says that it is right (`backup --accept-drop`).
"""

from pathlib import Path
from typing import Final

import msgspec

from protocol.errors import define

STATUS: Final = "backup-status.json"

define(
    {
        "ALARM_BACKUP": (
            "The last good backup of head office is {hours} hours old. {detail}",
            "总部最近一次有效备份是在 {hours} 小时前。{detail}",
        ),
        "ALARM_BACKUP_DO": (
            "Run `tillmesh-central backup` and read what it says. Nothing else is affected yet.",
            "请运行 `tillmesh-central backup` 并查看提示。目前其他功能不受影响。",
        ),
        "ALARM_STOCK_DROP": (
            "The stock of all shops together fell from {was} to {now} between two backups. Old "
            "backups are kept until somebody says that this is right.",
            "两次备份之间，全部门店总库存从 {was} 降到 {now}。在确认无误之前，旧备份不会被删除。",
        ),
        "ALARM_STOCK_DROP_DO": (
            "Look at the counts and scrappings of the last hours. If it is right: "
            "`tillmesh-central backup --accept-drop`. If not: restore the backup before it.",
            "请检查最近几小时的盘点和报损。若无误：`tillmesh-central backup --accept-drop`；"
            "否则请恢复此前的备份。",
        ),
    }
)


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
