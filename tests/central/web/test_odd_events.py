"""A shop's machine with a good key and bad intentions: no page of head office falls over it.

What it writes is kept or parked; whatever stands in the books is shown as data, at any time that a
number can name.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from flask import Flask

from central import watching
from central.compose import HeadOffice
from protocol.clock import calendar
from protocol.errors import Corrupt
from protocol.journal import Stored
from protocol.node.sqljournal import SqlRecords
from protocol.replication import Accepted
from protocol.wire import NUMBER_MAX, Clk, ClockFacts, Heartbeat, ScreenClock
from tests.builders import sale
from tests.central.web import bakery
from tests.central.web.conftest import Person
from tests.central.web.test_doors import routes
from tests.contracts.test_poison import crafted

Who = Callable[[str], Person]
STREAM = "shop/south"
MARKUP = "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>"
FAR = (0, 1, 10**14, 253_402_300_800_000, NUMBER_MAX)  # the fourth is the year 10000
ODD_DAYS = ("", "9999-99-99", MARKUP)


def bodies() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Type, body and envelope of each event."""
    good = msgspec.to_builtins(sale())
    named = {"till": MARKUP, "actor": MARKUP}
    for n, at in enumerate(FAR):
        for k, day in enumerate(("2026-11-01", *ODD_DAYS)):
            odd = {"sale": f"far-{n}-{k}", "receipt_number": f"F{n}{k}{MARKUP}"}
            odd |= {"business_date": day, "cashier": MARKUP, "till": MARKUP, "currency": "QQQ"}
            yield "SaleCompleted", good | odd, {"ts": at, "u": at, "clk": "odd", **named}
    for n, field in enumerate(good):
        kind = type(good[field])
        values = {str: ("", MARKUP), int: (0, -NUMBER_MAX, NUMBER_MAX), list: ([],)}.get(kind, ())
        for k, value in enumerate(values):
            told = {"sale": f"odd-{n}-{k}", "receipt_number": f"O{n}-{k}"}
            yield "SaleCompleted", good | told | {field: value}, {}
    for sku in ("P0101", MARKUP, ""):
        for milli in (0, 1 - NUMBER_MAX, 2**40):
            goods = [{"sku": sku, "qty_milli": milli}]
            yield "GoodsScrapped", {"document": "d", "reason": MARKUP, "lines": goods}, named
            for other in ("north", "nobody", "south", ""):
                moved = {"transfer": f"t{sku}{milli}{other}"[:90], "lines": goods, "note": MARKUP}
                far = {"ts": NUMBER_MAX, **named}
                yield "TransferDispatched", moved | {"to_store": other}, far
                came = {"receipt": MARKUP, "from_store": other, "expected": goods}
                yield "TransferReceived", moved | came, far
    rules = {"rules_hash": MARKUP, "rules": [MARKUP, "@"], "engine": NUMBER_MAX, "tzdata": MARKUP}
    refused = [{"rule": MARKUP, "version": 1, "reason": MARKUP}]
    yield "RulesInForce", rules | {"refused": refused}, {"ts": NUMBER_MAX}
    opened = {"shift": MARKUP, "till": MARKUP, "cashier": MARKUP, "float_minor": -NUMBER_MAX}
    yield "ShiftOpened", opened, {"ts": NUMBER_MAX}
    yield "Telepathy", {"a": MARKUP}, {"ts": NUMBER_MAX}


@pytest.fixture(scope="module", autouse=True)
def told(office: HeadOffice) -> None:
    """It said all this, in its stream, in heartbeats and in messages that were refused."""
    with office.books.database.reading() as connection:
        head = SqlRecords(connection).head(STREAM)
    tip, events = head, list[Stored]()
    for kind, body, envelope in bodies():
        events.append(crafted(kind, body, after=tip, stream=STREAM, **envelope))
        tip = events[-1].position
    with office.books.begin() as tx:
        verdict = Accepted(head, tuple(events), tip, fork=False)
        office.transfers.react(tx, office.books.keep(tx, verdict, at_ms=1))
    office.repricing.step(limit=1_000)
    for number in (0, NUMBER_MAX):
        facts = ClockFacts(
            basis=MARKUP,
            since_ms=number,
            code=MARKUP,
            params={MARKUP: MARKUP},
            contested=True,
            stepped_ms=-number,
            stepped_at_ms=number,
            central_off_ms=-number,
            zone=MARKUP,
            screens=(ScreenClock(till=MARKUP, off_ms=-number, zone=MARKUP),),
        )
        beat = Heartbeat(
            node="south",
            sess=MARKUP,
            now=number,
            head=number,
            acked=number,
            clk=Clk(MARKUP, number, number),
            health={MARKUP: MARKUP},
            disk_free=number,
            unsynced=number,
            version=MARKUP,
            clock=facts,
        )
        with office.books.database.begin() as tx:
            watching.beat(tx, beat, now_ms=bakery.EVENING_MS)
    fault = Corrupt("MESSAGE_UNREADABLE", detail=MARKUP)
    office.books.refuse(MARKUP, b"<script>\xff", fault, at_ms=NUMBER_MAX)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_stands_and_shows_it_as_data(app: Flask, person: Who, language: str) -> None:
    admin = person("zhao")
    paths = [p for rule, _, p in routes(app) if "GET" in (rule.methods or ()) and p != "/live"]
    sales = [f"far-{n}-{k}" for n in range(len(FAR)) for k in (0, 1)] + ["odd-0-1", "odd-9-2"]
    paths += [f"/sales/south/{s}{end}" for s in sales for end in ("", "/why")]
    paths += ["/sales?store=south", "/sales/days?store=south", "/stock?store=south"]
    for path in paths:
        answer = admin.client.get(f"{path}{'&' if '?' in path else '?'}lang={language}")
        assert answer.status_code < 500, (path, answer.status_code)
        if "json" not in answer.content_type:
            text = answer.get_data().decode("utf-8", "replace")
            assert "<script>alert" not in text, path
            assert "<img src=x" not in text, path


def test_the_books_are_sound(office: HeadOffice) -> None:
    assert office.books.verify() == []
    assert office.transfers.sum_of_places() == {}


def test_a_calendar_has_an_end_and_a_beginning() -> None:
    assert calendar(-5).year == 1970
    assert calendar(NUMBER_MAX) == calendar(2**62)
    assert calendar(NUMBER_MAX).year == 9999
    assert calendar(1_795_000_000_000).isoformat() == "2026-11-18T11:06:40+00:00"
