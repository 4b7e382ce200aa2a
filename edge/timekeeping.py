"""A manager vouches for the time when no source answers: timed promotions go on, in words."""

from typing import Final, Protocol, runtime_checkable

from edge.node import ShopNode
from edge.people import People
from protocol.errors import Refusal, Unavailable, define
from protocol.events import ClockConfirmed

SANE_MS: Final = (1_793_491_200_000, 4_102_444_800_000)  # from 2026-11-01 to 2100

define(
    {
        "TIME_TRUSTED": (
            "The time is known well enough (± {seconds} s). Nothing was changed.",
            "当前时间可信（误差 ± {seconds} 秒）。没有任何更改。",
        ),
        "TIME_STRANGE": (
            "That time cannot be: it lies before what this shop has already seen. Check date and "
            "hour; nothing was changed.",
            "该时间不合理：早于本店已记录的时间。请检查日期和钟点；没有任何更改。",
        ),
        "TIME_FIXED": (
            "This clock takes no confirmation.",
            "此时钟不接受确认。",
        ),
    }
)


@runtime_checkable
class Confirmable(Protocol):
    """A clock that can be told the time."""

    def confirm(self, true_ms: int) -> None:
        """A manager vouched for it."""
        ...


class Timekeeping:
    """The one verb; the person has just given the PIN (`People.check_pin`)."""

    def __init__(self, node: ShopNode, people: People) -> None:
        self._node = node
        self._people = people

    def confirm(self, true_ms: int, *, person: str) -> None:
        """From now on HOLDOVER with ± 60 s; recorded with the name of who vouched."""
        self._people.demand(person, "confirm_time")
        reading = self._node.clock.read()
        if reading.state.trusted:
            raise Refusal("TIME_TRUSTED", seconds=-(-reading.u_ms // 1000))
        if not max(SANE_MS[0], self._node.high_water_ms) <= true_ms < SANE_MS[1]:
            raise Refusal("TIME_STRANGE")
        clock = self._node.clock
        if not isinstance(clock, Confirmable):
            raise Unavailable("TIME_FIXED")
        clock.confirm(true_ms)
        draft = self._node.draft(ClockConfirmed(confirmed_ms=true_ms, person=person), actor=person)
        with self._node.books.begin() as tx:
            self._node.books.record(tx, {self._node.stream: [draft]})
        self._node.hub.publish("clock", {"confirmed_ms": true_ms})
