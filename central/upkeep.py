"""What head office does once, however many processes of pages it runs.

Machines enrol over HTTPS at one address, backups are made once, a revoked machine is thrown off by
one hand. One process holds the duty by an advisory lock and does it all; when it dies, the next one
takes over within seconds, without a time-out that could be wrong.
"""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from central.sharing import LOOK_S, Duty
from protocol.node.database import Database

UPKEEP: Final = 4  # a duty, beside those of `central.sharing`
log = structlog.get_logger("upkeep")


class Upkeep:
    """`begin` starts everything that is done once and returns what ends it; OSError: not now."""

    def __init__(self, database: Database, begin: Callable[[], Callable[[], None]]) -> None:
        self._duty = Duty(database, UPKEEP)
        self._begin = begin
        self._end: Callable[[], None] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def mine(self) -> bool:
        """Does this process do it now?"""
        return self._end is not None

    def look(self) -> None:
        """Take the duty if it is free, or leave off when it is gone (with the database)."""
        held = self._duty()
        if held and self._end is None:
            self._end = self._begin()
            log.info("upkeep_taken")
        elif not held and self._end is not None:
            end, self._end = self._end, None
            end()
            log.warning("upkeep_lost")

    def start(self) -> None:
        """Go on looking, in the background."""
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and let another process do it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        end, self._end = self._end, None
        if end is not None:
            end()
        self._duty.close()

    def _run(self) -> None:
        told = ""
        while not self._stopping.wait(LOOK_S):
            try:
                self.look()
            except OSError as fault:  # the port of another program: said once, tried again
                if str(fault) != told:
                    told = str(fault)
                    log.warning("upkeep_waits", detail=told[:200])
