"""Goods between shops: send with a note, receive by the news or by the note, dispute what lacks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Select, func, or_, select

from devices.note import TransferNote, decode_note, encode_note
from edge.catalogue import Catalogue
from edge.node import ShopNode
from edge.papers import Papers, SentGoods
from edge.people import People
from edge.printing import Printing
from edge.stockroom import WORDS_MAX, Piece, Stockroom, moved
from protocol.errors import Refusal, define
from protocol.events import Moved, ReceivedLine, TransferDispatched, TransferReceived
from protocol.ids import check_id
from protocol.node.tables import READ
from protocol.quantity import format_milli

define(
    {
        "TRANSFER_UNKNOWN": (
            "Transfer {transfer} is not known here yet. Scan the code on its note to receive it.",
            "本店尚未收到调拨单 {transfer}。请扫描纸质单上的二维码收货。",
        ),
        "TRANSFER_ELSEWHERE": (
            "This note is for shop {to_store}, not for this one ({store}). Nothing was booked.",
            "该调拨单的收货门店是 {to_store}，不是本店（{store}）。没有记账。",
        ),
        "TRANSFER_NOTE_OTHER": (
            "The note does not belong to transfer {transfer}. Nothing was booked.",
            "该纸质单不属于调拨单 {transfer}。没有记账。",
        ),
        "TRANSFER_OVER": (
            "Of “{sku}” only {left} are still on their way, {got} were entered. Nothing was "
            "booked. Receive what was sent; count the rest in.",
            "“{sku}”在途只剩 {left}，录入了 {got}。没有记账。请按发货数量收货，多出的另行盘点。",
        ),
        "TRANSFER_NOT_LISTED": (
            "“{sku}” is not on this transfer. Nothing was booked.",
            "“{sku}”不在该调拨单中。没有记账。",
        ),
        "TRANSFER_NOTHING": (
            "Nothing was entered. Enter what came, 0 included.",
            "没有录入数量。请录入实收数量（可为 0）。",
        ),
        "STORE_UNKNOWN": (
            "There is no other shop “{store}” in this chain. Nothing was booked.",
            "连锁中没有其他门店“{store}”。没有记账。",
        ),
    }
)


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


class _Head(msgspec.Struct, frozen=True):
    from_store: str
    to_store: str
    dispatched_ms: int | None
    person: str
    note: str
    by_note: bool


class Transfers:
    """Verbs take the transfer's and receipt's ids from the page."""

    def __init__(
        self,
        node: ShopNode,
        catalogue: Catalogue,
        *,
        people: People,
        stockroom: Stockroom,
        printing: Printing,
        papers: Papers,
    ) -> None:
        self._node = node
        self._catalogue = catalogue
        self._people = people
        self._stockroom = stockroom
        self._printing = printing
        self._papers = papers

    # -- send ---------------------------------------------------------------------------------

    def stores(self) -> list[StoreName]:
        """The other shops of the chain."""
        table = READ["store"].c
        with self._node.books.database.reading() as connection:
            rows = connection.execute(
                select(table.store, table.name_zh, table.name_en)
                .where(table.store != self._node.store)
                .order_by(table.store)
            )
            return [StoreName(r.store, r.name_zh, r.name_en) for r in rows]

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
        self._people.demand(person, "transfer")
        check_id(transfer, "transfer")
        self._stockroom.demand_lines(lines)
        if to_store not in {s.store for s in self.stores()}:
            raise Refusal("STORE_UNKNOWN", store=to_store[:40])
        body = TransferDispatched(
            transfer=transfer, to_store=to_store, lines=moved(lines), note=note[:WORDS_MAX]
        )
        at = self._node.clock.read()
        sent = self._sent(body, person, at.at_ms)  # refuses what fits no code, before anything
        draft = self._node.draft(body, event=transfer, at=at, till=till, actor=person)
        with self._node.books.begin() as tx:
            if not self._node.recorded(tx, transfer):
                if self._node.settings.oversell.dispatch == "refuse":
                    self._stockroom.demand_shelf(tx, lines)
                self._node.books.record(tx, {self._node.stream: [draft]})
                self._printing.enqueue(tx, till, f"note-{transfer}", self._papers.note(tx, sent))
        self._printing.wake(till)
        return self._demand(transfer)

    def _sent(self, body: TransferDispatched, person: str, at_ms: int) -> SentGoods:
        lines = tuple((x.sku, x.qty_milli) for x in body.lines)
        return SentGoods(
            transfer=body.transfer,
            to_store=body.to_store,
            operator=person,
            at_ms=at_ms,
            lines=lines,
            qr=encode_note(
                body.transfer, source=self._node.store, target=body.to_store, lines=lines
            ),
            remark=body.note,
        )

    def note_text(self, transfer: str) -> str:
        """The text of the note's QR, for a page that shows it."""
        view = self._demand(transfer)
        lines = [(x.sku, x.sent_milli) for x in view.lines]
        return encode_note(transfer, source=view.from_store, target=view.to_store, lines=lines)

    def print_note(self, transfer: str, *, till: str, person: str) -> None:
        """Print the note again, marked as a copy."""
        self._people.demand(person, "transfer")
        self._printing.demand_printer(till)
        view = self._demand(transfer)
        sent = SentGoods(
            transfer=transfer,
            to_store=view.to_store,
            operator=view.sent_by,
            at_ms=view.dispatched_ms or 0,
            lines=tuple((x.sku, x.sent_milli) for x in view.lines),
            qr=self.note_text(transfer),
            remark=view.note,
        )
        with self._node.books.begin() as tx:
            paper = self._papers.note(tx, sent)
            job = f"note-{transfer}-{self._node.new_id()}"
            self._printing.enqueue(tx, till, job, paper, copy_no=1)
        self._printing.wake(till)

    # -- look ---------------------------------------------------------------------------------

    def incoming(self) -> list[TransferView]:
        """What is on its way here, or disputed here; oldest first."""
        return [v for v in self.in_transit() if v.to_store == self._node.store]

    def outgoing(self) -> list[TransferView]:
        """What was sent from here and is not done; oldest first."""
        return [v for v in self.in_transit() if v.from_store == self._node.store]

    def in_transit(self) -> list[TransferView]:
        """Both directions, with what remains."""
        head = READ["transfer"].c
        with self._node.books.database.reading() as connection:
            named = connection.execute(
                self._mine()
                .where(head.transfer.in_(_open_lines()))
                .order_by(head.dispatched_ms, head.transfer)
            ).scalars()
            found = self._views(connection, [*self._early(connection), *named])
        return [view for view in found if view.state != "done"]

    def recent(self, *, limit: int = 50) -> list[TransferView]:
        """All transfers of this shop, newest first, done ones included."""
        head = READ["transfer"].c
        with self._node.books.database.reading() as connection:
            named = connection.execute(
                self._mine().order_by(head.dispatched_ms.desc(), head.transfer).limit(limit)
            ).scalars()
            return self._views(connection, [*self._early(connection), *named])[:limit]

    def _mine(self) -> Select[Any]:
        head, here = READ["transfer"].c, self._node.store
        return select(head.transfer).where(or_(head.from_store == here, head.to_store == here))

    def _early(self, connection: Connection) -> list[str]:
        """Received here by their notes, before the news came."""
        head, expected = READ["transfer"].c, READ["transfer_expected"].c
        rows = connection.execute(
            select(expected.transfer)
            .where(
                expected.to_store == self._node.store,
                expected.transfer.not_in(select(head.transfer)),
            )
            .distinct()
            .order_by(expected.transfer)
        )
        return list(rows.scalars())

    def _views(self, connection: Connection, named: Iterable[str]) -> list[TransferView]:
        found = (self._view(connection, transfer) for transfer in named)
        return [view for view in found if view is not None]

    def transfer(self, transfer: str) -> TransferView | None:
        """One transfer, whatever its state."""
        with self._node.books.database.reading() as connection:
            return self._view(connection, transfer)

    def _demand(self, transfer: str) -> TransferView:
        found = self.transfer(transfer)
        if found is None:
            raise Refusal("TRANSFER_UNKNOWN", transfer=transfer[:40])
        return found

    def _head(self, connection: Connection, transfer: str) -> _Head | None:
        head, expected = READ["transfer"].c, READ["transfer_expected"].c
        row = connection.execute(select(READ["transfer"]).where(head.transfer == transfer)).first()
        if row:
            return _Head(
                row.from_store, row.to_store, row.dispatched_ms, row.person, row.note, by_note=False
            )
        row = connection.execute(
            select(expected.from_store, expected.to_store).where(expected.transfer == transfer)
        ).first()
        return _Head(row.from_store, row.to_store, None, "", "", by_note=True) if row else None

    def _view(self, connection: Connection, transfer: str) -> TransferView | None:
        head = self._head(connection, transfer)
        if head is None:
            return None
        table = READ["transfer_expected" if head.by_note else "transfer_line"].c
        rows = connection.execute(
            select(table.sku, table.qty_milli).where(table.transfer == transfer).order_by(table.sku)
        )
        sent = {row.sku: row.qty_milli for row in rows}
        came, broken, receipt = self._received(connection, transfer)
        settled = self._settled(connection, transfer)
        lines = self._lines(connection, sent, (came, broken, settled))
        left = any(x.remaining_milli for x in lines)
        return TransferView(
            transfer=transfer,
            from_store=head.from_store,
            to_store=head.to_store,
            dispatched_ms=head.dispatched_ms,
            sent_by=head.person,
            note=head.note,
            state="done" if not left else "disputed" if receipt else "coming",
            by_note=head.by_note,
            received_by=receipt.person if receipt else "",
            received_ms=receipt.received_ms if receipt else None,
            lines=lines,
        )

    def _received(
        self, connection: Connection, transfer: str
    ) -> tuple[dict[str, int], dict[str, int], Any]:
        table = READ["transfer_receipt"]
        rows = connection.execute(
            select(table)
            .where(table.c.transfer == transfer)
            .order_by(table.c.received_ms, table.c.receipt)
        ).all()
        came: dict[str, int] = {}
        broken: dict[str, int] = {}
        for row in rows:
            came[row.sku] = came.get(row.sku, 0) + row.qty_milli
            broken[row.sku] = broken.get(row.sku, 0) + row.broken_qty_milli
        return came, broken, rows[-1] if rows else None

    def _settled(self, connection: Connection, transfer: str) -> dict[str, int]:
        table = READ["transfer_settlement"].c
        settled: dict[str, int] = {}
        for row in connection.execute(
            select(table.sku, table.qty_milli).where(table.transfer == transfer)
        ):
            settled[row.sku] = settled.get(row.sku, 0) + row.qty_milli
        return settled

    def _lines(
        self,
        connection: Connection,
        sent: Mapping[str, int],
        later: tuple[Mapping[str, int], Mapping[str, int], Mapping[str, int]],
    ) -> tuple[TransferLine, ...]:
        came, broken, settled = later
        products = self._catalogue.products(connection, list(sent))
        lines = []
        for sku, qty in sent.items():
            product = products.get(sku)
            gone = came.get(sku, 0) + settled.get(sku, 0)
            lines.append(
                TransferLine(
                    sku=sku,
                    zh=product.name_zh if product else sku,
                    en=product.name_en if product else sku,
                    unit=product.unit if product else "pc",
                    decimals=product.decimals if product else 3,
                    sent_milli=qty,
                    received_milli=came.get(sku, 0),
                    broken_milli=min(broken.get(sku, 0), max(0, qty - gone)),
                    settled_milli=settled.get(sku, 0),
                    remaining_milli=max(0, qty - gone),
                )
            )
        return tuple(lines)

    # -- receive ------------------------------------------------------------------------------

    def read_note(self, text: str) -> TransferNote:
        """What a scanned note says; refused when it is for another shop."""
        note = decode_note(text.strip())
        if note.target != self._node.store:
            raise Refusal("TRANSFER_ELSEWHERE", to_store=note.target, store=self._node.store)
        return note

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
        self._people.demand(person, "transfer")
        check_id(receipt, "receipt")
        if not lines:
            raise Refusal("TRANSFER_NOTHING")
        note = self.read_note(by_note) if by_note else None
        if note is not None and note.transfer_id != transfer:
            raise Refusal("TRANSFER_NOTE_OTHER", transfer=transfer[:40])
        with self._node.books.begin() as tx:
            if not self._node.recorded(tx, receipt):
                body = self._arrival(tx, transfer, receipt, lines, note)
                draft = self._node.draft(body, event=receipt, actor=person)
                self._node.books.record(tx, {self._node.stream: [draft]})
        return self._demand(transfer)

    def _arrival(
        self,
        tx: Connection,
        transfer: str,
        receipt: str,
        lines: Sequence[Arrived],
        note: TransferNote | None,
    ) -> TransferReceived:
        known = self._view(tx, transfer)
        if known is not None and known.to_store != self._node.store:
            raise Refusal("TRANSFER_ELSEWHERE", to_store=known.to_store, store=self._node.store)
        if known is not None:
            source, by_note = known.from_store, known.by_note
            expected = {x.sku: x.sent_milli for x in known.lines}
            left = {x.sku: x.remaining_milli for x in known.lines}
        elif note is not None:
            source, by_note = note.source, True
            expected = dict(note.lines)
            left = expected
        else:
            raise Refusal("TRANSFER_UNKNOWN", transfer=transfer[:40])
        _demand_within(lines, left)
        return TransferReceived(
            transfer=transfer,
            receipt=receipt,
            from_store=source,
            lines=tuple(
                ReceivedLine(sku=x.sku, qty_milli=x.qty_milli, broken_qty_milli=x.broken_milli)
                for x in lines
            ),
            expected=tuple(Moved(sku=sku, qty_milli=qty) for sku, qty in expected.items()),
            by_note=by_note,
        )


def _open_lines() -> Select[Any]:
    """Transfers of which something is still on its way, judged by the database."""
    line, receipt = READ["transfer_line"].c, READ["transfer_receipt"].c
    settlement = READ["transfer_settlement"].c
    came = (
        select(func.coalesce(func.sum(receipt.qty_milli), 0))
        .where(receipt.transfer == line.transfer, receipt.sku == line.sku)
        .scalar_subquery()
    )
    written_off = (
        select(func.coalesce(func.sum(settlement.qty_milli), 0))
        .where(settlement.transfer == line.transfer, settlement.sku == line.sku)
        .scalar_subquery()
    )
    return select(line.transfer).where(line.qty_milli > came + written_off)


def _demand_within(lines: Sequence[Arrived], left: Mapping[str, int]) -> None:
    """Nothing twice, nothing that was not sent, nothing beyond what is still on its way."""
    seen: set[str] = set()
    for line in lines:
        if line.sku in seen:
            raise Refusal("LINE_TWICE", sku=line.sku)
        seen.add(line.sku)
        if line.sku not in left:
            raise Refusal("TRANSFER_NOT_LISTED", sku=line.sku[:60])
        if line.qty_milli < 0 or line.broken_milli < 0:
            raise Refusal("QUANTITY_WRONG", sku=line.sku, what="0 or more / 不小于 0")
        got = line.qty_milli + line.broken_milli
        if got > left[line.sku]:
            raise Refusal(
                "TRANSFER_OVER",
                sku=line.sku,
                left=format_milli(left[line.sku]),
                got=format_milli(got),
            )
