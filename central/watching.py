"""What each shop reported last: a cache with an age, never rebuilt, never replicated."""

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Connection, MetaData, Table, Text, select

from protocol.ids import shop_stream
from protocol.node.sqljournal import upsert
from protocol.wire import ClockFacts, Complaint, Heartbeat, Hello

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
    Column("health", Text, nullable=False),  # JSON: part -> protocol.wire.Complaint
    Column("cursors", Text, nullable=False),  # JSON: stream -> seq it follows us to
    Column("disk_free", BigInteger, nullable=False),
    Column("unsynced", BigInteger, nullable=False),
    Column("version", Text, nullable=False),
)
shop_clock = Table(  # a table of its own: a cache that older databases do not have yet
    "shop_clock",
    watch,
    Column("store", Text, primary_key=True),
    Column("facts", Text, nullable=False),  # JSON: protocol.wire.ClockFacts
)
shop_low = Table(  # likewise; only of shops whose books begin later
    "shop_low",
    watch,
    Column("store", Text, primary_key=True),
    Column("low", BigInteger, nullable=False),  # the oldest event of its journal that it holds
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
    health: dict[str, Complaint] = {}
    cursors: dict[str, int] = {}
    disk_free: int = 0
    unsynced: int = 0
    version: str = ""
    clock: ClockFacts | None = None

    @property
    def complaints(self) -> dict[str, Complaint]:
        """Part -> what it complains of, without those that are well."""
        return {part: one for part, one in self.health.items() if one.state != "ok"}

    @property
    def skew_ms(self) -> int:
        """How far its clock surely is from ours: the way of a message is no skew.

        Its time at the arrival here is too early by the way up, ours at the arrival there by the
        way down: the truth lies between the two.
        """
        at_least = self.clock_offset_ms
        central_off = self.clock.central_off_ms if self.clock else None
        if central_off is None:
            return at_least
        at_most = max(at_least, -central_off)
        return at_least if at_least > 0 else min(0, at_most)

    def offline(self, now_ms: int) -> bool:
        """Said good-bye, was cut off, or has been silent for 45 s."""
        return not self.alive or now_ms - self.seen_ms > SILENT_MS


def _write(tx: Connection, store: str, values: dict[str, object]) -> None:
    blank = msgspec.to_builtins(ShopReport(store=store))
    del blank["clock"]
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
    low = hello.low.get(shop_stream(hello.node), 1)
    if hello.alive:
        statement = upsert(tx, shop_low).on_conflict_do_update(
            index_elements=["store"], set_={"low": low}
        )
        tx.execute(statement, {"store": hello.node, "low": low})


def lows(connection: Connection) -> dict[str, int]:
    """Store -> the oldest event of its journal that it holds; only those that do not hold all."""
    rows = connection.execute(select(shop_low.c.store, shop_low.c.low).where(shop_low.c.low > 1))
    return {str(store): int(low) for store, low in rows}


def _parts(heart: Heartbeat) -> dict[str, Complaint]:
    """A shop of an older version sends state and code only."""
    plain = {part: _plain(said) for part, said in heart.health.items()}
    return {**plain, **heart.complaints}


def _plain(said: str) -> Complaint:
    if said == "ok":
        return Complaint(state="ok")
    state, _, code = said.partition(" ")
    return Complaint(state=state, code=code) if code else Complaint(state="warn", code=said)


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
        "health": msgspec.json.encode(_parts(heart)).decode(),
        "cursors": msgspec.json.encode(followed).decode(),
        "disk_free": heart.disk_free,
        "unsynced": heart.unsynced,
        "version": heart.version[:40],
    }
    _write(tx, heart.node, values)
    if heart.clock is not None:
        facts = msgspec.json.encode(heart.clock).decode()
        statement = upsert(tx, shop_clock).on_conflict_do_update(
            index_elements=["store"], set_={"facts": facts}
        )
        tx.execute(statement, {"store": heart.node, "facts": facts})


def reports(connection: Connection) -> dict[str, ShopReport]:
    """Store -> its last report."""
    clocks = {
        row.store: msgspec.json.decode(row.facts, type=ClockFacts)
        for row in connection.execute(select(shop_clock))
    }
    found = {}
    for row in connection.execute(select(shop_report)).mappings():
        values = dict(row)
        values["clock"] = clocks.get(row["store"])
        said = msgspec.json.decode(values["health"], type=dict[str, Complaint | str])
        values["health"] = {  # words alone: kept by an older version
            part: _plain(one) if isinstance(one, str) else one for part, one in said.items()
        }
        values["cursors"] = msgspec.json.decode(values["cursors"])
        found[row["store"]] = ShopReport(**values)
    return found
