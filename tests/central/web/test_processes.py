"""Two processes of pages over one PostgreSQL: what one does, the browser of the other hears."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from central.compose import HeadOffice, compose
from central.settings import Mqtt, Names, Settings, load, write
from central.switchboard import PAYLOAD_MAX, Call, packed
from protocol.node.hub import Fact
from protocol.node.signing import make_key
from tests.servers import PostgresServer, free_port

PASSWORD = "correct horse battery staple"
PATIENCE_S = 60.0


def eventually(met: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def settings(tmp_path: Path, postgres: PostgresServer) -> Path:
    found = Settings(
        chain="chain",
        name=Names(zh="连锁", en="Chain"),
        data_dir=tmp_path / "data",
        database_url=postgres.fresh_database(),
        mqtt=Mqtt(port=free_port()),  # nobody there: pages do without
    )
    found.data_dir.mkdir()
    make_key(found.key_path)
    write(found, tmp_path / "central.toml")
    office = compose(found)
    office.accounts.add_account("zhao", name="Zhao", role="admin", password=PASSWORD, by="t")
    office.books.database.close()
    return tmp_path / "central.toml"


@contextmanager
def pages(settings: Path) -> Iterator[int]:
    """A process that serves pages; its port."""
    port = free_port()
    command = [sys.executable, "-m", "central.cli", "-s", str(settings), "run", "--pages"]
    with (settings.parent / f"pages-{port}.log").open("ab") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
        try:
            eventually(lambda: _answers(port, process))
            yield port
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
            process.wait()


def _answers(port: int, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None
    try:
        ask(port, "GET", "/sign-in")
    except OSError:
        return False
    return True


def ask(
    port: int, method: str, path: str, cookie: str = "", **fields: str
) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    with closing(connection):
        connection.request(method, path, urllib.parse.urlencode(fields), headers)
        with closing(connection.getresponse()) as answer:
            return answer, answer.read().decode()


def listen(port: int, cookie: str, heard: list[str]) -> None:
    """The topics that a browser's stream brings."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with closing(connection), suppress(OSError, http.client.HTTPException, ValueError):
        connection.request("GET", "/live", headers={"Cookie": cookie})
        with closing(connection.getresponse()) as answer:
            while line := answer.readline():
                if line.startswith(b"data: "):
                    heard.append(json.loads(line[6:])["topic"])


def test_a_browser_hears_what_another_process_did(settings: Path) -> None:
    with ExitStack() as stack:
        ports = [stack.enter_context(pages(settings)) for _ in range(2)]
        answer, _ = ask(ports[0], "POST", "/sign-in", person="zhao", password=PASSWORD)
        assert answer.status == 302
        cookie = (answer.getheader("Set-Cookie") or "").split(";")[0]
        _, page = ask(ports[1], "GET", "/groups", cookie)  # the same session in both
        csrf = page.split('name="csrf" content="')[1].split('"')[0]
        heard: list[str] = []
        thread = threading.Thread(target=listen, args=(ports[0], cookie, heard), daemon=True)
        thread.start()
        eventually(lambda: "ping" in heard)
        names = {"group": "bread", "name_zh": "面包", "name_en": "Bread"}
        count = 0

        def told() -> bool:  # again until both have their lines to PostgreSQL open
            nonlocal count
            count += 1
            fields = {**names, "group": f"bread{count}"}
            answer, text = ask(ports[1], "POST", "/groups", cookie, csrf=csrf, **fields)
            assert answer.status == 302, text
            return "catalogue" in heard

        eventually(told)
    thread.join(PATIENCE_S)
    office = compose(load(settings))
    assert len(office.catalogue.groups()) == count
    office.books.database.close()


@pytest.fixture
def two(settings: Path) -> Iterator[list[HeadOffice]]:
    offices = [compose(load(settings)) for _ in range(2)]
    for office in offices:
        assert office.switchboard is not None
        office.switchboard.start()
    for office in offices:
        assert office.switchboard is not None
        assert office.switchboard.listening.wait(PATIENCE_S)
    yield offices
    for office in offices:
        assert office.switchboard is not None
        office.switchboard.stop()
        office.books.database.close()


def test_facts_and_moved_streams_reach_the_other_process_once(two: list[HeadOffice]) -> None:
    here, there = two
    with here.hub.subscribe() as mine, there.hub.subscribe() as others:
        here.hub.publish("stock", {"store": "S1"})
        assert others.get(timeout=PATIENCE_S) == Fact("stock", '{"store":"S1"}')
        assert mine.get(timeout=PATIENCE_S) == Fact("stock", '{"store":"S1"}')
        here.hub.publish("stock", {"figures": "x" * 9_000})
        assert others.get(timeout=PATIENCE_S).topic == "lost"
        assert mine.get(timeout=PATIENCE_S).topic == "stock"
        seen: list[str] = []
        there.books.listeners.append(lambda r: seen.extend(e.stored.stream for e in r))
        here.catalogue.define_group("tea", zh="茶", en="Tea", by="t")
        eventually(lambda: seen)
        assert set(seen) == {"all"}


def test_what_is_told_fits_and_nothing_is_left_out() -> None:
    facts = [Fact("sale", "x" * size) for size in (10, 3_000, 7_000, 20_000, 5_000, 1)]
    for moved in (set(), {f"to/S{n}" for n in range(300)}):
        calls = [msgspec.json.decode(p, type=Call) for p in packed("me", moved, facts)]
        assert all(len(msgspec.json.encode(c)) < PAYLOAD_MAX + 100 for c in calls)
        told = [fact for call in calls for fact in call.facts]
        assert [f.topic for f in told] == ["sale", "sale", "sale", "lost", "sale", "sale"]
        assert {s for call in calls for s in call.moved} == moved
