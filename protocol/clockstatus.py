"""What a judged clock says of itself: on what it stands, which sources it used, why not others."""

from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

import msgspec

from protocol.clock import DAY_MS, HOUR_MS, MINUTE_MS, Clock, Reading
from protocol.errors import define, sentence

CENTRAL: Final = "central"  # head office among the sources

define(
    {
        "CLOCK_NO_SOURCE": (
            "No time server and no head office gives the time.",
            "没有时间服务器或总部提供时间。",
        ),
        "CLOCK_ONE_SOURCE": (
            "Only {source} gives the time; two sources must agree.",
            "只有 {source} 提供时间，需要至少两个来源一致。",
        ),
        "CLOCK_NO_MAJORITY": (
            "The {count} sources of time contradict each other; no majority agrees.",
            "{count} 个时间来源互相矛盾，没有多数一致。",
        ),
        "CLOCK_JUMP": (
            "Most time servers say that it is {by} from what this clock counted. Not followed: "
            "head office has to agree, or a manager confirms the time.",
            "多数时间服务器与本机计时相差 {by}。未采用：需总部一致或店长确认时间。",
        ),
        "CLOCK_CENTRAL_DIFFERS": (
            "Most time servers are {by} from head office's time. Not followed: a manager has to "
            "confirm the time.",
            "多数时间服务器与总部时间相差 {by}。未采用：需店长确认时间。",
        ),
        "CLOCK_BEFORE_MARK": (
            "Most time servers name a time {by} before what was already certain. Not followed: "
            "head office has to agree, or a manager confirms the time.",
            "多数时间服务器的时间比已确认的时间早 {by}。未采用：需总部一致或店长确认时间。",
        ),
    }
)


class Basis(StrEnum):
    """What ties our counting to true time."""

    NONE = "none"
    SOURCES = "sources"  # a majority of time sources
    MANAGER = "manager"  # a person with a PIN
    CONTINUED = "continued"  # the same boot of the machine, before this program was restarted
    HARDWARE = "hardware"  # the battery-backed clock, after a power cut

    @property
    def strong(self) -> bool:
        """May it veto a majority that leaps away?"""
        return self in {Basis.SOURCES, Basis.MANAGER, Basis.CONTINUED}


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The high-water mark, as a node persists it: what was certain last, and where.

    `good_ms` is the last instant that more than the hardware clock vouched for. `mono_ms` counts
    within `boot`; `seq` is the newest event of the node's own stream then.
    """

    utc_ms: int = 0
    u_ms: int = 0
    good_ms: int = 0
    mono_ms: int = 0
    boot: str = ""
    seq: int = 0
    basis: Basis = Basis.NONE
    vouched: bool = False


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at a start: the persisted mark, and which boot of the machine this is.

    `told_ms`: the newest trusted instant in the journal after the mark; 0 for none.
    """

    mark: Mark = Mark()
    boot: str = ""
    told_ms: int = 0


class Note(msgspec.Struct, frozen=True):
    """One source in the last round: used, or why not; `off_ms` from the time told, if any."""

    source: str
    used: bool
    code: str = ""
    params: dict[str, str] = {}
    off_ms: int | None = None
    error_ms: int = 0

    def sentence(self, language: str) -> str:
        """Why it is not used; "" when it is."""
        return sentence(self.code, self.params, language) if self.code else ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a page says of a clock. `code` is why it is not TRUSTED, "" when it is.

    `contested`: sources speak against the anchor, and somebody has to decide; `proposed_ms` is then
    what they say. `stepped_ms`: the last correction of more than 5 s, at `stepped_at_ms`.
    """

    reading: Reading
    basis: Basis = Basis.NONE
    since_ms: int = 0
    sources: tuple[Note, ...] = ()
    code: str = ""
    params: dict[str, str] = {}
    contested: bool = False
    proposed_ms: int = 0
    central_off_ms: int | None = None
    stepped_ms: int = 0
    stepped_at_ms: int = 0

    def why(self, language: str) -> str:
        """Why it is not TRUSTED."""
        return sentence(self.code, self.params, language) if self.code else ""

    @property
    def used(self) -> int:
        """How many sources the time stands on."""
        return sum(note.used for note in self.sources)


def span(ms: int) -> str:
    """A signed difference that people can read: "+1.5 s", "-3 min", "+24.0 h", "+400 d"."""
    size = abs(ms)
    sign = "-" if ms <= -50 else "+"
    if size < 2 * MINUTE_MS:
        return f"{sign}{size / 1000:.1f} s"
    if size < 2 * HOUR_MS:
        return f"{sign}{size / MINUTE_MS:.0f} min"
    return f"{sign}{size / HOUR_MS:.1f} h" if size < 3 * DAY_MS else f"{sign}{size / DAY_MS:.0f} d"


@runtime_checkable
class Explained(Protocol):
    """A clock that can say what it stands on."""

    def status(self) -> Status:
        """Sources, uncertainty, since when, why not."""
        ...


def status_of(clock: Clock) -> Status:
    """What there is to say of any clock."""
    return clock.status() if isinstance(clock, Explained) else Status(reading=clock.read())
