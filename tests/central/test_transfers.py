"""Forwarding both ways, what is under way, disputes, and the sum over all places."""

import msgspec
import pytest
from sqlalchemy import select

from central.accounts import Account
from central.compose import HeadOffice
from protocol.errors import Refusal
from protocol.events import (
    Moved,
    ReceivedLine,
    TransferDispatched,
    TransferForwarded,
    TransferReceiptForwarded,
    TransferReceived,
    TransferSettlementForwarded,
)
from protocol.node.books import opened
from protocol.node.sqljournal import read_line
from protocol.node.tables import READ, parked
from tests.central.shops import Shop

ANN = Account(person="ann", name="Ann", role="admin")
BOB = Account(person="bob", name="Bob", role="buyer")


def _forwarded(office: HeadOffice, store: str) -> list[object]:
    with office.books.database.reading() as connection:
        rows = read_line(connection, f"to/{store}", 0, limit=1000)
    bodies = [opened(stored)[0].body for stored in rows]
    news = TransferForwarded | TransferReceiptForwarded | TransferSettlementForwarded
    return [b for b in bodies if isinstance(b, news)]


def _places(office: HeadOffice, sku: str) -> dict[str, int]:
    assert office.transfers.sum_of_places() == {}
    return {p.place: p.qty_milli for p in office.stock.places(sku)}


def test_a_transfer_of_ten_with_nine_arriving(office: HeadOffice, shops: dict[str, Shop]) -> None:
    a, b = shops["A"], shops["B"]
    a.open_with(X=20_000)
    a.dispatch("t1", "B", X=10_000)
    a.deliver(office)
    (news,) = _forwarded(office, "B")
    assert isinstance(news, TransferForwarded)
    assert (news.from_store, news.person, news.lines) == (
        "A",
        "kim",
        (Moved(sku="X", qty_milli=10_000),),
    )
    assert _places(office, "X") == {
        "shop/A": 10_000,
        "transit/A>B": 10_000,
        "opening/A": -20_000,
    }
    (under_way,) = office.transfers.in_transit()
    assert (under_way.state, under_way.remaining_milli) == ("under_way", 10_000)
    b.receive("t1", "r1", "A", X=9_000)
    b.deliver(office)
    (receipt,) = _forwarded(office, "A")
    assert isinstance(receipt, TransferReceiptForwarded)
    assert (receipt.to_store, receipt.person) == ("B", "lee")
    (dispute,) = office.transfers.disputes()
    assert dispute == office.transfers.transfer("t1")
    assert (dispute.remaining_milli, dispute.received_by) == (1_000, "lee")
    assert _places(office, "X")["transit/A>B"] == 1_000
    settled = office.transfers.settle(
        "t1", [Moved(sku="X", qty_milli=1_000)], reason="lost on the way", person=ANN, second=BOB
    )
    assert settled.state == "done"
    assert office.transfers.disputes() == office.transfers.in_transit() == []
    told = _forwarded(office, "B")[-1]
    assert isinstance(told, TransferSettlementForwarded)
    assert (told.transfer, told.lines) == ("t1", (Moved(sku="X", qty_milli=1_000),))
    assert _places(office, "X") == {
        "shop/A": 10_000,
        "shop/B": 9_000,
        "lost/A": 1_000,
        "opening/A": -20_000,
    }
    with pytest.raises(Refusal, match="SETTLE_TOO_MUCH"):
        office.transfers.settle(
            "t1", [Moved(sku="X", qty_milli=1)], reason="again", person=ANN, second=BOB
        )


def test_forwarding_is_idempotent(office: HeadOffice, shops: dict[str, Shop]) -> None:
    a = shops["A"]
    a.open_with(X=5_000)
    a.dispatch("t1", "B", X=1_000)
    recorded = a.deliver(office)
    with office.books.begin() as tx:
        office.transfers.react(tx, recorded)
        office.transfers.react(tx, recorded)
    assert len(_forwarded(office, "B")) == 1
    office.books.rebuild()
    assert len(_forwarded(office, "B")) == 1
    assert len(office.transfers.in_transit()) == 1


def test_goods_received_by_the_note_before_the_news(
    office: HeadOffice, shops: dict[str, Shop]
) -> None:
    a, b = shops["A"], shops["B"]
    a.open_with(X=10_000)
    a.deliver(office)
    a.dispatch("t1", "B", X=4_000)
    b.say(
        TransferReceived(
            transfer="t1",
            receipt="r1",
            from_store="A",
            lines=(ReceivedLine(sku="X", qty_milli=4_000),),
            expected=(Moved(sku="X", qty_milli=4_000),),
            by_note=True,
        )
    )
    b.deliver(office)
    (early,) = office.transfers.transfers()
    assert (early.state, early.from_store, early.to_store) == ("unannounced", "A", "B")
    assert _places(office, "X")["transit/A>B"] == -4_000
    a.deliver(office)
    (done,) = office.transfers.transfers()
    assert done.state == "done"
    assert "transit/A>B" not in _places(office, "X")


def test_broken_and_surplus_pieces(office: HeadOffice, shops: dict[str, Shop]) -> None:
    a, b = shops["A"], shops["B"]
    a.open_with(X=10_000, Y=10_000)
    a.dispatch("t1", "B", X=4_000, Y=2_000)
    b.say(
        TransferReceived(
            transfer="t1",
            receipt="r1",
            from_store="A",
            lines=(
                ReceivedLine(sku="X", qty_milli=3_000, broken_qty_milli=1_000),
                ReceivedLine(sku="Y", qty_milli=3_000),
            ),
        )
    )
    a.deliver(office)
    b.deliver(office)
    (dispute,) = office.transfers.disputes()
    x, y = dispute.lines
    assert (x.broken_milli, x.remaining_milli, y.remaining_milli) == (1_000, 1_000, -1_000)
    done = office.transfers.settle(
        "t1",
        [Moved(sku="X", qty_milli=1_000), Moved(sku="Y", qty_milli=-1_000)],
        reason="one broken, one too many",
        person=BOB,
        second=ANN,
    )
    assert done.state == "done"
    assert _places(office, "Y")["lost/A"] == -1_000
    assert _places(office, "X")["lost/A"] == 1_000


def test_settling_needs_a_second_person_a_reason_and_a_right(
    office: HeadOffice, shops: dict[str, Shop]
) -> None:
    a = shops["A"]
    a.open_with(X=10_000)
    a.dispatch("t1", "B", X=4_000)
    a.deliver(office)
    kim = Account(person="kim", name="Kim", role="cashier")
    one = [Moved(sku="X", qty_milli=1_000)]
    for lines, reason, person, second, code in (
        (one, "x", ANN, ANN, "SECOND_PERSON"),
        (one, "x", kim, ANN, "NOT_ALLOWED"),
        (one, "x", ANN, kim, "NOT_ALLOWED"),
        (one, " ", ANN, BOB, "HQ_REASON_MISSING"),
        ([], "x", ANN, BOB, "SETTLE_NOTHING"),
        ([Moved(sku="X", qty_milli=-1)], "x", ANN, BOB, "SETTLE_TOO_MUCH"),
        ([Moved(sku="Q", qty_milli=1)], "x", ANN, BOB, "SETTLE_TOO_MUCH"),
        (one * 5, "x", ANN, BOB, "SETTLE_TOO_MUCH"),
    ):
        with pytest.raises(Refusal, match=code):
            office.transfers.settle("t1", lines, reason=reason, person=person, second=second)
    with pytest.raises(Refusal, match="HQ_TRANSFER_UNKNOWN"):
        office.transfers.settle("t9", one, reason="x", person=ANN, second=BOB)
    assert _places(office, "X")["transit/A>B"] == 4_000


def test_what_cannot_be_forwarded_is_parked_and_the_rest_goes_on(
    office: HeadOffice, shops: dict[str, Shop]
) -> None:
    a = shops["A"]
    a.open_with(X=90_000)
    a.dispatch("t0", "Z", X=1_000)
    a.dispatch("t" * 198, "B", X=1_000)
    a.dispatch("t1", "A", X=1_000)
    a.dispatch("t2", "B", X=1_000)
    a.deliver(office)
    with office.books.database.reading() as connection:
        reasons = connection.execute(select(parked.c.reason)).scalars().all()
    assert len(reasons) == 3
    assert [t.transfer for t in _forwarded(office, "B")] == ["t2"]  # type: ignore[attr-defined]
    assert sum(alarm.code == "ALARM_PARKED" for alarm in office.alarms.alarms()) == 3
    assert office.transfers.sum_of_places() == {}


def test_a_very_long_transfer_is_forwarded_in_parts(
    office: HeadOffice, shops: dict[str, Shop]
) -> None:
    a = shops["A"]
    lines = tuple(Moved(sku=f"SKU-{n:036d}", qty_milli=10**9) for n in range(1_150))
    a.say(TransferDispatched(transfer="big", to_store="B", lines=lines, note="x" * 2_000))
    a.deliver(office)
    parts = _forwarded(office, "B")
    assert [len(p.lines) for p in parts] == [500, 500, 150]  # type: ignore[attr-defined]
    table = READ["transfer_line"]
    with office.books.database.reading() as connection:
        assert len(connection.execute(select(table)).all()) == len(lines)
    assert msgspec.structs.asdict(parts[0])["note"] == "x" * 500  # type: ignore[arg-type]
