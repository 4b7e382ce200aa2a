"""Double entry: nothing is created or destroyed, and folds commute over streams."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import events as ev
from protocol.codec import Envelope, body_of, decode, encode
from protocol.errors import Corrupt
from protocol.folds import FOLDS, ROWS, SHOP_SAYS, SUMS, Add, Put, fold, spread
from protocol.journal import Stored
from protocol.ledger import postings
from tests.builders import EPOCHS, any_body, bodies, branch, draft, received, sale

STREAMS = st.sampled_from(["shop/a", "shop/b", "to/a", "to/b", "all", "zone/z"])
MOVING = [
    ev.SaleCompleted,
    ev.GoodsReceived,
    ev.GoodsScrapped,
    ev.StockCounted,
    ev.TransferDispatched,
    ev.TransferReceived,
    ev.TransferSettled,
]
SHOPS = ("a", "b")


def _placed(body: ev.Event, stream: str, seq: int = 1) -> Envelope:
    return decode(encode(draft(body, f"x{seq}"), stream=stream, epoch=EPOCHS[0], seq=seq))


def _sums(body: ev.Event, stream: str) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for p in postings(body, stream):
        sums[p.source, p.sku] -= p.qty_milli
        sums[p.target, p.sku] += p.qty_milli
    return sums


@given(any_body(), STREAMS)
def test_what_leaves_one_place_enters_another(body: ev.Event, stream: str) -> None:
    by_sku: Counter[str] = Counter()
    for (_, sku), qty in _sums(body, stream).items():
        by_sku[sku] += qty
    assert not any(by_sku.values())


@given(any_body(), STREAMS)
def test_a_shelf_is_moved_by_its_shop_alone(body: ev.Event, stream: str) -> None:
    for p in postings(body, stream):
        for place in (p.source, p.target):
            assert place != f"shop/{stream.partition('/')[2]}" or stream.startswith("shop/")
            if place.startswith("shop/"):
                assert stream == place


@given(bodies(ev.TransferForwarded) | bodies(ev.TransferReceiptForwarded), STREAMS)
def test_a_forwarded_copy_posts_nothing(body: ev.Event, stream: str) -> None:
    assert postings(body, stream) == []


@pytest.mark.parametrize("kind", MOVING, ids=lambda k: k.__name__)
def test_events_that_move_goods_do_so_in_one_stream_only(kind: type[ev.Event]) -> None:
    line: dict[str, Any] = {"sku": "bun", "qty_milli": 10}
    moved = (ev.Moved(**line),)
    made: dict[type[ev.Event], ev.Event] = {
        ev.SaleCompleted: sale(),
        ev.GoodsReceived: received(),
        ev.GoodsScrapped: ev.GoodsScrapped(document="d", reason="r", lines=moved),
        ev.StockCounted: ev.StockCounted(
            document="d", lines=(ev.Counted(sku="bun", counted_qty_milli=5, book_qty_milli=2),)
        ),
        ev.TransferDispatched: ev.TransferDispatched(transfer="t", to_store="b", lines=moved),
        ev.TransferReceived: ev.TransferReceived(
            transfer="t", receipt="r", from_store="b", lines=(ev.ReceivedLine(**line),)
        ),
        ev.TransferSettled: ev.TransferSettled(
            transfer="t", settlement="s", from_store="a", to_store="b", lines=moved, reason="lost"
        ),
    }
    where = [s for s in ("shop/a", "to/a", "all", "zone/z") if postings(made[kind], s)]
    assert where == (["to/a"] if kind is ev.TransferSettled else ["shop/a"])


def test_places_of_a_sale_with_return_and_gift() -> None:
    line = sale().lines[0]
    back = ev.SaleLine(
        **{f: getattr(line, f) for f in line.__struct_fields__} | {"is_return": True}
    )
    body = sale(lines=(line, line, back), gifts=(ev.Gift(sku="cup", qty_milli=1000, rule="r"),))
    assert _sums(body, "shop/a") == {
        ("shop/a", "bun"): -1000,
        ("customer/a", "bun"): 1000,
        ("shop/a", "cup"): -1000,
        ("gift/a", "cup"): 1000,
    }


def test_a_transfer_of_ten_with_nine_arriving_leaves_one_in_transit() -> None:
    sent = ev.TransferDispatched(
        transfer="t", to_store="b", lines=(ev.Moved(sku="bun", qty_milli=10_000),)
    )
    came = ev.TransferReceived(
        transfer="t",
        receipt="r",
        from_store="a",
        lines=(
            ev.ReceivedLine(sku="bun", qty_milli=9_000, broken_qty_milli=1_000),
            ev.ReceivedLine(sku="cup", qty_milli=0, broken_qty_milli=1_000),
        ),
    )
    both = _sums(sent, "shop/a")
    both.update(_sums(came, "shop/b"))
    assert both["transit/a>b", "bun"] == 1_000
    settled = ev.TransferSettled(
        transfer="t",
        settlement="s",
        from_store="a",
        to_store="b",
        lines=(ev.Moved(sku="bun", qty_milli=1_000),),
        reason="lost",
    )
    both.update(_sums(settled, "to/a"))
    assert both["transit/a>b", "bun"] == 0
    assert both["lost/a", "bun"] == 1_000


def test_a_count_moves_counted_minus_book_and_an_opening_comes_from_opening() -> None:
    lines = (
        ev.Counted(sku="bun", counted_qty_milli=5, book_qty_milli=7),
        ev.Counted(sku="cup", counted_qty_milli=5, book_qty_milli=5),
    )
    body = ev.StockCounted(document="d", lines=lines)
    assert _sums(body, "shop/a") == {("count/a", "bun"): 2, ("shop/a", "bun"): -2}
    opening = ev.StockCounted(document="d", lines=lines[:1], opening=True)
    assert ("opening/a", "bun") in _sums(opening, "shop/a")


# -- folds --------------------------------------------------------------------------------------


@given(any_body(), STREAMS, st.integers(1, 2**40))
def test_deltas_fit_their_tables(body: ev.Event, stream: str, seq: int) -> None:
    try:
        deltas = fold(body, _placed(body, stream, seq))
    except Corrupt:
        return
    for delta in spread(deltas):
        if isinstance(delta, Add):
            keys, values = SUMS[delta.table]
            assert len(delta.amounts) == len(values)
        else:
            keys, values = ROWS[delta.table]
            assert len(delta.values) == len(values)
        assert len(delta.key) == len(keys)


@pytest.mark.parametrize("kind", sorted(FOLDS, key=lambda k: k.__name__), ids=lambda k: k.__name__)
def test_a_shop_speaks_for_itself_alone(kind: type[ev.Event]) -> None:
    """A price in a shop's stream, or a sale in head office's, changes nothing and says why."""

    @given(bodies(kind))
    def check(body: ev.Event) -> None:
        for stream in ("shop/a", "to/a", "all", "zone/z"):
            if (kind in SHOP_SAYS) == stream.startswith("shop/"):
                fold(body, _placed(body, stream))
                continue
            with pytest.raises(Corrupt) as caught:
                fold(body, _placed(body, stream))
            assert caught.value.code == "EVENT_OUT_OF_PLACE"

    check()


def test_unknown_types_and_types_without_a_fold_change_nothing() -> None:
    assert fold(None, _placed(received(), "shop/a")) == []
    digest = ev.StockDigest(digest="0" * 32, products=1)
    assert fold(digest, _placed(digest, "all")) == []


def _documents(rng: random.Random, store: str) -> list[ev.Event]:
    """What a busy shop records; transfers go both ways."""
    other = "b" if store == "a" else "a"
    found: list[ev.Event] = []
    for n in range(rng.randint(3, 15)):
        sku, qty = rng.choice(["bun", "cup", "tea"]), rng.randint(1, 9) * 500
        moved = (ev.Moved(sku=sku, qty_milli=qty),)
        found.append(
            rng.choice(
                [
                    sale(f"{store}{n}", sku=sku, qty_milli=qty),
                    received(f"{store}{n}", sku=sku, qty_milli=qty),
                    ev.GoodsScrapped(document=f"{store}{n}", reason="r", lines=moved),
                    ev.TransferDispatched(transfer=f"{store}{n}", to_store=other, lines=moved),
                    ev.TransferReceived(
                        transfer=f"{other}{n}",
                        receipt=f"r{store}{n}",
                        from_store=other,
                        lines=(ev.ReceivedLine(sku=sku, qty_milli=qty),),
                    ),
                    ev.CashMoved(shift="s", till="t", amount_minor=qty, reason="r"),
                ]
            )
        )
    return found


def _head_office(rng: random.Random) -> list[ev.Event]:
    found: list[ev.Event] = []
    for _ in range(rng.randint(3, 12)):
        sku = rng.choice(["bun", "cup"])
        found += [
            ev.PriceSet(sku=sku, price_minor=rng.randint(1, 9)),
            ev.ProductListed(sku=sku, name={"en": sku}, group="g", tax_rate_bp=rng.randint(0, 9)),
            ev.PromotionPublished(rule="r", version=rng.randint(1, 9), document={}),
            ev.PromotionWithdrawn(rule="r", version=1),
        ]
    return found


def _tables(events: list[Stored]) -> dict[str, dict[Any, Any]]:
    """A model of what projecting does with deltas."""
    tables: dict[str, dict[Any, Any]] = {}
    for stored in events:
        e = decode(stored.data)
        for delta in spread(fold(body_of(e), e)):
            table = tables.setdefault(delta.table, {})
            if isinstance(delta, Add):
                old = table.get(delta.key, (0,) * len(delta.amounts))
                table[delta.key] = tuple(x + y for x, y in zip(old, delta.amounts, strict=True))
            elif delta.key not in table or table[delta.key].rank <= delta.rank:
                assert isinstance(delta, Put)
                table[delta.key] = delta
    return tables


@given(st.integers(0, 2**32))
def test_folds_commute_over_streams(seed: int) -> None:
    rng = random.Random(seed)
    streams = {
        "shop/a": branch("shop/a", _documents(rng, "a")),
        "shop/b": branch("shop/b", _documents(rng, "b")),
        "all": branch("all", _head_office(rng)),
        "zone/z": branch("zone/z", [ev.PriceSet(sku="bun", price_minor=7)]),
    }
    one_by_one = [event for line in streams.values() for event in line]
    expected = _tables(one_by_one)
    by_sku: Counter[str] = Counter()
    for (_, sku), amounts in expected.get("stock", {}).items():
        by_sku[sku] += sum(amounts)
    assert not any(by_sku.values()), "places do not sum to zero"
    for _ in range(3):
        queues = {name: list(line) for name, line in streams.items()}
        mixed = []
        while queues:
            name = rng.choice(sorted(queues))
            mixed.append(queues[name].pop(0))
            if not queues[name]:
                del queues[name]
        assert _tables(mixed) == expected
