"""Goods between shops: send with a note, receive by the news or by the note, dispute what lacks."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from devices.note import TransferNote
from edge.catalogue import Catalogue
from edge.node import ShopNode
from edge.stockroom import Piece


class Arrived(msgspec.Struct, frozen=True):
    """What came of one product; broken pieces stay in transit as a dispute."""

    sku: str
    qty_milli: int
    broken_milli: int = 0


class TransferLine(msgspec.Struct, frozen=True, kw_only=True):
    """One product of a transfer."""

    sku: str
    zh: str
    en: str
    unit: str
    decimals: int
    sent_milli: int
    received_milli: int
    broken_milli: int
    settled_milli: int
    remaining_milli: int  # still in transit


class TransferView(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer as this shop knows it.

    coming: nothing received yet. disputed: received, but pieces are missing or broken. done: all
    came or was written off. by_note: received here before the sender's news came.
    """

    transfer: str
    from_store: str
    to_store: str
    dispatched_ms: int | None
    sent_by: str
    note: str
    state: Literal["coming", "disputed", "done"]
    by_note: bool
    received_by: str  # who answers for the dispute
    received_ms: int | None
    lines: tuple[TransferLine, ...]


class StoreName(msgspec.Struct, frozen=True):
    """A shop of the chain."""

    store: str
    zh: str
    en: str


class Transfers:
    """Verbs take the transfer's and receipt's ids from the page."""

    def __init__(self, node: ShopNode, catalogue: Catalogue) -> None:
        self._node = node
        self._catalogue = catalogue

    def stores(self) -> list[StoreName]:
        """The other shops of the chain."""
        raise NotImplementedError

    def dispatch(
        self,
        transfer: str,
        to_store: str,
        lines: Sequence[Piece],
        *,
        person: str,
        note: str = "",
        till: str = "",
    ) -> TransferView:
        """Send goods out; refused when the shelf has less. A note with QR is printed at `till`."""
        raise NotImplementedError

    def note_text(self, transfer: str) -> str:
        """The text of the note's QR, for a page that shows it."""
        raise NotImplementedError

    def print_note(self, transfer: str, *, till: str, person: str) -> None:
        """Print the note (again)."""
        raise NotImplementedError

    def read_note(self, text: str) -> TransferNote:
        """What a scanned note says; refused when it is for another shop."""
        raise NotImplementedError

    def incoming(self) -> list[TransferView]:
        """What is on its way here, or disputed here; oldest first."""
        raise NotImplementedError

    def outgoing(self) -> list[TransferView]:
        """What was sent from here and is not done; oldest first."""
        raise NotImplementedError

    def in_transit(self) -> list[TransferView]:
        """Both directions, with what remains."""
        raise NotImplementedError

    def transfer(self, transfer: str) -> TransferView | None:
        """One transfer, whatever its state."""
        raise NotImplementedError

    def receive(
        self,
        transfer: str,
        receipt: str,
        lines: Sequence[Arrived],
        *,
        person: str,
        by_note: str = "",
    ) -> TransferView:
        """Book what came. `by_note` is the QR's text, when the news has not come yet.

        More than was sent is refused in words; what lacks stays in transit as a dispute. A later
        finding is a receipt of its own.
        """
        raise NotImplementedError
