"""What this shop knows of its time, and the one verb: a manager vouches for it with a PIN."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Final, Protocol, runtime_checkable

from edge.node import ShopNode
from edge.people import People
from edge.screens import Screen
from protocol.clock import MINUTE_MS
from protocol.clockstatus import status_of
from protocol.errors import Refusal, Unavailable, define
from protocol.events import ClockConfirmed
from protocol.wire import ClockFacts, ScreenClock

SANE_MS: Final = (1_793_491_200_000, 4_102_444_800_000)  # from 2026-11-01 to 2100
TEXT_MAX: Final = 150
SCREENS_TOLD: Final = 20
BACKED_MS: Final = 10 * MINUTE_MS  # a person's time this near to the sources' is theirs

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


def facts_of(node: ShopNode, screens: Sequence[Screen]) -> ClockFacts:
    """What head office hears of this shop's clock with each heartbeat."""
    status = status_of(node.clock)
    return ClockFacts(
        basis=status.basis.value,
        since_ms=max(0, status.since_ms),
        code=status.code,
        params={name: value[:TEXT_MAX] for name, value in status.params.items()},
        used=status.used,
        asked=len(status.sources),
        contested=status.contested,
        stepped_ms=status.stepped_ms,
        stepped_at_ms=max(0, status.stepped_at_ms),
        central_off_ms=status.central_off_ms,
        zone=node.settings.tz,
        tzdata=zone_data(),
        screens=tuple(
            ScreenClock(till=one.till, off_ms=one.off_ms, zone=one.zone)
            for one in screens
            if one.till and one.wrong
        )[:SCREENS_TOLD],
    )


def zone_data() -> str:
    """The version of the pinned time-zone data."""
    return version("tzdata")


class Timekeeping:
    """The person has just given the PIN (`People.check_pin`)."""

    def __init__(self, node: ShopNode, people: People) -> None:
        self._node = node
        self._people = people

    @property
    def wanted(self) -> bool:
        """Does somebody have to say what time it is?"""
        status = status_of(self._node.clock)
        return status.contested or not status.reading.state.trusted

    def confirm(self, true_ms: int, *, person: str) -> None:
        """From now on HOLDOVER with ± 60 s; recorded with the name of who vouched.

        A time before what was already certain is taken only where the sources say the same: then
        it was the certain one that was wrong.
        """
        self._people.demand(person, "confirm_time")
        status = status_of(self._node.clock)
        if not self.wanted:
            raise Refusal("TIME_TRUSTED", seconds=-(-status.reading.u_ms // 1000))
        backed = status.contested and abs(true_ms - status.proposed_ms) <= BACKED_MS
        earliest_ms = SANE_MS[0] if backed else max(SANE_MS[0], self._node.high_water_ms)
        if not earliest_ms <= true_ms < SANE_MS[1]:
            raise Refusal("TIME_STRANGE")
        clock = self._node.clock
        if not isinstance(clock, Confirmable):
            raise Unavailable("TIME_FIXED")
        clock.confirm(true_ms)
        draft = self._node.draft(ClockConfirmed(confirmed_ms=true_ms, person=person), actor=person)
        with self._node.books.begin() as tx:
            self._node.books.record(tx, {self._node.stream: [draft]})
        self._node.hub.publish("clock", {"confirmed_ms": true_ms})
