"""The event stream: facts at once, a place for so many, an end at shutdown."""

import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask

from central.compose import HeadOffice
from central.web import create_app, live
from central.web.serving import Server
from tests.central.web.bakery import EVENING_MS, Shop
from tests.central.web.conftest import Person

Who = Callable[[str], Person]


SOON_S = 50.0  # much less than a ping here, much more than a busy machine needs


@pytest.fixture(autouse=True)
def _rare_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PING_S", 300.0)


class Stream:
    """A client that reads one event after the other."""

    def __init__(self, address: str, person: Person) -> None:
        at = urlsplit(address)
        self.connection = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
        cookie = person.client.get_cookie("tillmesh_session")
        self.connection.request("GET", "/live", headers={"Cookie": f"{cookie.key}={cookie.value}"})
        self.answer = self.connection.getresponse()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for line in self.answer:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


@contextmanager
def stream(address: str, person: Person) -> Iterator[Stream]:
    """An open stream."""
    one = Stream(address, person)
    try:
        yield one
    finally:
        one.close()


def test_a_sale_is_told_at_once(site: str, person: Who, shops: dict[str, Shop]) -> None:
    """A ping with the time first, then facts by topic."""
    with stream(site, person("zhao")) as one:
        assert one.answer.headers["Content-Type"].startswith("text/event-stream")
        facts = iter(one)
        ping = next(facts)
        assert ping["topic"] == "ping"
        assert ping["data"]["now"] == EVENING_MS
        assert re.fullmatch("[0-9a-f]{8}:[0-9]+", ping["data"]["mark"])
        begun = time.monotonic()
        shops["south"].sell([("P0101", 1000)], EVENING_MS)
        found = {}
        while not {"sale", "stock"} <= found.keys():
            fact = next(facts)
            found[fact["topic"]] = fact["data"]
        assert time.monotonic() - begun < SOON_S, "it waited for the next ping"
        assert found["sale"]["stores"] == {"south": 1}
        assert found["stock"]["store"] == "south"
        assert [sku for sku, _ in found["stock"]["figures"]] == ["P0101"]


def test_one_too_many_is_told_to_come_back(office: HeadOffice, app: Flask, person: Who) -> None:
    """503 with Retry-After; a place that was left is free again."""
    full = create_app(office)
    full.extensions[live.EXTENSION].limit = 1
    server = Server(full, "127.0.0.1", 0)
    server.start()
    address = f"http://127.0.0.1:{server.port}"
    try:
        with stream(address, person("zhao")) as first:
            next(iter(first))
            with stream(address, person("qian")) as second:
                assert second.answer.status == 503
                assert second.answer.headers["Retry-After"] == "15"
                assert json.load(second.answer)["code"] == "STREAMS_FULL"
        for _ in range(50):
            office.hub.publish("link", {})  # a write finds that the first one went away
            if full.extensions[live.EXTENSION].count == 0:
                break
            time.sleep(0.05)
        with stream(address, person("zhao")) as third:
            assert third.answer.status == 200
    finally:
        server.stop()
    assert app.extensions[live.EXTENSION].limit == live.STREAMS_MAX


def test_a_browser_has_one_stream(site: str, app: Flask, person: Who) -> None:
    """Its newest ends the one before, at once."""
    with stream(site, person("qian")) as old:
        facts = iter(old)
        next(facts)
        with stream(site, person("qian")) as new:
            assert next(iter(new))["topic"] == "ping"
            begun = time.monotonic()
            assert list(facts) == []
            assert time.monotonic() - begun < SOON_S, "it waited for the next ping"
            assert app.extensions[live.EXTENSION].count == 1


def test_an_unread_stream_gives_its_place_back(app: Flask, person: Who) -> None:
    """Even when nobody asked for the first line."""
    before = app.extensions[live.EXTENSION].count
    answer = person("zhao").client.get("/live")
    assert app.extensions[live.EXTENSION].count == before + 1
    answer.close()
    assert app.extensions[live.EXTENSION].count == before


def test_shutdown_ends_open_streams_quickly(office: HeadOffice, person: Who) -> None:
    """No stream holds the house open."""
    server = Server(create_app(office), "127.0.0.1", 0)
    server.start()
    address = f"http://127.0.0.1:{server.port}"
    streams = [Stream(address, Person(person("zhao").client.application, "zhao")) for _ in "abcde"]
    for one in streams:
        next(iter(one))
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < SOON_S, "it waited for the next ping"
    for one in streams:
        assert list(one) == []
        one.close()
