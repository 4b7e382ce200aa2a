"""The journal's contract, on SQLite and PostgreSQL: append, keep, gaps, forks."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from protocol import events as ev
from protocol.codec import decode
from protocol.errors import Corrupt, Refusal
from protocol.journal import ORIGIN, Position, verify
from protocol.node import sqljournal
from protocol.node.books import Books
from protocol.node.sqljournal import Recorded, SqlRecords, read_line, shared_epoch
from protocol.node.tables import fork, journal, peer_ack
from protocol.replication import Accepted, Gap, Known
from tests.builders import EPOCHS, branch, draft, received, sale
from tests.contracts.reading import ids, keep, kept, line, stock

Boot = Callable[[str, int], Books]


def say(books: Books, stream: str, *names: str) -> list[Recorded]:
    """Append a receipt of goods per name."""
    with books.begin() as tx:
        return books.record(tx, {stream: [draft(received(n), n) for n in names]})


def test_what_is_appended_stands_in_order_and_verifies(shop: Books) -> None:
    heard: list[str] = []
    shop.listeners.append(lambda recorded: heard.extend(ids(recorded)))
    for n in range(3):
        assert ids(say(shop, "shop/a", f"in-{n}")) == [f"in-{n}"]
    assert line(shop, "shop/a") == [
        (1, f"epoch-{EPOCHS[0]}"),
        (2, "in-0"),
        (3, "in-1"),
        (4, "in-2"),
    ]
    assert heard == ["in-0", "in-1", "in-2"]
    with shop.database.reading() as c:
        rows = read_line(c, "shop/a", 0, limit=10)
        assert verify("shop/a", rows) == SqlRecords(c).head("shop/a")
    assert shop.verify() == []
    assert stock(shop) == {("shop/a", "bun"): 3000, ("supplier/a", "bun"): -3000}


def test_the_same_id_is_one_event(shop: Books) -> None:
    assert ids(say(shop, "shop/a", "x", "y", "x")) == ["x", "y"]
    assert ids(say(shop, "shop/a", "x")) == []
    assert ids(say(shop, "shop/a", "x", "z", "z")) == ["z"]
    assert [i for _, i in line(shop, "shop/a")][1:] == ["x", "y", "z"]
    assert ids(say(shop, "shop/b", "x")) == ["x"]  # another stream, another document
    assert stock(shop)["shop/a", "bun"] == 3000


def test_known_ids_are_asked_for_in_bounded_numbers(
    shop: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Databases bound the parameters of a statement; an import may bring more documents."""
    say(shop, "shop/a", "x0", "x17", "x34")
    monkeypatch.setattr(sqljournal, "IDS_AT_ONCE", 10)
    names = [f"x{n}" for n in range(35)]
    assert ids(say(shop, "shop/a", *names)) == [n for n in names if n not in {"x0", "x17", "x34"}]


def test_nothing_stands_after_a_failure(shop: Books) -> None:
    heard: list[str] = []
    shop.listeners.append(lambda recorded: heard.extend(ids(recorded)))
    say(shop, "shop/a", "x")

    def give_up() -> None:
        with shop.begin() as tx:
            shop.record(tx, {"shop/a": [draft(received("y"), "y")]})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()
    both = [draft(received("y"), "y"), draft(received(sku="\0"), "z")]
    with pytest.raises(Refusal), shop.begin() as tx:
        shop.record(tx, {"shop/a": both})
    assert [i for _, i in line(shop, "shop/a")][1:] == ["x"]
    assert stock(shop)["shop/a", "bun"] == 1000
    assert heard == ["x"]
    say(shop, "shop/a", "y")
    assert heard == ["x", "y"]
    assert shop.verify() == []


def test_a_reboot_starts_an_epoch_that_names_its_parent(boot: Boot) -> None:
    say(boot("a", 0), "shop/a", "x")
    later = boot("a", 1)
    with later.database.reading() as c:
        before = SqlRecords(c).head("shop/a")
    first, _ = say(later, "shop/a", "y")
    assert first.envelope.type == "EpochStarted"
    assert first.envelope.epoch == EPOCHS[1]
    assert (first.body.parent_epoch, first.body.parent_seq) == (EPOCHS[0], before.seq)  # type: ignore[union-attr]
    assert first.body.parent_hash == before.hash  # type: ignore[union-attr]
    say(later, "shop/a", "z")
    assert [n for n, _ in line(later, "shop/a")] == [1, 2, 3, 4, 5]
    assert later.verify() == []
    boot("a", 2)  # a boot without an append leaves no trace
    assert later.verify() == []


def test_several_streams_in_one_transaction(central: Books) -> None:
    with central.begin() as tx:
        said = central.record(
            tx,
            {
                s: [draft(ev.GroupDefined(group="g", name={"en": "g"}), "x")]
                for s in ("zone/z", "all", "to/a")
            },
        )
    assert [r.stored.stream for r in said if r.envelope.id == "x"] == ["all", "to/a", "zone/z"]
    assert central.verify() == []


def test_threads_append_at_once_and_none_is_lost(shop: Books) -> None:
    faults: list[Exception] = []

    def work(name: str) -> None:
        try:
            for n in range(40):
                say(shop, "shop/a", f"{name}-{n}")
        except Exception as fault:  # noqa: BLE001 - reported below
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert _written(shop, "shop/a") == {f"t{t}-{n}" for t in range(2) for n in range(40)}


def _written(books: Books, stream: str) -> set[str]:
    assert books.verify() == []
    found = line(books, stream)
    assert [n for n, _ in found] == list(range(1, len(found) + 1))
    names = [i for _, i in found if not i.startswith("epoch-")]
    assert len(names) == len(set(names))
    return set(names)


def test_processes_append_at_once_and_none_is_lost(central: Books, database_url: str) -> None:
    command = [sys.executable, "-m", "tests.contracts.appender", database_url, "central"]
    processes = [
        subprocess.Popen(
            [*command, EPOCHS[50], name, "40"],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
        )
        for name in ("p", "q")
    ]
    for process in processes:
        _, words = process.communicate(timeout=60)
        assert process.returncode == 0, words.decode()
    for stream in ("shop/a", "shop/b"):
        assert _written(central, stream) == {f"{p}-{n}" for p in "pq" for n in range(40)}


def test_head_office_has_one_epoch(central: Books) -> None:
    with central.database.begin() as tx:
        assert shared_epoch(tx, "central", "a" * 16) == "a" * 16
    with central.database.begin() as tx:
        assert shared_epoch(tx, "central", "b" * 16) == "a" * 16


# -- as a follower ------------------------------------------------------------------------------


def test_a_follower_keeps_what_continues_its_cursor(central: Books) -> None:
    events = branch("shop/a", [received(f"{n}") for n in range(6)])
    assert kept(central, events[:3]) == events[2].position
    assert kept(central, events[3:], prev=events[2].position.hash) == events[-1].position
    assert isinstance(keep(central, events[:3]), Known)
    verdict = keep(central, events[2:5], prev=events[1].position.hash)
    assert verdict == Known(events[4].position)
    with central.database.reading() as c:
        assert read_line(c, "shop/a", 0, limit=100) == events
        assert SqlRecords(c).head("shop/a") == events[-1].position
    assert central.verify() == []
    assert stock(central)["shop/a", "bun"] == 6000


def test_a_batch_that_overlaps_brings_only_what_is_new(central: Books) -> None:
    events = branch("shop/a", [received(f"{n}") for n in range(6)])
    kept(central, events[:4])
    verdict = keep(central, events[1:], prev=events[0].position.hash)
    assert isinstance(verdict, Accepted)
    assert list(verdict.events) == events[4:]
    assert stock(central)["shop/a", "bun"] == 6000


def test_a_gap_changes_nothing_and_asks(central: Books) -> None:
    events = branch("shop/a", [received(f"{n}") for n in range(6)])
    assert keep(central, events[3:], prev=events[2].position.hash) == Gap(ORIGIN)
    kept(central, events[:2])
    gap = keep(central, events[3:], prev=events[2].position.hash)
    assert gap == Gap(events[1].position)
    assert stock(central)["shop/a", "bun"] == 1000
    assert central.verify() == []


def test_a_gap_before_a_new_epoch_is_a_gap(central: Books) -> None:
    first = branch("shop/a", [received(f"{n}") for n in range(3)])
    second = branch("shop/a", [received("y")], after=first[-1].position, epoch=EPOCHS[1])
    kept(central, first[:2])
    assert keep(central, second) == Gap(first[1].position)


def _forked() -> tuple[list, list, list]:  # type: ignore[type-arg]
    """A trunk and two children of its last event."""
    trunk = branch("shop/a", [received("t1"), received("t2")])
    old = branch("shop/a", [received("o1"), received("o2")], after=trunk[-1].position)
    new = branch("shop/a", [received("n1")], after=trunk[-1].position, epoch=EPOCHS[1])
    return trunk, old, new


def test_a_fork_of_a_followed_stream_keeps_and_counts_both_branches(central: Books) -> None:
    trunk, old, new = _forked()
    kept(central, trunk)
    kept(central, old, prev=trunk[-1].position.hash)
    verdict = keep(central, new)
    assert isinstance(verdict, Accepted)
    assert verdict.fork
    with central.database.reading() as c:
        assert SqlRecords(c).head("shop/a") == new[-1].position
        assert read_line(c, "shop/a", 0, limit=100) == [*trunk, *new]
        for event in old:
            assert SqlRecords(c).find("shop/a", event.position.hash) == event.position
        found = c.execute(select(fork)).one()
    assert (found.parent_seq, found.old_tip_seq) == (trunk[-1].position.seq, old[-1].position.seq)
    assert stock(central)["shop/a", "bun"] == 5000
    assert central.verify() == []
    more = branch("shop/a", [received("n2")], after=new[-1].position, epoch=EPOCHS[1])
    kept(central, more, prev=new[-1].position.hash)
    older = branch("shop/a", [received("o3")], after=old[-1].position)
    kept(central, older, prev=old[-1].position.hash)
    assert isinstance(keep(central, old, prev=trunk[-1].position.hash), Known)
    assert stock(central)["shop/a", "bun"] == 7000
    assert central.verify() == []


def test_what_arrives_late_of_a_dead_branch_does_not_become_the_main_line(central: Books) -> None:
    """The incarnation that lives is the one that started an epoch, whatever comes first."""
    trunk, old, new = _forked()
    kept(central, trunk)
    kept(central, new)
    verdict = keep(central, old, prev=trunk[-1].position.hash)
    assert isinstance(verdict, Accepted)
    assert verdict.fork
    with central.database.reading() as c:
        assert SqlRecords(c).head("shop/a") == new[-1].position
        assert len(c.execute(select(fork)).all()) == 1
    older = branch("shop/a", [received("o3")], after=old[-1].position)
    kept(central, older, prev=old[-1].position.hash)
    assert stock(central)["shop/a", "bun"] == 6000
    assert central.verify() == []


@pytest.mark.parametrize("rebooted", [False, True])
def test_a_fork_in_our_own_stream_leaves_our_line_the_main_one(boot: Boot, rebooted: bool) -> None:
    """A restored shop sold before it asked; its lost events come back, even after a reboot.

    What it sold must stay on the line that is sent, or head office would never hear of it.
    """
    shop = boot("a", 5)
    trunk, old, _ = _forked()
    kept(shop, trunk)
    mine = say(shop, "shop/a", "mine")
    if rebooted:
        shop = boot("a", 6)
    verdict = keep(shop, old, prev=trunk[-1].position.hash)
    assert isinstance(verdict, Accepted)
    with shop.database.reading() as c:
        assert SqlRecords(c).head("shop/a") == mine[-1].stored.position
        assert [s.position for s in read_line(c, "shop/a", 0, limit=100)] == [
            *(s.position for s in trunk),
            *(r.stored.position for r in mine),
        ]
    assert stock(shop)["shop/a", "bun"] == 5000
    say(shop, "shop/a", "more")
    assert shop.verify() == []
    assert [i for _, i in line(shop, "shop/a")][-1] == "more"


def test_lost_events_come_back_before_the_restored_shop_acts(boot: Boot) -> None:
    shop = boot("a", 5)
    trunk, old, _ = _forked()
    kept(shop, trunk)
    assert kept(shop, old, prev=trunk[-1].position.hash) == old[-1].position
    say(shop, "shop/a", "mine")
    assert [i for _, i in line(shop, "shop/a")][-1] == "mine"
    assert shop.verify() == []
    with shop.database.reading() as c:
        assert c.execute(select(fork)).first() is None


def test_three_children_of_one_parent(central: Books) -> None:
    trunk, old, new = _forked()
    third = branch("shop/a", [received("x")], after=trunk[-1].position, epoch=EPOCHS[2])
    kept(central, trunk)
    kept(central, old, prev=trunk[-1].position.hash)
    kept(central, new)
    kept(central, third)
    assert stock(central)["shop/a", "bun"] == 6000
    assert central.verify() == []
    with central.database.reading() as c:
        assert len(c.execute(select(fork)).all()) >= 1
        assert SqlRecords(c).head("shop/a") == third[-1].position


def test_two_events_of_one_epoch_at_one_place_are_refused_not_a_crash(central: Books) -> None:
    """A running machine was copied: the same epoch says two things. Nothing is overwritten."""
    trunk = branch("shop/a", [received("t1")])
    one = branch("shop/a", [received("one")], after=trunk[-1].position)
    other = branch("shop/a", [received("other")], after=trunk[-1].position)
    kept(central, trunk)
    kept(central, one, prev=trunk[-1].position.hash)
    with pytest.raises(Corrupt) as caught:
        keep(central, other, prev=trunk[-1].position.hash)
    assert caught.value.code == "CHAIN_BROKEN"
    assert "epoch" in str(caught.value)
    assert central.verify() == []
    assert stock(central)["shop/a", "bun"] == 2000


def test_what_a_peer_acknowledged_is_kept(shop: Books) -> None:
    for seq in (3, 2):
        with shop.database.begin() as tx:
            shop.journal.save_ack(tx, "central", "shop/a", Position(EPOCHS[0], seq, "a" * 64))
    with shop.database.reading() as c:
        assert c.execute(select(peer_ack.c.seq)).scalars().all() == [2]


def test_records_answer_about_branches(central: Books) -> None:
    trunk, old, new = _forked()
    kept(central, trunk)
    kept(central, old, prev=trunk[-1].position.hash)
    kept(central, new)
    with central.database.reading() as c:
        records = SqlRecords(c)
        assert records.head("shop/none") == ORIGIN
        assert records.find("shop/a", "f" * 64) is None
        assert records.find("shop/b", trunk[0].position.hash) is None
        assert records.has_child("shop/a", trunk[-1].position)
        assert records.has_child("shop/a", old[0].position)
        assert not records.has_child("shop/a", old[-1].position)
        assert not records.has_child("shop/a", new[-1].position)
        assert records.has_child("shop/a", ORIGIN)
        assert records.hash_at("shop/a", 4) == new[0].position.hash
        assert records.hash_at("shop/a", 99) is None
        assert records.epoch_parent_seq("shop/a", 5) == 3
        assert records.epoch_parent_seq("shop/a", 3) == 0


def test_ids_on_a_side_branch_count_as_known(boot: Boot) -> None:
    """The till repeats a sale after the restore; its first copy came back from head office."""
    shop = boot("a", 5)
    trunk = branch("shop/a", [received("t")])
    lost = branch("shop/a", [sale("s-1")], after=trunk[-1].position)
    kept(shop, trunk)
    say(shop, "shop/a", "mine")
    kept(shop, lost, prev=trunk[-1].position.hash)
    assert ids(say(shop, "shop/a", decode(lost[0].data).id)) == []


def test_the_journal_keeps_bytes_as_they_came(central: Books) -> None:
    events = branch("shop/a", [received("x")])
    kept(central, events)
    with central.database.reading() as c:
        stored = c.execute(select(journal.c.data).order_by(journal.c.seq)).scalars().all()
    assert [bytes(b) for b in stored] == [e.data for e in events]
