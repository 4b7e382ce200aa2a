"""Figures of a node for Prometheus, asked for when somebody scrapes; and who may ask.

A figure is a name, a help line and values by label; `docs/operations.md` lists them all. Only this
machine may read them, or whoever knows the token in `metrics-token` of the data folder: they tell
what a chain sells and where it hurts.
"""

import hmac
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from protocol.clock import Clock
from protocol.errors import TillmeshError, define
from protocol.node.books import Books
from protocol.node.replicator import Replicator
from protocol.node.tables import fork, parked, stream_head

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
TOKEN_FILE: Final = "metrics-token"  # noqa: S105 - the name of a file
CARRIED: Final = ("X-Forwarded-For", "Forwarded", "Via", "X-Real-Ip")
LOCAL: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})

define(
    {
        "METRICS_CLOSED": (
            "Metrics are for this machine, or for whoever sends the token of the file "
            "metrics-token in the data folder.",
            "指标仅供本机读取，或凭数据目录中 metrics-token 文件的令牌读取。",
        ),
    }
)


class Figure(msgspec.Struct, frozen=True):
    """One figure; `name` ends in `_total` when it only ever grows."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = {}


Figures = Callable[[], Iterable[Figure]]


class _Collector:
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for one in self._figures():
            found = families.get(one.name)
            if found is None:
                family = CounterMetricFamily if one.name.endswith("_total") else GaugeMetricFamily
                found = families[one.name] = family(one.name, one.help, labels=list(one.labels))
            values: Any = found
            values.add_metric(list(one.labels.values()), one.value)
        yield from families.values()


def registry(figures: Figures) -> CollectorRegistry:
    """Our figures and those of the process (CPU, memory, open files)."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    made.register(_Collector(figures))
    return made


def page(found: CollectorRegistry) -> bytes:
    """The text that Prometheus reads."""
    return generate_latest(found)


def may_read(data_dir: Path, peer: str, headers: Mapping[str, str]) -> bool:
    """This machine itself (and nobody through a proxy on it), or whoever knows the token."""
    given = headers.get("Authorization", "")
    if given.startswith("Bearer "):
        try:
            token = (data_dir / TOKEN_FILE).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return False
        return len(token) >= 16 and hmac.compare_digest(given[7:].encode(), token.encode())
    return peer in LOCAL and not any(name in headers for name in CARRIED)


def figures_of_node(
    books: Books, replicator: Replicator, clock: Clock, data_dir: Path
) -> Iterator[Figure]:
    """What shops and head office have in common."""
    state, counts = replicator.status(), replicator.counts
    yield Figure("tillmesh_link_up", "1 while the broker is connected.", float(state.link_up))
    yield Figure("tillmesh_peers_greeted", "Peers that answer.", len(state.greeted))
    yield Figure("tillmesh_unsynced_events", "Events no peer has acknowledged.", state.unsynced)
    yield Figure("tillmesh_resends_total", "Batches sent again.", state.resends)
    yield Figure("tillmesh_refused_messages_total", "Messages refused.", state.refused)
    yield Figure("tillmesh_streams_stopped", "Streams a peer refuses.", len(state.stopped))
    yield Figure("tillmesh_events_kept_total", "Events of peers stored.", counts.events)
    yield Figure("tillmesh_keep_transactions_total", "Transactions for them.", counts.groups)
    yield Figure("tillmesh_keep_seconds_total", "Seconds spent in them.", counts.seconds)
    waiting, size, dropped = replicator.queue()
    yield Figure("tillmesh_inbox_messages", "Messages not looked at yet.", waiting)
    yield Figure("tillmesh_inbox_bytes", "Their size.", size)
    yield Figure("tillmesh_inbox_dropped_total", "Messages that found no room.", dropped)
    yield from _windows(replicator)
    yield from _of_clock(clock)
    yield from _of_books(books)
    free = shutil.disk_usage(data_dir).free
    yield Figure("tillmesh_disk_free_bytes", "Room on the disk of the data folder.", free)


def _windows(replicator: Replicator) -> Iterator[Figure]:
    senders = [sender for _, _, sender in replicator.sending.senders() if sender.greeted]
    flights = sum(len(s.flights) for s in senders)
    yield Figure("tillmesh_batches_in_flight", "Batches sent, not acknowledged.", flights)
    window = min((s.window for s in senders), default=0)
    yield Figure("tillmesh_window_batches_min", "The smallest window of any follower.", window)
    rto_s = max((s.rto_ms for s in senders), default=0) / 1000
    yield Figure("tillmesh_resend_after_seconds_max", "The longest wait for an answer.", rto_s)


def _of_clock(clock: Clock) -> Iterator[Figure]:
    reading = clock.read()
    yield Figure("tillmesh_clock_trusted", "1 while the clock is trusted.", reading.state.trusted)
    u_s = reading.u_ms / 1000
    yield Figure("tillmesh_clock_uncertainty_seconds", "How far it may be wrong.", u_s)
    labels = {"state": reading.state.value}
    yield Figure("tillmesh_clock_state", "Its state, as a label.", 1, labels)


def _of_books(books: Books) -> Iterator[Figure]:
    with books.database.reading() as connection:
        dead = connection.execute(select(func.count()).select_from(parked)).scalar() or 0
        forks = connection.execute(select(func.count()).select_from(fork)).scalar() or 0
        events = connection.execute(select(func.sum(stream_head.c.seq))).scalar() or 0
    yield Figure("tillmesh_parked_events", "Events that could not be folded.", int(dead))
    yield Figure("tillmesh_forks", "Forks in the journal.", int(forks))
    yield Figure("tillmesh_journal_events", "Events in all streams here.", int(events))
    healthy = float(books.database.healthy)
    yield Figure("tillmesh_database_healthy", "1 while writes succeed.", healthy)


def health(books: Books, replicator: Replicator) -> dict[str, bool]:
    """Part -> does it work; `alive` needs the database and the threads, never the network."""
    try:
        with books.database.reading() as connection:
            connection.execute(select(stream_head.c.seq).limit(1)).first()
        database = books.database.healthy
    except (SQLAlchemyError, TillmeshError):
        database = False
    threads = replicator.alive()
    return {
        "alive": database and threads,
        "database": database,
        "threads": threads,
        "broker": replicator.link.up,
    }
