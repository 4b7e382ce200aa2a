"""Goods between shops: forward the news both ways, show what is under way, settle disputes."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, select, union_all

from central.accounts import Account
from central.people import names_of
from central.recording import Desk, Said, record
from central.stock import Place, places, sums
from protocol.codec import TEXT_MAX
from protocol.errors import Corrupt, Refusal, TillmeshError, define
from protocol.events import (
    Event,
    Moved,
    TransferDispatched,
    TransferForwarded,
    TransferReceiptForwarded,
    TransferReceived,
    TransferSettled,
    TransferSettlementForwarded,
)
from protocol.ids import stream_store, to_stream
from protocol.journal import Position, Stored
from protocol.node.books import opened
from protocol.node.projecting import park
from protocol.node.sqljournal import Recorded
from protocol.node.tables import READ, journal, parked
from protocol.quantity import format_milli
from protocol.roles import demand

FORWARD_LINES_MAX: Final = 500  # a forwarded copy must stay below an event's size
NOTE_MAX: Final = 500
CHUNK: Final = 500
_head, _line, _receipt, _expected, _settlement = (
    READ["transfer"],
    READ["transfer_line"],
    READ["transfer_receipt"],
    READ["transfer_expected"],
    READ["transfer_settlement"],
)

define(
    {
        "HQ_TRANSFER_UNKNOWN": ("There is no transfer {transfer}.", "没有调拨单 {transfer}。"),
        "TRANSFER_NOWHERE": (
            "A transfer names the shop {store}, which head office does not know. Nobody was told; "
            "add the shop, or let the sender receive the goods back.",
            "调拨单指向总部未知的门店 {store}，未能转发。请添加该门店，或由发出门店收回货物。",
        ),
        "SECOND_PERSON": (
            "Writing off goods needs a second person: somebody else must confirm it.",
            "核销货物需要第二人：请由另一位同事确认。",
        ),
        "SETTLE_TOO_MUCH": (
            "Only {left} of {sku} are still missing in this transfer. Nothing was written off.",
            "该调拨单中 {sku} 仅缺 {left}。没有核销。",
        ),
        "SETTLE_NOTHING": (
            "Say which product and how much of it is written off.",
            "请填写要核销的商品和数量。",
        ),
        "HQ_REASON_MISSING": (
            "A reason is missing. Type what happened, 200 characters at most.",
            "缺少原因。请填写发生了什么，最多 200 个字符。",
        ),
    }
)


class TransferLine(msgspec.Struct, frozen=True, kw_only=True):
    """One product of a transfer. remaining = dispatched - received - settled."""

    sku: str
    name_zh: str
    name_en: str
    dispatched_milli: int
    received_milli: int
    broken_milli: int
    settled_milli: int

    @property
    def remaining_milli(self) -> int:
        """Still in transit; negative when more came than was sent."""
        return self.dispatched_milli - self.received_milli - self.settled_milli


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer and where it stands.

    `state`: under_way (nothing received), disputed (received, pieces missing, broken or too many),
    done, unannounced (received by the note before the sender's news came).
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

    # -- forwarding ---------------------------------------------------------------------------

    def react(self, tx: Connection, recorded: Sequence[Recorded]) -> None:
        """Forward what shops just said about transfers, in the transaction that keeps it.

        Never raises for what a shop wrote: an event that cannot be forwarded is parked.
        """
        for event in recorded:
            body = event.body
            if not isinstance(body, TransferDispatched | TransferReceived):
                continue
            try:
                self._forward(tx, event, body)
            except TillmeshError as fault:
                park(tx, event, fault)

    def retry_parked(self) -> tuple[int, int]:
        """Fold the journal anew, then forward again what was parked; how many were, and are."""
        books = self._desk.books
        with books.database.reading() as connection:
            columns = (journal.c.stream, journal.c.epoch, journal.c.seq, journal.c.hash)
            rows = connection.execute(
                select(*columns, journal.c.data)
                .join(parked, parked.c.hash == journal.c.hash)
                .order_by(journal.c.stream, journal.c.seq)
            ).all()
        books.rebuild()
        events = [Stored(r.stream, Position(r.epoch, r.seq, r.hash), r.data) for r in rows]
        with books.begin() as tx:
            self.react(tx, [event for event, fault in map(opened, events) if fault is None])
            left = tx.execute(select(func.count()).select_from(parked)).scalar() or 0
        return len(events), int(left)

    def _forward(
        self, tx: Connection, event: Recorded, body: TransferDispatched | TransferReceived
    ) -> None:
        store = stream_store(event.stored.stream) or ""
        other = body.to_store if isinstance(body, TransferDispatched) else body.from_store
        known = READ["store"].c.store
        if other == store or not tx.execute(select(known).where(known == other)).first():
            raise Refusal("TRANSFER_NOWHERE", store=other[:40])
        said = list(_copies(event, body, store))
        if any(len(id_) > TEXT_MAX for id_, _ in said):
            raise Corrupt("EVENT_UNREADABLE", detail="the transfer's id is too long")
        record(self._desk, tx, {to_stream(other): said}, by="", cause=event.envelope.id)

    # -- views --------------------------------------------------------------------------------

    def in_transit(self) -> list[Transfer]:
        """Transfers with goods still under way, oldest first (disputes included)."""
        with self._desk.books.database.reading() as connection:
            return _assemble(connection, _open_ids(connection))

    def disputes(self) -> list[Transfer]:
        """Those that came short, broken or with too much, oldest first."""
        return [t for t in self.in_transit() if t.state == "disputed"]

    def transfers(self, *, limit: int = 200) -> list[Transfer]:
        """The newest transfers, whatever their state."""
        with self._desk.books.database.reading() as connection:
            return _assemble(connection, _newest_ids(connection, limit))[::-1][:limit]

    def transfer(self, transfer: str) -> Transfer:
        """One transfer; Refusal HQ_TRANSFER_UNKNOWN."""
        with self._desk.books.database.reading() as connection:
            return _one(connection, transfer)

    def places(self, sku: str) -> list[Place]:
        """Every place of a product; the quantities sum to zero."""
        with self._desk.books.database.reading() as connection:
            return places(connection, sku)

    def sum_of_places(self) -> dict[str, int]:
        """Products whose places do not sum to zero: must be empty."""
        with self._desk.books.database.reading() as connection:
            return sums(connection)

    # -- disputes -----------------------------------------------------------------------------

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

        When more came than was sent, `lines` are negative: the surplus is taken back.
        Refusal SECOND_PERSON, SETTLE_TOO_MUCH, HQ_REASON_MISSING, NOT_ALLOWED. The same lines twice
        are refused by what then remains.
        """
        demand(person.role, "settle_dispute")
        demand(second.role, "settle_dispute")
        if second.person == person.person or not second.active:
            raise Refusal("SECOND_PERSON")
        why = " ".join(reason.split())
        if not why or len(why) > 200 or not why.isprintable():
            raise Refusal("HQ_REASON_MISSING")
        settlement = self._desk.new_id()
        with self._desk.books.begin() as tx:
            found = _one(tx, transfer)
            body = TransferSettled(
                transfer=transfer,
                settlement=settlement,
                from_store=found.from_store,
                to_store=found.to_store,
                lines=tuple(_checked(found, lines)),
                reason=why,
            )
            recorded = record(
                self._desk,
                tx,
                {to_stream(found.from_store): [(f"settled-{settlement}", body)]},
                by=person.person,
                cause=f"confirmed-by/{second.person}",
            )
            for event in recorded:
                if isinstance(event.body, TransferSettled):
                    self._tell_receiver(tx, event.body, event.envelope.ts, person.person)
        return self.transfer(transfer)

    def _tell_receiver(self, tx: Connection, body: TransferSettled, at_ms: int, by: str) -> None:
        """The receiver's list of disputes closes too; its stream moves no goods by this."""
        news = TransferSettlementForwarded(
            transfer=body.transfer,
            settlement=body.settlement,
            settled_ms=at_ms,
            person=by,
            lines=body.lines,
            reason=body.reason,
        )
        said: dict[str, list[Said]] = {
            to_stream(body.to_store): [(f"sfwd-{body.settlement}", news)]
        }
        record(self._desk, tx, said, by=by, cause=f"settled-{body.settlement}")


def _checked(found: Transfer, lines: Sequence[Moved]) -> Iterable[Moved]:
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.qty_milli
    wanted = {sku: milli for sku, milli in wanted.items() if milli}
    if not wanted:
        raise Refusal("SETTLE_NOTHING")
    left = {line.sku: line.remaining_milli for line in found.lines}
    for sku, milli in wanted.items():
        most = left.get(sku, 0)
        if not min(most, 0) <= milli <= max(most, 0):
            raise Refusal("SETTLE_TOO_MUCH", sku=sku[:40], left=format_milli(most))
        yield Moved(sku=sku, qty_milli=milli)


News = TransferDispatched | TransferReceived


def _copies(event: Recorded, body: News, store: str) -> Iterable[Said]:
    """The forwarded copies: one, or several for very long documents."""
    first = f"fwd-{body.transfer}"
    if isinstance(body, TransferReceived):
        first = f"rfwd-{body.receipt}"
    for n, start in enumerate(range(0, max(1, len(body.lines)), FORWARD_LINES_MAX)):
        part = slice(start, start + FORWARD_LINES_MAX)
        yield (first if n == 0 else f"{first}-{n + 1}", _copy(event, body, store, part))


def _copy(event: Recorded, body: News, store: str, part: slice) -> Event:
    envelope = event.envelope
    if isinstance(body, TransferReceived):
        return TransferReceiptForwarded(
            transfer=body.transfer,
            receipt=body.receipt,
            from_store=body.from_store,
            to_store=store,
            received_ms=envelope.ts,
            person=envelope.actor,
            lines=body.lines[part],
        )
    return TransferForwarded(
        transfer=body.transfer,
        from_store=store,
        to_store=body.to_store,
        dispatched_ms=envelope.ts,
        person=envelope.actor,
        lines=body.lines[part],
        note=body.note[:NOTE_MAX],
    )


# -- what the read tables say -------------------------------------------------------------------


class _Draft:
    """One transfer while its rows are gathered."""

    def __init__(self, transfer: str) -> None:
        self.transfer = transfer
        self.head: Any = None
        self.way = ("", "")
        self.sent: dict[str, int] = {}
        self.expected: dict[str, int] = {}
        self.came: dict[str, list[int]] = {}  # sku -> received, broken
        self.settled: dict[str, int] = {}
        self.received: tuple[int, str] = (0, "")  # newest receipt: instant, person

    def skus(self) -> list[str]:
        return sorted({*self.sent, *self.expected, *self.came, *self.settled})


def _open_ids(connection: Connection) -> list[str]:
    """Transfers of which some product is not settled to the last piece."""
    amounts = union_all(
        select(_line.c.transfer, _line.c.sku, _line.c.qty_milli.label("milli")),
        select(_receipt.c.transfer, _receipt.c.sku, (-_receipt.c.qty_milli).label("milli")),
        select(
            _settlement.c.transfer, _settlement.c.sku, (-_settlement.c.qty_milli).label("milli")
        ),
    ).subquery()
    left = (
        select(amounts.c.transfer)
        .group_by(amounts.c.transfer, amounts.c.sku)
        .having(func.sum(amounts.c.milli) != 0)
    )
    return sorted(set(connection.execute(left).scalars()))


def _newest_ids(connection: Connection, limit: int) -> list[str]:
    sent = select(_head.c.transfer).order_by(_head.c.dispatched_ms.desc()).limit(limit)
    came = (  # also those whose sender was not heard of yet
        select(_receipt.c.transfer)
        .group_by(_receipt.c.transfer)
        .order_by(func.max(_receipt.c.received_ms).desc())
        .limit(limit)
    )
    return sorted({*connection.execute(sent).scalars(), *connection.execute(came).scalars()})


def _gather(connection: Connection, transfers: Sequence[str]) -> list[_Draft]:
    found: dict[str, _Draft] = {}

    def rows(table: Any) -> Iterable[tuple[_Draft, Any]]:
        for start in range(0, len(transfers), CHUNK):
            some = table.c.transfer.in_(transfers[start : start + CHUNK])
            for row in connection.execute(select(table).where(some)):
                yield found.setdefault(row.transfer, _Draft(row.transfer)), row

    for draft, row in rows(_head):
        draft.head, draft.way = row, (row.from_store, row.to_store)
    for draft, row in rows(_line):
        draft.sent[row.sku] = row.qty_milli
    for draft, row in rows(_expected):
        draft.expected[row.sku] = row.qty_milli
        draft.way = draft.way if draft.head else (row.from_store, row.to_store)
    for draft, row in rows(_receipt):
        came = draft.came.setdefault(row.sku, [0, 0])
        came[0] += row.qty_milli
        came[1] += row.broken_qty_milli
        draft.received = max(draft.received, (row.received_ms, row.person))
        draft.way = draft.way if draft.head else (row.from_store, row.to_store)
    for draft, row in rows(_settlement):
        draft.settled[row.sku] = draft.settled.get(row.sku, 0) + row.qty_milli
    return list(found.values())


def _state(draft: _Draft, lines: Sequence[TransferLine]) -> str:
    if draft.head is None:
        return "unannounced"
    if not any(line.remaining_milli for line in lines):
        return "done"
    return "disputed" if draft.received[0] else "under_way"


def _assemble(connection: Connection, transfers: Sequence[str]) -> list[Transfer]:
    """These transfers, oldest first."""
    drafts = _gather(connection, transfers)
    people = {d.head.person for d in drafts if d.head} | {d.received[1] for d in drafts}
    names = names_of(connection, people)
    goods = _goods(connection, sorted({sku for d in drafts for sku in d.skus()}))
    found = []
    for draft in drafts:
        lines = tuple(_line_of(draft, sku, goods.get(sku, ("", ""))) for sku in draft.skus())
        head = draft.head
        sender, receiver = (head.person if head else ""), draft.received[1]
        found.append(
            Transfer(
                transfer=draft.transfer,
                from_store=draft.way[0],
                to_store=draft.way[1],
                dispatched_ms=head.dispatched_ms if head else 0,
                dispatched_by=names.get(sender, sender),
                received_ms=draft.received[0],
                received_by=names.get(receiver, receiver),
                note=head.note if head else "",
                state=_state(draft, lines),
                lines=lines,
            )
        )
    return sorted(found, key=lambda t: (t.dispatched_ms or t.received_ms, t.transfer))


def _line_of(draft: _Draft, sku: str, names: tuple[str, str]) -> TransferLine:
    received, broken = draft.came.get(sku, [0, 0])
    return TransferLine(
        sku=sku,
        name_zh=names[0] or sku,
        name_en=names[1] or sku,
        dispatched_milli=draft.sent.get(sku, 0),
        received_milli=received,
        broken_milli=broken,
        settled_milli=draft.settled.get(sku, 0),
    )


def _goods(connection: Connection, skus: Sequence[str]) -> dict[str, tuple[str, str]]:
    table = READ["product"]
    found: dict[str, tuple[str, str]] = {}
    for start in range(0, len(skus), CHUNK):
        query = select(table.c.sku, table.c.name_zh, table.c.name_en)
        some = query.where(table.c.sku.in_(skus[start : start + CHUNK]))
        found |= {row.sku: (row.name_zh, row.name_en) for row in connection.execute(some)}
    return found


def _one(connection: Connection, transfer: str) -> Transfer:
    found = _assemble(connection, [transfer])
    if not found:
        raise Refusal("HQ_TRANSFER_UNKNOWN", transfer=transfer[:60])
    return found[0]
