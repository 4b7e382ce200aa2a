"""One of several ingest workers of head office: which shards are its own, and does it lead.

Shops are spread over 64 shards by their ids; a shard has one worker at a time, so the order of a
shop is kept. One worker leads: it sends what goes to all shops at once (live tails, the beacon).
"""

from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from protocol.errors import Refusal, define
from protocol.ids import CENTRAL
from protocol.node.database import Database
from protocol.node.leases import WORKERS_MAX, Leases
from protocol.topics import SHARDS

LEAD: Final = 1  # duties
INGEST: Final = 2  # alone (`run`), or shared by workers
REPRICE: Final = 3
LOOK_S: Final = 1.0
ALL_SHARDS: Final = frozenset(range(SHARDS))

log = structlog.get_logger("sharing")

define(
    {
        "HQ_WORKERS_NEED_POSTGRES": (
            "Several ingest workers need PostgreSQL; this head office keeps its books in SQLite, "
            "where `tillmesh-central run` does it all.",
            "多个接收进程需要 PostgreSQL；此总部使用 SQLite，"
            "`tillmesh-central run` 即可完成全部工作。",
        ),
        "HQ_INGEST_TAKEN": (
            "Another process of head office takes in the shops' journals already. Start the pages "
            "with `run --pages` beside workers, or stop the workers.",
            "总部已有其他进程在接收门店日志。请用 `run --pages` 只启动页面，或先停止接收进程。",
        ),
        "HQ_WORKERS_FULL": (
            "All {most} places for ingest workers are taken.",
            "{most} 个接收进程的位置已全部占用。",
        ),
    }
)


class Duty:
    """Something that one process does for all: `duty()` says whether it is this one."""

    def __init__(self, database: Database, number: int) -> None:
        self._leases = None if database.sqlite else Leases(database.write)
        self._number = number

    def __call__(self) -> bool:
        """Mine, until this process ends; always on SQLite, which one process serves."""
        if self._leases is None:
            return True
        try:
            self._leases.alive()
            return self._leases.duty(self._number)
        except SQLAlchemyError:  # gone, or no connection to be had
            self._leases.lost()
            return False

    def close(self) -> None:
        """Let another process do it."""
        if self._leases is not None:
            self._leases.lost()


class Share:
    """A worker's part of the work; `look` is called by its replication thread."""

    def __init__(self, database: Database, wanted: frozenset[int] = ALL_SHARDS) -> None:
        """Take a place among the workers. Refusal HQ_WORKERS_NEED_POSTGRES, _FULL, HQ_INGEST_TAKEN.

        `wanted` limits the worker to some shards; the others must be wanted by somebody.
        """
        if database.sqlite:
            raise Refusal("HQ_WORKERS_NEED_POSTGRES")
        self._leases = Leases(database.write)
        self._wanted = wanted
        self._looked_at = 0.0
        self._stopping = False
        if not self._leases.duty(INGEST, shared=True):
            raise Refusal("HQ_INGEST_TAKEN")
        slot = self._leases.enter()
        if slot is None:
            raise Refusal("HQ_WORKERS_FULL", most=WORKERS_MAX)
        self.name = f"{CENTRAL}-{slot}"
        self.leads = False

    @property
    def shards(self) -> frozenset[int]:
        """What is ours now."""
        return self._leases.shards

    def look(self, now_s: float, leave: Callable[[int], None]) -> tuple[list[int], list[int]]:
        """Once a second: (shards that are gone, shards that are new). `leave` before giving back.

        When the database went away, so did the leases.
        """
        if self._stopping or now_s - self._looked_at < LOOK_S:
            return [], []
        self._looked_at = now_s
        before = self.shards
        try:
            self._leases.duty(INGEST, shared=True)
            self._leases.enter()
            self.leads = self._leases.duty(LEAD)
            surplus = self._leases.surplus(self._wanted)
            for shard in surplus:
                leave(shard)
            self._leases.give_back(surplus)
            return [], sorted(self._leases.balance(self._wanted))
        except SQLAlchemyError as fault:
            cause = fault.orig if isinstance(fault, DBAPIError) else fault
            log.warning("leases_lost", fault=type(cause).__name__)
            self._leases.lost()
            self.leads = False
            return sorted(before), []

    def stop(self) -> None:
        """Take over nothing more."""
        self._stopping = True

    def close(self) -> None:
        """Give everything back, when no more is kept."""
        self._leases.lost()
