"""Rogues on the wire: whatever they write, nobody falls, others trade on, and it is shown why."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from central.watching import reports
from protocol.journal import ORIGIN, Position
from protocol.node.books import REFUSED_ROWS_MAX
from protocol.node.tables import refused
from protocol.wire import Cursor
from tests.builders import branch, received
from tests.contracts.test_poison import POISON, crafted
from tests.journeys.rogues import (
    EPOCH,
    House,
    Rogue,
    count_of,
    head_of,
    house,
    on_hand,
    parked_of,
    reasons,
    until,
)

pytestmark = pytest.mark.slow
HUGE = (2**63, -(2**63), 2**70, -1)
GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "no json": b"\xff\xfe{]",
    "a list": b"[]",
    "half": b'{"p":1,"node":"x","sess"',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "a deep batch": b'{"p":1,"events":' + b"[" * 60_000 + b"]" * 60_000 + b"}",
    "wrong types": b'{"p":"1","node":[],"sess":1,"epoch":null,"heads":{},"cursors":3,"events":"x"}',
    "as much as the broker takes": b'{"p":1,"node":"' + b"x" * 250_000 + b'"}',
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.fixture(autouse=True)
def nobody_falls(request: pytest.FixtureRequest) -> Iterator[None]:
    """No replication thread may start anew, and news flows as before."""
    place: House | None = (
        request.getfixturevalue("place") if "place" in request.fixturenames else None
    )
    with capture_logs() as logs:
        yield
        if place is not None:
            place.flows()
            place.quiet()
            assert place.faults() == []
    fell = [x for x in logs if x["event"] in {"replication_restarts", "batch_not_kept"}]
    assert fell == []


def session_of(place: House) -> str:
    return place.office.syncing.replicator.session


def told(place: House, code: str, topic: str) -> list[str]:
    """Details of refusals at head office."""
    return [d for t, c, d in reasons(place.office.books) if c == code and t.endswith(topic)]


def every_topic(place: House) -> list[str]:
    topics = place.topics
    up = [
        topics.up(s, x)
        for s in ("a", "x", "nobody")
        for x in ("state", "journal", "hb", "req", "ack")
    ]
    dn = [topics.dn("a", x) for x in ("ack", "journal", "cmd", "rsp")]
    shared = [topics.all(x) for x in ("journal", "state", "clock", "odd")]
    return [*up, *dn, *shared, topics.zone("east"), topics.group("town")]


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_on_every_topic(place: House, name: str) -> None:
    before = len(reasons(place.office.books)), len(reasons(place.shops["a"].books))
    for topic in every_topic(place):
        place.rogue.throw(topic, GARBAGE[name])
    until("head office says why", lambda: len(reasons(place.office.books)) > before[0])
    until("the shop says why", lambda: len(reasons(place.shops["a"].books)) > before[1])


def test_a_megabyte_ends_at_the_broker(place: House) -> None:
    rogue = Rogue(place.broker, place.topics, place.rogue.key, name="fat")
    for topic in every_topic(place):
        rogue.throw(topic, b"x" * 1_000_000, qos=0)
    place.flows()
    rogue.close()


def test_retained_garbage_before_anybody_starts(tmp_path: Path) -> None:
    def litter(made: House) -> None:
        for n, topic in enumerate(every_topic(made)):
            made.rogue.throw(topic, list(GARBAGE.values())[1 + n % 7], retain=True)
        made.rogue.throw(
            made.topics.up("x", "hb"),
            b'{"node":"x","sess":"","now":9223372036854775808,"head":99999999999999999999,"acked":0,'
            b'"clk":{"state":"trusted","u_ms":1,"at_ms":1}}',
            retain=True,
        )
        made.rogue.throw(
            made.topics.group("town"),
            b'{"store":"z","epoch":"","upto":99999999999999999999,"at":1,"figures":[["bun",1]]}',
            retain=True,
        )
        until("it lies there", lambda: made.rogue.seen.total() >= 20)

    with house(tmp_path, litter) as made:
        made.flows()
        made.quiet()
        assert made.faults() == []
        assert len(reasons(made.office.books)) >= 10
        assert len(reasons(made.shops["a"].books)) >= 5
        made.broker.stop()
        made.broker.start()
        made.flows(seconds=60)
        made.quiet()


def test_heartbeats_that_no_database_holds(place: House) -> None:
    for number in HUGE:
        for field in ("now", "head", "acked", "disk_free", "unsynced"):
            place.rogue.beat(**{field: number})
        place.rogue.beat(clk={"state": "trusted", "u_ms": number, "at_ms": number})
    place.rogue.beat(health={f"part{n}": "X" * 100 for n in range(900)})
    place.rogue.beat(sess="\0", version="\0", health={"\0": "\0"})
    until("it is refused", lambda: len(told(place, "MESSAGE_UNREADABLE", "/x/hb")) >= 10)


def test_figures_that_no_database_holds(place: House) -> None:
    group, books = place.topics.group("town"), place.shops["a"].books
    for number in HUGE:
        for field in ("upto", "at"):
            values = {"store": "b", "epoch": "", "upto": 1, "at": 1, "figures": [["bun", 1]]}
            place.rogue.throw(group, msgspec.json.encode(values | {field: number}))
        odd = {"store": "b", "epoch": "", "upto": 1, "at": 1, "figures": [["bun", number * 2]]}
        place.rogue.throw(group, msgspec.json.encode(odd))
    myself = {"store": "a", "epoch": "", "upto": 10**6, "at": 1, "figures": [["bun", 10**6]]}
    place.rogue.throw(group, msgspec.json.encode(myself))
    until("it is refused", lambda: [t for t, *_ in reasons(books) if t == group])


def test_a_forged_or_foreign_speaker(place: House) -> None:
    events = branch("shop/a", [received("forged")], epoch=EPOCH)
    before = count_of(place.office.books, "shop/a"), on_hand(place.office.books, "a")
    place.rogue.send(place.rogue.batch(events, node="a"), store="a")  # x's signature as a's
    until("a forged signature", lambda: told(place, "SIGNATURE_WRONG", "/a/journal"))
    place.rogue.send(place.rogue.batch(events))  # x signs well, but the stream is a's
    until("a foreign stream", lambda: told(place, "MESSAGE_UNREADABLE", "/x/journal"))
    place.rogue.send(place.rogue.batch(events), store="a")
    place.rogue.hello(node="nobody")
    place.rogue.throw(
        place.topics.up("nobody", "state"),
        b'{"node":"nobody","sess":"","epoch":"","heads":[],"cursors":[]}',
    )
    until("an unknown shop", lambda: told(place, "SIGNATURE_WRONG", "/nobody/state"))
    assert (count_of(place.office.books, "shop/a"), on_hand(place.office.books, "a")) == before


def _told(place: House) -> Position:
    return head_of(place.office.books, "shop/x")


def test_odd_batches_of_a_shop_with_a_good_key(place: House) -> None:
    trunk = branch("shop/x", [received(f"x{n}") for n in range(6)], epoch=EPOCH)
    rogue, after = place.rogue, trunk[2].position
    odd: dict[str, Any] = {
        "n": (2, 0, -1, 2**63, 10**40),
        "first": (2, 0, -1, 2**63, 10**40),
        "prev": ("f" * 64, "F" * 64, "", "\0", "0" * 63),
        "last": ("f" * 64, "", "\0"),
        "epoch": ("", "f" * 16, "\0" * 16, "x" * 5000),
        "p": (0, 2, 2**63),
        "ct": ("json+zlib", "\0"),
        "sent": (2**63, -1),
        "stream": ("shop/b", "all", "to/x", "\0", "x" * 5000, ""),
    }
    for field, values in odd.items():
        for value in values:
            rogue.send(rogue.batch(trunk[:3], **{field: value}))
    rogue.send(rogue.batch(trunk[3:], parent=after, n=0))
    rogue.send(rogue.batch([trunk[0], trunk[2]]))  # a hole
    rogue.send(rogue.batch([trunk[1], trunk[0]]))  # upside down
    rogue.send(rogue.batch(trunk[4:6], parent=trunk[3].position))  # a gap: its parent is not here
    until("all is refused", lambda: len(told(place, "CHAIN_BROKEN", "/x/journal")) >= 3)
    place.flows()
    assert _told(place) == ORIGIN
    rogue.send(rogue.batch(trunk[:3]))
    until("the good ones come", lambda: _told(place) == after)
    for _ in range(5):  # again, and overlapping
        rogue.send(rogue.batch(trunk[:3]))
        rogue.send(rogue.batch(trunk[1:], parent=trunk[0].position))
    until("the rest comes", lambda: _told(place) == trunk[-1].position)
    assert count_of(place.office.books, "shop/x") == len(trunk)


def test_poisoned_events_are_parked_and_the_cursor_moves(place: House) -> None:
    rogue, tip = place.rogue, _told(place)
    if tip == ORIGIN:
        trunk = branch("shop/x", [received("first")], epoch=EPOCH)
        rogue.send(rogue.batch(trunk))
        tip = until("it begins", lambda: _told(place) if _told(place) != ORIGIN else None)
    bad = []
    for kind, body, changes in [
        *POISON.values(),
        ("Telepathy", {"a": 1.5}, {}),
        ("SaleCompleted", {}, {"tv": 99}),
        ("SaleCompleted", {}, {"tv": 2**60}),
        ("RulesInForce", {"rules_hash": "\0", "rules": [], "refused": [], "engine": 2**70}, {}),
        ("TransferDispatched", {"transfer": "t\0", "to_store": "a", "lines": []}, {}),
        ("TransferDispatched", {"transfer": "t" * 199, "to_store": "a", "lines": []}, {}),
        (
            "TransferDispatched",
            {"transfer": "t", "to_store": "a", "lines": [{"sku": "s\0", "qty_milli": -5}]},
            {},
        ),
        ("TransferDispatched", {"transfer": "u", "to_store": "x", "lines": []}, {}),
        (
            "TransferReceived",
            {"transfer": "v", "receipt": "r", "from_store": "\0", "lines": []},
            {},
        ),
    ]:
        bad.append(crafted(kind, body, after=tip, stream="shop/x", **changes))
        tip = bad[-1].position
    parent = _told(place)
    rogue.send(rogue.batch(bad, parent=parent))
    until("the cursor moves over it", lambda: _told(place) == tip)
    assert len(parked_of(place.office.books, "shop/x")) >= len(POISON)
    place.office.books.rebuild()
    assert place.office.books.verify() == []


def test_greetings_that_name_foreign_or_impossible_streams(place: House) -> None:
    """They neither learn what is not theirs nor stop what others get."""
    rogue = place.rogue
    place.say("a")
    for stream in ("shop/a", "to/a", "all", "zone/east", "zone/west", "\0", "x" * 5000, "shop/x"):
        for upto in (0, 1, *HUGE):
            cursor = Cursor(stream=stream, epoch="", upto=upto, hash="0" * 64)
            rogue.hello(cursor, sess=f"s{upto}")
            rogue.hello(cursors=(cursor,), sess=f"t{upto}")
    many = tuple(Cursor(stream=f"shop/n{n}", epoch="", upto=0, hash="") for n in range(900))
    for n in range(5):
        rogue.hello(*many, sess=f"m{n}")
    time.sleep(0.5)
    place.flows()
    assert len(place.office.syncing.replicator.sending.sources) < 10
    for topic, payload in list(rogue.heard):
        if topic == place.topics.dn("x", "journal"):
            assert msgspec.json.decode(payload)["stream"] in {"all", "zone/east", "to/x", "shop/x"}


def test_acknowledgements_of_foreign_or_impossible_places(place: House) -> None:
    rogue = place.rogue
    for stream in ("to/a", "shop/a", "to/x", "all", "zone/east", "zone/west", "nowhere", "\0"):
        for upto in (0, 1, 5, *HUGE):
            for status in ("ok", "gap", "fork", "refused", "busy", "welcome", "\0"):
                cursor = Cursor(
                    stream=stream, epoch="\0", upto=upto, hash="0" * 64, status=status, credit=upto
                )
                rogue.ack(session_of(place), cursor)
    time.sleep(0.5)
    place.flows()
    for topic, payload in list(rogue.heard):
        if topic == place.topics.dn("x", "journal"):
            assert msgspec.json.decode(payload)["stream"] in {"all", "zone/east", "to/x", "shop/x"}


def _flood(place: House, throw: Callable[[int], None], count: int) -> None:
    for n in range(count):
        throw(n)
        if n % 500 == 0:
            place.flows()
    place.flows()
    with place.office.books.database.reading() as connection:
        rows = connection.execute(select(func.count()).select_from(refused)).scalar_one()
    assert rows <= REFUSED_ROWS_MAX


def test_a_flood_of_greetings(place: House) -> None:
    _flood(place, lambda n: place.rogue.hello(sess=f"{n:016x}"), 2000)


def test_a_flood_of_garbage(place: House) -> None:
    topics = place.topics
    _flood(place, lambda n: place.rogue.throw(topics.up("x", "journal"), b"{" * 3000), 5000)
    _flood(place, lambda n: place.rogue.throw(topics.dn("a", "journal"), b"{" * 3000), 5000)


def test_a_flood_of_gaps(place: House) -> None:
    cursor = Cursor(stream="all", epoch="", upto=0, hash="0" * 64, status="gap")
    before = place.rogue.seen[place.topics.dn("x", "journal")]
    place.rogue.hello(sess="g" * 16)
    _flood(place, lambda n: place.rogue.ack(session_of(place), cursor), 1000)
    assert place.rogue.seen[place.topics.dn("x", "journal")] - before < 500


def test_a_flood_of_questions_is_answered_now_and_then(place: House) -> None:
    place.say("b")  # a neighbour with goods
    answers = place.topics.dn("x", "rsp")
    before = place.rogue.seen[answers]
    question = b'{"node":"x","kind":"stock"}'
    for n in range(3_000):
        place.rogue.throw(place.topics.up("x", "req"), question)
        if n % 500 == 0:
            place.flows()
    until("it is answered at all", lambda: place.rogue.seen[answers] > before, 60)
    place.flows()
    assert place.rogue.seen[answers] - before < 300


def test_a_flood_of_heartbeats_leaves_the_last_one(place: House) -> None:
    for n in range(2_000):
        place.rogue.beat(head=n)
        if n % 500 == 0:
            place.flows()

    def last() -> bool:
        place.rogue.beat(head=4711)  # again: what comes too fast is dropped
        with place.office.books.database.reading() as connection:
            return reports(connection)["x"].head == 4711

    until("the last one counts", last, 60)


def test_long_lists_of_places_are_refused_unread(place: House) -> None:
    odd = tuple(Cursor(stream="all", epoch="", upto=n + 2**40, hash="0" * 64) for n in range(600))
    place.rogue.hello(sess="l" * 16)
    for n in range(200):
        place.rogue.ack(session_of(place), *odd)
        place.rogue.hello(*odd, sess=f"l{n}", cursors=odd)
        if n % 50 == 0:
            place.flows()
    until("they are refused", lambda: told(place, "MESSAGE_UNREADABLE", "/x/ack"), 60)


def test_it_is_shown_at_head_office_and_in_the_shop(place: House) -> None:
    codes = {a.code for a in place.office.alarms.alarms()}
    assert {"ALARM_REFUSED", "ALARM_PARKED"} <= codes
    for alarm in place.office.alarms.alarms():
        assert alarm.sentence("zh")
        assert alarm.sentence("en")
    place.rogue.throw(place.topics.dn("a", "journal"), b"odd")
    until(
        "the shop shows it",
        lambda: [
            v for v in place.shops["a"].health.verdicts() if v.part == "parked" and v.state != "ok"
        ],
    )
