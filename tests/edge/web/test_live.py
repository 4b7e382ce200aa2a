"""The live stream over a real socket: facts come, the cap holds, a stop takes no time."""

import http.client
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge.scanning import Screen
from tests.edge.shop_builder import BUN
from tests.edge.web.conftest import Site


@contextmanager
def stream(
    site: Site, cookies: dict[str, str], path: str = "/live"
) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    sent = "; ".join(f"{name}={value}" for name, value in cookies.items())
    connection.request("GET", path, headers={"Cookie": sent, "Accept-Language": "en"})
    answer = connection.getresponse()
    try:
        yield answer
    finally:
        answer.close()
        connection.close()


def facts(answer: http.client.HTTPResponse) -> Iterator[tuple[str, dict[str, object]]]:
    topic = ""
    while raw := answer.readline():
        line = raw.decode().rstrip("\n")
        if line.startswith("event: "):
            topic = line[7:]
        elif line.startswith("data: "):
            yield topic, json.loads(line[6:])


def next_of(answer: http.client.HTTPResponse, topic: str) -> dict[str, object]:
    return next(data for name, data in facts(answer) if name == topic)


def wait_until_alone(site: Site, count: int = 0) -> None:
    """So many streams are left once those of earlier browsers were given back."""
    for _ in range(600):
        if site.app.extensions["tillmesh_streams"].count == count:
            return
        site.shop.hub.publish("link", {})  # a write finds out who is gone
        time.sleep(0.05)
    raise AssertionError("streams were not given back")


def test_header_first_then_the_basket(site: Site) -> None:
    site.empty_till()
    with stream(site, site.cookies("anna")) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        status = next_of(answer, "status")
        assert [part["key"] for part in status["parts"]] == [  # type: ignore[attr-defined]
            "printer", "edge", "office", "internet", "clock",
        ]  # fmt: skip
        view = site.shop.selling.scan("1", BUN, "anna")
        assert next_of(answer, "basket")["version"] == view.version
    wait_until_alone(site)


def test_another_tills_basket_is_not_told(site: Site) -> None:
    site.empty_till("2")
    with stream(site, site.cookies("anna", "1")) as answer:
        next_of(answer, "status")
        site.shop.selling.scan("2", BUN, "anna")
        site.shop.selling.clear("1", person="anna")
        assert next_of(answer, "basket")["line"] == 0
    wait_until_alone(site)


def test_over_the_cap_comes_503_and_polling_works(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = site.app.extensions["tillmesh_streams"]
    monkeypatch.setattr(streams, "limit", 1)
    cookies = site.cookies("anna")
    with stream(site, cookies) as first:
        next_of(first, "status")
        with stream(site, cookies) as second:
            assert second.status == 503
            assert int(second.headers["Retry-After"]) > 0
        with stream(site, cookies, "/live/now") as polled:
            assert polled.status == 200
            assert len(json.loads(polled.read())["parts"]) == 5
    wait_until_alone(site)


def test_ping(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["edge.web.live"], "PING_S", 0.2)
    with stream(site, site.cookies("anna")) as answer:
        assert next_of(answer, "ping") == {}
    wait_until_alone(site)


def test_a_stop_ends_streams_at_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["edge.web.live"], "PING_S", 300.0)
    with stream(site, site.cookies("anna")) as answer:
        next_of(answer, "status")
        began = time.monotonic()
        site.stop()
        assert time.monotonic() - began < 50, "a ping later"
        assert next_of(answer, "bye") == {}
    site.start()


def test_a_payment_code_reaches_the_page_of_its_till_alone(site: Site) -> None:
    site.empty_till()
    scanning = site.shop.scanning
    scanning.till_alive("1", "anna", Screen.TENDER)
    with stream(site, site.cookies("anna", "2")) as other, stream(site, site.cookies("mei")) as own:
        next_of(other, "status")
        next_of(own, "status")
        scanning.take("1", "]Q1134512345678901234")
        told = next_of(own, "paycode")
        assert told == {"code": "134512345678901234", "provider": "wechat"}
        site.shop.selling.scan("2", BUN, "anna")
        for topic, _ in facts(other):
            assert topic != "paycode"
            if topic == "basket":
                break
    scanning.till_gone("1")
    wait_until_alone(site)
