"""What moves goods. A movement is posted by the event that first recorded it, once."""

from protocol.events.registry import Event


class Moved(Event, frozen=True, kw_only=True):
    """So much of one product."""

    sku: str
    qty_milli: int


class GoodsReceived(Event, frozen=True, kw_only=True):
    """From a supplier onto the shelf."""

    document: str
    supplier: str
    lines: tuple[Moved, ...]
    note: str = ""


class GoodsScrapped(Event, frozen=True, kw_only=True):
    """Thrown away, with a reason."""

    document: str
    reason: str
    lines: tuple[Moved, ...]


class Counted(Event, frozen=True, kw_only=True):
    """One product counted; `book_qty_milli` is the book at the count's journal position."""

    sku: str
    counted_qty_milli: int
    book_qty_milli: int


class StockCounted(Event, frozen=True, kw_only=True):
    """The shelf was counted: an anchor in the journal; moves counted minus book, never sets."""

    document: str
    lines: tuple[Counted, ...]
    opening: bool = False  # the first figures of a shop come from `opening`, not from `count`
    note: str = ""


class TransferDispatched(Event, frozen=True, kw_only=True):
    """Goods leave this shop for another: from the shelf to in transit."""

    transfer: str
    to_store: str
    lines: tuple[Moved, ...]
    note: str = ""


class ReceivedLine(Event, frozen=True, kw_only=True):
    """What came of one product; broken pieces arrive but stay in dispute."""

    sku: str
    qty_milli: int
    broken_qty_milli: int = 0


class TransferReceived(Event, frozen=True, kw_only=True):
    """Goods came: from in transit to the shelf. Later findings are receipts of their own.

    `expected` repeats what the note or the news said, so that a receipt against the QR can be
    settled when the sender's own event comes.
    """

    transfer: str
    receipt: str
    from_store: str
    lines: tuple[ReceivedLine, ...]
    expected: tuple[Moved, ...] = ()
    by_note: bool = False


class TransferForwarded(Event, frozen=True, kw_only=True):
    """Head office tells the receiver what is coming. Posts nothing."""

    transfer: str
    from_store: str
    to_store: str
    dispatched_ms: int
    person: str
    lines: tuple[Moved, ...]
    note: str = ""


class TransferReceiptForwarded(Event, frozen=True, kw_only=True):
    """Head office tells the sender what arrived. Posts nothing."""

    transfer: str
    receipt: str
    from_store: str
    to_store: str
    received_ms: int
    person: str
    lines: tuple[ReceivedLine, ...]


class TransferSettled(Event, frozen=True, kw_only=True):
    """Head office closes a dispute: pieces that never came are written off from in transit.

    Recorded in `to/{from_store}`; found pieces are a `TransferReceived` of the shop that has them.
    """

    transfer: str
    settlement: str
    from_store: str
    to_store: str
    lines: tuple[Moved, ...]
    reason: str


class TransferSettlementForwarded(Event, frozen=True, kw_only=True):
    """Head office tells the receiver that a dispute was closed. Posts nothing."""

    transfer: str
    settlement: str
    settled_ms: int
    person: str
    lines: tuple[Moved, ...]
    reason: str


class StockDigest(Event, frozen=True, kw_only=True):
    """Proof of agreement: the digest of the shop's own shelf at this position."""

    digest: str  # 32 hex digits
    products: int  # rows that are not zero
