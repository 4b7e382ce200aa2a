"""Brokers that come and go, and shops set back to an older copy of their books: nothing is lost."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from edge.compose import Shop
from protocol.ledger import shelf
from protocol.node.tables import digest_check, fork
from tests.journeys.rogues import House, count_of, head_of, house, on_hand, until

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


def stop(place: House, store: str) -> None:
    place.shops[store].stop()


def start(place: House, store: str) -> Shop:
    place.shops[store] = shop = place.build(store)
    shop.start()
    return shop


def database(place: House, store: str) -> Path:
    return place.shops[store].settings.database_path


def set_back(place: House, store: str, copy: Path) -> None:
    """As an operator restores a backup: the file, and nothing beside it."""
    file = database(place, store)
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    shutil.copy(copy, file)


def forks(place: House) -> int:
    with place.office.books.database.reading() as connection:
        return len(connection.execute(select(fork)).all())


def agrees(place: House, store: str) -> bool:
    """Head office and shop compute the same digest, and the newest proof says so."""
    mine = place.shops[store].books.proof(shelf(store))
    with place.office.books.database.reading() as connection:
        last = connection.execute(
            select(digest_check.c.agreed)
            .where(digest_check.c.store == store)
            .order_by(digest_check.c.seq.desc(), digest_check.c.epoch.desc())
        ).first()
    return mine == place.office.books.proof(shelf(store)) and bool(last and last.agreed)


def test_a_broker_that_restarts_ten_times(place: House) -> None:
    for n in range(10):
        for store in ("a", "b"):
            place.say(store)
        (place.broker.kill if n % 2 else place.broker.stop)()
        if n == 5:
            place.broker.wipe()
        place.say("a")
        place.broker.start()
        time.sleep(0.3)
    for store in ("a", "b"):
        until(f"{store} is level", lambda s=store: place.level(s), 60)
    place.flows()
    place.quiet()
    assert on_hand(place.office.books, "a") == on_hand(place.shops["a"].books, "a") == 21_000
    assert forks(place) == 0
    assert place.office.books.verify() == []


def test_a_shop_set_back_gets_its_own_events_again(place: House, tmp_path: Path) -> None:
    place.say("a")
    until("a is level", lambda: place.level("a"))
    stop(place, "a")
    copy = tmp_path / "copy.db"
    shutil.copy(database(place, "a"), copy)
    start(place, "a")
    for _ in range(50):
        place.say("a")
    until("a is level", lambda: place.level("a"), 60)
    stop(place, "a")
    count, stock = count_of(place.office.books, "shop/a"), on_hand(place.office.books, "a")
    set_back(place, "a", copy)
    shop = start(place, "a")
    assert shop.prover.was_restored()
    until("it has its events again", lambda: on_hand(shop.books, "a") == stock, 60)
    until("a is level", lambda: place.level("a"), 60)
    until("the digests agree", lambda: agrees(place, "a"), 60)
    assert forks(place) == 0
    assert on_hand(place.office.books, "a") == stock == 51_000
    assert count_of(place.office.books, "shop/a") - count <= 3  # a new epoch and its digest
    place.flows()
    place.quiet()
    assert shop.books.verify() == place.office.books.verify() == []


def test_a_shop_set_back_that_sold_before_it_could_ask(place: House, tmp_path: Path) -> None:
    place.say("a")
    until("a is level", lambda: place.level("a"))
    stop(place, "a")
    copy = tmp_path / "copy.db"
    shutil.copy(database(place, "a"), copy)
    start(place, "a")
    for _ in range(50):
        place.say("a")
    until("a is level", lambda: place.level("a"), 60)
    stop(place, "a")
    set_back(place, "a", copy)
    place.broker.stop()
    shop = start(place, "a")
    for _ in range(2):
        place.say("a")
    time.sleep(6)  # it does not wait for ever for head office
    place.broker.start()
    until("head office has all", lambda: on_hand(place.office.books, "a") == 53_000, 60)
    until("the shop has all", lambda: on_hand(shop.books, "a") == 53_000, 60)
    assert forks(place) == 1
    assert "ALARM_FORK" in {a.code for a in place.office.alarms.alarms()}
    place.flows()
    shop.prover.prove()
    until("the digests agree", lambda: agrees(place, "a"), 60)
    until("a is level", lambda: place.level("a"), 60)
    place.quiet()
    assert place.faults() == []
    assert shop.books.verify() == place.office.books.verify() == []
    stop(place, "a")
    start(place, "a")
    place.flows(seconds=60)
    until("the digests agree", lambda: agrees(place, "a"), 60)
    place.office.books.rebuild()
    place.shops["a"].books.rebuild()
    assert place.shops["a"].books.proof(shelf("a")) == place.office.books.proof(shelf("a"))


def test_an_old_greeting_said_again_silences_nobody_for_long(place: House) -> None:
    """A recorded hello is signed well; head office then answers a session that is over."""
    topic = place.topics.up("a", "state")
    old = next(payload for heard, payload in place.rogue.heard if heard == topic)
    stop(place, "a")
    start(place, "a")
    place.flows(seconds=60)
    place.rogue.throw(topic, old)
    time.sleep(0.5)
    place.say("a")
    until(
        "the shop hears that head office has it",
        lambda: place.shops["a"].syncing.status().unsynced == 0,
        12,
    )
    place.flows()
    place.quiet()


def test_a_full_disk_in_a_shop_keeps_the_link(place: House) -> None:
    """What the shop cannot keep is sent again; nobody hangs up, and the others do not notice."""
    with place.shops["a"].books.database.write.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count={pages}").fetchone()
    with capture_logs() as logs:
        for n in range(80):
            place.office.catalogue.define_group(f"full{n}", zh="组" * 30, en="g" * 100, by="ann")
            place.say("b")
        want = place.say("b")
        until("b goes on", lambda: head_of(place.office.books, "shop/b").seq >= want.seq, 60)
        place.quiet()
    assert not [x for x in logs if x["event"] in {"replication_restarts", "link_down"}]
    mine = place.shops["a"].books
    assert head_of(mine, "all") != head_of(place.office.books, "all")
    with mine.database.write.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        raw.execute("PRAGMA max_page_count=1073741823").fetchone()
    until("a has all", lambda: head_of(mine, "all") == head_of(place.office.books, "all"), 60)
    place.flows()
    assert mine.verify() == []
