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
TAKE_BYTES_MAX: Final = 2_500_000


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

    def take(self, timeout_s: float, most: int) -> tuple[list[str], set[str], list[Message]]:
        """Words, moved streams and up to `most` messages, one of each lane in turn.

        Fewer when they are large: about a thousand sales go into one transaction.
        """
        with self._ready:
            if not (self._words or self._moved or self._lanes):
                self._ready.wait(timeout_s)
            words, self._words = list(self._words), deque()
            moved, self._moved = self._moved, set()
            messages: list[Message] = []
            taken = 0
            while self._lanes and len(messages) < most and taken < TAKE_BYTES_MAX:
                name, lane = next(iter(self._lanes.items()))
                message = lane.messages.popleft()
                size = len(message.payload) + 200
                lane.size -= size
                self._size -= size
                taken += size
                messages.append(message)
                if lane.messages:
                    self._lanes.move_to_end(name)
                else:
                    del self._lanes[name]
            return words, moved, messages
