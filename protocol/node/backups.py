"""Make a backup, prove it by restoring it into a sandbox, keep the newest ones; drill."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from protocol.errors import Refusal, TillmeshError, Unavailable, define
from protocol.node import vault
from protocol.node.ntpclock import random_hex
from protocol.node.proving import Proof
from protocol.node.swapping import clear_leftovers

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

define(
    {
        "BACKUP_NOWHERE": (
            "Say where to: set backup_dir in the settings, or use --to.",
            "请指定位置：在设置中填写 backup_dir，或使用 --to。",
        ),
        "BACKUP_FAILED": (
            "The backup at {path} failed ({detail}). What was written there is no backup.",
            "{path} 的备份失败（{detail}）。该处的内容不是有效备份。",
        ),
        "BACKUP_UNSOUND": (
            "The copy in {path} was restored for a test and is not sound: {detail}. It is kept "
            "under this name for whoever investigates; older backups were left alone. Run "
            "`verify` on the node now.",
            "{path} 的副本经恢复测试后有问题：{detail}。已按此名称保留以供检查，"
            "较早的备份未改动。请立即在节点上运行 `verify`。",
        ),
        "BACKUP_NONE": (
            "There is no backup of this node in {path}. Make one first.",
            "{path} 中没有本节点的备份。请先生成备份。",
        ),
        "RESTORE_OTHER": (
            "The backup {path} is of {found}, and {place} belongs to {wanted}. Nothing was "
            "changed.",
            "备份 {path} 属于 {found}，而 {place} 属于 {wanted}。没有任何更改。",
        ),
    }
)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was proven; `seconds` is what its restore into the sandbox took."""

    path: Path
    label: vault.Label
    proof: Proof
    seconds: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Whose backup, where to, and how.

    `gather` copies into a folder and names what goes in; `check` looks at a restored folder.
    """

    node: str
    chain: str
    kind: str
    folder: Path
    key_file: Path | None
    work: Path  # on the node's own disk: plain copies never touch the backup folder
    copies: int
    gather: Callable[[Path], Mapping[str, Path]]
    check: Callable[[Path], Proof]


def named_time(at_ms: int) -> str:
    """As it stands in a file's name, UTC."""
    return (EPOCH + timedelta(milliseconds=at_ms)).strftime("%Y%m%d-%H%M%S")


@contextmanager
def working(parent: Path, kind: str) -> Iterator[Path]:
    """A folder of its own that is gone afterwards, also after an earlier crash."""
    clear_leftovers(parent, f".{kind}-*")
    folder = parent / f".{kind}-{time.monotonic_ns():x}"
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make(plan: Plan, at_ms: int, *, hold: Callable[[Proof], bool] | None = None) -> Made:
    """Write, restore into a sandbox, prove; only then the oldest go, unless `hold` says no.

    Raises Unavailable BACKUP_KEY_MISSING, BACKUP_FAILED, BACKUP_UNSOUND.
    """
    key = vault.load_backup_key(plan.key_file)
    target = plan.folder / f"{plan.node}-{named_time(at_ms)}-{random_hex(4)}.tmbk"
    label = {"node": plan.node, "chain": plan.chain, "kind": plan.kind, "at_ms": at_ms}
    try:
        plan.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with working(plan.work, "backup") as folder:
            vault.write_backup(target, plan.gather(folder), key, label=label)
    except (OSError, SQLAlchemyError) as fault:
        raise Unavailable("BACKUP_FAILED", path=str(target), detail=str(fault)[:200]) from fault
    made = prove_one(plan, target)
    if hold is None or not hold(made.proof):
        vault.retain(plan.folder, plan.kind, node=plan.node, copies=plan.copies)
    return made


def prove_one(plan: Plan, path: Path) -> Made:
    """Restore one backup into a sandbox and look through its books; BACKUP_UNSOUND."""
    key = vault.load_backup_key(plan.key_file)
    started = time.monotonic()
    faults: tuple[str, ...]
    with working(plan.work, "sandbox") as sandbox:
        label = vault.extract_backup(path, key, sandbox)
        try:
            proof = plan.check(sandbox)
            faults = proof.faults
        except (TillmeshError, OSError, SQLAlchemyError) as fault:
            faults = (str(fault)[:200],)
    if faults:
        bad = path.with_suffix(".unsound")
        path.rename(bad)
        raise Unavailable("BACKUP_UNSOUND", path=str(bad), detail="; ".join(faults)[:400])
    return Made(path=path, label=label, proof=proof, seconds=time.monotonic() - started)


def newest(plan: Plan) -> Path:
    """The newest backup of this node; Refusal BACKUP_NONE."""
    for label, path in vault.backups_in(plan.folder, plan.kind):
        if label.node == plan.node:
            return path
    raise Refusal("BACKUP_NONE", path=str(plan.folder))


def drill(plan: Plan, at_ms: int) -> tuple[Made, Path]:
    """Restore the newest backup into a sandbox, and write a dated report beside the backups."""
    made = prove_one(plan, newest(plan))
    report = plan.folder / f"drill-{plan.node}-{named_time(at_ms)}.md"
    report.write_text(_report(made, at_ms), encoding="utf-8")
    report.chmod(0o600)
    return made, report


def _report(made: Made, at_ms: int) -> str:
    proof = made.proof
    age_h = (at_ms - made.label.at_ms) / 3_600_000
    rows = "\n".join(
        f"| `{stream}` | {at.seq} | `{at.hash[:16]}` |"
        for stream, at in sorted(proof.heads.items())
    )
    return f"""# Restore drill of {made.label.node}, {named_time(at_ms)} UTC

恢复演练：已将备份恢复到沙箱并检查，一切正常。

- Backup 备份: `{made.path.name}`, {named_time(made.label.at_ms)} UTC, {age_h:.1f} h old
- Restored and checked in 恢复并检查用时: {made.seconds:.1f} s
- Events 事件: {proof.events}; every chain whole 全部链完整
- Every product's places sum to zero 每个商品各处之和为零
- Read tables folded anew are the same 重建后一致
- On the shelves of all shops 全部门店库存: {proof.stock_milli / 1000:g}

| Stream | Events | Head |
|---|---|---|
{rows}
"""


def copy_sqlite(source: Path, target: Path, *, without: str = "") -> None:
    """SQLite's own online copy, consistent while others write; checked, in one file.

    `without` names a table whose rows stay behind.
    """
    import sqlite3  # noqa: PLC0415 - the one place that talks to SQLite without SQLAlchemy

    try:
        here = sqlite3.connect(f"file:{source}?mode=ro", uri=True)
        there = sqlite3.connect(target)
        try:
            here.backup(there, pages=1_000, sleep=0.001)
            if without:
                there.execute(f"DELETE FROM {without}")  # noqa: S608 - a name of our own
                there.commit()
            there.execute("PRAGMA journal_mode=delete").fetchall()
            (told,) = there.execute("PRAGMA integrity_check").fetchone()
        finally:
            here.close()
            there.close()
    except sqlite3.Error as fault:
        raise OSError(str(fault)) from fault
    if told != "ok":
        raise OSError(f"the copy is damaged: {told}"[:200])
    target.chmod(0o600)
