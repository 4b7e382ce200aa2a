"""The journal by months on PostgreSQL: nothing changes but where rows lie."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from protocol.codec import INTEGER_MAX
from protocol.journal import Position, Stored, chain
from protocol.node import partitioning
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.partitioning import AHEAD, make_ahead, month_of, name_of, partition, starts
from protocol.node.sqljournal import SqlJournal, read_line
from protocol.node.tables import journal, read, truth
from tests.builders import EPOCHS, NOON_MS, branch, received
from tests.contracts.reading import kept, line
from tests.contracts.test_poison import crafted
from tests.servers import PostgresServer

GOODS = {"document": "d", "supplier": "s", "lines": [{"sku": "bun", "qty_milli": 1000}]}


def dated(after: Position, at_ms: int) -> Stored:
    """An event whose writer says that it is that late."""
    return crafted("GoodsReceived", {**GOODS, "document": f"d{at_ms}"}, after=after, ts=at_ms)


def where(books: Books) -> dict[str, int]:
    """Partition -> rows."""
    with books.database.reading() as c:
        rows = c.execute(text("SELECT tableoid::regclass::text, count(*) FROM journal GROUP BY 1"))
        return dict(map(tuple, rows))


@pytest.fixture
def one_table(postgres: PostgresServer) -> Books:
    """A journal from before months."""
    books = Books(Database(postgres.fresh_database()), SqlJournal("central", EPOCHS[50]))
    truth.create_all(books.database.write)
    read.create_all(books.database.write)
    yield books
    books.database.close()


def test_one_table_becomes_months_and_keeps_every_row(one_table: Books) -> None:
    trunk = branch("shop/a", [received(f"in{n}") for n in range(20)])
    kept(one_table, trunk)
    before = line(one_table, "shop/a")
    with one_table.database.begin() as tx:
        partition(tx, NOON_MS)
        partition(tx, NOON_MS)  # again: nothing to do
    assert line(one_table, "shop/a") == before
    assert one_table.verify() == []
    assert where(one_table) == {"journal_before": 21}
    year, month = month_of(NOON_MS)
    in_two_months = starts(year, month + 2) + 5
    late = dated(trunk[-1].position, in_two_months)
    far = dated(late.position, NOON_MS * 3)
    old = dated(far.position, 1)
    kept(one_table, [late, far, old], prev=trunk[-1].position.hash)
    found = where(one_table)
    assert found == {"journal_before": 22, name_of(in_two_months): 1, "journal_rest": 1}
    assert one_table.verify() == []
    assert one_table.rebuild() == 24


def test_a_month_takes_what_waited_among_the_rest(one_table: Books) -> None:
    trunk = branch("shop/a", [received("t")])
    kept(one_table, trunk)
    with one_table.database.begin() as tx:
        partition(tx, NOON_MS)
    year, month = month_of(NOON_MS)
    later = starts(year, month + AHEAD + 4) + 1
    early = dated(trunk[-1].position, later)
    kept(one_table, [early], prev=trunk[-1].position.hash)
    assert where(one_table)["journal_rest"] == 1
    with one_table.database.begin() as tx:
        made = make_ahead(tx, later)
        assert made[0] == name_of(later)
        assert len(made) == AHEAD + 1
        assert make_ahead(tx, later) == []
    assert where(one_table) == {"journal_before": 2, name_of(later): 1}
    with one_table.database.reading() as c:
        assert [s.position for s in read_line(c, "shop/a", 2, limit=9)] == [early.position]
        plan = c.execute(text("EXPLAIN SELECT * FROM journal WHERE at_ms = :t"), {"t": later})
        assert name_of(later) in "".join(plan.scalars())
    again = chain(trunk[-1].position.hash, early.data)
    assert again == early.position.hash


def test_head_office_makes_its_months_ahead(postgres: PostgresServer, one_table: Books) -> None:
    del postgres
    one_table.create()
    with one_table.database.reading() as c:
        assert partitioning.is_partitioned(c)
        names = partitioning.partitions(c)
        assert len([n for n in names if n[8:12].isdigit()]) == AHEAD
        assert c.execute(select(func.count()).select_from(journal)).scalar() == 0


@given(at_ms=st.integers(0, 4_000_000_000_000))
def test_every_instant_lies_in_its_month(at_ms: int) -> None:
    year, month = month_of(at_ms)
    assert starts(year, month) <= at_ms < starts(year, month + 1)
    assert name_of(at_ms) == name_of(starts(year, month))
    assert at_ms < INTEGER_MAX
