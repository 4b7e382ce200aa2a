"""Goods between shops: forward the news both ways, show what is under way, settle disputes."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from central.accounts import Account
from central.recording import Desk
from protocol.events import Moved
from protocol.node.books import Books
from protocol.node.sqljournal import Recorded


class TransferLine(msgspec.Struct, frozen=True, kw_only=True):
    """One product of a transfer. remaining = dispatched - received - settled."""

    sku: str
    name_zh: str
    name_en: str
    dispatched_milli: int
    received_milli: int
    broken_milli: int
    settled_milli: int
    remaining_milli: int


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer and where it stands.

    `state`: under_way (nothing received), disputed (received, pieces missing or broken), done,
    unannounced (received by the note before the sender's news came).
    """

    transfer: str
    from_store: str
    to_store: str
    dispatched_ms: int
    dispatched_by: str  # name
    received_ms: int
    received_by: str  # name; "" before the first receipt
    note: str
    state: str
    lines: tuple[TransferLine, ...]

    @property
    def remaining_milli(self) -> int:
        """What is still in transit, over all lines."""
        return sum(line.remaining_milli for line in self.lines)


class Transfers:
    """Verbs of transfers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def react(self, books: Books, tx: Connection, recorded: Sequence[Recorded]) -> None:
        """Forward what shops just said about transfers, in the transaction that keeps it.

        Never raises for what a shop wrote: an event that cannot be forwarded is parked.
        """
        raise NotImplementedError

    def in_transit(self) -> list[Transfer]:
        """Transfers with goods still under way, oldest first (disputes included)."""
        raise NotImplementedError

    def disputes(self) -> list[Transfer]:
        """Those that came short or broken."""
        raise NotImplementedError

    def transfers(self, *, limit: int = 200) -> list[Transfer]:
        """The newest transfers, whatever their state."""
        raise NotImplementedError

    def transfer(self, transfer: str) -> Transfer:
        """One transfer; Refusal TRANSFER_UNKNOWN."""
        raise NotImplementedError

    def settle(
        self,
        transfer: str,
        lines: Sequence[Moved],
        *,
        reason: str,
        person: Account,
        second: Account,
    ) -> Transfer:
        """Write off pieces that never came. Needs a second person (`accounts.confirm`).

        Refusal SECOND_PERSON, SETTLE_TOO_MUCH, REASON_MISSING, NOT_ALLOWED. The same `lines` twice
        are refused by what then remains.
        """
        raise NotImplementedError

    def sum_of_places(self) -> dict[str, int]:
        """Products whose places do not sum to zero: must be empty."""
        raise NotImplementedError
