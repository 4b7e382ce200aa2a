"""The wire under load, over mutual TLS and PostgreSQL: how late, how far behind, how many."""

import bisect
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from sqlalchemy import create_engine, text

from central.compose import HeadOffice, compose
from central.recording import record
from central.settings import Mqtt, Names, Settings, write
from protocol.events import NodeAccepted, StoreAdded
from protocol.ids import ALL, to_stream
from protocol.node.signing import make_key
from tests.bench import fleet
from tests.bench.figures import percentile, spread
from tests.bench.ingest_bench import child
from tests.bench.live_shop import Place
from tests.servers import MtlsServer, free_port, postgres_server
from tests.wired import CHAIN

RATE, SECONDS = 100, 8
BACKLOG = 30_000
PATIENCE_S = 60.0
NODES = 1_000
OPTIONS = ("-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB")


class House:
    """A head office with its own broker and its own authority; shops by name."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = Settings(
            chain=CHAIN,
            name=Names(zh="连锁", en="Chain"),
            data_dir=folder / "data",
            database_url=url,
            mqtt=Mqtt(port=self.port, tls=True),
        )
        self.settings.data_dir.mkdir(parents=True)
        make_key(self.settings.key_path)
        self.path = folder / "central.toml"
        write(self.settings, self.path)
        self.office: HeadOffice = compose(self.settings)
        (folder / "broker").mkdir()
        self.broker = MtlsServer(folder / "broker", authority=self.office.enrolment.authority)
        self.broker.port = self.port
        self.broker.refresh()
        self.authority = str(self.office.enrolment.authority.certificate_path)

    def enrol(self, keys: dict[str, str]) -> None:
        """All shops in one go: adding a thousand one by one would take longer than the storm."""
        office, said = self.office, {ALL: []}
        for name, key in keys.items():
            shop = StoreAdded(
                store=name, name={"zh": name, "en": name}, zone="z", group="g", tz="UTC"
            )
            said[ALL].append((f"add-{name}", shop))
            said[to_stream(name)] = [(f"key-{name}", NodeAccepted(node=name, public_key=key))]
        with office.books.begin() as tx:
            record(office.desk, tx, said, by="bench")

    def shop(self, name: str, *, port: int = 0) -> str:
        """The word that starts a live shop."""
        folder = self.folder / name
        folder.mkdir()
        key = make_key(folder / f"{name}.key")
        self.enrol({name: key.public_hex})
        return msgspec.json.encode(
            Place(
                store=name,
                folder=str(folder),
                port=port or self.port,
                central_key=self.office.key.public_hex,
                pair=str(self.broker.pair(name)),
                authority=self.authority,
            )
        ).decode()


@contextmanager
def house() -> Iterator[House]:
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory())
        postgres = stack.enter_context(postgres_server(durable=True, options=OPTIONS))
        found = House(Path(name) / "house", postgres.fresh_database())
        found.broker.start()
        stack.callback(found.broker.kill)
        stack.callback(found.office.books.database.close)
        yield found


class Watcher:
    """A second connection to head office's database: when was a place there to be read."""

    def __init__(self, url: str, store: str) -> None:
        self._engine = create_engine(url)
        self._store = store
        self._ended = threading.Event()
        self.seen: list[tuple[float, int]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        query = text("SELECT seq FROM stream_head WHERE stream = :s")
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
            while not self._ended.wait(0.002):
                seq = c.execute(query, {"s": f"shop/{self._store}"}).scalar() or 0
                if not self.seen or seq > self.seen[-1][1]:
                    self.seen.append((time.monotonic(), int(seq)))

    def end(self) -> list[tuple[float, int]]:
        self._ended.set()
        self._thread.join()
        self._engine.dispose()
        return self.seen


def tell(process: "subprocess.Popen[str]", words: str) -> list[list[float]]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(words + "\n")
    process.stdin.flush()
    found: list[list[float]] = json.loads(process.stdout.readline())
    return found


def delays(sold: list[list[float]], seen: list[tuple[float, int]]) -> list[float]:
    """From each commit to the first moment at which its place was seen."""
    places = [upto for _, upto in seen]
    found = []
    for seq, at in sold:
        n = bisect.bisect_left(places, int(seq))
        assert n < len(seen), "never seen"
        found.append(max(0.0, seen[n][0] - at))
    return found


def sell(
    one: House, a: "subprocess.Popen[str]", b: "subprocess.Popen[str] | None", store: str
) -> tuple[list[float], list[float]]:
    """Sell at A; delays to head office and to B."""
    watcher = Watcher(one.settings.database_url, store)
    sold = tell(a, f"sell {RATE} {SECONDS}")
    last, until = sold[-1][0], time.monotonic() + PATIENCE_S
    while watcher.seen[-1][1] < last and time.monotonic() < until:
        time.sleep(0.05)
    at_hq = delays(sold, watcher.end())
    if b is None:
        return at_hq, []
    heard: list[tuple[float, int]] = []
    while (not heard or heard[-1][1] < last) and time.monotonic() < until:
        time.sleep(0.2)
        found = [tuple(row) for row in tell(b, "seen")]
        heard = [(t, int(upto)) for t, name, upto in found if str(name) == store]
    return at_hq, delays(sold, heard)


def live(one: House) -> list[tuple[str, str]]:
    live_shop = "tests.bench.live_shop"
    with (
        child("tests.bench.sink", str(one.path)),
        child(live_shop, one.shop("A")) as a,
        child(live_shop, one.shop("B")) as b,
    ):
        at_hq, at_b = sell(one, a, b, "A")
        rows = [
            (f"commit at A -> head office, {RATE} sales/s, mTLS", spread(at_hq, "p99 <= 100 ms")),
            (f"commit at A -> B, {RATE} sales/s, mTLS", spread(at_b, "p99 <= 200 ms")),
        ]
        rows += _backlog(one, a, percentile(at_hq, 0.99))
        with child("tests.bench.slow_line", str(one.port), "200", "0.01") as line:
            assert line.stdout is not None
            far = one.shop("FAR", port=int(line.stdout.readline()))
            with child(live_shop, far) as slow:
                at_hq, at_b = sell(one, slow, b, "FAR")
        where = "200 ms round trip, 1 % loss"
        rows.append((f"the same to head office, {where}", spread(at_hq, "p99 <= 3 s")))
        rows.append((f"the same to B, {where}", spread(at_b, "p99 <= 3 s")))
    return rows


def _backlog(one: House, a: "subprocess.Popen[str]", before_s: float) -> list[tuple[str, str]]:
    """A month of one shop comes in at once; another one sells on."""
    one.enrol({"OLD": fleet.key_of("OLD").public_hex})
    pair = str(one.broker.pair("OLD"))
    (one.folder / "names").write_text("OLD")
    words = ("tests.bench.fleet", str(one.port), str(one.folder / "names"), str(BACKLOG))
    with child(*words, CHAIN, pair, one.authority) as old:
        assert old.stdin is not None
        assert old.stdout is not None
        old.stdin.write("go\n")
        old.stdin.flush()
        at_hq, _ = sell(one, a, None, "A")
        drained_s = BACKLOG / float(old.stdout.readline())
    times = percentile(at_hq, 0.99) / before_s
    goal = f"goal <= 2 x (this is {times:.1f} x)"
    return [
        (f"one shop's {BACKLOG:,} sales drained", f"{drained_s:.1f} s   goal <= 20 s"),
        ("meanwhile another shop -> head office", f"{spread(at_hq)}   {goal}"),
    ]


def storm(one: House) -> list[tuple[str, str]]:
    names = [f"N{n:04d}" for n in range(NODES)]
    one.enrol({name: fleet.key_of(name).public_hex for name in names})
    folder = one.folder / "storm"
    folder.mkdir()
    pairs = {name: str(one.broker.pair(name)) for name in names}
    (folder / "pairs.json").write_text(json.dumps(pairs))
    words = ("tests.bench.storm", str(one.port), str(folder), one.authority)
    with child("tests.bench.sink", str(one.path)), child(*words) as nodes:
        assert nodes.stdin is not None
        assert nodes.stdout is not None
        time.sleep(2.0)  # head office connects first
        nodes.stdin.write("go\n")
        nodes.stdin.flush()
        found = json.loads(nodes.stdout.readline())
    text_of = f"{found['all_s']:.1f} s, {spread(found['times'])}   goal <= 20 s"
    return [(f"{NODES:,} shops reconnect at once over mTLS, all welcomed", text_of)]


def run() -> list[tuple[str, str]]:
    with house() as one:
        rows = live(one)
    with house() as one:
        return rows + storm(one)
