"""Clocks over a real broker: time servers, signed beacons, heartbeats; who is flagged, and why."""

import re
from collections.abc import Iterator

import pytest

import central.syncing
import edge.syncing
from central import watching
from devices.sim.vntp import VirtualNtp
from protocol.clock import ClockState
from protocol.node.ntpclock import NtpClock
from tests.journeys.rogues import House, until
from tests.servers import mosquitto_server

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, list[VirtualNtp]]]:
    """Each node has time servers of its own, as each shop has its own network."""
    made = {node: [VirtualNtp(), VirtualNtp()] for node in ("central", "a", "b")}
    yield made
    for some in made.values():
        for one in some:
            one.stop()


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, servers: dict[str, list[VirtualNtp]]
) -> Iterator[House]:
    """A's servers are seven seconds ahead, b's a whole day; hearts beat faster than in a shop."""
    for one in servers["a"]:
        one.behave(offset_s=7)
    for one in servers["b"]:
        one.become("day-ahead")
    clocks = {node: NtpClock([one.address for one in some]) for node, some in servers.items()}
    clocks["central"].ask_all()
    with mosquitto_server() as broker, pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge.syncing, "HEARTBEAT_S", 2.0)
        patch.setattr(central.syncing, "BEACON_S", 2.0)
        made = House(tmp_path_factory.mktemp("house"), broker, clocks=clocks)
        made.start()
        yield made
        made.stop()


def alarms(house: House, store: str) -> list[str]:
    return [a.code for a in house.office.alarms.alarms() if a.subject == store]


def test_a_skewed_shop_is_flagged_with_its_next_heartbeat(
    house: House, servers: dict[str, list[VirtualNtp]]
) -> None:
    flagged = lambda: "ALARM_CLOCK_SKEW" in alarms(house, "a")  # noqa: E731
    until("shop a is flagged", flagged, PATIENCE_S)
    found = [a for a in house.office.alarms.alarms() if a.code == "ALARM_CLOCK_SKEW"]
    (alarm,) = [a for a in found if a.subject == "a"]
    assert re.search(r"\+[67]\.\d s", alarm.sentence("en"))
    assert alarm.todo("zh") != "ALARM_CLOCK_SKEW_DO"
    assert house.shops["a"].clock.read().state is ClockState.TRUSTED


def test_a_shop_whose_network_lies_about_the_day_does_not_follow(house: House) -> None:
    """Its first majority could not be known to lie; head office's signed beacon shows it."""
    clock = house.shops["b"].clock
    until("b's clock is disputed", lambda: clock.status().contested, PATIENCE_S)
    assert not clock.read().state.trusted or abs(skew_ms(house)) < 60_000
    until("b is flagged", lambda: "ALARM_CLOCK_CONTESTED" in alarms(house, "b"), PATIENCE_S)
    with house.office.books.database.reading() as connection:
        facts = watching.reports(connection)["b"].clock
    assert facts is not None
    assert (facts.code, facts.contested) == ("CLOCK_CENTRAL_DIFFERS", True)


def skew_ms(house: House) -> int:
    return house.shops["b"].clock.read().at_ms - house.office.clock.read().at_ms


def test_it_recovers_by_itself_when_the_servers_do(
    house: House, servers: dict[str, list[VirtualNtp]]
) -> None:
    for node in ("a", "b"):
        for one in servers[node]:
            one.become("good")
        house.shops[node].clock.ask_all()
    clock = house.shops["b"].clock
    until("b is trusted", lambda: clock.read().state is ClockState.TRUSTED, PATIENCE_S)
    until("nobody is flagged", lambda: not clock_alarms(house), PATIENCE_S)


def clock_alarms(house: House) -> list[str]:
    found = [*alarms(house, "a"), *alarms(house, "b")]
    return [c for c in found if c.startswith("ALARM_CLOCK") and c != "ALARM_CLOCK_STEPPED"]
