"""Put a folder in the place of another in one step, so that a crash leaves the old or the new."""

import ctypes
import os
import shutil
from pathlib import Path
from typing import Final

from protocol.errors import Unavailable, define
from protocol.node.vault import sync_folder

AT_FDCWD: Final = -100
RENAME_EXCHANGE: Final = 2

define(
    {
        "SWAP_FAILED": (
            "{path} could not be put in place in one step ({detail}). Nothing was changed. Use a "
            "local disk, with the folder and its new content on the same one.",
            "无法一步替换 {path}（{detail}）。没有任何更改。请使用本地磁盘，且新旧内容在同一磁盘。",
        ),
    }
)


def swap_in(made: Path, place: Path, *, aside: Path) -> Path | None:
    """Move `made` to `place`; what stood there goes to `aside`, which is returned, else None.

    `renameat2(RENAME_EXCHANGE)`: whoever looks at `place`, also after a power cut, finds one of
    the two whole. Unavailable SWAP_FAILED where the file system cannot do that.
    """
    for folder, _, files in os.walk(made):
        for name in files:
            _sync(Path(folder) / name)
        sync_folder(Path(folder))
    try:
        if not place.exists():
            made.rename(place)
            sync_folder(place.parent)
            return None
        _exchange(made, place)
        sync_folder(place.parent)
        made.rename(aside)
        sync_folder(aside.parent)
    except OSError as fault:
        raise Unavailable("SWAP_FAILED", path=str(place), detail=str(fault)[:120]) from fault
    return aside


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def clear_leftovers(folder: Path, pattern: str) -> None:
    """Remove what an interrupted run left behind."""
    for left in folder.glob(pattern):
        shutil.rmtree(left, ignore_errors=True)
