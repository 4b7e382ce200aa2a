"""The clock of a node: threads ask time servers, `protocol.trustedclock` judges, all ask `read`."""

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from protocol.clock import Reading
from protocol.clockstatus import Last, Mark, Status
from protocol.node.ntpwire import TIMEOUT_S, ask, mono_ns
from protocol.timesources import Rejected, Sample
from protocol.trustedclock import TrustedClock

BUILD_MS: Final = 1_793_491_200_000  # 2026-11-01: no true instant lies before it
ROUND_S: Final = 60.0
FIRST_ROUNDS_S: Final = 2.0  # doubled until ROUND_S while nobody agrees
REMEMBER_S: Final = 55.0  # with every regular round, but not whenever head office speaks
KISS_HOLD_S: Final = 3_600.0
BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
Save = Callable[[Mark], None]
Found = Sample | Rejected
log = structlog.get_logger("clock")


def mono_ms() -> int:
    """Milliseconds that count on through suspend and clock steps."""
    return mono_ns() // 1_000_000


def wall_ms() -> int:
    """The machine's own idea of UTC, milliseconds; only `NtpClock` may act on it."""
    return time.time_ns() // 1_000_000


def boot_id() -> str:
    """Which boot of the machine this is; "" where the system does not say."""
    try:
        with open(BOOT_ID, encoding="ascii") as file:  # noqa: PTH123 - a kernel's file
            return file.read().strip()
    except OSError:
        return ""


def tried(server: str) -> tuple[bool, str]:
    """Ask one server once, for a doctor: is it good, and what it says of this machine's clock."""
    answer = ask(server, build_ms=BUILD_MS)
    if isinstance(answer, Rejected):
        return False, answer.sentence("en")
    off_ms = answer.offset_ms - (wall_ms() - mono_ms())
    return True, f"{off_ms:+d} ms from this machine's clock, ± {answer.error_ms} ms"


class Asking:
    """Questions to all servers at once; a server whose last question is still out waits."""

    def __init__(self, servers: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> None:
        self.servers = tuple(dict.fromkeys(servers))
        self._timeout_s = timeout_s
        self._answers: queue.Queue[tuple[int, Found]] = queue.Queue()
        self._lock = threading.Lock()
        self._out: set[str] = set()
        self._held: dict[str, tuple[float, str]] = {}  # server -> until when, its word
        self._round = 0

    def ask(self, progress: Callable[[list[Found], list[str]], None]) -> list[Found]:
        """One round: `progress(found, waiting)` after each answer; all answers in the end.

        A name that cannot be looked up within the time is reported as silent and not waited for.
        """
        self._round += 1
        found: list[Found] = [r for s in self.servers if (r := self._hold(s)) is not None]
        resting = {one.source for one in found}
        waiting = [s for s in self.servers if s not in resting]
        for server in waiting:
            self._send(server)
        deadline = time.monotonic() + self._timeout_s + 0.2
        while waiting and (left_s := deadline - time.monotonic()) > 0:
            try:
                number, answer = self._answers.get(timeout=left_s)
            except queue.Empty:
                break
            if number != self._round or answer.source not in waiting:
                continue
            waiting.remove(answer.source)
            found.append(answer)
            if isinstance(answer, Rejected) and answer.hold:
                until = time.monotonic() + KISS_HOLD_S
                self._held[answer.source] = (until, answer.params.get("kiss", "?"))
            if waiting:
                progress(found, waiting)
        late = {"detail": f"{self._timeout_s:g} s"}
        return [*found, *(Rejected(server, "NTP_SILENT", late) for server in waiting)]

    def _hold(self, server: str) -> Rejected | None:
        until, kiss = self._held.get(server, (0.0, ""))
        left_s = until - time.monotonic()
        if left_s <= 0:
            return None
        minutes = str(int(left_s // 60) + 1)
        return Rejected(server, "NTP_HELD", {"kiss": kiss, "minutes": minutes})

    def _send(self, server: str) -> None:
        with self._lock:
            if server in self._out:
                return
            self._out.add(server)
        work = (server, self._round)
        threading.Thread(target=self._one, args=work, name=f"ntp {server}", daemon=True).start()

    def _one(self, server: str, number: int) -> None:
        try:
            answer = ask(server, build_ms=BUILD_MS, timeout_s=self._timeout_s)
        finally:
            with self._lock:
                self._out.discard(server)
        self._answers.put((number, answer))


class NtpClock:
    """`read()` is a few arithmetic steps; a thread asks, remembers and tells.

    Args:
        servers: "host:port"; a majority of at least two must agree.
        last: the persisted mark and what the journal knows; its `boot` is filled in here.
        save: persists a mark, every minute and when something changed.
        changed: called in the clock's thread when the state, or why it is so, is another.
    """

    def __init__(
        self,
        servers: Sequence[str],
        last: Last | None = None,
        save: Save = lambda _: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.servers = tuple(servers)
        last = last or Last()
        boot = Last(mark=last.mark, boot=last.boot or boot_id(), told_ms=last.told_ms)
        self._judge = TrustedClock(
            build_ms=BUILD_MS, wall_ms=wall_ms(), mono_ms=mono_ms(), last=boot
        )
        self._asking = Asking(servers)
        self._save = save
        self.changed = changed
        self._lock = threading.Lock()
        self._one_round = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._told: tuple[str, str, bool] | None = None
        self._remember_at = 0.0
        self._thread: threading.Thread | None = None

    def read(self) -> Reading:
        """The judged reading now."""
        with self._lock:
            return self._judge.read(wall_ms=wall_ms(), mono_ms=mono_ms())

    def status(self) -> Status:
        """What a page says of this clock: sources, uncertainty, since when, why not trusted."""
        with self._lock:
            return self._judge.status(wall_ms=wall_ms(), mono_ms=mono_ms())

    @property
    def high_water_ms(self) -> int:
        """An instant that is certainly past."""
        with self._lock:
            return self._judge.certain_ms(mono_ms())

    def confirm(self, true_ms: int) -> None:
        """A manager vouched for the time."""
        with self._lock:
            self._judge.confirm(true_ms, mono_ms=mono_ms())
        self._wake.set()

    def take_beacon(self, at_ms: int, u_ms: int) -> None:
        """Head office's signed time: one more source, wider by the unknown way here."""
        with self._lock:
            self._judge.hear_central(at_ms, u_ms, wall_ms=wall_ms(), mono_ms=mono_ms())
            status = self._judge.status(wall_ms=wall_ms(), mono_ms=mono_ms())
        if status.code or status.contested:
            self._wake.set()  # its word may decide what the last round could not

    def ask_all(self) -> bool:
        """One round over all servers; True when the time now stands on a majority."""
        with self._one_round:
            found = self._asking.ask(self._progress)
            return self._hear(found, [])

    def _progress(self, found: Sequence[Found], waiting: Sequence[str]) -> None:
        """A majority of all counts at once: nobody waits for a dead server."""
        if self._hear(found, waiting):
            self._tell()

    def _hear(self, found: Sequence[Found], waiting: Sequence[str]) -> bool:
        with self._lock:
            return self._judge.judge(found, waiting=waiting, wall_ms=wall_ms(), mono_ms=mono_ms())

    def remember(self) -> None:
        """Persist the mark now."""
        with self._lock:
            mark = self._judge.mark(wall_ms=wall_ms(), mono_ms=mono_ms())
        self._save(mark)

    def _tell(self) -> None:
        """Of another state or reason; then the mark is due too."""
        status = self.status()
        now = (status.reading.state.value, status.code, status.contested)
        if now != self._told:
            self._told, self._remember_at = now, 0.0
            log.info("clock", state=now[0], basis=status.basis.value, why=status.why("en"))
            self.changed()

    def _run(self) -> None:
        patience_s = FIRST_ROUNDS_S
        while not self._stopping:
            self._wake.clear()
            agreed = self.ask_all()
            pause_s = ROUND_S if agreed else patience_s
            patience_s = FIRST_ROUNDS_S if agreed else min(ROUND_S, patience_s * 2)
            try:
                self._tell()
                if time.monotonic() >= self._remember_at:
                    self.remember()
                    self._remember_at = time.monotonic() + REMEMBER_S
            except Exception:  # a full disk must not stop the clock
                log.exception("clock_mark_not_kept")
            if self._stopping:
                return
            self._rest(pause_s)

    def _rest(self, pause_s: float) -> None:
        """Until the next round; woken early at most once a second."""
        begun = time.monotonic()
        if self._wake.wait(pause_s) and not self._stopping:
            self._wake.clear()
            left_s = begun + min(1.0, pause_s) - time.monotonic()
            if left_s > 0:
                self._wake.wait(left_s)

    def start(self) -> None:
        """Ask in the background; selling never waits for it."""
        self._thread = threading.Thread(target=self._run, name="ntp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread:
            self._thread.join(timeout=3)


def random_hex(digits: int) -> str:
    """An epoch or a session id."""
    return os.urandom((digits + 1) // 2).hex()[:digits]
