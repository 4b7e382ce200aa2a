"""`verify` names the first wrong row, whatever somebody changed behind the books' back."""

import random
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from protocol import events as ev
from protocol.node.books import Books
from protocol.node.tables import journal, stream_head
from tests.builders import EPOCHS, branch, received, sale
from tests.contracts.reading import kept

Boot = Callable[[str, int], Books]
EDITS = 100  # on each database
EDITS_AT_NIGHT = 5_000


@pytest.fixture
def central(boot: Boot) -> Books:
    """Two streams over several epochs, one of them with a fork."""
    books = boot("central", 50)
    trunk = branch("shop/a", [received("t1"), sale("t2"), received("t3")])
    old = branch("shop/a", [received("o1"), received("o2")], after=trunk[-1].position)
    new = branch("shop/a", [sale("n1"), sale("n2")], after=trunk[-1].position, epoch=EPOCHS[1])
    later = branch("shop/a", [sale("n3")], after=new[-1].position, epoch=EPOCHS[2])
    kept(books, trunk)
    kept(books, old, prev=trunk[-1].position.hash)
    kept(books, [*new])
    kept(books, later)
    kept(books, branch("all", [ev.PriceSet(sku="bun", price_minor=n) for n in range(5)]))
    assert books.verify() == []
    return books


def _edit(rng: random.Random, books: Books) -> tuple[str, int, str]:
    """Change one row at random; return stream, sequence and what was done."""
    with books.database.begin() as tx:
        rows = tx.execute(select(journal).order_by(journal.c.stream, journal.c.seq)).all()
        row = rng.choice(rows)
        at = (
            (journal.c.stream == row.stream)
            & (journal.c.seq == row.seq)
            & (journal.c.epoch == row.epoch)
        )
        what = rng.choice(["data", "data", "cut", "swap", "hash", "id", "type", "at_ms", "branch"])
        data = bytearray(row.data)
        values: dict[str, object]
        match what:
            case "data":
                data[rng.randrange(len(data))] ^= rng.randint(1, 255)
                values = {"data": bytes(data)}
            case "cut":
                values = {"data": bytes(data[: rng.randrange(len(data))])}
            case "swap":
                other = rng.choice([r for r in rows if r.hash != row.hash])
                values = {"data": other.data}
            case "hash":
                values = {"hash": rng.choice(["", "zz", "f" * 64, row.hash[:-1] + "é"])}
            case "id":
                values = {"id": "another"}
            case "type":
                values = {"type": rng.choice(["EpochStarted", "Another"])}
                if row.type == values["type"]:
                    values = {"type": "Another"}
            case "at_ms":
                values = {"at_ms": row.at_ms + rng.choice([-1, 1])}
            case _:
                values = {"branch": row.branch + 1}
        tx.execute(journal.update().where(at).values(**values))
    return row.stream, row.seq, what


def _restore(books: Books, rows: list[dict[str, object]]) -> None:
    with books.database.begin() as tx:
        tx.execute(journal.delete())
        tx.execute(journal.insert(), rows)


def _edit_often(central: Books, edits: int) -> None:
    rng = random.Random(edits)
    with central.database.reading() as c:
        whole = [dict(r._mapping) for r in c.execute(select(journal))]
    for n in range(edits):
        stream, seq, what = _edit(rng, central)
        faults = central.verify()
        assert faults, f"edit {n}: {what} of {stream} {seq} was not found"
        first = faults[0]
        assert first.stream == stream, (n, what, faults)
        # a flipped branch shows at the row itself or where its line then misses it
        near = 1 if what == "branch" else 0
        assert seq <= first.seq <= seq + near or what == "branch", (n, what, seq, faults)
        _restore(central, whole)
    assert central.verify() == []


def test_every_random_edit_is_found_and_named(central: Books) -> None:
    _edit_often(central, EDITS)


@pytest.mark.nightly
def test_thousands_of_random_edits_are_found_and_named(central: Books) -> None:
    _edit_often(central, EDITS_AT_NIGHT)


def test_a_row_taken_away_is_found(central: Books) -> None:
    with central.database.reading() as c:
        whole = [dict(r._mapping) for r in c.execute(select(journal))]
    for row in whole:
        with central.database.begin() as tx:
            tx.execute(journal.delete().where(journal.c.hash == row["hash"]))
        faults = central.verify()
        leaf = row["branch"] != 0 and row["seq"] == 6
        if not leaf:  # the end of a side branch has no head that names it
            assert faults, row["seq"]
            assert faults[0].stream == row["stream"]
        _restore(central, whole)


def test_a_row_put_in_is_found(central: Books) -> None:
    extra = branch("shop/a", [received("forged")], epoch=EPOCHS[9])
    for stored in extra:
        with central.database.begin() as tx:
            tx.execute(
                journal.insert(),
                {
                    "stream": "shop/a",
                    "seq": stored.position.seq + 20,
                    "epoch": EPOCHS[9],
                    "branch": 0,
                    "hash": stored.position.hash,
                    "type": "GoodsReceived",
                    "id": "f",
                    "at_ms": 1,
                    "data": stored.data,
                },
            )
        assert [f.stream for f in central.verify()] == ["shop/a"]


@pytest.mark.parametrize(
    "values", [{"seq": 2}, {"seq": 99}, {"hash": "f" * 64}, {"epoch": "f" * 16}]
)
def test_a_moved_head_is_found(central: Books, values: dict[str, object]) -> None:
    with central.database.begin() as tx:
        tx.execute(stream_head.update().where(stream_head.c.stream == "all").values(**values))
    faults = central.verify()
    assert [f.stream for f in faults] == ["all"]
    assert faults[0].code == "CHAIN_BROKEN"


def test_a_head_set_back_with_its_hash_is_found(central: Books) -> None:
    with central.database.begin() as tx:
        row = tx.execute(select(journal).where(journal.c.stream == "all", journal.c.seq == 3)).one()
        tx.execute(
            stream_head.update()
            .where(stream_head.c.stream == "all")
            .values(seq=3, hash=row.hash, epoch=row.epoch)
        )
    assert "go on" in central.verify()[0].detail


def test_a_missing_head_is_found(central: Books) -> None:
    with central.database.begin() as tx:
        tx.execute(stream_head.delete().where(stream_head.c.stream == "all"))
    assert [(f.stream, f.detail) for f in central.verify()] == [("all", "a stream without a head")]
    with central.database.begin() as tx:
        tx.execute(journal.delete().where(journal.c.stream == "shop/a"))
    assert {f.stream for f in central.verify()} == {"all", "shop/a"}


def test_verify_counts_what_it_walked(central: Books) -> None:
    with central.database.reading() as c:
        assert c.execute(select(func.count()).select_from(journal)).scalar() == 17


def test_text_in_place_of_bytes_is_found(boot: Boot) -> None:
    books = boot("central", 51)
    if not books.database.sqlite:
        return  # PostgreSQL keeps types
    kept(books, branch("all", [ev.PriceSet(sku="bun", price_minor=1)]))
    with books.database.begin() as tx:
        tx.exec_driver_sql("UPDATE journal SET data = CAST(data AS TEXT) WHERE seq = 2")
    assert [(f.stream, f.seq) for f in books.verify()] == [("all", 2)]
