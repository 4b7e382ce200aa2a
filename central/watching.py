"""What each shop reported last: a cache with an age, never rebuilt, never replicated."""

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, MetaData, Table, Text, select

from protocol.node.sqljournal import upsert
from protocol.wire import Heartbeat, Hello

SILENT_MS = 45_000

watch = MetaData()
shop_report = Table(
    "shop_report",
    watch,
    Column("store", Text, primary_key=True),
    Column("alive", Boolean, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("session", Text, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("head", BigInteger, nullable=False),
    Column("acked", BigInteger, nullable=False),
    Column("clock_state", Text, nullable=False),
    Column("clock_u_ms", BigInteger, nullable=False),
    Column("clock_offset_ms", BigInteger, nullable=False),  # its clock minus ours, at arrival
    Column("health", Text, nullable=False),  # JSON: part -> "ok" or a code
    Column("cursors", Text, nullable=False),  # JSON: stream -> seq it follows us to
    Column("disk_free", BigInteger, nullable=False),
    Column("unsynced", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
)


ingest_worker = Table(
    "ingest_worker",
    watch,
    Column("name", Text, primary_key=True),
    Column("seen_ms", BigInteger, nullable=False),
    Column("broker_up", Boolean, nullable=False),
    Column("denied", Boolean, nullable=False),
    Column("shards", Text, nullable=False),  # JSON: numbers
    Column("greeted", Text, nullable=False),  # JSON: shops that answer
    Column("resends", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("fault", Text, nullable=False),
    Column("stopped", Text, nullable=False),  # JSON: peer and stream -> reason
)
WORKER_SILENT_MS = 15_000


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """One ingest worker as it last reported, for the pages of another process."""

    name: str
    seen_ms: int
    broker_up: bool
    denied: bool = False
    shards: tuple[int, ...] = ()
    greeted: tuple[str, ...] = ()
    resends: int = 0
    refused: int = 0
    fault: str = ""
    stopped: dict[str, str] = {}


def working(tx: Connection, report: WorkerReport) -> None:
    """A worker says how it is."""
    row = msgspec.to_builtins(report)
    for name in ("shards", "greeted", "stopped"):
        row[name] = msgspec.json.encode(row[name]).decode()
    statement = upsert(tx, ingest_worker).on_conflict_do_update(index_elements=["name"], set_=row)
    tx.execute(statement, row)


def workers(connection: Connection, now_ms: int) -> list[WorkerReport]:
    """The workers that spoke lately, by name."""
    alive = ingest_worker.c.seen_ms > now_ms - WORKER_SILENT_MS
    query = select(ingest_worker).where(alive).order_by(ingest_worker.c.name)
    found = []
    for row in connection.execute(query).mappings():
        values = {str(name): value for name, value in row.items()}
        for name in ("shards", "greeted", "stopped"):
            values[name] = msgspec.json.decode(values[name])
        found.append(msgspec.convert(values, WorkerReport))
    return found


class ShopReport(msgspec.Struct, frozen=True, kw_only=True):
    """One shop as it last spoke. `offline(now_ms)` says whether that is too long ago."""

    store: str
    alive: bool = False
    seen_ms: int = 0
    session: str = ""
    epoch: str = ""
    head: int = 0
    acked: int = 0
    clock_state: str = "unknown"
    clock_u_ms: int = 0
    clock_offset_ms: int = 0
    health: dict[str, str] = {}
    cursors: dict[str, int] = {}
    disk_free: int = 0
    unsynced: int = 0
    version: str = ""

    def offline(self, now_ms: int) -> bool:
        """Said good-bye, was cut off, or has been silent for 45 s."""
        return not self.alive or now_ms - self.seen_ms > SILENT_MS


def _write(tx: Connection, store: str, values: dict[str, object]) -> None:
    blank = msgspec.to_builtins(ShopReport(store=store))
    row = {**blank, "health": "{}", "cursors": "{}", **values}
    tx.execute(
        upsert(tx, shop_report).on_conflict_do_update(index_elements=["store"], set_=values), row
    )


def greeted(tx: Connection, hello: Hello, *, now_ms: int) -> None:
    """A shop was born or died."""
    values: dict[str, object] = {"alive": hello.alive, "seen_ms": now_ms, "session": hello.sess}
    if hello.alive:
        followed = {c.stream: c.upto for c in hello.cursors}
        values |= {
            "epoch": hello.epoch,
            "cursors": msgspec.json.encode(followed).decode(),
            "head": max((c.upto for c in hello.heads), default=0),
        }
    _write(tx, hello.node, values)


def beat(tx: Connection, heart: Heartbeat, *, now_ms: int) -> None:
    """A shop's heartbeat."""
    followed = {c.stream: c.upto for c in heart.cursors}
    values: dict[str, object] = {
        "alive": True,
        "seen_ms": now_ms,
        "session": heart.sess,
        "head": heart.head,
        "acked": heart.acked,
        "clock_state": heart.clk.state[:20],
        "clock_u_ms": heart.clk.u_ms,
        "clock_offset_ms": heart.clk.at_ms - now_ms,
        "health": msgspec.json.encode(heart.health).decode(),
        "cursors": msgspec.json.encode(followed).decode(),
        "disk_free": heart.disk_free,
        "unsynced": heart.unsynced,
        "version": heart.version[:40],
    }
    _write(tx, heart.node, values)


def reports(connection: Connection) -> dict[str, ShopReport]:
    """Store -> its last report."""
    found = {}
    for row in connection.execute(select(shop_report)).mappings():
        values = dict(row)
        values["health"] = msgspec.json.decode(values["health"])
        values["cursors"] = msgspec.json.decode(values["cursors"])
        found[row["store"]] = ShopReport(**values)
    return found
