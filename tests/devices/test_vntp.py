"""The virtual time servers: on the shop's page, with a choice to make them lie."""

import http.client
import urllib.error
import urllib.parse
import urllib.request

import pytest

from devices.sim.store import Kit, VirtualShop
from devices.sim.vntp import BEHAVIOURS, VirtualNtp
from protocol.node.ntpclock import NtpClock


@pytest.fixture
def servers():
    made = [VirtualNtp(), VirtualNtp(), VirtualNtp()]
    yield tuple(made)
    for one in made:
        one.stop()


@pytest.fixture
def shop(servers):
    with VirtualShop(["t1"], kit=Kit(time_servers=servers)) as made:
        yield made


def press(shop: VirtualShop, behaviour: str, server: str) -> int:
    body = urllib.parse.urlencode({"behaviour": behaviour, "server": server}).encode()
    request = urllib.request.Request(f"{shop.page_url}time", data=body)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code


def page(shop: VirtualShop, language: str) -> str:
    with urllib.request.urlopen(f"{shop.page_url}?lang={language}", timeout=30) as answer:
        return answer.read().decode()


def test_the_page_makes_one_or_all_of_them_lie(shop: VirtualShop, servers) -> None:
    first, *others = servers
    clock = NtpClock([one.address for one in servers])
    assert clock.ask_all()
    assert press(shop, "hour-ahead", first.address) == 200
    assert (first.named, [one.named for one in others]) == ("hour-ahead", ["good", "good"])
    assert clock.ask_all()
    assert clock.status().used == 2
    assert press(shop, "day-ahead", "all") == 200
    assert not clock.ask_all()
    assert clock.status().code == "CLOCK_JUMP"
    for language, words in (("en", "Time servers (simulated)"), ("zh-CN", "时间服务器（模拟）")):
        text = page(shop, language)
        assert words in text
        assert text.count("day-ahead</option>") == 3


@pytest.mark.parametrize(("behaviour", "which"), [("nonsense", "all"), ("good", "127.0.0.1:1")])
def test_what_is_not_there_is_not_found(shop: VirtualShop, behaviour: str, which: str) -> None:
    assert press(shop, behaviour, which) == http.client.NOT_FOUND


def test_a_shop_without_time_servers_shows_none() -> None:
    with VirtualShop(["t1"]) as plain:
        assert "Time servers" not in page(plain, "en")


def test_every_named_behaviour_can_be_taken_on_and_left() -> None:
    server = VirtualNtp()
    try:
        for name in BEHAVIOURS:
            server.become(name)
            assert server.named == name
        server.behave(held_s=0.001)
        assert server.named == ""
        with pytest.raises(KeyError):
            server.become("nonsense")
    finally:
        server.stop()
