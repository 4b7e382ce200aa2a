"""What arrived and is not yet looked at, in a lane per speaker: a loud one delays only himself.

Bounded: what finds its lane full is dropped, because whoever waits for an answer sends again.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from protocol.node.mqttlink import Message

LANE_MESSAGES_MAX: Final = 1_024
LANE_BYTES_MAX: Final = 16_000_000
BYTES_MAX: Final = 64_000_000
LANES_MAX: Final = 20_000
LIGHT_BYTES: Final = 48_000  # a lane with no more than this goes first
CREDIT_EVENTS_MAX: Final = 400  # of one sender
CREDIT_EVENTS_MIN: Final = 100
EVENTS_WAITING_MAX: Final = 20_000  # of all senders: what BYTES_MAX holds


class _Lane:
    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.size = 0


class Inbox:
    """Filled from any thread, emptied by one. `speaker_of(topic)` names the lane."""

    def __init__(self, speaker_of: Callable[[str], str]) -> None:
        self.dropped = 0
        self._speaker_of = speaker_of
        self._ready = threading.Condition()
        self._words: deque[str] = deque()
        self._moved: set[str] = set()
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._size = 0

    def tell(self, word: str) -> None:
        """Something about the link; comes before all messages."""
        with self._ready:
            self._words.append(word)
            self._ready.notify()

    def moved(self, streams: set[str]) -> None:
        """Something was committed to these streams."""
        with self._ready:
            self._moved |= streams
            self._ready.notify()

    def put(self, message: Message) -> bool:
        """A message; False when there is no room and it was dropped."""
        name, size = self._speaker_of(message.topic), len(message.payload) + 200
        with self._ready:
            lane = self._lanes.get(name)
            full = lane is not None and (
                len(lane.messages) >= LANE_MESSAGES_MAX or lane.size + size > LANE_BYTES_MAX
            )
            if full or self._size + size > BYTES_MAX or len(self._lanes) >= LANES_MAX:
                self.dropped += 1
                return False
            if lane is None:
                lane = self._lanes[name] = _Lane()
            lane.messages.append(message)
            lane.size += size
            self._size += size
            self._ready.notify()
            return True

    def waiting(self) -> tuple[int, int]:
        """Messages in all lanes, and their bytes."""
        with self._ready:
            return sum(len(lane.messages) for lane in self._lanes.values()), self._size

    def credit(self) -> int:
        """How many events a sender may have under way, now that so many speak at once."""
        share = EVENTS_WAITING_MAX // max(1, len(self._lanes))
        return max(CREDIT_EVENTS_MIN, min(CREDIT_EVENTS_MAX, share))

    def take(
        self, timeout_s: float, most: int, budget: int
    ) -> tuple[list[str], set[str], list[Message]]:
        """Words, moved streams and up to `most` messages, until they have `budget` bytes.

        Lanes with little in them come first, so that nobody waits for the backlog of another; then
        one message of each lane in turn, and always one, so that a backlog does not stand still.
        """
        with self._ready:
            if not (self._words or self._moved or self._lanes):
                self._ready.wait(timeout_s)
            words, self._words = list(self._words), deque()
            moved, self._moved = self._moved, set()
            messages: list[Message] = []
            taken = 0
            lanes = list(self._lanes.items())
            heavy = deque(one for one in lanes if one[1].size > LIGHT_BYTES)
            for name, lane in lanes:
                light = lane.size <= LIGHT_BYTES
                while light and lane.messages and len(messages) < most - bool(heavy):
                    taken += self._take_one(name, lane, messages)
            while heavy and len(messages) < most:
                name, lane = heavy.popleft()
                taken += self._take_one(name, lane, messages)
                if lane.messages:
                    self._lanes.move_to_end(name)
                    heavy.append((name, lane))
                if taken >= budget:
                    break
            return words, moved, messages

    def _take_one(self, name: str, lane: _Lane, messages: list[Message]) -> int:
        message = lane.messages.popleft()
        size = len(message.payload) + 200
        lane.size -= size
        self._size -= size
        messages.append(message)
        if not lane.messages:
            del self._lanes[name]
        return size
