"""Shifts: a drawer and a cashier, from an opening event to a closing one (a range of sequences)."""

from collections.abc import Mapping

import msgspec

from edge.node import ShopNode
from edge.views import HeldView


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """An open shift."""

    shift: str
    till: str
    cashier: str
    float_minor: int
    opened_ms: int
    opened_seq: int


class TenderTotal(msgspec.Struct, frozen=True):
    """One tender kind: what the book expects (cash with the float), what was counted."""

    kind: str
    sales: int
    expected_minor: int
    counted_minor: int | None


class ShiftReport(msgspec.Struct, frozen=True, kw_only=True):
    """X (still open: `closed_ms` is None) or Z (closed)."""

    shift: str
    till: str
    cashier: str
    opened_ms: int
    closed_ms: int | None
    first_seq: int
    last_seq: int
    sales: int
    total_minor: int
    discount_minor: int
    float_minor: int
    totals: tuple[TenderTotal, ...]
    held: tuple[HeldView, ...]  # sales put aside that still wait
    currency: str


class Shifts:
    """Open, close, report."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node

    def current(self, till: str) -> Shift | None:
        """The open shift of a till."""
        raise NotImplementedError

    def open(self, till: str, *, person: str, float_minor: int, shift: str) -> Shift:
        """Start; `shift` is the id the page made. SHIFT_OPEN_ALREADY when another one is open."""
        raise NotImplementedError

    def x_report(self, till: str) -> ShiftReport:
        """The figures so far; SHIFT_NONE when no shift is open."""
        raise NotImplementedError

    def close(
        self, till: str, *, person: str, counted: Mapping[str, int], shift: str
    ) -> ShiftReport:
        """End the shift with what was counted per tender kind; prints the Z report.

        The basket must be empty (SHIFT_BASKET_OPEN); the same shift twice gives the same answer.
        """
        raise NotImplementedError

    def report(self, shift: str) -> ShiftReport | None:
        """The Z report of a closed shift."""
        raise NotImplementedError

    def move_cash(self, till: str, *, person: str, amount_minor: int, reason: str) -> None:
        """Cash into (positive) or out of the drawer."""
        raise NotImplementedError
