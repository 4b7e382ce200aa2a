"""Is there room to record another sale? Asked before any money is taken."""

import os
from collections.abc import Callable

from edge.node import ShopNode
from protocol.errors import Unavailable, define

define(
    {
        "DISK_LOW": (
            "The disk has only {free_mb} MB left ({need_mb} MB are needed), so no new sale can be "
            "started. What was sold is safe. Do not take money; free some space, then go on.",
            "磁盘仅剩 {free_mb} MB（至少需要 {need_mb} MB），不能开始新的销售。"
            "已完成的销售均已保存。请勿收款，清理磁盘空间后继续。",
        ),
    }
)
MEGA = 1_000_000


class Room:
    """`free_bytes` is asked of the disk that holds the books."""

    def __init__(self, node: ShopNode, free_bytes: Callable[[], int] | None = None) -> None:
        self._node = node
        self._free = free_bytes or self._of_disk

    def _of_disk(self) -> int:
        found = os.statvfs(self._node.settings.data_dir)
        return found.f_bavail * found.f_frsize

    def free_bytes(self) -> int:
        """What a program without privileges may still write."""
        return self._free()

    def demand(self) -> None:
        """Raise Unavailable (DISK_LOW, DISK_FULL, DISK_FAULT) when a sale might not be recorded."""
        need = self._node.settings.low_disk_bytes
        free = self.free_bytes()
        if free < need:
            raise Unavailable("DISK_LOW", free_mb=free // MEGA, need_mb=need // MEGA)
        if not self._node.books.database.healthy:
            self.probe()

    def probe(self) -> None:
        """Write something small and wait until the disk has confirmed it."""
        with self._node.books.begin() as tx:
            self._node.books.set_state(tx, "probe", str(self._node.clock.read().at_ms))
