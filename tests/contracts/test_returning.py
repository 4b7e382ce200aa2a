"""After a fork each machine of a shop gets back what it lacks of its own journal."""

from collections.abc import Callable, Sequence
from pathlib import Path

from protocol.journal import Position, Stored
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.returning import Returning
from protocol.node.sending import newest
from protocol.node.sqljournal import SqlRecords
from protocol.wire import Batch, Cursor
from tests.builders import EPOCHS, books_at, branch, make_batch, received
from tests.contracts.reading import kept

S = "shop/a"
TRUNK = branch(S, [received("t1"), received("t2")])
MINE = branch(S, [received("m1"), received("m2")], after=TRUNK[-1].position)
COPY = branch(S, [received("c1")], after=TRUNK[-1].position, epoch=EPOCHS[1])
LATER = branch(S, [received("m3")], after=MINE[-1].position)


def _make(_stream: str, previous: Position, events: Sequence[Stored]) -> Batch:
    return make_batch(events, prev=previous.hash)


def _returned(books: Books, returning: Returning) -> list[str]:
    """All that is given back, each batch acknowledged."""
    hashes: list[str] = []
    now_ms = 0
    while True:
        now_ms += 10_000
        with books.database.reading() as connection:
            due = returning.due(connection, now_ms, _make)
        if not due:
            return hashes
        for _, batch in due:
            hashes.append(batch.last)
            end = Cursor(
                stream=S, epoch=batch.epoch, upto=batch.first + batch.n - 1, hash=batch.last
            )
            assert returning.acked("a", end)


def test_a_fork_stays_said_when_more_of_its_line_came_in_the_same_group() -> None:
    """Else nobody would give the other branch back until the next greeting."""
    fork = Cursor(stream=S, epoch="e", upto=5, hash="h5", status="fork")
    later = Cursor(stream=S, epoch="e", upto=6, hash="h6")
    gap = Cursor(stream=S, epoch="e", upto=6, hash="h6", status="gap")
    told = newest(newest(None, fork), later)
    assert (told.status, told.upto, told.hash) == ("fork", 6, "h6")
    assert newest(None, later) == newest(later, later) == later
    assert newest(fork, gap) == gap


def _forked(boot: Callable[[str, int], Books]) -> Books:
    """The copied disk came second, so its line is head office's main one."""
    books = boot("central", 50)
    kept(books, TRUNK)
    kept(books, MINE, prev=TRUNK[-1].position.hash)
    kept(books, COPY)
    kept(books, LATER, prev=MINE[-1].position.hash)
    return books


def test_a_machine_on_the_side_branch_gets_the_main_line_too(
    boot: Callable[[str, int], Books],
) -> None:
    books = _forked(boot)
    returning = Returning()
    with books.database.reading() as connection:
        returning.greet(connection, "a", S, on_main_line=False)
    assert _returned(books, returning) == [COPY[-1].position.hash, LATER[-1].position.hash]


def test_a_machine_on_the_main_line_gets_what_gave_way(
    boot: Callable[[str, int], Books],
) -> None:
    books = _forked(boot)
    returning = Returning()
    with books.database.reading() as connection:
        returning.greet(connection, "a", S)
    assert _returned(books, returning) == [LATER[-1].position.hash]


def test_after_a_fork_its_writer_gets_both(boot: Callable[[str, int], Books]) -> None:
    """Which of two machines it is that speaks now, nobody knows yet."""
    books = _forked(boot)
    returning = Returning()
    returning.forked("a", S)
    assert _returned(books, returning) == [COPY[-1].position.hash, LATER[-1].position.hash]


def test_what_a_branch_grew_from_is_given_back_before_it(
    boot: Callable[[str, int], Books], tmp_path: Path
) -> None:
    """The later of two forks has the higher number, and the earlier branch may grow from it."""
    books = boot("central", 50)
    third = branch(S, [received("x1")], after=MINE[0].position, epoch=EPOCHS[3])
    second = branch(S, [received("s1")], after=TRUNK[-1].position, epoch=EPOCHS[2])
    kept(books, TRUNK)
    kept(books, MINE, prev=TRUNK[-1].position.hash)
    kept(books, third, prev=MINE[0].position.hash)
    kept(books, second, prev=TRUNK[-1].position.hash)
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    shop = books_at(database, "b", EPOCHS[51])
    kept(shop, TRUNK)
    kept(shop, second, prev=TRUNK[-1].position.hash)

    def taken(stream: str, previous: Position, events: Sequence[Stored]) -> Batch:
        kept(shop, events, prev=previous.hash)  # a gap would be no verdict
        return _make(stream, previous, events)

    returning, now_ms = Returning(), 0
    with books.database.reading() as connection:
        returning.greet(connection, "a", S)
        while due := returning.due(connection, now_ms := now_ms + 10_000, taken):
            ((_, batch),) = due
            end = batch.first + batch.n - 1
            told = Cursor(stream=S, epoch=batch.epoch, upto=end, hash=batch.last)
            assert returning.acked("a", told)
    with database.reading() as connection:
        records = SqlRecords(connection)
        assert all(records.find(S, e.position.hash) for e in (*MINE, *third, *second))
    database.close()


def test_without_a_fork_nothing_is_given_back(boot: Callable[[str, int], Books]) -> None:
    books = boot("central", 50)
    kept(books, TRUNK)
    returning = Returning()
    with books.database.reading() as connection:
        returning.greet(connection, "a", S, on_main_line=False)
    assert _returned(books, returning) == []


def test_a_shop_offers_its_branches_once_to_each_epoch_of_head_office(
    boot: Callable[[str, int], Books],
) -> None:
    books = _forked(boot)
    returning = Returning()
    told = []
    for epoch in (EPOCHS[0], EPOCHS[0], EPOCHS[1]):
        with books.database.reading() as connection:
            returning.offer(connection, "a", S, epoch=epoch)
        told.append(_returned(books, returning))
    assert told == [[LATER[-1].position.hash], [], [LATER[-1].position.hash]]


def test_a_head_office_that_was_set_back_gets_the_branches_from_the_shop(
    central: Books, tmp_path: Path
) -> None:
    """Its backup is older than the fork, and the machine that wrote the branch is gone."""
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    shop = _forked(lambda _, n: books_at(database, "a", EPOCHS[n]))
    kept(central, TRUNK)
    kept(central, [*MINE, *LATER], prev=TRUNK[-1].position.hash)
    returning = Returning()
    with shop.database.reading() as connection:
        returning.offer(connection, "a", S, epoch=EPOCHS[0])
        ((_, batch),) = returning.due(connection, 10_000, _make)
    assert batch.last == COPY[-1].position.hash
    kept(central, COPY, prev=batch.prev)
    database.close()
    with central.database.reading() as connection:
        records = SqlRecords(connection)
        assert all(records.find(S, e.position.hash) for e in (*MINE, *COPY, *LATER))
