"""Head office set back to an old copy, and a shop's disk that was copied: over a real broker."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from central.accounts import Account
from central.backup import plan_of, restore
from central.compose import compose as compose_office
from central.forks import Fork
from central.people import Person
from edge.compose import Shop
from protocol.errors import Refusal
from protocol.events import GroupDefined
from protocol.ledger import shelf
from protocol.node import backups, vault
from protocol.node.books import Books
from protocol.node.tables import READ, fork, spooled
from tests.builders import branch
from tests.edge.shop_builder import build
from tests.journeys.rogues import House, count_of, head_of, house, on_hand, reasons, until

pytestmark = pytest.mark.slow
WAIT_S = 60
ANN = Account(person="ann", name="Ann", role="admin", active=True)
BOB = Account(person="bob", name="Bob", role="admin", active=True)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


def soon(what: str, holds: Callable[[], object]) -> None:
    until(what, holds, WAIT_S)


def groups(books: Books) -> set[str]:
    with books.database.reading() as connection:
        return set(connection.execute(select(READ["promo_group"].c.promo_group)).scalars())


def back_up(place: House) -> Path:
    """An encrypted backup, as an operator makes it."""
    if not (place.folder / "backup.key").exists():
        vault.make_backup_key(place.folder / "backup.key")
    settings = msgspec.structs.replace(
        place.office.settings, backup_key=place.folder / "backup.key"
    )
    return backups.make(plan_of(settings, to=place.folder / "kept"), place.clock.at_ms).path


def set_office_back(place: House, archive: Path) -> None:
    """Stop, restore the backup into a fresh folder, and wire head office anew; not started."""
    old = place.office
    old.stop()
    home = place.folder / "restored"
    restore(archive, place.folder / "backup.key", home)
    settings = msgspec.structs.replace(
        old.settings,
        data_dir=home / "data",
        database_url=f"sqlite:///{home / 'data' / 'central.db'}",
    )
    place.office = compose_office(settings, clock=place.clock)
    assert place.office.books.journal.epoch != old.books.journal.epoch


def level_both_ways(place: House) -> bool:
    office = place.office.books
    return all(
        head_of(shop.books, stream) == head_of(office, stream)
        for store, shop in place.shops.items()
        for stream in ("all", f"to/{store}", f"shop/{store}")
    )


def test_head_office_set_back_gets_its_own_words_back_from_the_shops(place: House) -> None:
    archive = back_up(place)
    for n in range(30):
        place.office.catalogue.define_group(f"later{n}", zh="后来", en="Later", by="ann")
        place.say("a")
    eva = Person(person="eva", name="Eva", role="cashier", stores=("a",))
    place.office.people.add_person(eva, pin="2468", by="ann")
    soon("all is level", lambda: level_both_ways(place))
    before = {s: head_of(place.office.books, s) for s in ("all", "to/a", "shop/a")}
    set_office_back(place, archive)
    assert head_of(place.office.books, "all") != before["all"]
    place.office.start()
    soon("it has its own words again", lambda: head_of(place.office.books, "all") == before["all"])
    soon("those to one shop too", lambda: head_of(place.office.books, "to/a") == before["to/a"])
    soon("and what shops did", lambda: place.level("a"))
    assert {f"later{n}" for n in range(30)} <= groups(place.office.books)
    assert forks(place) == 0
    place.flows(WAIT_S)
    assert place.office.books.verify() == place.shops["a"].books.verify() == []


def forks(place: House) -> int:
    with place.office.books.database.reading() as connection:
        return connection.execute(select(func.count()).select_from(fork)).scalar_one()


def test_a_machine_that_came_after_the_backup_proves_itself_by_head_offices_own_words(
    place: House,
) -> None:
    """Its key stands only in what head office said to it: that comes back first, then it counts."""
    archive = back_up(place)
    place.shops["a"].stop()
    place.shops["a"].settings.key_path.unlink()
    fresh = place.shops["a"] = place.build("a")
    place._accept("a", fresh.key)
    fresh.start()
    place.flows(WAIT_S)
    soon("both are level", lambda: level_both_ways(place))
    before = head_of(place.office.books, "to/a")
    set_office_back(place, archive)
    assert place.office.stores.node_key("a") != fresh.key.public_hex
    place.office.start()
    soon("it is known again", lambda: place.office.stores.node_key("a") == fresh.key.public_hex)
    soon("both are level", lambda: level_both_ways(place))
    assert head_of(place.office.books, "to/a") == before
    place.flows(WAIT_S)
    assert forks(place) == 0
    place.quiet()


def test_head_office_that_spoke_before_it_could_ask_keeps_both_ways(place: House) -> None:
    archive = back_up(place)
    place.office.catalogue.define_group("lost", zh="丢失", en="Lost", by="ann")
    soon("all is level", lambda: level_both_ways(place))
    set_office_back(place, archive)
    place.office.catalogue.define_group("new", zh="新的", en="New", by="ann")
    place.office.start()
    nodes = [place.office.books, *(shop.books for shop in place.shops.values())]
    for books in nodes:
        soon("both words are known", lambda b=books: {"lost", "new"} <= groups(b))
    assert forks(place) == 1
    place.flows(WAIT_S)
    assert [books.verify() for books in nodes] == [[], [], []]
    found = place.office.forks.forks()
    assert (found[0].stream, found[0].store) == ("all", "")
    with pytest.raises(Refusal, match="BAN_NOT_A_SHOP"):
        call_clone(place, found[0], found[0].ways[1].branch)


def test_only_its_own_signature_counts(place: House) -> None:
    """Shop x has a key, but not head office's: its words in head office's name are refused."""
    head = head_of(place.office.books, "all")
    forged = branch(
        "all",
        [GroupDefined(group="forged", name={"zh": "假", "en": "Forged"})],
        after=head,
        epoch="f" * 16,
    )
    place.rogue.send(place.rogue.batch(forged, parent=head, node="central"))
    soon(
        "it is refused",
        lambda: any(code == "SIGNATURE_WRONG" for _, code, _ in reasons(place.office.books)),
    )
    assert head_of(place.office.books, "all") == head
    assert "forged" not in groups(place.office.books)
    place.flows(WAIT_S)


def call_clone(place: House, found: Fork, branch_of: int, second: Account = BOB) -> None:
    place.office.forks.call_clone(
        found.stream, found.parent_hash, branch_of, person=ANN, second=second
    )


def copied(place: House, store: str) -> Shop:
    """The disk of a stopped shop in another machine."""
    folder = place.folder / f"{store}-copy"
    original = place.shops[store].settings
    if not folder.exists():
        shutil.copytree(place.folder / store, folder)
    settings = msgspec.structs.replace(
        original, data_dir=str(folder / "data"), pepper_file=str(folder / "pepper")
    )
    return build(folder, clock=place.clock, settings=settings, empty=True)


def test_a_copied_disk_is_seen_judged_and_banned(place: House) -> None:
    place.say("a")
    soon("a is level", lambda: place.level("a"))
    place.shops["a"].stop()
    clone = copied(place, "a")
    clone.books.database.close()
    place.shops["a"] = place.build("a")
    place.shops["a"].start()
    for _ in range(3):
        place.say("a")
    soon("a is level", lambda: place.level("a"))
    place.shops["a"].stop()
    original, place.shops["a"] = place.shops["a"], copied(place, "a")
    place.broker.stop()  # it cannot ask what it lacks, as a machine in another town
    place.shops["a"].start()
    for _ in range(2):
        place.say("a")
    soon("it gave up waiting", lambda: count_of(place.shops["a"].books, "shop/a") >= 5)
    place.broker.start()
    soon("head office sees a fork", lambda: forks(place) == 1)
    soon("and counts both ways", lambda: on_hand(place.office.books, "a") == 6_000)
    (found,) = place.office.forks.forks()
    assert (found.stream, found.ruling) == ("shop/a", "")
    assert "ALARM_FORK" in {a.code for a in place.office.alarms.alarms()}
    with pytest.raises(Refusal, match="BAN_NEEDS_TWO"):
        call_clone(place, found, found.ways[0].branch, second=ANN)
    mine = place.shops["a"].books.journal.epoch
    (copy,) = [way for way in found.ways if mine in way.epochs]
    call_clone(place, found, copy.branch)
    before = on_hand(place.office.books, "a")

    def set_aside() -> bool:
        place.say("a")
        with place.office.books.database.reading() as connection:
            return bool(connection.execute(select(func.count()).select_from(spooled)).scalar())

    soon("the copy's words are set aside", set_aside)
    soon(
        "the copy is told",
        lambda: place.shops["a"].syncing.status().stopped == "STALE_EPOCH",
    )
    assert {"ALARM_CLONE"} == {
        a.code for a in place.office.alarms.alarms() if a.subject == "shop/a"
    }
    place.shops["a"].stop()
    place.shops["a"] = copied(place, "a")  # it is switched on again: a new epoch, banned as well
    place.shops["a"].start()
    place.say("a")
    soon(
        "a restart opens no door",
        lambda: place.shops["a"].syncing.status().stopped == "STALE_EPOCH",
    )
    kept = on_hand(place.office.books, "a")
    place.shops["a"].stop()
    place.shops["a"] = place.build("a")
    assert place.shops["a"].settings.data_dir == original.settings.data_dir
    place.shops["a"].start()
    want = place.say("a")
    soon(
        "the shop itself goes on",
        lambda: (
            place.shops["a"].syncing.status().unsynced == 0
            and head_of(place.shops["a"].books, "shop/a").seq >= want.seq
        ),
    )
    assert kept >= before
    soon(
        "both count the same",
        lambda: place.shops["a"].books.proof(shelf("a")) == place.office.books.proof(shelf("a")),
    )
    assert place.office.books.verify() == place.shops["a"].books.verify() == []
