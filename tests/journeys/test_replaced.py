"""A dead PC is replaced from head office: snapshot over HTTP, then the tail; nothing is lost."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from central.goods import Product
from central.web import create_app
from central.web.serving import Server
from edge.compose import Shop, open_books
from edge.fetching import Fetched, fetch, fetch_if_empty
from edge.settings import Settings
from protocol.clock import DAY_MS
from protocol.errors import Corrupt, Refusal, Unavailable
from protocol.ledger import shelf
from protocol.node.books import Books
from protocol.node.proving import read_digests
from protocol.node.signing import load_key, make_key
from protocol.node.snapshots import file_of
from protocol.node.tables import stream_base
from tests.edge.shop_builder import build
from tests.journeys.rogues import House, count_of, head_of, house, on_hand, until

pytestmark = pytest.mark.slow
WAIT_S = 60


@pytest.fixture
def place(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        made.server = Server(create_app(made.office), "127.0.0.1", 0)  # type: ignore[attr-defined]
        made.server.start()  # type: ignore[attr-defined]
        yield made
        made.server.stop()  # type: ignore[attr-defined]


def soon(what: str, holds: Callable[[], object]) -> None:
    until(what, holds, WAIT_S)


def lived(place: House, *, days: int = 50) -> None:
    """Events of many days in shop a; the young ones are what a shop keeps one by one."""
    for _ in range(days):
        place.clock.later(DAY_MS)
        place.say("a")
    place.office.catalogue.define_group("new", zh="新", en="New", by="ann")
    soon("a is level", lambda: place.level("a"))
    soon(
        "all is known",
        lambda: head_of(place.shops["a"].books, "all") == head_of(place.office.books, "all"),
    )


def dead(place: House) -> Settings:
    """The disk is gone; a new machine was joined and its key accepted. Its settings."""
    old = place.shops["a"]
    old.stop()
    shutil.rmtree(Path(old.settings.data_dir))
    Path(old.settings.data_dir).mkdir()
    key = make_key(old.settings.key_path)
    place._accept("a", key)
    port = place.server.port  # type: ignore[attr-defined]
    return msgspec.structs.replace(old.settings, central_http=f"http://127.0.0.1:{port}")


def fetched(settings: Settings) -> Fetched:
    books = open_books(settings)
    try:
        return fetch(settings, load_key(settings.key_path), books)
    finally:
        books.database.close()


def started(place: House, settings: Settings) -> Shop:
    shop = build(place.folder / "a", clock=place.clock, settings=settings, empty=True)
    place.shops["a"] = shop
    shop.start()
    return shop


def digests(books: Books) -> dict[str, str]:
    with books.database.reading() as connection:
        return {
            k: v for k, v in read_digests(connection).items() if k not in {"digest_check", "node"}
        }


def test_a_dead_pc_is_replaced_and_nothing_is_lost(place: House) -> None:
    lived(place)
    stock, before = on_hand(place.office.books, "a"), digests(place.shops["a"].books)
    last = head_of(place.office.books, "shop/a")
    settings = dead(place)
    came = fetched(settings)
    assert 30 <= came.events <= 40, "the last 35 days of its own journal, event by event"
    books = open_books(settings)
    assert head_of(books, "shop/a") == last
    assert digests(books) == before, "the tables are those of the dead machine"
    assert books.verify() == []
    books.rebuild()
    assert digests(books) == before, "a rebuild starts from the snapshot"
    with pytest.raises(Refusal, match="SNAPSHOT_NOT_EMPTY"):
        fetch(settings, load_key(settings.key_path), books)
    assert fetch_if_empty(settings, load_key(settings.key_path), books) is None
    books.database.close()
    shop = started(place, settings)
    assert shop.prover.was_restored(), "receipts go on in a new generation"
    place.flows(WAIT_S)
    soon("a is level", lambda: place.level("a"))
    assert on_hand(place.office.books, "a") == on_hand(shop.books, "a") > stock
    assert shop.books.proof(shelf("a")) == place.office.books.proof(shelf("a"))
    assert place.office.forks.forks() == []
    assert shop.books.verify() == place.office.books.verify() == []
    assert count_of(shop.books, "all") < count_of(place.office.books, "all")
    place.quiet()


def test_a_machine_that_dies_young_gets_more_than_its_first_snapshot(place: House) -> None:
    """The one that was made minutes ago, when it joined, lacks what it sold since."""
    soon("one is made", lambda: place.office.snapshots.wanted("a"))
    lived(place, days=3)
    last = head_of(place.office.books, "shop/a")
    settings = dead(place)
    fetched(settings)
    books = open_books(settings)
    assert head_of(books, "shop/a") == last
    books.database.close()


def test_a_new_shop_begins_with_the_first_generation(place: House) -> None:
    catalogue = place.office.catalogue
    catalogue.define_group("bread", zh="面包", en="Bread", by="ann")
    bun = Product(sku="bun", name_zh="包", name_en="Bun", group="bread", tax_rate_bp=1300)
    catalogue.list_product(bun, by="ann")
    catalogue.set_price("bun", 300, by="ann")
    settings = msgspec.structs.replace(
        place.shops["b"].settings, store="x", data_dir=str(place.folder / "x" / "data")
    )
    Path(settings.data_dir).mkdir(parents=True)
    shutil.copy(place.folder / "x.key", settings.key_path)
    port = place.server.port  # type: ignore[attr-defined]
    settings = msgspec.structs.replace(settings, central_http=f"http://127.0.0.1:{port}")
    assert fetched(settings).events == 0
    shop = build(place.folder / "x", clock=place.clock, settings=settings, empty=True)
    assert not shop.prover.was_restored()
    assert head_of(shop.books, "all") == head_of(place.office.books, "all")
    till = shop.settings.tills[0].id
    assert shop.selling.view(till).prices_changed_ms > 0, "the header says how old the prices are"
    shop.books.database.close()


def test_old_events_said_again_do_no_harm(place: House) -> None:
    """What lies before the base is known, though its bytes are not here."""
    lived(place)
    topic = place.topics.all("journal")
    old = [payload for heard, payload in place.rogue.heard if heard == topic]
    settings = dead(place)
    fetched(settings)
    shop = started(place, settings)
    soon("a is level", lambda: place.level("a"))
    want = head_of(shop.books, "all")
    for payload in old:
        place.rogue.throw(topic, payload)
    place.flows(WAIT_S)
    assert head_of(shop.books, "all").seq >= want.seq
    assert shop.books.verify() == []
    assert place.office.forks.forks() == []


def test_only_the_shop_itself_gets_its_snapshot(place: House) -> None:
    settings = dead(place)
    stranger = make_key(place.folder / "stranger.key")
    books = open_books(settings)
    with pytest.raises(Unavailable, match="SNAPSHOT_AWAY") as refused:
        fetch(settings, stranger, books)
    assert "ASKER_UNKNOWN" in str(refused.value)
    other = msgspec.structs.replace(settings, store="b")
    with pytest.raises(Unavailable, match="SNAPSHOT_AWAY"):
        fetch(other, load_key(settings.key_path), books)
    books.database.close()


def test_a_broken_line_goes_on_and_an_altered_file_is_refused(place: House) -> None:
    lived(place)
    settings = dead(place)
    seal = place.office.snapshots.make("a")
    place.office.snapshots._made_s["a"] = float("inf")
    file = place.office.snapshots.path("a")
    whole = file.read_bytes()
    books = open_books(settings)
    part = books.path.with_name("base.part")
    part.write_bytes(whole[: len(whole) // 2])  # the line broke here
    assert fetch(settings, load_key(settings.key_path), books).size == len(whole) == seal.size
    books.database.close()
    settings = dead_again(place, settings)
    altered = bytearray(whole)
    altered[len(whole) // 2] ^= 1
    file.write_bytes(altered)
    books = open_books(settings)
    with pytest.raises(Corrupt, match="SNAPSHOT_DAMAGED"):
        fetch(settings, load_key(settings.key_path), books)
    assert not part.exists(), "the next try starts anew"
    with books.database.reading() as connection:
        assert books.streams(connection) == []
    sealed = file.with_suffix(".seal")
    forged = msgspec.structs.replace(seal, at_ms=seal.at_ms + 1)
    sealed.write_bytes(msgspec.json.encode(forged))
    file.write_bytes(whole)
    with pytest.raises(Corrupt, match="SNAPSHOT_DAMAGED"):
        fetch(settings, load_key(settings.key_path), books)
    old = msgspec.structs.replace(seal, read_version=seal.read_version - 1)
    old = msgspec.structs.replace(old, sig=place.office.key.sign(old.signed_part()))
    sealed.write_bytes(msgspec.json.encode(old))
    with pytest.raises(Refusal, match="SNAPSHOT_VERSION"):
        fetch(settings, load_key(settings.key_path), books)
    sealed.write_bytes(msgspec.json.encode(seal))
    assert fetch(settings, load_key(settings.key_path), books).events > 0
    with books.database.reading() as connection:
        assert connection.execute(stream_base.select()).first() is not None
    base = file_of(books.path, seal)
    base.write_bytes(altered)
    with pytest.raises(Corrupt, match="SNAPSHOT_DAMAGED"):
        books.rebuild()  # what it says stands nowhere else
    base.write_bytes(whole)
    assert books.rebuild() > 0
    books.database.close()


def dead_again(place: House, settings: Settings) -> Settings:
    key = settings.key_path.read_bytes()
    shutil.rmtree(Path(settings.data_dir))
    Path(settings.data_dir).mkdir()
    settings.key_path.write_bytes(key)
    return settings
