"""Head office's own time: an administrator vouches for it where its sources contradict it."""

from typing import Final, Protocol, runtime_checkable

from central.recording import Desk, record
from protocol.clockstatus import Status, status_of
from protocol.errors import Refusal, define
from protocol.events import ClockConfirmed
from protocol.ids import ALL

SANE_MS: Final = (1_793_491_200_000, 4_102_444_800_000)  # from 2026-11-01 to 2100

define(
    {
        "HQ_TIME_FINE": (
            "Head office's time is known well enough. Nothing was changed.",
            "总部时间可信。没有任何更改。",
        ),
        "HQ_TIME_STRANGE": (
            "That time cannot be. Check date and hour; nothing was changed.",
            "该时间不合理。请检查日期和钟点；没有任何更改。",
        ),
    }
)


@runtime_checkable
class Confirmable(Protocol):
    """A clock that can be told the time."""

    def confirm(self, true_ms: int) -> None:
        """A person vouched for it."""
        ...


class Timekeeping:
    """What there is to say of head office's clock, and the one verb."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def status(self) -> Status:
        """On what it stands."""
        return status_of(self._desk.clock)

    @property
    def wanted(self) -> bool:
        """Does somebody have to say what time it is?"""
        status = self.status()
        return status.contested or not status.reading.state.trusted

    def confirm(self, true_ms: int | None, *, by: str) -> None:
        """From now on HOLDOVER with ± 60 s; recorded with the name of who vouched."""
        if not self.wanted:
            raise Refusal("HQ_TIME_FINE")
        clock = self._desk.clock
        sane = true_ms is not None and SANE_MS[0] <= true_ms < SANE_MS[1]
        if true_ms is None or not sane or not isinstance(clock, Confirmable):
            raise Refusal("HQ_TIME_STRANGE")
        clock.confirm(true_ms)
        said = (self._desk.new_id(), ClockConfirmed(confirmed_ms=true_ms, person=by))
        with self._desk.books.begin() as tx:
            record(self._desk, tx, {ALL: [said]}, by=by)
        self._desk.hub.publish("link", {"clock": True})
