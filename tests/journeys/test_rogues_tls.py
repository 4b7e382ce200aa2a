"""Rogues over mutual TLS: nothing is delivered, nothing is accepted, head office is told.

Shops `a` and `b` are enrolled and run as in production; the rogue holds the certificate and the
journal key of `x`. Delivery is tested, never an acknowledgement of the broker.
"""

import contextlib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from central.authority import Authority
from protocol.clock import ClockState, Reading
from protocol.events import CertificateIssued, CertificateTaken, Event, NodeRevoked
from protocol.journal import ORIGIN
from protocol.node import certificates
from protocol.node.books import opened
from protocol.node.mqttlink import Broker, MqttLink
from protocol.node.sqljournal import read_line
from protocol.topics import SHARDS, shard_of
from protocol.wire import Batch
from tests.builders import branch, received
from tests.journeys.rogues import (
    EPOCH,
    House,
    Rogue,
    count_of,
    head_of,
    on_hand,
    reasons,
    until,
)
from tests.servers import MtlsServer, wall_ms

pytestmark = pytest.mark.slow
DAY_MS = 86_400_000
LONG_S = 60.0


class WallClock:
    """TLS judges certificates by the machine's own time; `ahead_ms` is what a test adds."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def read(self) -> Reading:
        return Reading(wall_ms() + self.ahead_ms, 20, ClockState.TRUSTED)


@contextmanager
def enrolled(folder: Path) -> Iterator[House]:
    """A house in which everybody has a certificate; nothing runs yet but the broker."""
    (folder / "broker").mkdir()
    (folder / "hq").mkdir()
    authority = Authority(folder / "hq" / "authority", "bakery", wall_ms())
    broker = MtlsServer(folder / "broker", authority=authority)
    broker.start()
    made = None
    try:
        made = House(folder, broker, clock=WallClock(), tls=True)
        yield made
    finally:
        if made is not None:
            made.stop()
        broker.kill()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with enrolled(tmp_path_factory.mktemp("house")) as made:
        made.start()
        yield made


@pytest.fixture(autouse=True)
def trade_goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "place" in request.fixturenames:
        place: House = request.getfixturevalue("place")
        place.flows(LONG_S)
        assert place.faults() == []


def broker_of(place: House) -> MtlsServer:
    assert isinstance(place.broker, MtlsServer)
    return place.broker


def alarms(place: House) -> set[str]:
    return {alarm.code for alarm in place.office.alarms.alarms()}


def told(place: House, topic: str) -> list[str]:
    return [detail for t, _, detail in reasons(place.office.books) if t.endswith(topic)]


def passed(place: House) -> None:
    """What the rogue threw before has been delivered, or never will be."""
    before = len(told(place, "/x/req"))
    place.rogue.throw(place.topics.up("x", "req"), b"the end")
    until("the broker has dealt with it", lambda: len(told(place, "/x/req")) > before, LONG_S)


def x_batch(place: House, name: str) -> Batch:
    return place.rogue.batch(branch("shop/x", [received(name)], epoch=EPOCH))


def test_foreign_topics_are_written_to_in_vain(place: House) -> None:
    topics, rogue = place.topics, place.rogue
    events = branch("shop/a", [received("forged")], epoch=EPOCH)
    forged = msgspec.json.encode(rogue.batch(events, node="a"))
    before = {s: reasons(x.books) for s, x in place.shops.items()}
    heard, on_shelf = reasons(place.office.books), on_hand(place.office.books, "a")
    for store in ("a", "b", "central"):
        for leaf in ("journal", "state", "ack", "hb", "req", "cert"):
            rogue.throw(topics.up(store, leaf), forged)
            rogue.throw(topics.dn(store, leaf), forged)
    for topic in (topics.all("journal"), topics.all("state"), topics.all("clock")):
        rogue.throw(topic, forged, retain=True)
    for topic in (topics.zone("east"), topics.group("town"), topics.dn("x", "journal")):
        rogue.throw(topic, forged)
    passed(place)
    place.flows(LONG_S)
    new = reasons(place.office.books)[len(heard) :]
    assert {topic for topic, *_ in new} <= {topics.up("x", "req")}
    assert {s: reasons(x.books) for s, x in place.shops.items()} == before
    assert on_hand(place.office.books, "a") >= on_shelf
    assert "forged" not in str(reasons(place.office.books))


def test_litter_cannot_be_left_on_topics_without_end(place: House) -> None:
    """Retained messages stay in the broker's memory: only topics of the chain take any."""
    odd = [f"pos/1/other/up/{n}/x/state" for n in range(20)]
    odd += [f"{place.topics.up('x', 'state')}/{n}" for n in range(20)]
    odd += [f"pos/1/bakery/up/1/x/{leaf}" for leaf in ("", "odd", "journal/x", "$share/x")]
    for topic in odd:
        place.rogue.throw(topic, b"litter", retain=True)
    mine = place.topics.up("x", "hb")
    place.rogue.throw(mine, b"litter", retain=True)
    passed(place)
    heard: list[str] = []
    reader = MqttLink(
        Broker(
            "127.0.0.1", place.broker.port, "central-7", tls=broker_of(place).issue("central-7")
        ),
        ["pos/#"],
        on_message=lambda message: heard.append(message.topic),
        on_up=lambda: None,
        on_down=lambda _: None,
    )
    reader.start()
    try:
        until("what was left is heard", lambda: mine in heard, LONG_S)
        assert not {*odd} & {*heard}
    finally:
        reader.stop()
        place.rogue.throw(mine, b"", retain=True)


def test_a_foreign_client_id_throws_nobody_off(place: House) -> None:
    a = place.shops["a"].syncing
    session = a.replicator.session
    with contextlib.closing(
        Rogue(
            broker_of(place),
            place.topics,
            place.rogue.key,
            name="a",
            tls=broker_of(place).issue("y")(),
        )
    ):
        place.flows(LONG_S)
        assert (a.replicator.session, a.status().broker_up) == (session, True)


def test_a_forged_batch_on_its_own_topic_is_refused_and_shown(place: House) -> None:
    events = branch("shop/a", [received("forged")], epoch=EPOCH)
    before = count_of(place.office.books, "shop/a")
    place.rogue.send(place.rogue.batch(events))  # well signed by x, but the stream is a's
    place.rogue.send(place.rogue.batch(events, node="a"))
    until("both are refused", lambda: len(told(place, "/x/journal")) >= 2, LONG_S)
    assert count_of(place.office.books, "shop/a") == before
    assert "ALARM_REFUSED" in alarms(place)


def test_a_replay_counts_once_and_never_for_another(place: House) -> None:
    mine = x_batch(place, "mine")
    for _ in range(5):
        place.rogue.send(mine)
    until("it came", lambda: head_of(place.office.books, "shop/x") != ORIGIN, LONG_S)
    with place.shops["a"].books.database.reading() as connection:
        stored = read_line(connection, "shop/a", 0, limit=1)
    theirs = place.rogue.batch(stored, node="a")  # a's own events, bytes and all
    before, refused = count_of(place.office.books, "shop/a"), len(told(place, "/x/journal"))
    place.rogue.send(theirs)
    until("it is refused", lambda: len(told(place, "/x/journal")) > refused, LONG_S)
    passed(place)
    assert count_of(place.office.books, "shop/x") == mine.n
    assert count_of(place.office.books, "shop/a") == before


def test_whoever_subscribes_to_everything_hears_what_is_for_all(place: House) -> None:
    place.rogue.heard.clear()
    place.flows(LONG_S)
    place.say("a")
    until("its own is heard", lambda: place.rogue.heard, LONG_S)
    passed(place)
    foreign = {topic for topic, _ in place.rogue.heard if "/up/" in topic or "/dn/" in topic}
    assert foreign <= {place.topics.dn("x", leaf) for leaf in ("ack", "journal", "rsp", "cert")}


def test_another_shard_is_refused_and_shown(place: House) -> None:
    wrong = (shard_of("x") + 1) % SHARDS
    before = count_of(place.office.books, "shop/x")
    batch = x_batch(place, "elsewhere")
    topic = f"pos/1/bakery/up/{wrong}/x/journal"
    place.rogue.throw(topic, msgspec.json.encode(batch))
    until("it is refused", lambda: told(place, f"up/{wrong}/x/journal"), LONG_S)
    assert count_of(place.office.books, "shop/x") == before
    assert "ALARM_REFUSED" in alarms(place)


def attempt(place: House, tls: ssl.SSLContext, name: str) -> MqttLink:
    """Somebody knocks with this certificate until the broker has turned him away."""
    broker = broker_of(place)
    link = MqttLink(
        Broker(broker.host, broker.port, name, tls=lambda: tls),
        ["pos/#"],
        on_message=lambda _: None,
        on_up=lambda: None,
        on_down=lambda _: None,
    )
    link.start()
    return link


@pytest.mark.parametrize("kind", ["expired", "not yet", "another authority", "none", "a server's"])
def test_a_certificate_that_does_not_hold_opens_nothing(
    place: House, tmp_path: Path, kind: str
) -> None:
    broker = broker_of(place)
    trusted = broker.authority.certificate_path
    pair: Path | None = None
    if kind == "expired":
        pair = broker.pair("b", days=1, at_ms=wall_ms() - 3 * DAY_MS)
    elif kind == "not yet":
        pair = broker.pair("b", at_ms=wall_ms() + DAY_MS)
    elif kind == "another authority":
        (tmp_path / "other").mkdir()
        pair = MtlsServer(tmp_path / "other").pair("b")
    elif kind == "a server's":
        pair, _ = broker.authority.pair("https", wall_ms(), hosts=("localhost",))
    before = len(told(place, "$SYS/broker"))
    link = attempt(place, certificates.client_context(trusted, pair), "b")
    try:
        until("head office is told", lambda: len(told(place, "$SYS/broker")) > before, LONG_S)
        until("it is turned away", lambda: link.denied, LONG_S)
        assert not link.up
    finally:
        link.stop()
    assert "ALARM_STRANGER" in alarms(place)
    assert place.shops["b"].syncing.status().broker_up


def test_a_certificate_with_the_key_of_nobody_is_refused_at_head_office(place: House) -> None:
    """A node of another chain of the same authority: known to the broker, not to head office."""
    broker = broker_of(place)
    stranger = Rogue(
        broker, place.topics, place.rogue.key, name="nobody", tls=broker.issue("nobody")()
    )
    with contextlib.closing(stranger):
        events = branch("shop/nobody", [received("n")], epoch=EPOCH)
        stranger.send(stranger.batch(events, node="nobody"), store="nobody")
        until("it is refused", lambda: told(place, "/nobody/journal"), LONG_S)
    assert count_of(place.office.books, "shop/nobody") == 0


def bodies(place: House, stream: str, kind: type[Event]) -> list[Event]:
    with place.office.books.database.reading() as connection:
        rows = read_line(connection, stream, 0, limit=1000)
    return [r.body for r in (opened(row)[0] for row in rows) if isinstance(r.body, kind)]


def test_a_revoked_machine_is_thrown_off_and_comes_back_with_a_token(tmp_path: Path) -> None:
    with enrolled(tmp_path) as place:
        place.start()
        broker, b = broker_of(place), place.shops["b"]
        place.office.enrolment.revoke("b", by="ann", second="ben", reason="stolen")
        broker.reload()
        until("b is thrown off", lambda: not b.syncing.status().broker_up, LONG_S)
        until("b is turned away", lambda: b.syncing.status().denied, LONG_S)
        until("head office is told", lambda: "ALARM_STRANGER" in alarms(place), LONG_S)
        before = head_of(place.office.books, "shop/b")
        mine = place.say("b")  # it sells on
        assert mine.seq > before.seq
        (revoked,) = bodies(place, "to/b", NodeRevoked)
        assert isinstance(revoked, NodeRevoked)
        assert (revoked.second, revoked.reason) == ("ben", "stolen")
        assert revoked.public_key == b.key.public_hex
        assert head_of(place.office.books, "shop/b") == before
        b.stop()
        (Path(b.settings.data_dir) / "node.key").unlink()
        fresh = place.shops["b"] = place.build("b")
        place.certify("b")
        fresh.start()
        until(
            "what happened meanwhile is there",
            lambda: head_of(place.office.books, "shop/b").seq >= mine.seq,
            LONG_S,
        )
        place.flows(LONG_S)


def test_a_certificate_is_renewed_in_time_over_its_own_connection(tmp_path: Path) -> None:
    with enrolled(tmp_path) as place:
        a, broker = place.shops["a"], broker_of(place)
        old = broker.pair("a", at_ms=wall_ms() - 70 * DAY_MS)
        certificates.keep(a.settings.pair_path, old.read_bytes())
        before = certificates.read_held(a.settings.pair_path)
        place.start()
        until(
            "a has a new one",
            lambda: certificates.read_held(a.settings.pair_path).serial != before.serial,
            LONG_S,
        )
        held = certificates.read_held(a.settings.pair_path)
        assert held.days_left(wall_ms()) in {89, 90}
        assert a.settings.pair_path.stat().st_mode & 0o077 == 0
        assert certificates.read_key(a.settings.pair_path).private_numbers() != (
            certificates.read_key(old).private_numbers()
        )
        until("a is there again", lambda: a.syncing.status().broker_up, LONG_S)
        issued = [
            x
            for x in bodies(place, "to/a", CertificateIssued)
            if isinstance(x, CertificateIssued) and x.renewal
        ]
        assert [x.serial for x in issued] == [held.serial]
        until(
            "a says so in its journal",
            lambda: (
                held.serial
                in [getattr(x, "serial", "") for x in bodies(place, "shop/a", CertificateTaken)]
            ),
            LONG_S,
        )
        place.flows(LONG_S)


def test_both_sides_warn_before_a_certificate_ends(tmp_path: Path) -> None:
    with enrolled(tmp_path) as place:
        a = place.shops["a"]
        clock = place.clock
        assert isinstance(clock, WallClock)
        for days, state, level in ((61, "warn", "warn"), (84, "bad", "bad"), (91, "bad", "bad")):
            clock.ahead_ms = days * DAY_MS
            (verdict,) = [v for v in a.health.verdicts() if v.part == "certificate"]
            assert verdict.state == state
            assert verdict.sentence("zh") != verdict.sentence("en")
            found = {
                x.subject: x.level
                for x in place.office.alarms.alarms()
                if x.code == "ALARM_CERTIFICATE"
            }
            assert found["a"] == level
            assert "broker" in found
