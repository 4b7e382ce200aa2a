"""One owner thread per physical device: it alone opens the port, reads, writes and re-opens.

    device = Device("scanner-1", "/dev/ttyACM0", driver=ScannerDriver(), on_event=queue.put)
    device.start()
    future = device.submit(command)      # never blocks; resolved by the owner thread
    device.stop()                        # within one second, whatever the device does

Events (`Data`, `Status`, `Refused`) leave through `on_event`, called on the owner thread: a
callback only enqueues. Commands come in by `submit`. A lost device is opened again after 50 ms,
then twice as long each time up to 1 s, for ever; one that spoke starts again at 50 ms. A driver is
a small object with the hooks below; it runs on the owner thread only, so it needs no locks.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from devices.port import Cancel, DeviceLost, OpenPort, Port, open_port, wait
from protocol.errors import Unavailable, sentence

BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 1.0
STOP_S: Final = 1.0
COMMANDS_MAX: Final = 256


class DeviceState(StrEnum):
    """DOWN cannot be used; DEGRADED can, with a reason; UNKNOWN does not tell."""

    DOWN = "down"
    UP = "up"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"


class Condition(msgspec.Struct, frozen=True):
    """A state with its reason: `code` is stable, "" when there is nothing to say."""

    state: DeviceState
    code: str = ""
    params: dict[str, Any] = {}

    def sentence(self, language: str) -> str:
        """What happened, what still works, what to do; "" when all is well."""
        return sentence(self.code, self.params, language) if self.code else ""


UP: Final = Condition(DeviceState.UP)


class Data(msgspec.Struct, frozen=True):
    """Something was read: a scan, a weight."""

    device: str
    value: str
    t_mono: float  # seconds, time.monotonic


class Refused(msgspec.Struct, frozen=True):
    """Something was read that cannot be used; the device goes on."""

    device: str
    code: str
    params: dict[str, Any]
    t_mono: float


class Status(msgspec.Struct, frozen=True):
    """The condition changed; sent on change only."""

    device: str
    old: Condition
    new: Condition


Event = Data | Refused | Status


class Driver(Protocol):
    """What makes a device of its kind. All hooks run on the owner thread and may raise DeviceLost.

    `tick_s` is the longest silence before `tick` is called.
    """

    tick_s: float

    def opened(self, owner: "Device", port: Port) -> None:
        """The port is open; initialise, and say how it is by `owner.become`."""
        ...

    def received(self, data: bytes) -> None:
        """Bytes came."""
        ...

    def perform(self, command: object, future: "Future[Any]") -> None:
        """Do it; resolve the future now or later."""
        ...

    def tick(self) -> None:
        """Time went by: heartbeats, deadlines."""
        ...

    def closed(self, reason: DeviceLost) -> None:
        """The port is gone; resolve what is pending."""
        ...


def resolve(future: "Future[Any]", value: object) -> None:
    """Set the result unless the caller has given up."""
    with contextlib.suppress(InvalidStateError):
        future.set_result(value)


def reject(future: "Future[Any]", error: Exception) -> None:
    """Set the error unless the caller has given up."""
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)


class Device:
    """The owner of one port. `name` is the one of the settings."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        driver: Driver,
        on_event: Callable[[Event], None],
        open_port: OpenPort = open_port,
    ) -> None:
        self.name = name
        self.url = url
        self._driver = driver
        self._on_event = on_event
        self._open = open_port
        self._commands: queue.Queue[tuple[object, Future[Any]]] = queue.Queue(COMMANDS_MAX)
        self._condition = Condition(DeviceState.DOWN, "DEVICE_NOT_STARTED", {"device": name})
        self._stopping = threading.Event()
        self._gate = threading.Lock()  # guards start, stop and submit against each other
        self._wake = Cancel()
        self._cancel = Cancel()
        self._thread: threading.Thread | None = None
        self._finished = False
        self._heard = False

    def start(self) -> None:
        """Begin owning the port; returns at once."""
        with self._gate:
            if self._thread is not None or self._finished:
                return
            self._thread = threading.Thread(
                target=self._run, name=f"device-{self.name}", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Close the port and end the thread within STOP_S; pending commands are rejected."""
        with self._gate:
            if self._finished:
                return
            self._finished = True
            self._stopping.set()
            self._cancel.set()
            self._wake.set()
            thread = self._thread
        if thread is not None:
            thread.join(STOP_S)
            if thread.is_alive():
                return  # its descriptors must outlive it; it is a daemon and ends by itself
        self._reject_waiting(DeviceLost("DEVICE_CLOSED", device=self.name))
        self._wake.close()
        self._cancel.close()

    def submit(self, command: object) -> "Future[Any]":
        """Queue a command; the future is resolved by the owner thread, never later than its port.

        While the device is down it is rejected at once with the DeviceLost that says why.
        """
        future: Future[Any] = Future()
        with self._gate:
            if self._finished:
                reject(future, DeviceLost("DEVICE_CLOSED", device=self.name))
                return future
            try:
                self._commands.put_nowait((command, future))
            except queue.Full:
                reject(future, Unavailable("DEVICE_OVERRUN", device=self.name))
                return future
            self._wake.set()
        return future

    def state(self) -> Condition:
        """The present condition; cheap, any thread."""
        return self._condition

    def become(self, condition: Condition) -> None:
        """Take a new condition; an event goes out on change only. Owner thread and drivers."""
        old = self._condition
        if condition == old:
            return
        self._condition = condition
        self._on_event(Status(self.name, old, condition))

    def emit(self, event: Event) -> None:
        """Hand an event to the callback. Owner thread and drivers."""
        self._on_event(event)

    def _run(self) -> None:
        wait_s = BACKOFF_MIN_S
        while not self._stopping.is_set():
            try:
                port = self._open(self.url, self._cancel)
            except DeviceLost as lost:
                self._down(self._named(lost))
            else:
                self._heard = False
                self._down(self._own(port))
                if self._heard:  # it was alive: look for it again soon
                    wait_s = BACKOFF_MIN_S
            self._pause(wait_s)
            wait_s = min(wait_s * 2, BACKOFF_MAX_S)

    def _own(self, port: Port) -> DeviceLost:
        """Serve one open port until it is lost; return why."""
        try:
            self._driver.opened(self, port)
            while not self._stopping.is_set():
                self._serve(port)
            lost = DeviceLost("DEVICE_CLOSED", device=self.name)
        except DeviceLost as error:
            lost = self._named(error)
        except Exception as error:  # noqa: BLE001 - a driver's bug must not end the owner thread
            lost = DeviceLost("DEVICE_LOST", device=self.name, detail=repr(error))
        port.close()
        self._driver.closed(lost)
        return lost

    def _serve(self, port: Port) -> None:
        while True:
            try:
                command, future = self._commands.get_nowait()
            except queue.Empty:
                break
            if future.set_running_or_notify_cancel():
                self._driver.perform(command, future)
        sources: list[Port | Cancel] = [self._wake, self._cancel]
        if port.answers:
            sources.append(port)
        ready = wait(sources, timeout_s=self._driver.tick_s)
        if self._wake.fileno() in ready:
            self._wake.clear()
        if port.answers and port.fileno() in ready:
            data = port.read()
            if data:
                self._heard = True
                self._driver.received(data)
        self._driver.tick()

    def _named(self, lost: DeviceLost) -> DeviceLost:
        """The port speaks of its address, people know the device by its name."""
        return DeviceLost(lost.code, **lost.params | {"device": self.name})

    def _down(self, lost: DeviceLost) -> None:
        self.become(Condition(DeviceState.DOWN, lost.code, lost.params))
        self._reject_waiting(lost)

    def _pause(self, seconds: float) -> None:
        """Wait, still answering commands with the reason for being down."""
        deadline = time.monotonic() + seconds
        while not self._stopping.is_set():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return
            if self._wake.fileno() in wait([self._wake, self._cancel], timeout_s=left_s):
                self._wake.clear()
                code, params = self._condition.code, self._condition.params
                self._reject_waiting(DeviceLost(code, **params))

    def _reject_waiting(self, lost: DeviceLost) -> None:
        while True:
            try:
                _, future = self._commands.get_nowait()
            except queue.Empty:
                return
            reject(future, lost)
