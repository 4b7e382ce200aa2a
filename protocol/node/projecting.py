"""Run folds: events in, one set-based write out; what cannot be folded is parked, alone."""

import re
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from protocol.codec import Envelope
from protocol.errors import Corrupt, TillmeshError
from protocol.events import Event, StockDigest
from protocol.folds import Delta, fold
from protocol.ids import stream_store
from protocol.ledger import shelf
from protocol.node.sqljournal import Recorded, upsert
from protocol.node.tables import READ, digest_check, parked, shelf_digest
from protocol.node.writing import Shelf, Unfit, row_hash, storable, write

__all__ = ["park", "project", "row_hash", "shelf_proof"]

_DIGEST = re.compile("[0-9a-f]{32}")
_UNSTORABLE = (DataError, IntegrityError, OverflowError, Unfit)  # the value's fault, not the disk's

Fold = Callable[[Event | None, Envelope], list[Delta]]

_PROOF = select(shelf_digest.c.digest, shelf_digest.c.products).where(
    shelf_digest.c.place == bindparam("at_place")
)


def shelf_proof(tx: Connection, place: str) -> tuple[str, int]:
    """The digest of a shelf and how many products are on it."""
    row = tx.execute(_PROOF, {"at_place": place}).first()
    return (row.digest, row.products) if row else ("0" * 32, 0)


def _check_digest(tx: Connection, body: StockDigest, envelope: Envelope) -> None:
    store = stream_store(envelope.stream) or ""
    if not _DIGEST.fullmatch(body.digest) or not envelope.stream.startswith("shop/"):
        raise Corrupt("VALUE_OUT_OF_RANGE", value=repr(body.digest)[:80])
    computed, _ = shelf_proof(tx, shelf(store))
    values = {
        "claimed": body.digest,
        "computed": computed,
        "agreed": computed == body.digest,
        "at_ms": envelope.ts,
    }
    tx.execute(
        upsert(tx, digest_check).on_conflict_do_update(
            index_elements=["store", "seq", "epoch"], set_=values
        ),
        {"store": store, "seq": envelope.seq, "epoch": envelope.epoch, **values},
    )


def park(tx: Connection, event: Recorded, fault: Exception) -> None:
    """Set one event aside with its reason; the journal keeps it, the rest goes on."""
    reason = str(fault) if isinstance(fault, TillmeshError) else f"{type(fault).__name__}: {fault}"
    tx.execute(
        upsert(tx, parked).on_conflict_do_nothing(),
        {
            "hash": event.stored.position.hash,
            "stream": event.stored.stream,
            "seq": event.stored.position.seq,
            "type": event.envelope.type,
            "reason": reason[:1000].replace("\0", ""),
        },
    )


def project(
    tx: Connection,
    events: Iterable[Recorded],
    *,
    fold_one: Fold = fold,
    writer: bool = False,
    shelves: list[Shelf] | None = None,
) -> int:
    """Fold events into the read tables, in the caller's transaction; return how many were parked.

    `shelves` gets what each changed shelf row became, the last word last. A shop's `StockDigest` is
    compared exactly at its position. What may not be said or cannot be stored is parked by a
    follower; at its `writer` it raises, so that nothing is recorded.
    """
    pending: list[tuple[Recorded, list[Delta]]] = []
    count = 0
    shelves = [] if shelves is None else shelves
    for event in events:
        try:
            pending.append((event, fold_one(event.body, event.envelope)))
            if isinstance(event.body, StockDigest):
                count += _write_all(tx, pending, shelves, writer=writer)
                pending = []
                _check_digest(tx, event.body, event.envelope)
        except DBAPIError:
            raise
        except Exception as fault:
            if writer and isinstance(fault, TillmeshError):
                raise
            park(tx, event, fault)
            count += 1
    return count + _write_all(tx, pending, shelves, writer=writer)


def _write_all(
    tx: Connection,
    folded: Sequence[tuple[Recorded, list[Delta]]],
    shelves: list[Shelf],
    *,
    writer: bool,
    judged: bool = False,
) -> int:
    """Write in one go; if a value cannot be held, find the events that have it, and park those."""
    deltas = [delta for _, of_one in folded for delta in of_one]
    if not deltas:
        return 0
    try:
        with tx.begin_nested():
            changed = write(tx, deltas, fresh=not judged)
    except _UNSTORABLE as fault:
        if not judged:
            good, count = _judge(tx, folded, writer=writer)
            return count + _write_all(tx, good, shelves, writer=writer, judged=True)
        if writer or len(folded) == 1:
            reason = Corrupt("VALUE_OUT_OF_RANGE", value=str(getattr(fault, "orig", fault))[:200])
            if writer:
                raise reason from fault
            park(tx, folded[0][0], reason)
            return 1
        return sum(_write_all(tx, [one], shelves, writer=False, judged=True) for one in folded)
    shelves += changed
    return 0


def _judge(
    tx: Connection, folded: Sequence[tuple[Recorded, list[Delta]]], *, writer: bool
) -> tuple[list[tuple[Recorded, list[Delta]]], int]:
    """What may be written, and how many events were parked because of their own values."""
    good = []
    for event, deltas in folded:
        try:
            storable(deltas)
        except Exception as fault:
            if writer and isinstance(fault, TillmeshError):
                raise
            park(tx, event, fault)
        else:
            good.append((event, deltas))
    return good, len(folded) - len(good)


def empty_read_tables(tx: Connection) -> None:
    """Before a rebuild."""
    for table in [*READ.values(), shelf_digest, digest_check]:
        tx.execute(delete(table))
    tx.execute(delete(parked))
