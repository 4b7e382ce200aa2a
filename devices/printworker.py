"""The thread that empties one printer's spool, one job at a time (rules: `devices.spool`)."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import msgspec
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from devices import spool
from devices.device import DeviceState
from devices.port import DeviceLost
from devices.printer import Outcome, Printer
from devices.printstatus import BLOCKING
from devices.receipt import load_blocks, render
from devices.spool import KICK, JobState, PrintJob
from protocol.errors import TillmeshError

IDLE_S: Final = 2.0
BLOCKED_S: Final = 0.25
DATABASE_S: Final = 1.0
PRUNE_MS: Final = 86_400_000
STOP_S: Final = 1.0
_HOLDING: Final = BLOCKING | {"PRINTER_SILENT", "PRINTER_GARBLED"}
Begin = Callable[[], AbstractContextManager[Connection]]


class PrintWorker:
    """Sends one printer's jobs. `begin` opens a write transaction; `now_ms` is the wall clock.

    `on_job` hears of every change of a job, on the worker's thread: enqueue only. A database that
    fails is tried again after a second; until it answers nothing is sent, for `sending` must be on
    disk before the first byte.
    """

    def __init__(
        self,
        begin: Begin,
        printer: Printer,
        *,
        now_ms: Callable[[], int],
        on_job: Callable[[PrintJob], None] = lambda _job: None,
    ) -> None:
        self._begin = begin
        self._printer = printer
        self._now_ms = now_ms
        self._on_job = on_job
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"print-{printer.name}", daemon=True)
        self._pruned_ms = 0
        self.ready = threading.Event()  # what a crash left is settled: a kick now is a new one
        self.fault = ""  # the last complaint (the database's, as a rule), "" when all went well

    def start(self) -> None:
        """Begin; what a crash left in `sending` becomes `unknown` first."""
        self._thread.start()

    def wake(self) -> None:
        """A job was committed, or the printer's condition changed."""
        self._awake.set()

    def stop(self) -> None:
        """End within a second; a job on its way stays `sending` and is `unknown` at next start."""
        self._stopping.set()
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        recovered = False
        while not self._stopping.is_set():
            self._awake.clear()
            try:
                if not recovered:
                    with self._begin() as connection:
                        spool.recover(connection, self._printer.name, at_ms=self._now_ms())
                    recovered = True
                    self.ready.set()
                self._prune()
                pause_s = self._step()
                self.fault = ""
            except Exception as error:  # noqa: BLE001 - receipts must come again without a restart
                self.fault = str(error) or repr(error)
                recovered = False  # nothing is on its way now: what says `sending` is in doubt
                pause_s = DATABASE_S
            if pause_s:
                self._awake.wait(pause_s)

    def _prune(self) -> None:
        """Once a day: a receipt a minute would be a gigabyte in some years."""
        now = self._now_ms()
        if now < self._pruned_ms + PRUNE_MS:
            return
        self._pruned_ms = now
        with self._begin() as connection:
            spool.prune(connection, self._printer.name, before_ms=now - spool.KEPT_MS)

    def _step(self) -> float:
        """Do one job; return how long to wait before the next look (seconds)."""
        with self._begin() as connection:
            job = spool.take_next(connection, self._printer.name, at_ms=self._now_ms())
        if job is None:
            return IDLE_S
        condition = self._printer.state()
        if condition.state is DeviceState.DOWN or condition.code in _HOLDING:
            return self._hold(job, condition.code, condition.params)
        try:
            data = render(load_blocks(job.blocks), self._printer.profile, copy_no=job.copy_no)
        except (TillmeshError, msgspec.ValidationError, OSError, ValueError) as error:
            self._settle(job, JobState.FAILED, error="PRINT_BROKEN", detail=str(error))
            return 0.0
        if job.kind != KICK:  # a kick's row said so from the start
            job = self._record(job, state=JobState.SENDING, tries=job.tries + 1)
        outcome = self._await(self._printer.print(data))
        return 0.0 if outcome is None else self._conclude(job, outcome)

    def _hold(self, job: PrintJob, code: str, params: dict[str, Any]) -> float:
        """The printer cannot now: the job waits with the reason; a kick is over."""
        if job.kind == KICK:
            self._settle(job, JobState.FAILED, error="DRAWER_UNSURE")
            return 0.0
        if job.error != code:
            self._record(job, error=code, error_params=params)
        return BLOCKED_S

    def _await(self, future: Any) -> Outcome | None:
        """The outcome; None when the worker is told to stop before it is known."""
        while not self._stopping.is_set():
            try:
                outcome: Outcome = future.result(timeout=0.2)
            except TimeoutError:
                continue
            except DeviceLost as lost:
                return Outcome("not_sent", lost.code, lost.params)
            except TillmeshError as error:
                return Outcome("not_sent", error.code, error.params)
            return outcome
        return None

    def _conclude(self, job: PrintJob, outcome: Outcome) -> float:
        if outcome.kind == "confirmed":
            self._settle(job, JobState.CONFIRMED)
        elif outcome.kind == "sent":
            self._settle(job, JobState.SENT)
        elif outcome.kind == "not_sent":
            if job.kind == KICK:
                self._settle(job, JobState.FAILED, error="DRAWER_UNSURE")
                return 0.0
            self._record(
                job,
                state=JobState.UNKNOWN if job.copy_no else JobState.QUEUED,
                tries=job.tries - 1,
                error=outcome.code,
                error_params=outcome.params,
            )
            return BLOCKED_S
        else:
            self._doubt(job, outcome)
        return 0.0

    def _doubt(self, job: PrintJob, outcome: Outcome) -> None:
        """It may be on paper: any further copy is marked, and only sent if it may be."""
        self._record(
            job,
            state=JobState.UNKNOWN,
            retry=job.resend and outcome.lost and job.tries < spool.TRIES_MAX,
            copy_no=job.copy_no + 1,
            error="DRAWER_UNSURE" if job.kind == KICK else "PRINT_UNCONFIRMED",
            error_params={"device": self._printer.name},
        )

    def _settle(self, job: PrintJob, state: JobState, *, error: str = "", detail: str = "") -> None:
        params = {"device": self._printer.name, "detail": detail} if error else {}
        self._record(job, state=state, retry=False, error=error, error_params=params)

    def _record(self, job: PrintJob, **changes: Any) -> PrintJob:
        """Persist, and insist: an outcome that is not on disk would print twice."""
        while True:
            try:
                with self._begin() as connection:
                    changed = spool.record(connection, job, changed_ms=self._now_ms(), **changes)
                break
            except SQLAlchemyError as error:
                self.fault = str(error)
                if changes.get("state") is JobState.SENDING or self._stopping.wait(DATABASE_S):
                    raise
        self._on_job(changed)
        return changed
