"""Who does what among several processes over one PostgreSQL: leases that end with their process.

A lease is a session's advisory lock: when the process dies, the server gives it back at once. Each
worker has a slot, so that all know how many they are; each takes its fair share of the shards and
gives back what is more. Two holders of one shard for a moment do no harm: the cursor row is locked
by whoever keeps, and what comes twice is known by its hash.
"""

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

SHARD_LOCKS: Final = 0x7153  # the first half of PostgreSQL's two-part advisory keys
WORKER_LOCKS: Final = 0x7154
DUTY_LOCKS: Final = 0x7155
WORKERS_MAX: Final = 16

_TRY = text("SELECT pg_try_advisory_lock(:space, :number)")
_TRY_SHARED = text("SELECT pg_try_advisory_lock_shared(:space, :number)")
_RELEASE = text("SELECT pg_advisory_unlock(:space, :number)")
_COUNT = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = :space "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Leases:
    """Locks of one process, on a connection of their own. Used by one thread at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self.slot: int | None = None
        self.shards: frozenset[int] = frozenset()
        self.duties: frozenset[int] = frozenset()

    def _open(self) -> Connection:
        if self._connection is None:
            fresh = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            fresh.detach()  # never back into the pool: its locks would go with it
            self._connection = fresh
        return self._connection

    def _try(self, space: int, number: int, *, shared: bool = False) -> bool:
        statement = _TRY_SHARED if shared else _TRY
        found = self._open().execute(statement, {"space": space, "number": number}).scalar()
        return bool(found)

    def _release(self, space: int, number: int) -> None:
        self._open().execute(_RELEASE, {"space": space, "number": number})

    def alive(self) -> None:
        """Raise DBAPIError when the connection, and all leases with it, is gone."""
        self._open().execute(text("SELECT 1"))

    def enter(self) -> int | None:
        """Take the lowest free slot of a worker, or None when all are taken."""
        if self.slot is None:
            free = (n for n in range(1, WORKERS_MAX + 1) if self._try(WORKER_LOCKS, n))
            self.slot = next(free, None)
        return self.slot

    def duty(self, number: int, *, shared: bool = False) -> bool:
        """Hold this duty if nobody else does (`shared`: with others who share it)."""
        if number not in self.duties and self._try(DUTY_LOCKS, number, shared=shared):
            self.duties |= {number}
        return number in self.duties

    def surplus(self, wanted: Iterable[int]) -> frozenset[int]:
        """Shards to give back, so that every worker has its share; ask before `balance`."""
        share = self._share(set(wanted))
        return frozenset(sorted(self.shards)[share:])

    def balance(self, wanted: Iterable[int]) -> frozenset[int]:
        """Take free shards up to this worker's share; return the new ones."""
        among = set(wanted)
        missing = self._share(among) - len(self.shards)
        fresh: set[int] = set()
        for shard in sorted(among - self.shards):
            if len(fresh) >= missing:
                break
            if self._try(SHARD_LOCKS, shard):
                fresh.add(shard)
        self.shards |= fresh
        return frozenset(fresh)

    def give_back(self, shards: Iterable[int]) -> None:
        """These are no longer ours; what was under way for them is over."""
        for shard in shards:
            self._release(SHARD_LOCKS, shard)
            self.shards -= {shard}

    def _share(self, wanted: set[int]) -> int:
        workers = self._open().execute(_COUNT, {"space": WORKER_LOCKS}).scalar() or 1
        return math.ceil(len(wanted) / int(workers))

    def lost(self) -> None:
        """The connection is gone, and all leases with it."""
        connection, self._connection = self._connection, None
        self.slot, self.shards, self.duties = None, frozenset(), frozenset()
        if connection is not None:
            with suppress(DBAPIError):
                connection.close()
