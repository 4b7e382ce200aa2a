"""Printers of the tills: paper is decided in the sale's transaction and printed after it."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from devices.device import Condition
from devices.receipt import Block
from devices.spool import PrintJob
from edge.node import ShopNode


class PrinterView(msgspec.Struct, frozen=True):
    """One till's printer; `condition` is None when the till has none."""

    till: str
    condition: Condition | None
    waiting: int


class Printing:
    """One worker per till that has a printer."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node

    def has_printer(self, till: str) -> bool:
        """Is a printer set for this till?"""
        raise NotImplementedError

    def enqueue(
        self, tx: Connection, till: str, job: str, blocks: Sequence[Block], *, copy_no: int = 0
    ) -> bool:
        """Put paper into the spool, inside the caller's transaction; False without a printer."""
        raise NotImplementedError

    def kick(self, tx: Connection, till: str, job: str) -> bool:
        """Put a drawer's pulse into the spool; False when the till has no drawer."""
        raise NotImplementedError

    def wake(self, till: str) -> None:
        """After the commit: there is work."""
        raise NotImplementedError

    def printers(self) -> list[PrinterView]:
        """All tills with their printers' condition."""
        raise NotImplementedError

    def jobs(self, till: str = "", *, limit: int = 30) -> list[PrintJob]:
        """The newest jobs; `error` and `error_params` say what holds one up."""
        raise NotImplementedError

    def print_again(self, job: str) -> bool:
        """A person looked: print it (again), marked when it may be a copy."""
        raise NotImplementedError

    def drop(self, job: str) -> bool:
        """A person looked: no paper wanted."""
        raise NotImplementedError

    def start(self) -> None:
        """Start devices and workers."""
        raise NotImplementedError

    def stop(self) -> None:
        """End them; what waits is printed after the next start."""
        raise NotImplementedError
