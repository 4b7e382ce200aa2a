"""The receipt printer: how it is, and whether a job came out.

    printer = Printer("till-1", "socket://192.168.1.50:9100", profile=profile("80mm-48col"),
                      on_event=queue.put)
    printer.start()
    outcome = printer.print(data).result()      # a Future; only a worker thread waits on it

Before each job the status is asked (DLE EOT 1-4); after it stands a fence that the printer answers
in order. "Printed" is that answer and nothing less: a write that returned proves nothing. While
paper or cover hold a job up, its fence is awaited; when the connection breaks or the printer falls
silent, the job is `unknown`, for it may be on paper. A printer that leaves `GS ( H` unanswered is
asked `GS r 1` once, and when it knows that one, by that from then on.
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from devices.device import Condition, Device, DeviceState, Event, resolve
from devices.port import DeviceLost, OpenPort, Port, open_port
from devices.printstatus import BLOCKING, PrinterStatus, Reply, ReplyDecoder, decode_status
from devices.receipt import Profile

if TYPE_CHECKING:
    from concurrent.futures import Future

HEARTBEAT_S: Final = 1.0
ANSWER_S: Final = 0.7  # how long one status query may take
FENCE_S: Final = 5.0  # plus the time to print: see `_patience_s`
BYTES_PER_S: Final = 500  # slower than any paper
FRESH_S: Final = 1.5 * HEARTBEAT_S  # so long does a whole round of answers count
MISSES_MAX: Final = 2
SHORT_COMMAND: Final = 128  # longer than any command but pictures and QR codes
PAPER_SENSOR: Final = b"\x1dr\x01"  # GS r 1: answered in its turn, by any model that answers


class Outcome(msgspec.Struct, frozen=True):
    """What became of a job.

    confirmed: the fence was answered. sent: this printer knows no fence. not_sent: no byte left.
    unknown: it may be on paper; `lost` when the connection broke, so that a marked resend makes
    sense, not `lost` when the printer lives but did not confirm: a person looks first.
    """

    kind: Literal["confirmed", "sent", "not_sent", "unknown"]
    code: str = ""
    params: dict[str, Any] = {}
    lost: bool = False


class _Job:
    """One print on its way: waiting for status, then for its fence."""

    def __init__(self, data: bytes, future: "Future[Outcome]") -> None:
        self.data = data
        self.future = future
        self.fence = b""
        self.deadline = 0.0
        self.sent = False
        self.asked_again = False  # its fence stayed unanswered: by another one


def _unfinished(data: bytes) -> int:
    """How many NULs surely end the command in which a broken line left the printer.

    Nothing is printed by them: they are the rest of a picture, or ignored. A drawer's pulse is not
    completed: it would open the drawer when the cable is put in again.
    """
    if b"\x1bp" in data:
        return 0
    has_long = b"\x1dv0" in data or b"\x1d(k" in data
    return len(data) if has_long else min(len(data), SHORT_COMMAND)


class _Driver:
    """Runs on the owner thread only."""

    tick_s = 0.1

    def __init__(self, profile: Profile, clock: Callable[[], float]) -> None:
        self._profile = profile
        self._clock = clock
        self._count = 0
        self._fence = profile.fence
        self._debt = 0  # NULs that complete a command which a broken line cut off
        self._jobs: deque[_Job] = deque()
        self._status = PrinterStatus()
        self._reset()

    def _reset(self) -> None:
        self._decoder = ReplyDecoder()
        self._answers: dict[int, int] = {}
        self._missed: Counter[int] = Counter()  # queries that this printer may not answer
        self._asked = 0  # the query that is open, 0 = none
        self._first: int | None = None  # the last whole round's first answer
        self._asked_at = 0.0
        self._next_round = 0.0
        self._misses = 0
        self._garbage = 0
        self._answered = False
        self._judged_at = float("-inf")  # when the last round was complete
        self._brief = False  # this round may end after its first answer
        self._owed = 0  # questions given up, whose answers may still come
        self._doubtful: int | None = None  # an answer that may be one of those
        self._unsent = 0

    @property
    def status(self) -> PrinterStatus:
        return self._status

    def opened(self, owner: Device, port: Port) -> None:
        self._owner, self._port = owner, port
        self._reset()
        if self._profile.status and port.answers:
            port.write(
                bytes(self._debt) + b"\x1da\x00"
            )  # no status by itself: it looks like answers
            self._debt = 0
            self._ask(1)
        else:
            owner.become(Condition(DeviceState.UNKNOWN))

    def perform(self, command: object, future: "Future[Any]") -> None:
        if not isinstance(command, bytes):
            raise TypeError(command)
        self._jobs.append(_Job(command, future))
        if len(self._jobs) == 1:
            self._start_next()

    def received(self, data: bytes) -> None:
        for reply in self._decoder.feed(data):
            if reply.kind == "status" and self._asked:
                self._status_reply(reply.value)
            elif reply.kind in {"sensor", "fence"}:
                self._fence_reply(reply)
            else:
                self._garbled()

    def tick(self) -> None:
        now = self._clock()
        if self._asked and now - self._asked_at > ANSWER_S:
            if self._still_leaving():
                self._asked_at = now  # the question itself stands behind a job on a slow line
            else:
                self._no_answer(self._asked)
        elif not self._asked and self._polls and now >= self._next_round:
            self._ask(1)
        self._check_sent()
        self._check_deadline(now)

    def closed(self, reason: DeviceLost) -> None:
        lost = reason.code != "PRINT_UNCONFIRMED"
        while self._jobs:
            job = self._jobs.popleft()
            self._debt = max(self._debt, _unfinished(job.data) if job.sent else 0)
            kind: Literal["unknown", "not_sent"] = "unknown" if job.sent else "not_sent"
            resolve(job.future, Outcome(kind, reason.code, reason.params, lost=lost and job.sent))

    # -- status ------------------------------------------------------------------------------

    @property
    def _polls(self) -> bool:
        return self._profile.status and self._port.answers

    def _ask(self, number: int) -> None:
        self._asked, self._asked_at = number, self._clock()
        self._port.write(bytes([0x10, 0x04, number]))

    def _status_reply(self, value: int) -> None:
        self._answered, self._misses = True, 0
        if self._owed:  # late, or the answer? If no other comes, it was the answer
            self._owed -= 1
            self._doubtful = value
            return
        self._take(value)

    def _take(self, value: int) -> None:
        self._doubtful = None
        self._answers[self._asked] = value
        self._missed[self._asked] = 0
        self._ask_after(self._asked)

    def _still_leaving(self) -> bool:
        """Did bytes leave this machine since the last look, with more to go?"""
        before, self._unsent = self._unsent, self._port.unsent()
        return bool(self._unsent) and (not before or self._unsent < before)

    def _ask_after(self, number: int) -> None:
        """Ask the next query of the round, or judge when it is complete."""
        brief, self._brief = self._brief, False
        if brief and self._answers.get(1) == self._first:
            self._asked = 0
            self._judge()
            return
        for following in range(number + 1, 5):
            if self._missed[following] < MISSES_MAX:
                self._ask(following)
                return
        self._asked = 0
        self._next_round = self._clock() + HEARTBEAT_S
        self._garbage = 0
        self._judged_at = self._clock()
        self._first = self._answers.get(1)
        self._status = decode_status(self._answers)
        self._owner.become(self._status.condition(self._owner.name))
        self._judge()

    def _no_answer(self, number: int) -> None:
        if self._doubtful is not None:
            self._owed = 0
            self._take(self._doubtful)
            return
        self._owed += 1
        if number > 1:  # it answered the first one: this model may lack the others
            self._missed[number] += 1
            self._answers.pop(number, None)
            self._ask_after(number)
            return
        self._asked = 0
        self._next_round = self._clock()
        self._misses += 1
        if self._misses < MISSES_MAX:
            return
        code = "PRINTER_GARBLED" if self._garbage else "PRINTER_SILENT"
        silent = DeviceLost(code, device=self._owner.name)
        if self._answered:
            raise silent
        self._owner.become(Condition(DeviceState.UNKNOWN, silent.code, silent.params))
        if self._jobs and not self._jobs[0].sent:
            self._finish(Outcome("not_sent", silent.code, silent.params))

    def _garbled(self) -> None:
        self._garbage += 1
        if self._garbage == 8:
            params = {"device": self._owner.name}
            self._owner.become(Condition(DeviceState.UNKNOWN, "PRINTER_GARBLED", params))

    # -- jobs --------------------------------------------------------------------------------

    def _start_next(self) -> None:
        if not self._jobs:
            return
        if not self._polls:
            self._send(self._jobs[0])
        elif not self._asked:
            # Whatever holds a printer up puts it off line: the first answer tells of it, and the
            # others are a heartbeat old. The drawer must not wait for four questions.
            fresh = self._clock() - self._judged_at < FRESH_S
            self._brief = fresh and self._owner.state().code not in BLOCKING
            self._ask(1)

    def _judge(self) -> None:
        """A status round is complete: send what waits, or say why not."""
        if not self._jobs:
            return
        job = self._jobs[0]
        code = self._owner.state().code
        if job.sent:
            if code in BLOCKING:  # the printer holds it: its fence comes when it goes on
                job.deadline = self._clock() + self._patience_s(job)
        elif code in BLOCKING:
            self._finish(Outcome("not_sent", code, self._owner.state().params))
        else:
            self._send(job)

    def _send(self, job: _Job) -> None:
        self._count += 1
        job.fence = f"{self._count % 10_000:04d}".encode("ascii")
        fences = {
            "gs_r": PAPER_SENSOR,
            "gs_h": b"\x1d(H\x06\x00\x30\x30" + job.fence,
            "none": b"",
        }
        job.sent = True
        self._port.write(job.data + fences[self._fence])
        job.deadline = self._clock() + self._patience_s(job)

    def _check_sent(self) -> None:
        """A printer that never answers: its job is sent when the last byte has left this machine.

        On a network that is when the printer has taken it; a write that returned says nothing.
        """
        fenced = self._fence != "none" and self._port.answers
        if not fenced and self._jobs and self._jobs[0].sent and not self._port.unsent():
            self._finish(Outcome("sent"))

    def _patience_s(self, job: _Job) -> float:
        return FENCE_S + len(job.data) / BYTES_PER_S

    def _fence_reply(self, reply: Reply) -> None:
        job = self._jobs[0] if self._jobs else None
        if job is None or not job.sent:
            self._garbled()
        elif reply.kind == "fence":
            if reply.fence == job.fence:
                self._finish(Outcome("confirmed"))
        elif self._fence == "gs_r" or job.asked_again:
            self._fence = "gs_r"
            self._finish(Outcome("confirmed"))

    def _check_deadline(self, now: float) -> None:
        """An unanswered fence closes the port: a late answer must not confirm another job."""
        if not self._jobs or not self._jobs[0].sent or now <= self._jobs[0].deadline:
            return
        job = self._jobs[0]
        if self._still_leaving():
            job.deadline = now + FENCE_S
        elif self._fence == "gs_h" and not job.asked_again:
            job.asked_again = True
            job.deadline = now + FENCE_S
            self._port.write(PAPER_SENSOR)
        else:
            raise DeviceLost("PRINT_UNCONFIRMED", device=self._owner.name)

    def _finish(self, outcome: Outcome) -> None:
        resolve(self._jobs.popleft().future, outcome)
        self._start_next()


class Printer:
    """One receipt printer with its profile. `clock` is monotonic seconds."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        profile: Profile,
        on_event: Callable[[Event], None],
        open_port: OpenPort = open_port,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.profile = profile
        self._driver = _Driver(profile, clock)
        self._device = Device(
            name, url, driver=self._driver, on_event=on_event, open_port=open_port
        )

    def start(self) -> None:
        """Own the port from now on; returns at once."""
        self._device.start()

    def stop(self) -> None:
        """Give the port back within a second; a job on its way becomes `unknown`."""
        self._device.stop()

    def state(self) -> Condition:
        """UP, DEGRADED with PRINTER_*, DOWN with DEVICE_*, UNKNOWN when it does not tell."""
        return self._device.state()

    def status(self) -> PrinterStatus:
        """The last status round, drawer pin included."""
        return self._driver.status

    def print(self, data: bytes) -> "Future[Outcome]":
        """Send one job and its fence; never blocks.

        The future is always resolved with an Outcome, or with DeviceLost when the port was down
        and nothing was sent. A printer that holds its jobs (no paper, cover open) gets none, not
        even the drawer's: it would open the drawer when the paper comes, with nobody near.
        """
        return self._device.submit(data)
