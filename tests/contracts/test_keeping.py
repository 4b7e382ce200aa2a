"""A group of batches kept together leaves what the same batches leave one by one."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from protocol.codec import INTEGER_MAX
from protocol.errors import Corrupt
from protocol.journal import Stored
from protocol.node.books import Books
from protocol.node.bulk import array_literal, copy_text, copying, plain_lines
from protocol.node.database import Database
from protocol.node.keeping import Keeping
from protocol.node.sqljournal import SqlRecords
from protocol.replication import Accepted, Gap, Known, Verdict, judge
from protocol.wire import Batch
from tests.builders import EPOCHS, books_at, branch, make_batch, raw, received, sale
from tests.contracts.reading import keep, parked_reasons, snapshot
from tests.contracts.test_poison import crafted
from tests.servers import PostgresServer

Boot = Callable[[str, int], Books]


def together(books: Books, batches: list[Batch]) -> list[Verdict]:
    """As the replicator keeps a group."""
    verdicts = []
    with books.begin() as tx:
        keeping = Keeping(books, tx, [b.stream for b in batches], at_ms=1)
        for batch in batches:
            verdict = judge(batch, keeping)
            if isinstance(verdict, Accepted):
                keeping.keep(verdict)
            verdicts.append(verdict)
        keeping.finish()
    return verdicts


def _cut(rng: random.Random, stored: list[Stored]) -> list[Batch]:
    """A stream in batches of random sizes, none over two epochs."""
    batches, prev = [], ""
    while stored:
        size = rng.randint(1, 5)
        epoch = stored[0].position.epoch
        part = [s for s in stored[:size] if s.position.epoch == epoch]
        batches.append(make_batch(part, prev=prev))
        prev, stored = part[-1].position.hash, stored[len(part) :]
    return batches


def _stream(rng: random.Random, store: str) -> list[Stored]:
    stream = f"shop/{store}"
    bodies = [
        rng.choice([sale(f"{store}{n}", sku=rng.choice("abc")), received(f"{store}{n}")])
        for n in range(rng.randint(5, 25))
    ]
    trunk = branch(stream, bodies)
    bad = crafted("SaleCompleted", {"no": "sale"}, after=trunk[-1].position, stream=stream)
    return [*trunk, bad, *branch(stream, bodies[:3], after=bad.position, epoch=EPOCHS[1])]


@pytest.mark.parametrize("seed", range(4))
def test_together_is_as_good_as_one_by_one(
    seed: int, database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With repetitions, gaps and a fork among them, streams mixed at random."""
    rng = random.Random(seed)
    lines = {store: _stream(rng, store) for store in "pqr"}
    forked = branch("shop/p", [received("other")], after=lines["p"][2].position, epoch=EPOCHS[2])
    queues = [_cut(rng, list(line)) for line in lines.values()]
    order = [queues[0][-1]]  # the last one first: a gap
    while any(queues):
        queue = rng.choice([q for q in queues if q])
        order.append(queue.pop(0))
        if rng.random() < 0.2:
            order.append(rng.choice(order))  # again
        if queue and rng.random() < 0.1:
            order.append(queue[-1])  # too early
    order.append(make_batch(forked))
    singly = Database(f"sqlite:///{tmp_path_factory.mktemp('singly') / 'b.db'}")
    other = Database(database_url)
    try:
        one, many = books_at(singly, "central", EPOCHS[50]), books_at(other, "central", EPOCHS[50])
        alone: list[Verdict] = []
        for batch in order:
            with one.begin() as tx:
                verdict = judge(batch, SqlRecords(tx))
                if isinstance(verdict, Accepted):
                    one.keep(tx, verdict, at_ms=1)
            alone.append(verdict)
        grouped: list[Verdict] = []
        while order:
            size = rng.randint(1, 12)
            grouped += together(many, order[:size])
            order = order[size:]
        assert [type(v) for v in grouped] == [type(v) for v in alone]
        assert {type(v) for v in alone} == {Accepted, Known, Gap}
        assert snapshot(many) == snapshot(one)
        assert len(parked_reasons(many, "shop/p")) == 1
        assert many.verify() == []
        before = snapshot(many)
        many.rebuild()
        assert snapshot(many) == before
    finally:
        singly.close()
        other.close()


def test_what_is_parked_depends_on_the_event_alone(boot: Boot) -> None:
    """A figure too large that its own event takes back, a bad row that a later one replaces."""
    huge = {"document": "d", "supplier": "s"}
    lines = [{"sku": "x", "qty_milli": INTEGER_MAX}, {"sku": "x", "qty_milli": -INTEGER_MAX}]
    trunk = branch("shop/a", [received("t")])
    both = crafted("GoodsReceived", {**huge, "lines": lines}, after=trunk[-1].position)
    after = branch("shop/a", [received("l")], after=both.position)
    named = branch("all", [])
    group = {"group": "g", "name": {"en": "a\0b"}}
    bad = crafted("GroupDefined", group, after=named[-1].position, stream="all")
    good = crafted(
        "GroupDefined", {"group": "g", "name": {"en": "ok"}}, after=bad.position, stream="all"
    )
    books = boot("central", 50)
    together(books, [make_batch([*trunk, both, *after]), make_batch([*named, bad, good])])
    assert list(parked_reasons(books, "shop/a")) == [both.position.seq]
    assert list(parked_reasons(books, "all")) == [bad.position.seq]
    before = snapshot(books)
    books.rebuild()
    assert snapshot(books) == before


def test_a_name_that_no_index_holds_in_a_large_group_is_parked_alone(boot: Boot) -> None:
    """So much before it that the database has the rows in hand when it comes."""
    basket = sale().lines * 20
    trunk = branch("shop/a", [sale(f"s{n}", lines=basket) for n in range(90)])
    lines = [{"sku": "".join(map(str, range(9000))), "qty_milli": 1}]
    body = {"document": "d", "supplier": "s", "lines": lines}
    bad = crafted("GoodsReceived", body, after=trunk[-1].position)
    more = branch("shop/a", [sale(f"t{n}", lines=basket) for n in range(90)], after=bad.position)
    books = boot("central", 50)
    batches = [
        make_batch(trunk),
        make_batch([bad], prev=trunk[-1].position.hash),
        make_batch(more, prev=bad.position.hash),
    ]
    assert all(isinstance(v, Accepted) for v in together(books, batches))
    assert list(parked_reasons(books, "shop/a")) == [bad.position.seq]
    before = snapshot(books)
    books.rebuild()
    assert snapshot(books) == before


def test_a_broken_batch_among_good_ones_spoils_none(central: Books) -> None:
    good, other = branch("shop/a", [received("1")]), branch("shop/b", [received("2")])
    broken = make_batch(other)
    broken = Batch(
        **{f: getattr(broken, f) for f in broken.__struct_fields__} | {"events": (raw({}), raw({}))}
    )
    with central.begin() as tx:
        keeping = Keeping(central, tx, ["shop/a", "shop/b"], at_ms=1)
        verdict = judge(make_batch(good), keeping)
        assert isinstance(verdict, Accepted)
        keeping.keep(verdict)
        with pytest.raises(Corrupt):
            judge(broken, keeping)
        assert len(keeping.finish()) == len(good)
    assert isinstance(keep(central, other), Accepted)
    assert central.verify() == []


TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    | st.sampled_from(['"', "\\", "\\N", "{}", "NULL", "a,b", "\t", "\n", "\r\n", "\\.", ""]),
    min_size=1,
)


@given(texts=TEXTS)
def test_postgres_reads_back_what_was_sent_in_bulk(
    postgres: PostgresServer, texts: list[str]
) -> None:
    database = Database(postgres.url())
    try:
        with database.begin() as tx:
            back = tx.exec_driver_sql("SELECT * FROM unnest(%s::text[])", (array_literal(texts),))
            assert list(back.scalars()) == texts
            tx.execute(text("CREATE TEMP TABLE t (n int, v text) ON COMMIT DROP"))
            plain = plain_lines([f"{n}\t{v}" for n, v in enumerate(texts)], 2)
            for way in filter(None, (copy_text(list(enumerate(texts))), plain)):
                with copying(tx, "COPY t FROM STDIN") as copy:
                    copy.write(way)
                back = tx.execute(text("SELECT v FROM t ORDER BY n"))
                assert list(back.scalars()) == texts
                tx.execute(text("TRUNCATE t"))
    finally:
        database.close()
