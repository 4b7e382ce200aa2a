"""Verbs at once from several threads, and what pages hear of a commit."""

import queue
import threading

import msgspec
import pytest

from central.compose import HeadOffice
from central.people import Person
from promotions.ruleset import compile_rules
from protocol.node.hub import Fact
from protocol.node.sqljournal import SqlRecords
from tests.central.shops import TZ, Shop


def _together(*works: object) -> list[BaseException]:
    faults: list[BaseException] = []

    def guarded(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as fault:  # noqa: BLE001 - the test shows them all
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return faults


def test_verbs_at_once_lose_nothing(office: HeadOffice, shops: dict[str, Shop]) -> None:
    a, b = shops["A"], shops["B"]
    for n in range(10):
        a.dispatch(f"a{n}", "B", X=1_000)
        b.dispatch(f"b{n}", "A", X=1_000)

    def groups(name: str) -> None:
        for n in range(10):
            office.catalogue.define_group(f"{name}{n}", zh="组", en="g", by=name)

    def people() -> None:
        for n in range(3):
            person = Person(person=f"p{n}", name="P", role="cashier", stores=("A", "B"))
            office.people.add_person(person, pin=f"90{n}1", by="x")

    faults = _together(
        lambda: groups("g"),
        lambda: groups("h"),
        people,
        lambda: a.deliver(office),
        lambda: b.deliver(office),
    )
    assert faults == []
    assert office.books.verify() == []
    assert len(office.catalogue.groups()) == 20
    assert len(office.transfers.in_transit()) == 20
    assert len(office.people.people()) == 3
    with office.books.database.reading() as connection:
        heads = {s: SqlRecords(connection).head(s).seq for s in ("to/A", "to/B")}
    assert heads == {"to/A": 14, "to/B": 14}  # the epoch, ten transfers, three people


def _drained(facts: "queue.Queue[Fact]") -> dict[str, object]:
    found = {}
    while not facts.empty():
        fact = facts.get()
        found[fact.topic] = msgspec.json.decode(fact.data)
    return found


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_pages_hear_what_a_commit_changed(office: HeadOffice, shops: dict[str, Shop]) -> None:
    rules = compile_rules([], TZ)
    with office.hub.subscribe() as facts:
        office.catalogue.define_group("bread", zh="面包", en="Bread", by="ann")
        assert _drained(facts)["catalogue"] == {"streams": ["all"]}
        shops["A"].sell(rules, "s1", ("X", "bread", 100, 1000))
        shops["A"].sell(rules, "s2", ("X", "bread", 100, 1000))
        shops["A"].dispatch("t1", "B", X=1_000)
        shops["A"].deliver(office)
        heard = _drained(facts)
    assert heard["sale"] == {"stores": {"A": 2}}
    assert heard["transfer"] == {"streams": ["shop/A", "to/B"]}
