"""A shop forgets what head office has long held; nothing is missing, whoever comes back."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import get_ident
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, update

from central.web import create_app
from central.web.serving import Server
from edge import pruning
from edge.backup import check_folder
from edge.checkpoints import read
from edge.compose import Shop, open_books
from edge.fetching import renew_base
from edge.node import ShopNode
from edge.pruning import Pruned, examine_base, is_due, prune
from protocol.clock import DAY_MS, ClockState
from protocol.errors import Corrupt, Refusal, Unavailable
from protocol.ledger import shelf
from protocol.node.backups import copy_sqlite
from protocol.node.books import Books
from protocol.node.proving import read_digests
from protocol.node.sqljournal import SqlRecords
from protocol.node.tables import READ, READ_VERSION, digest_check, journal
from protocol.replication import PRUNED
from tests.builders import received, sale
from tests.edge.shop_builder import FixedClock
from tests.journeys.rogues import NOW_MS, House, count_of, head_of, house, until
from tests.journeys.test_set_back import back_up, set_office_back

pytestmark = pytest.mark.slow
WAIT_S = 60
DAYS = 80


@pytest.fixture
def place(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        server = Server(create_app(made.office), "127.0.0.1", 0)
        server.start()
        made.port = server.port  # type: ignore[attr-defined]
        yield made
        server.stop()


def soon(what: str, holds: Callable[[], object]) -> None:
    until(what, holds, WAIT_S)


def noted(shop: Shop) -> int:
    with shop.books.database.reading() as connection:
        return len(read(shop.books, connection))


def lived(place: House, *, days: int = DAYS) -> None:
    """One receipt of goods and one sale a day; head office hears of each on its day."""
    shop = place.shops["a"]
    for _ in range(days):
        place.clock.later(DAY_MS)
        day = (place.clock.read().at_ms - NOW_MS) // DAY_MS
        want = noted(shop) + 1
        bodies = {f"sale-{day}": sale(f"sale-{day}"), f"in-{day}": received(f"in-{day}")}
        with shop.books.begin() as tx:
            drafts = [shop.node.draft(body, event=name) for name, body in bodies.items()]
            shop.books.record(tx, {shop.node.stream: drafts})
        soon("a is level", lambda: place.level("a"))
        soon("the day is noted", lambda want=want: noted(place.shops["a"]) >= want)
    place.office.catalogue.define_group("new", zh="新", en="New", by="ann")
    soon("all is known", lambda: head_of(place.shops["a"].books, "all") == all_of(place))


def all_of(place: House) -> Any:
    return head_of(place.office.books, "all")


def node_of(place: House, **settings: Any) -> ShopNode:
    """The shop with head office's address, as the command sees it."""
    place.office.snapshots._made_s.clear()  # its time is another one than the test's
    at = {"central_http": f"http://127.0.0.1:{place.port}"}  # type: ignore[attr-defined]
    node = place.shops["a"].node
    return replace(node, settings=msgspec.structs.replace(node.settings, **at, **settings))


def pruned(place: House, **settings: Any) -> Pruned:
    return prune(node_of(place, **settings), place.shops["a"].key)


def digests(books: Books) -> dict[str, str]:
    with books.database.reading() as connection:
        return read_digests(connection)


def lowest(books: Books, stream: str = "shop/a") -> int:
    with books.database.reading() as connection:
        query = select(func.min(journal.c.seq)).where(journal.c.stream == stream)
        return int(connection.execute(query).scalar() or 0)


def low(books: Books) -> int:
    with books.database.reading() as connection:
        return SqlRecords(connection).low("shop/a")


def whole(place: House, books: Books, before: dict[str, str]) -> None:
    """Verified from the signed base on, and a rebuild gives the same tables."""
    key = place.office.key.public_hex
    assert books.verify() == []
    assert "shop/a after" in examine_base(books, key, "a")
    assert digests(books) == before
    books.rebuild()
    assert digests(books) == before


def restarted(place: House) -> Shop:
    place.shops["a"].stop()
    place.shops["a"] = shop = place.build("a")
    shop.start()
    return shop


def test_what_head_office_has_long_held_goes_and_nothing_else_changes(
    place: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lived(place)
    shop = place.shops["a"]
    before, count = digests(shop.books), count_of(shop.books, "shop/a")
    down = {s: count_of(shop.books, s) for s in ("all", "to/a", "zone/east")}
    head = head_of(shop.books, "shop/a")
    assert is_due(node_of(place))
    done = pruned(place)
    assert done.events == done.upto == low(shop.books) == lowest(shop.books) - 1
    assert 0 < done.events < count == done.events + count_of(shop.books, "shop/a")
    assert {s: count_of(shop.books, s) for s in down} == down, "head office's words stay whole"
    with shop.books.database.reading() as connection:
        kept = connection.execute(
            select(func.min(journal.c.at_ms)).where(journal.c.stream == "shop/a")
        ).scalar_one()
    assert place.clock.read().at_ms - 38 * DAY_MS < kept
    assert head_of(shop.books, "shop/a") == head
    whole(place, shop.books, before)
    assert not is_due(node_of(place))
    with pytest.raises(Refusal, match="PRUNE_NOTHING"):
        pruned(place)
    asked_again(place, shop)
    shop = restarted(place)
    place.flows(WAIT_S)
    soon("head office agrees", lambda: agreed(place))
    assert shop.books.proof(shelf("a")) == place.office.books.proof(shelf("a"))
    backed_up(shop, tmp_path)
    place.quiet()
    lived(place, days=30)
    again = pruned(place)
    assert again.upto > done.upto
    whole(place, shop.books, digests(shop.books))
    after_an_update_it_fetches_a_snapshot_that_it_can_read(place, monkeypatch)
    assert place.office.forks.forks() == []


def asked_again(place: House, shop: Shop) -> None:
    """A document and a sale that were pruned are still known by their ids."""
    head = head_of(shop.books, "shop/a")
    for name, body in (("in-1", received("in-1")), ("sale-1", sale("sale-1"))):
        with shop.books.begin() as tx:
            assert shop.node.recorded(tx, name)
            draft = shop.node.draft(body, event=name)
            assert shop.books.record(tx, {shop.node.stream: [draft]}) == []
    assert head_of(shop.books, "shop/a") == head
    with pytest.raises(Refusal, match="SALE_PRUNED"):
        shop.selling.sale("sale-1")
    with pytest.raises(Refusal, match="SALE_PRUNED"):
        shop.selling.find_receipt(sale("sale-1").receipt_number)
    assert shop.selling.sale(f"sale-{DAYS}") is not None
    assert len(shop.selling.recent(limit=50)) < 50


def agreed(place: House) -> bool:
    with place.office.books.database.reading() as connection:
        rows = connection.execute(select(digest_check.c.agreed).where(digest_check.c.store == "a"))
        return all(rows.scalars())


def backed_up(shop: Shop, folder: Path) -> None:
    """A copy with the snapshot is whole; without it, it says what is missing."""
    data = folder / "copy" / "data"
    data.mkdir(parents=True)
    copy_sqlite(shop.settings.database_path, data / "edge.db")
    files = list(Path(shop.settings.data_dir).glob("base-*.snapshot"))
    assert len(files) == 1
    with pytest.raises(Unavailable, match="SNAPSHOT_MISSING"):
        check_folder(folder / "copy", "a")
    shutil.copy(files[0], data)
    assert check_folder(folder / "copy", "a").faults == ()


def test_nothing_goes_that_is_young_unsure_or_only_said_to_be_old(
    place: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = place.shops["a"]
    lived(place, days=1)
    shop.syncing.stop()  # the line is cut; the shop sells on
    for day in range(50):
        place.clock.later(DAY_MS)
        place.say("a", received(f"offline-{day}"))
    assert pruned(place).upto < 10, "what head office held on the first day, and not a row more"
    shop = restarted(place)
    soon("a is level", lambda: place.level("a"))
    assert noted(shop) >= 2
    with pytest.raises(Refusal, match="PRUNE_NOTHING"):
        pruned(place)  # old events that head office has had for minutes
    count = count_of(shop.books, "shop/a")
    lived(place, days=38)
    for why, change in (("PRUNE_NOTHING", {"keep_days": 60}), ("PRUNE_OFF", {"keep_days": 0})):
        with pytest.raises(Refusal, match=why):
            pruned(place, **change)
    place.clock.state = ClockState.UNKNOWN  # type: ignore[attr-defined]
    with pytest.raises(Refusal, match="PRUNE_CLOCK"):
        pruned(place)
    place.clock.state = ClockState.TRUSTED  # type: ignore[attr-defined]
    with pytest.raises(Refusal, match="PRUNE_NOTHING"):  # our clock alone says that it is old
        pruned_by_a_fast_clock(place)
    stock = READ["stock"]
    with shop.books.database.begin() as tx:
        tx.execute(update(stock).where(stock.c.sku == "bun").values(qty_milli=1))
    with pytest.raises(Corrupt, match="SNAPSHOT_DISAGREES"):
        pruned(place)
    shop.books.rebuild()
    assert lowest(shop.books) < 10, "nothing was deleted"
    before = digests(shop.books)
    assert pruned(place).events >= count - 10
    whole(place, shop.books, before)
    cut_off_at_any_step_it_is_whole(place, monkeypatch)


def pruned_by_a_fast_clock(place: House) -> None:
    """The shop's clock runs 30 days ahead and calls itself trusted."""
    node = node_of(place)
    ahead = FixedClock(place.clock.read().at_ms + 30 * DAY_MS)
    prune(replace(node, clock=ahead), place.shops["a"].key)


def cut_off_at_any_step_it_is_whole(place: House, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(place, days=45)
    monkeypatch.setattr(pruning, "STEP", 5)
    shop = place.shops["a"]
    before, count = digests(shop.books), count_of(shop.books, "shop/a")
    for cut_at in range(1, 100):
        if not cut_off(place, monkeypatch, cut_at):
            break
        assert digests(shop.books) == before
        assert shop.books.verify() == []
        if low(shop.books):
            whole(place, shop.books, before)
    assert cut_at > 4
    assert lowest(shop.books) == low(shop.books) + 1
    assert 0 < count_of(shop.books, "shop/a") < count
    whole(place, shop.books, before)
    files = [p.name for p in Path(shop.settings.data_dir).glob("*snapshot*")]
    assert len(files) <= 2, files  # that of the prune before stays until the next one


class PowerCut(Exception):
    """In place of `kill -9`."""


def cut_off(place: House, monkeypatch: pytest.MonkeyPatch, after: int) -> bool:
    """Prune till so many commits; odd: the last one is undone. False when it ended before."""
    database, me, left = place.shops["a"].books.database, get_ident(), [after]
    real = database.begin

    @contextmanager
    def begin() -> Iterator[Any]:
        with real() as tx:
            yield tx
            left[0] -= get_ident() == me
            if left[0] == 0 and after % 2:
                raise PowerCut
        if left[0] == 0:
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(database, "begin", begin)
        try:
            pruned(place)
        except PowerCut:
            return True
        except Refusal:  # an earlier run had come so far that only rows were left
            pass
    return False


def test_a_head_office_older_than_what_is_held_stops_one_stream_in_words(place: House) -> None:
    lived(place, days=2)
    old = back_up(place)
    lived(place, days=44)
    newer = back_up(place)
    done = pruned(place)
    assert done.events
    restarted(place)
    place.flows(WAIT_S)
    want = head_of(place.shops["a"].books, "shop/a")
    set_office_back(place, old)
    place.office.start()
    soon("the alarm", lambda: "ALARM_PRUNED" in codes(place, "a"))
    soon("the shop says so", lambda: place.shops["a"].syncing.status().stopped == PRUNED)
    assert "ALARM_PRUNED" not in codes(place, "b")
    told = next(a for a in place.office.alarms.alarms() if a.code == "ALARM_PRUNED")
    assert str(done.upto + 1) in told.sentence("en") + told.todo("zh")
    place.say("a")  # selling goes on
    want_b = place.say("b")
    soon("b is heard", lambda: head_of(place.office.books, "shop/b").seq >= want_b.seq)
    place.quiet()
    set_office_back(place, newer)
    place.office.start()
    soon("all is there again", lambda: place.level("a"))
    assert head_of(place.office.books, "shop/a").seq > want.seq
    soon("no alarm is left", lambda: "ALARM_PRUNED" not in codes(place, "a"))
    assert place.office.books.verify() == place.shops["a"].books.verify() == []
    assert place.office.forks.forks() == []
    soon("nothing is stopped", lambda: not place.shops["a"].syncing.status().stopped)


def codes(place: House, store: str) -> set[str]:
    return {a.code for a in place.office.alarms.alarms() if a.subject == store}


def after_an_update_it_fetches_a_snapshot_that_it_can_read(
    place: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = place.shops["a"]
    before, node = digests(shop.books), node_of(place)
    shop.stop()
    for module in ("snapshots", "books"):
        monkeypatch.setattr(f"protocol.node.{module}.READ_VERSION", READ_VERSION + 1)
    with pytest.raises(Refusal, match="SNAPSHOT_VERSION"):
        open_books(node.settings)
    monkeypatch.setattr("central.snapshotting.READ_VERSION", READ_VERSION + 1)
    books = open_books(
        node.settings, newer=lambda books: renew_base(node.settings, shop.key, books)
    )
    assert digests(books) == before
    whole(place, books, before)
    books.database.close()
    place.shops["a"] = place.build("a")
    place.shops["a"].start()
    place.flows(WAIT_S)
