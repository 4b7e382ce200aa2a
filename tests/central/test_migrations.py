"""Migrations make what the code declares; the epoch is minted once per database."""

from central.compose import HeadOffice, compose
from central.migrations import check, upgrade
from central.settings import Settings
from protocol.node.sqljournal import SqlRecords
from tests.central.conftest import TestClock
from tests.central.shops import Shop


def test_migrated_tables_are_those_of_the_code(office: HeadOffice) -> None:
    upgrade(office.books.database)
    check(office.books.database)


def test_a_second_process_writes_in_the_same_epoch_and_is_overheard(
    office: HeadOffice, settings: Settings, clock: TestClock
) -> None:
    office.catalogue.define_group("bread", zh="面包", en="Bread", by="ann")
    heard: list[str] = []
    office.books.listeners.append(lambda r: heard.extend(x.envelope.type for x in r))
    second = compose(settings, clock=clock)
    try:
        second.catalogue.define_group("cake", zh="蛋糕", en="Cake", by="ann")
    finally:
        second.books.database.close()
    assert heard == []
    assert office.overhearing.look() == 1
    assert office.overhearing.look() == 0
    assert heard == ["GroupDefined"]
    with office.books.database.reading() as connection:
        assert SqlRecords(connection).head("all").seq == 3  # one epoch event, two groups
    assert office.books.verify() == []


def test_a_rebuild_gives_the_same_digests(office: HeadOffice, shops: dict[str, Shop]) -> None:
    a = shops["A"]
    a.open_with(X=9_000, Y=1_000)
    a.dispatch("t1", "B", X=1_000)
    a.prove()
    a.deliver(office)
    before = office.books.proof("shop/A")
    assert before == a.books.proof("shop/A")
    office.books.rebuild()
    assert office.books.proof("shop/A") == before
    assert office.books.verify() == []
