"""Fan out small facts inside one process: what changed, for pages that want to know at once.

A subscriber that does not keep up loses the oldest facts and is told so by a `lost` fact, so that
it can read everything anew; a publisher never waits. `mark` says how far a hub has told: who read
the books at one mark and listens from another has missed something.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

QUEUE_MAX = 256


class Fact(msgspec.Struct, frozen=True):
    """`topic` says what changed ("stock", "sale", "basket/T1", ...), `data` is JSON."""

    topic: str
    data: str


class Hub:
    """Publish from any thread; each subscriber has its own bounded queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: set[queue.Queue[Fact]] = set()
        self._name = os.urandom(4).hex()
        self._told = 0
        self.elsewhere: Callable[[Fact], None] | None = None  # other processes of the same node

    def publish(self, topic: str, data: object) -> None:
        """Tell all subscribers; `data` is anything that msgspec can write as JSON."""
        fact = Fact(topic, msgspec.json.encode(data).decode())
        elsewhere = self.elsewhere
        if elsewhere is not None:
            elsewhere(fact)
        self.deliver(fact)

    def deliver(self, fact: Fact) -> None:
        """Tell the subscribers of this process only."""
        with self._lock:
            self._told += 1
            waiting = list(self._queues)
        for one in waiting:
            while True:
                try:
                    one.put_nowait(fact)
                    break
                except queue.Full:
                    self._drop(one)

    @staticmethod
    def _drop(one: "queue.Queue[Fact]") -> None:
        try:
            one.get_nowait()
            one.get_nowait()
            one.put_nowait(Fact("lost", "{}"))
        except (queue.Empty, queue.Full):
            return

    @contextmanager
    def subscribe(self) -> Iterator["queue.Queue[Fact]"]:
        """A queue of facts from now on."""
        one: queue.Queue[Fact] = queue.Queue(QUEUE_MAX)
        with self._lock:
            self._queues.add(one)
        try:
            yield one
        finally:
            with self._lock:
                self._queues.discard(one)

    @property
    def mark(self) -> str:
        """Changes with every fact; no two hubs share one."""
        with self._lock:
            return f"{self._name}:{self._told}"

    @property
    def subscribers(self) -> int:
        """How many listen now; other processes count as one."""
        with self._lock:
            return len(self._queues) + (self.elsewhere is not None)
