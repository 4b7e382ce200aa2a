"""What a node does by itself every few hours, each in a process of its own, at lowest priority.

A backup reads and folds everything: in the node's own process it would make a till wait.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

FIRST_S: Final = 120  # a node that just started has better things to do
LONGEST_S: Final = 6 * 3600
log = structlog.get_logger("chores")


class Chores:
    """`add`, then `start`; a chore that is overdue runs soon after the start."""

    def __init__(self, *, first_s: float = FIRST_S) -> None:
        self._first_s = first_s
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def add(
        self,
        name: str,
        command: Sequence[str],
        *,
        every_h: int,
        last_ms: Callable[[], int] = lambda: 0,
        jitter_s: int = 0,
    ) -> None:
        """Run `python -m command...` every so many hours, counted from when it last went well.

        `jitter_s`: earlier or later by up to so much, for what many nodes ask one.
        """
        last = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=last_ms())
        soon = datetime.now(UTC) + timedelta(seconds=self._first_s)
        self._scheduler.add_job(
            self._run,
            "interval",
            hours=every_h,
            jitter=jitter_s or None,
            args=[name, list(command)],
            id=name,
            next_run_time=max(soon, last + timedelta(hours=every_h)),
            coalesce=True,
            misfire_grace_time=None,
            max_instances=1,
        )

    def _run(self, name: str, command: list[str]) -> None:
        full = ["nice", "-n", "19", sys.executable, "-m", *command]
        process = subprocess.Popen(full, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603
        self._running[name] = process
        try:
            told, _ = process.communicate(timeout=LONGEST_S)
        except subprocess.TimeoutExpired:
            process.kill()
            told, _ = process.communicate()
        finally:
            self._running.pop(name, None)
        say = log.info if process.returncode == 0 else log.error
        say("chore", name=name, code=process.returncode, told=told.decode(errors="replace")[-400:])

    def start(self) -> None:
        """Begin to wait."""
        self._scheduler.start()

    def stop(self) -> None:
        """End, with whatever runs."""
        for process in list(self._running.values()):
            process.terminate()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)
