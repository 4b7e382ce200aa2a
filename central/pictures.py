"""Who asked for all its neighbours' figures: a question of few bytes has a long answer.

A shop asks at every connect. Its answer is cut into one part per neighbour, sent between other
work, and whoever asks without end gets one answer at a time.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

PICTURE_S: Final = 2.0  # a shop gets the whole picture at most this often


class Pictures:
    """What was asked, and what of it is still to be sent; used by one thread."""

    def __init__(self) -> None:
        self._asked: dict[str, None] = {}  # in their order
        self._began_at: dict[str, float] = {}
        self._pairs: deque[tuple[str, str]] = deque()

    def ask(self, asker: str) -> None:
        """Once is as good as a thousand times."""
        self._asked[asker] = None

    def begin(self, now_s: float, neighbours: Callable[[str], list[str]]) -> None:
        """Take up those who have not had it lately, when nothing of earlier ones is left."""
        if self._pairs:
            return
        for asker in list(self._asked):
            if now_s - self._began_at.get(asker, -PICTURE_S) >= PICTURE_S:
                del self._asked[asker]
                self._began_at[asker] = now_s
                self._pairs += [(asker, store) for store in neighbours(asker)]

    def next(self) -> tuple[str, str] | None:
        """(who asked, whose shelf); None when there is nothing to send."""
        return self._pairs.popleft() if self._pairs else None
