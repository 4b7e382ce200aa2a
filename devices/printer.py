"""The receipt printer: how it is, and whether a job came out.

    printer = Printer("till-1", "socket://192.168.1.50:9100", profile=profile("80mm-48col"),
                      on_event=queue.put)
    printer.start()
    outcome = printer.print(data).result()      # a Future; only a worker thread waits on it

Before each job the status is asked (DLE EOT 1-4); after it stands a fence that the printer answers
in order. "Printed" is that answer and nothing less: a write that returned proves nothing. While
paper or cover hold a job up, its fence is awaited; when the connection breaks or the printer falls
silent, the job is `unknown`, for it may be on paper. Sources: devices.md, section 2.4.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from devices.device import (
    UP,
    Condition,
    Device,
    DeviceState,
    Event,
    resolve,
)
from devices.port import DeviceLost, OpenPort, Port, open_port
from devices.receipt import Profile

if TYPE_CHECKING:
    from concurrent.futures import Future

HEARTBEAT_S: Final = 1.0
ANSWER_S: Final = 0.7  # how long one status query may take
FENCE_S: Final = 5.0  # plus the time to print: see `_patience_s`
BYTES_PER_S: Final = 500  # slower than any paper
MISSES_MAX: Final = 2
BLOCKING: Final = frozenset(
    {"PRINTER_PAPER_OUT", "PRINTER_COVER_OPEN", "PRINTER_FAULT", "PRINTER_OFFLINE"}
)


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


class PrinterStatus(msgspec.Struct, frozen=True):
    """The four answers in words; None where the printer does not tell."""

    offline: bool | None = None
    drawer_pin: bool | None = None  # polarity differs between drawers
    cover_open: bool | None = None
    fault: bool | None = None
    paper: Literal["ok", "low", "out"] | None = None

    def condition(self, device: str) -> Condition:
        """The one thing to tell people, the worst first."""
        found = (
            (self.paper == "out", "PRINTER_PAPER_OUT"),
            (self.cover_open, "PRINTER_COVER_OPEN"),
            (self.fault, "PRINTER_FAULT"),
            (self.offline, "PRINTER_OFFLINE"),
            (self.paper == "low", "PRINTER_PAPER_LOW"),
        )
        for is_so, code in found:
            if is_so:
                return Condition(DeviceState.DEGRADED, code, {"device": device})
        return UP


def decode_status(answers: dict[int, int]) -> PrinterStatus:
    """DLE EOT answers by number (1-4), as devices.md section 2.4 lists their bits."""
    first, second = answers.get(1), answers.get(2)
    third, fourth = answers.get(3), answers.get(4)
    paper: Literal["ok", "low", "out"] | None = None
    if fourth is not None:
        paper = "out" if fourth & 0x60 else "low" if fourth & 0x0C else "ok"
    if second is not None and second & 0x20:
        paper = "out"
    return PrinterStatus(
        offline=None if first is None else bool(first & 0x08),
        drawer_pin=None if first is None else bool(first & 0x04),
        cover_open=None if second is None else bool(second & 0x04),
        fault=None if third is None else bool(third & 0x68),
        paper=paper,
    )


class Reply(msgspec.Struct, frozen=True):
    """One answer of the printer: a status byte, a `GS r` byte, a fence id, or garbage."""

    kind: Literal["status", "sensor", "fence", "garbage"]
    value: int = 0
    fence: bytes = b""


class ReplyDecoder:
    """Tells the answers apart by their fixed bits, however the bytes are split."""

    def __init__(self) -> None:
        self._fence = bytearray()

    def feed(self, data: bytes) -> list[Reply]:
        """All replies that are complete now."""
        replies = []
        for byte in data:
            reply = self._byte(byte)
            if reply is not None:
                replies.append(reply)
        return replies

    def _byte(self, byte: int) -> Reply | None:
        if self._fence or byte == 0x37:
            self._fence.append(byte)
            if len(self._fence) < 7:
                return None
            whole, self._fence = bytes(self._fence), bytearray()
            if whole[1] == 0x22 and whole[6] == 0:
                return Reply("fence", fence=whole[2:6])
            return Reply("garbage")
        if byte & 0x93 == 0x12:
            return Reply("status", byte)
        if byte & 0x90 == 0x00:
            return Reply("sensor", byte)
        return Reply("garbage", byte)


class _Job:
    """One print on its way: waiting for status, then for its fence."""

    def __init__(self, data: bytes, future: "Future[Outcome]") -> None:
        self.data = data
        self.future = future
        self.fence = b""
        self.deadline = 0.0
        self.sent = False


class _Driver:
    """Runs on the owner thread only."""

    tick_s = 0.1

    def __init__(self, profile: Profile, clock: Callable[[], float]) -> None:
        self._profile = profile
        self._clock = clock
        self._count = 0
        self._jobs: deque[_Job] = deque()
        self._status = PrinterStatus()
        self._reset()

    def _reset(self) -> None:
        self._decoder = ReplyDecoder()
        self._answers: dict[int, int] = {}
        self._mute: set[int] = set()  # queries that this printer does not answer
        self._asked = 0  # the query that is open, 0 = none
        self._asked_at = 0.0
        self._next_round = 0.0
        self._misses = 0
        self._garbage = 0
        self._answered = False

    @property
    def status(self) -> PrinterStatus:
        return self._status

    def opened(self, owner: Device, port: Port) -> None:
        self._owner, self._port = owner, port
        self._reset()
        if self._profile.status and port.answers:
            port.write(b"\x1da\x00")  # no status by itself: its bytes would look like answers
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
                self._answered, self._misses = True, 0
                self._answers[self._asked] = reply.value
                self._ask_after(self._asked)
            elif reply.kind in {"sensor", "fence"}:
                self._fence_reply(reply)
            else:
                self._garbled()

    def tick(self) -> None:
        now = self._clock()
        if self._asked and now - self._asked_at > ANSWER_S:
            self._no_answer(self._asked)
        elif not self._asked and self._polls and now >= self._next_round:
            self._ask(1)
        self._check_deadline(now)

    def closed(self, reason: DeviceLost) -> None:
        lost = reason.code != "PRINT_UNCONFIRMED"
        while self._jobs:
            job = self._jobs.popleft()
            kind: Literal["unknown", "not_sent"] = "unknown" if job.sent else "not_sent"
            resolve(job.future, Outcome(kind, reason.code, reason.params, lost=lost and job.sent))

    # -- status ------------------------------------------------------------------------------

    @property
    def _polls(self) -> bool:
        return self._profile.status and self._port.answers

    def _ask(self, number: int) -> None:
        self._asked, self._asked_at = number, self._clock()
        self._port.write(bytes([0x10, 0x04, number]))

    def _ask_after(self, number: int) -> None:
        """Ask the next query of the round, or judge when it is complete."""
        for following in range(number + 1, 5):
            if following not in self._mute:
                self._ask(following)
                return
        self._asked = 0
        self._next_round = self._clock() + HEARTBEAT_S
        self._garbage = 0
        self._status = decode_status(self._answers)
        self._owner.become(self._status.condition(self._owner.name))
        self._judge()

    def _no_answer(self, number: int) -> None:
        if number > 1:  # it answered the first one: this model lacks the others
            self._mute.add(number)
            self._answers.pop(number, None)
            self._ask_after(number)
            return
        self._asked = 0
        self._next_round = self._clock()
        self._misses += 1
        if self._misses < MISSES_MAX:
            return
        silent = DeviceLost("PRINTER_SILENT", device=self._owner.name)
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
            self._ask(1)  # the answer decides

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
            "gs_r": b"\x1dr\x01",
            "gs_h": b"\x1d(H\x06\x00\x30\x30" + job.fence,
            "none": b"",
        }
        job.sent = True
        self._port.write(job.data + fences[self._profile.fence])
        if self._profile.fence == "none" or not self._port.answers:
            self._finish(Outcome("sent"))
            return
        job.deadline = self._clock() + self._patience_s(job)

    def _patience_s(self, job: _Job) -> float:
        return FENCE_S + len(job.data) / BYTES_PER_S

    def _fence_reply(self, reply: Reply) -> None:
        if not self._jobs or not self._jobs[0].sent:
            self._garbled()
        elif reply.kind == "sensor" or reply.fence == self._jobs[0].fence:
            self._finish(Outcome("confirmed"))

    def _check_deadline(self, now: float) -> None:
        """An unanswered fence closes the port: a late answer must not confirm another job."""
        if self._jobs and self._jobs[0].sent and now > self._jobs[0].deadline:
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
