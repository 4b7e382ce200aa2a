"""The page that shows a fork: what each way holds, and two persons who ban a copy."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from sqlalchemy import delete, select

from central.compose import HeadOffice
from central.enrolment import Enrolment
from central.forks import Forks
from central.settings import Mqtt
from protocol.events import ForkJudged
from protocol.journal import Position
from protocol.node.banning import Bans
from protocol.node.books import opened
from protocol.node.projecting import park
from protocol.node.sqljournal import SqlRecords, read_line
from protocol.node.tables import banned_epoch, fork, fork_ruling
from protocol.replication import Accepted
from tests.builders import branch, sale
from tests.central.web import bakery
from tests.central.web.bakery import EVENING_MS
from tests.central.web.conftest import DESK, PHONE, Person, enter
from tests.central.web.test_browser import AXE

STORE, COPY = bakery.STORES[0].store, "c" * 16
STREAM = f"shop/{STORE}"
Who = Callable[..., Person]


@pytest.fixture(scope="module")
def office(settled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeadOffice]:
    """A head office where a shop's journal went on in two ways."""
    folder = tmp_path_factory.mktemp("forked")
    shutil.copytree(settled, folder, dirs_exist_ok=True)
    one = bakery.open_office(folder)
    with one.books.begin() as tx:
        rows = read_line(tx, STREAM, 0, limit=10_000)
        parent = rows[-6].position
        sold = [sale(f"copy-{n}", price=1_000, receipt_number=f"1-1-90000{n}") for n in range(3)]
        events = tuple(branch(STREAM, [*sold], after=parent, epoch=COPY))
        verdict = Accepted(parent, events, events[-1].position, fork=True)
        one.books.keep(tx, verdict, at_ms=EVENING_MS)
    yield one
    one.books.database.close()


def parent_of_fork(office: HeadOffice) -> str:
    with office.books.database.reading() as connection:
        return str(connection.execute(select(fork.c.parent_hash)).scalar_one())


def head(office: HeadOffice) -> Position:
    with office.books.database.reading() as connection:
        return SqlRecords(connection).head(STREAM)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_picture_is_there_for_everybody(browser: Browser, site: str, language: str) -> None:
    context = browser.new_context(base_url=site, viewport=DESK)
    page = enter(context, "zhao", language)
    page.wait_for_url("**/")
    page.goto("/forks", wait_until="domcontentloaded")
    assert page.locator("svg.fork").count() == 1
    assert Axe().run(page, options=AXE).violations_count == 0
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert Axe().run(page, options=AXE).violations_count == 0
    context.close()


def test_both_ways_are_told_with_their_sales(person: Who) -> None:
    page = person("zhao").get("/forks?lang=en")
    assert "3 sales" in page
    assert "30.00" in page
    assert "1-1-900002" in page
    assert "Nobody has judged it" in page
    assert "/forks" in person("zhao").get("/alarms?lang=en")


def test_two_persons_ban_a_copy_and_the_shop_keeps_its_own_line(
    office: HeadOffice, person: Who
) -> None:
    admin, parent = person("zhao"), parent_of_fork(office)
    wish: dict[str, Any] = {"stream": STREAM, "parent": parent, "branch": "0"}
    oneself = {**wish, "second": "zhao", "password": bakery.PASSWORD}
    assert "BAN_NEEDS_TWO" in admin.send("/forks/clone", status=422, **oneself)
    buyer = {**wish, "second": "qian", "password": bakery.PASSWORD}
    assert "NOT_ALLOWED" in admin.send("/forks/clone", status=422, **buyer)
    guess = {**wish, "second": "sun", "password": "wrong"}
    assert "SIGN_IN_WRONG" in admin.send("/forks/clone", status=422, **guess)
    nowhere = {**wish, "branch": "x", "second": "sun", "password": bakery.PASSWORD}
    assert "FORK_UNKNOWN" in admin.send("/forks/clone", status=422, **nowhere)
    assert (
        person("qian")
        .client.post("/forks/clone", data={"csrf": person("qian").csrf, **oneself})
        .status_code
        == 403
    )
    assert "restored backup" in admin.send("/forks/restored", stream=STREAM, parent=parent)
    assert "ALARM_FORK" not in admin.get("/alarms?lang=en")
    assert head(office).epoch == COPY
    page = admin.send("/forks/clone", **wish, second="sun", password=bakery.PASSWORD)
    assert "Clone, banned" in page
    assert "Judged by zhao, sun" in page
    assert head(office).epoch != COPY, "the shop's own line is the main one again"
    assert office.books.verify() == []
    with office.books.database.reading() as connection:
        row = connection.execute(select(banned_epoch)).one()
    assert (row.epoch, row.asked_by, row.confirmed_by) == (COPY, "zhao", "sun")
    bans = Bans(office.books)
    bans.look(0.0)
    assert bans._banned == {STREAM: {COPY: row.after_seq}}


def test_what_was_judged_comes_back_with_head_offices_own_words(
    office: HeadOffice, person: Who
) -> None:
    """Rows of a backup do not know it; the shop gives the event back."""
    tables = (fork_ruling, banned_epoch)

    def rows() -> list[Any]:
        with office.books.database.reading() as connection:
            return [tuple(row) for t in tables for row in connection.execute(select(t))]

    before = rows()
    assert len(before) == 2
    with office.books.begin() as tx:
        words = [opened(w)[0] for w in read_line(tx, f"to/{STORE}", 0, limit=10_000)]
        assert [w.body.ruling for w in words if isinstance(w.body, ForkJudged)] == [
            "restored",
            "clone",
        ]
        for table in tables:
            tx.execute(delete(table))
        Forks.regain(tx, words)
        Forks.regain(tx, words)
    assert rows() == before
    assert head(office).epoch != COPY


def test_with_certificates_what_the_copy_holds_counts_no_more(
    office: HeadOffice, person: Who
) -> None:
    settings = msgspec.structs.replace(office.settings, mqtt=Mqtt(tls=True))
    desk = dataclasses.replace(office.desk, settings=settings)
    enrolment = Enrolment(desk, office.stores, lambda: office.enrolment.authority)
    assert office.stores.node_key(STORE)
    accounts = {a.person: a for a in office.accounts.accounts()}
    found = Forks(desk, enrolment).find(STREAM, parent_of_fork(office))
    (copy,) = [way for way in found.ways if COPY in way.epochs]
    for _ in range(2):  # a second time there is nothing more to revoke
        Forks(desk, enrolment).call_clone(
            STREAM,
            found.parent_hash,
            copy.branch,
            person=accounts["zhao"],
            second=accounts["sun"],
        )
    assert not office.stores.node_key(STORE)
    page = person("zhao").get("/alarms?lang=en")
    assert "is locked out" in page
    assert "tillmesh-edge enrol" in page


def test_what_was_parked_is_shown_and_tried_again(office: HeadOffice, person: Who) -> None:
    with office.books.begin() as tx:
        (stored,) = read_line(tx, "all", 1, limit=1)
        park(tx, opened(stored)[0], ValueError("an engine of yesterday"))
    admin = person("zhao")
    page = admin.get("/health?lang=en")
    assert "an engine of yesterday" in page
    assert "&#34;type&#34;:" in page, "its own words"
    assert "1 events are in use now, 0 wait on" in admin.send("/health/retry")
    assert "an engine of yesterday" not in admin.get("/health?lang=en")
