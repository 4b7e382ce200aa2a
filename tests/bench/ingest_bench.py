"""Events a second into head office, beside the raw pipe on the same machine in the same run."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import func, select

from central.compose import HeadOffice, compose
from central.settings import Mqtt, Names, Settings, write
from central.stores import Store
from protocol.node.database import Database
from protocol.node.signing import make_key
from protocol.node.tables import journal
from tests.bench import fleet
from tests.servers import MosquittoServer, PostgresServer, mosquitto_server, postgres_server

EVENTS = 40_000
SHOPS = 20
REPEATS = 3
GOALS = {"PostgreSQL": 0.35, "SQLite": 0.2}


def office_of(folder: Path, url: str, port: int, shops: list[str]) -> Path:
    """A head office that knows these shops; the path of its settings."""
    settings = Settings(
        chain=fleet.CHAIN,
        name=Names(zh="连锁", en="Chain"),
        data_dir=folder / "data",
        database_url=url,
        mqtt=Mqtt(port=port),
    )
    settings.data_dir.mkdir(parents=True)
    make_key(settings.key_path)
    path = folder / "central.toml"
    write(settings, path)
    office = compose(settings)
    try:
        _enrol(office, shops)
    finally:
        office.books.database.close()
    return path


def _enrol(office: HeadOffice, shops: list[str]) -> None:
    for name in shops:
        shop = Store(store=name, name_zh=name, name_en=name, zone="z", group="g", tz="UTC")
        office.stores.add_store(shop, by="bench")
        public = fleet.key_of(name).public_hex
        office.stores.accept_node(f"tillmesh-node {name} ed25519 {public}", by="bench")


@contextmanager
def child(*words: str, ready: bool = True) -> Iterator["subprocess.Popen[str]"]:
    """`python -m` in its own process, waited for until it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        if ready:
            assert process.stdout.readline().strip() == "ready", words
        yield process
    finally:
        process.kill()
        process.wait()


def figure(process: "subprocess.Popen[str]") -> float:
    assert process.stdout is not None
    return float(process.stdout.readline())


def raw(broker: MosquittoServer, postgres: PostgresServer) -> float:
    dsn = postgres.fresh_database().replace("+psycopg", "")
    port, events = str(broker.port), str(EVENTS)
    words = ("tests.bench.raw_pipe", "ingest", port, dsn, events)
    with child(*words) as sink, child("tests.bench.raw_pipe", "publish", port, events, ready=False):
        return figure(sink)


def ours(folder: Path, broker: MosquittoServer, url: str) -> float:
    names = [f"S{n}" for n in range(SHOPS)]
    settings = office_of(folder, url, broker.port, names)
    (folder / "names").write_text(" ".join(names))
    words = ("tests.bench.fleet", str(broker.port), str(folder / "names"), str(EVENTS))
    with child("tests.bench.sink", str(settings)), child(*words) as shops:
        time.sleep(0.5)
        assert shops.stdin is not None
        shops.stdin.write("go\n")
        shops.stdin.flush()
        found = figure(shops)
    database = Database(url)
    with database.reading() as connection:
        query = select(func.count()).where(journal.c.stream.like("shop/%"))
        assert connection.execute(query).scalar() == EVENTS
    database.close()
    return found


def run() -> list[tuple[str, str]]:
    rates: dict[str, list[float]] = {"raw": [], "PostgreSQL": [], "SQLite": []}
    options = ("-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB")
    with (
        tempfile.TemporaryDirectory() as name,
        mosquitto_server() as broker,
        postgres_server(durable=True, options=options) as postgres,
    ):
        for n in range(REPEATS):
            rates["raw"].append(raw(broker, postgres))
            folder = Path(name) / f"pg{n}"
            rates["PostgreSQL"].append(ours(folder, broker, postgres.fresh_database()))
            folder = Path(name) / f"lite{n}"
            url = f"sqlite:///{folder}/data/central.db"
            rates["SQLite"].append(ours(folder, broker, url))
    median = {what: statistics.median(found) for what, found in rates.items()}
    rows = [("baseline: raw pipe, paho -> Mosquitto -> paho -> COPY", f"{median['raw']:,.0f}/s")]
    for what, goal in GOALS.items():
        share = median[what] / median["raw"]
        text = f"{median[what]:,.0f}/s = {share:.2f} of the raw pipe   goal >= {goal}"
        rows.append((f"head office takes 10-line sales in, {what}", text))
    return rows
