"""Transfers between two real shops, with head office's part played by hand."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from edge.compose import Shop
from edge.settings import OversellPolicy
from edge.stockroom import Piece
from edge.transfers import Arrived, TransferView
from protocol.errors import Corrupt, Refusal
from protocol.events import (
    Moved,
    PersonSet,
    ReceivedLine,
    TransferForwarded,
    TransferReceiptForwarded,
    TransferSettled,
)
from protocol.ids import to_stream
from protocol.node.tables import READ
from tests.edge.shop_builder import (
    NOON_MS,
    build,
    head_office,
    pin_hash,
    settings_for,
)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Shop, Shop]]:
    a = build(tmp_path / "a")
    settings = settings_for(tmp_path / "b", store="s2")
    (tmp_path / "b").mkdir()
    b = build(tmp_path / "b", settings=settings)
    head_office(
        b,
        to_stream("s2"),
        PersonSet(person="bo", name="Bo", role="manager", pin_hash=pin_hash("3333")),
    )
    a.stockroom.receive("in", "mill", [Piece("bun", 30_000), Piece("milk", 5_000)], person="mei")
    yield a, b
    a.books.database.close()
    b.books.database.close()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()


def send(a: Shop, transfer: str = "tr-1") -> TransferView:
    lines = [Piece("bun", 10_000), Piece("milk", 2_000)]
    return a.transfers.dispatch(transfer, "s2", lines, person="mei", note="two crates")


def forward(b: Shop, transfer: str = "tr-1") -> None:
    head_office(
        b,
        to_stream("s2"),
        TransferForwarded(
            transfer=transfer,
            from_store="s1",
            to_store="s2",
            dispatched_ms=NOON_MS,
            person="mei",
            lines=(Moved(sku="bun", qty_milli=10_000), Moved(sku="milk", qty_milli=2_000)),
            note="two crates",
        ),
    )


def stock(shop: Shop, place: str, sku: str = "bun") -> int:
    table = READ["stock"].c
    with shop.books.database.reading() as connection:
        return (
            connection.execute(
                select(table.qty_milli).where(table.place == place, table.sku == sku)
            ).scalar()
            or 0
        )


def everywhere(shop: Shop) -> int:
    stock = READ["stock"].c
    with shop.books.database.reading() as connection:
        total = connection.execute(select(func.sum(stock.qty_milli + stock.sold_milli))).scalar()
        return total or 0


def test_ten_sent_nine_arrive_one_in_dispute(pair: tuple[Shop, Shop]) -> None:
    a, b = pair
    sent = send(a)
    assert (sent.state, sent.lines[0].remaining_milli) == ("coming", 10_000)
    assert (stock(a, "shop/s1"), stock(a, "transit/s1>s2")) == (20_000, 10_000)
    assert send(a) == sent  # the same id again is the same transfer
    assert stock(a, "shop/s1") == 20_000
    forward(b)
    coming = b.transfers.incoming()
    assert [(t.transfer, t.state, t.sent_by, t.note) for t in coming] == [
        ("tr-1", "coming", "mei", "two crates")
    ]
    arrived = [Arrived("bun", 9_000), Arrived("milk", 2_000)]
    view = b.transfers.receive("tr-1", "rc-1", arrived, person="bo")
    assert view.state == "disputed"
    assert view.received_by == "bo"
    assert {x.sku: x.remaining_milli for x in view.lines} == {"bun": 1_000, "milk": 0}
    assert (stock(b, "shop/s2"), stock(b, "transit/s1>s2")) == (9_000, -9_000)
    b.transfers.receive("tr-1", "rc-1", arrived, person="bo")
    assert stock(b, "shop/s2") == 9_000
    head_office(
        a,
        to_stream("s1"),
        TransferReceiptForwarded(
            transfer="tr-1",
            receipt="rc-1",
            from_store="s1",
            to_store="s2",
            received_ms=NOON_MS,
            person="bo",
            lines=(
                ReceivedLine(sku="bun", qty_milli=9_000),
                ReceivedLine(sku="milk", qty_milli=2_000),
            ),
        ),
    )
    out = a.transfers.outgoing()[0]
    assert (out.state, out.received_by) == ("disputed", "bo")
    assert everywhere(a) == everywhere(b) == 0


def test_a_lost_piece_is_found_later_or_written_off(pair: tuple[Shop, Shop]) -> None:
    a, b = pair
    send(a)
    forward(b)
    b.transfers.receive(
        "tr-1", "rc-1", [Arrived("bun", 9_000), Arrived("milk", 2_000)], person="bo"
    )
    with pytest.raises(Refusal, match="TRANSFER_OVER"):
        b.transfers.receive("tr-1", "rc-2", [Arrived("bun", 2_000)], person="bo")
    view = b.transfers.receive("tr-1", "rc-3", [Arrived("bun", 1_000)], person="bo")
    assert view.state == "done"
    assert b.transfers.in_transit() == []
    assert [t.transfer for t in b.transfers.recent()] == ["tr-1"]
    head_office(
        a,
        to_stream("s1"),
        TransferSettled(
            transfer="tr-1",
            settlement="se-1",
            from_store="s1",
            to_store="s2",
            lines=(Moved(sku="bun", qty_milli=10_000), Moved(sku="milk", qty_milli=2_000)),
            reason="never came",
        ),
    )
    settled = a.transfers.transfer("tr-1")
    assert settled is not None
    assert settled.state == "done"


def test_broken_pieces_stay_in_transit_as_a_dispute(pair: tuple[Shop, Shop]) -> None:
    a, b = pair
    send(a)
    forward(b)
    view = b.transfers.receive(
        "tr-1", "rc-1", [Arrived("bun", 7_000, 3_000), Arrived("milk", 2_000)], person="bo"
    )
    assert view.state == "disputed"
    assert (view.lines[0].broken_milli, view.lines[0].remaining_milli) == (3_000, 3_000)
    assert stock(b, "shop/s2") == 7_000


def test_the_van_is_faster_than_the_news(pair: tuple[Shop, Shop]) -> None:
    a, b = pair
    send(a)
    note = a.transfers.note_text("tr-1")
    assert note.startswith("TM1:T:tr-1:s1:s2:")
    with pytest.raises(Refusal, match="TRANSFER_UNKNOWN"):
        b.transfers.receive("tr-1", "rc-1", [Arrived("bun", 9_000)], person="bo")
    read = b.transfers.read_note(note)
    assert dict(read.lines) == {"bun": 10_000, "milk": 2_000}
    arrived = [Arrived("bun", 9_000), Arrived("milk", 2_000)]
    early = b.transfers.receive("tr-1", "rc-1", arrived, person="bo", by_note=note)
    assert (early.state, early.by_note, early.dispatched_ms) == ("disputed", True, None)
    assert [t.transfer for t in b.transfers.incoming()] == ["tr-1"]
    with pytest.raises(Refusal, match="TRANSFER_OVER"):
        b.transfers.receive("tr-1", "rc-2", [Arrived("bun", 2_000)], person="bo", by_note=note)
    forward(b)  # the news at last
    settled = b.transfers.transfer("tr-1")
    assert settled is not None
    assert (settled.state, settled.by_note, settled.sent_by) == ("disputed", False, "mei")
    assert {x.sku: x.remaining_milli for x in settled.lines} == {"bun": 1_000, "milk": 0}
    assert len(b.transfers.in_transit()) == 1
    assert stock(b, "shop/s2") == 9_000


def test_notes_of_others_and_damaged_ones_are_refused(pair: tuple[Shop, Shop]) -> None:
    a, b = pair
    send(a)
    note = a.transfers.note_text("tr-1")
    with pytest.raises(Refusal, match="TRANSFER_ELSEWHERE"):
        a.transfers.read_note(note)
    with pytest.raises(Corrupt, match="SCAN_NOTE_BROKEN"):
        b.transfers.read_note(note[:-3])
    with pytest.raises(Refusal, match="TRANSFER_NOTE_OTHER"):
        b.transfers.receive("tr-2", "rc", [Arrived("bun", 1)], person="bo", by_note=note)
    with pytest.raises(Refusal, match="TRANSFER_NOT_LISTED"):
        b.transfers.receive("tr-1", "rc", [Arrived("cake", 1)], person="bo", by_note=note)
    with pytest.raises(Refusal, match="TRANSFER_NOTHING"):
        b.transfers.receive("tr-1", "rc", [], person="bo", by_note=note)


def test_short_shelves_strangers_and_cashiers_send_nothing(pair: tuple[Shop, Shop]) -> None:
    a, _ = pair
    with pytest.raises(Refusal, match="SHELF_SHORT"):
        a.transfers.dispatch("t", "s2", [Piece("bun", 31_000)], person="mei")
    with pytest.raises(Refusal, match="STORE_UNKNOWN"):
        a.transfers.dispatch("t", "s9", [Piece("bun", 1_000)], person="mei")
    with pytest.raises(Refusal, match="NOT_ALLOWED"):
        a.transfers.dispatch("t", "s2", [Piece("bun", 1_000)], person="anna")
    assert [s.store for s in a.transfers.stores()] == ["s2"]


def test_a_policy_may_let_a_short_shelf_send(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(
        settings_for(tmp_path / "a"), oversell=OversellPolicy(dispatch="warn")
    )
    a = build(tmp_path / "a", settings=settings)
    a.transfers.dispatch("t", "s2", [Piece("bun", 1_000)], person="mei")
    assert stock(a, "shop/s1") == -1_000
    a.books.database.close()
