"""Several ingest workers as real processes: shards move, nothing is lost or doubled."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from central.compose import compose
from central.ingesting import read_shards
from central.settings import Mqtt, Names, Settings, load, write
from central.sharing import ALL_SHARDS, Share
from central.syncing import Syncing
from protocol.errors import Refusal
from protocol.node.database import Database
from protocol.node.leases import SHARD_LOCKS
from protocol.node.mqttlink import Broker
from protocol.node.signing import make_key
from protocol.topics import Topics, shard_of
from tests.servers import MosquittoServer, PostgresServer, mosquitto_server
from tests.wired import PATIENCE_S, WiredShop, enrol, eventually

STORES = ("S1", "S2", "S3", "S4", "S5", "S6")


@pytest.fixture
def settings(tmp_path: Path, postgres: PostgresServer, broker: MosquittoServer) -> Path:
    found = Settings(
        chain="chain",
        name=Names(zh="连锁", en="Chain"),
        data_dir=tmp_path / "data",
        database_url=postgres.fresh_database(),
        mqtt=Mqtt(port=broker.port),
    )
    found.data_dir.mkdir()
    make_key(found.key_path)
    write(found, tmp_path / "central.toml")
    return tmp_path / "central.toml"


@pytest.fixture
def broker() -> Iterator[MosquittoServer]:
    with mosquitto_server() as server:
        yield server


@contextmanager
def worker(settings: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    log = (settings.parent / "worker.log").open("ab")
    command = [sys.executable, "-m", "central.cli", "-s", str(settings), "ingest", *words]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


def held(url: str) -> list[int]:
    """How many shards each worker holds."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
        grouped = connection.execute(f"{query} GROUP BY pid ORDER BY 1", (SHARD_LOCKS,))
        return [row[0] for row in grouped]


def test_two_workers_share_the_shops_and_one_is_killed(
    settings: Path, tmp_path: Path, broker: MosquittoServer
) -> None:
    office = compose(load(settings))
    shops = [
        WiredShop(s, tmp_path, Broker("127.0.0.1", broker.port, client_id=s), office.key.public_hex)
        for s in STORES
    ]
    enrol(office, shops)
    url = office.settings.database_url
    try:
        with worker(settings) as first, worker(settings) as second:
            eventually(lambda: held(url) == [32, 32])
            for shop in shops:
                shop.sell(20)
                shop.wire.start()
            eventually(lambda: all(len(s.line(office.books)) > 0 for s in shops))
            for turn in range(30):
                for shop in shops:
                    shop.sell(3)
                if turn == 10:
                    first.send_signal(signal.SIGKILL)
                    first.wait()
            eventually(lambda: held(url) == [64])
            eventually(lambda: all(s.level(office) for s in shops))
            assert second.poll() is None
            assert office.books.verify() == []
            for shop in shops:
                assert office.books.proof(shop.stream) == shop.books.proof(shop.stream)
            names = [w.name for w in office.syncing.workers()]
            assert set(names) <= {"central-1", "central-2"}
    finally:
        for shop in shops:
            shop.close()
        office.books.database.close()


def test_a_third_worker_takes_its_share_and_gives_it_back(postgres: PostgresServer) -> None:
    url = postgres.fresh_database()
    databases = [Database(url) for _ in range(3)]
    left: list[int] = []
    shares = [Share(database) for database in databases]
    try:
        assert [s.name for s in shares] == ["central-1", "central-2", "central-3"]
        for now in range(1, 8):
            for share in shares:
                share.look(now * 2.0, left.append)
        held_now = [set(s.shards) for s in shares]
        assert set().union(*held_now) == ALL_SHARDS
        assert sum(map(len, held_now)) == 64
        assert max(map(len, held_now)) <= 22
        assert [s.leads for s in shares] == [True, False, False]
        shares[0].close()
        now = 20.0

        def taken_over() -> bool:  # the server gives locks back when it sees the connection end
            nonlocal now
            now += 2.0
            for share in shares[1:]:
                share.look(now, left.append)
            return set(shares[1].shards) | set(shares[2].shards) == ALL_SHARDS

        eventually(taken_over)
        eventually(lambda: taken_over() and shares[1].leads != shares[2].leads)
    finally:
        for share in shares:
            share.close()
        for database in databases:
            database.close()


def test_workers_and_a_whole_head_office_exclude_each_other(settings: Path, tmp_path: Path) -> None:
    with worker(settings) as first:
        eventually(lambda: len(held(load(settings).database_url)) == 1)
        done = subprocess.run(
            [sys.executable, "-m", "central.cli", "-s", str(settings), "run"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 1
        assert "HQ_INGEST_TAKEN" in done.stderr
        first.send_signal(signal.SIGTERM)
        assert first.wait(PATIENCE_S) == 0


def test_sqlite_has_no_workers(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/c.db")
    with pytest.raises(Refusal) as refused:
        Share(database)
    assert refused.value.code == "HQ_WORKERS_NEED_POSTGRES"
    database.close()


@pytest.mark.parametrize("text", ["", "x", "64", "5-3", "-1", "1,,2"])
def test_shards_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(Refusal):
        read_shards(text)


def test_shards_are_read() -> None:
    assert read_shards("all") == ALL_SHARDS
    assert read_shards("0-3,9") == {0, 1, 2, 3, 9}


def test_a_worker_hears_its_own_shards_only(settings: Path) -> None:
    """A shop cannot slip into another shard: the topic's shard must be that of the shop's id."""
    office = compose(load(settings), share_of=lambda db: Share(db, frozenset({shard_of("S1")})))
    assert office.share is not None
    try:
        office.share.look(5.0, lambda _: None)
        side = Syncing._side(office.syncing)
        topics = Topics("chain")
        mine, other = topics.parse(topics.up("S1", "journal")), topics.parse(topics.up("S2", "hb"))
        assert mine is not None
        assert side.hears(mine)
        assert other is not None
        assert not side.hears(other)
        wrong = (shard_of("S1") + 1) % 64
        assert topics.parse(f"pos/1/chain/up/{wrong}/S1/journal") is None
    finally:
        office.share.close()
        office.books.database.close()
