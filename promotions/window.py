"""When a rule is live: start and end as UTC instants, days and hours on the local clock.

A start in a DST gap begins when the gap ends; a doubled start means its first occurrence. An end is
inclusive to its precision; a doubled end means its second occurrence, an end inside a gap ends when
the gap begins. Daily hours are judged on the reading of the local clock: both passes of a doubled
hour count and a missing hour never comes. A rule applies only if the whole interval
[time - u, time + u] lies in its window.
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from promotions.reading import Reader

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
SPAN_MAX_MS: Final = 16 * DAY_MS  # a longer uncertainty is judged by its first 16 days
FAR_MS: Final = 10**15
_WALL: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?", re.ASCII)
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


class Daily(msgspec.Struct, frozen=True, gc=False):
    """Hours of the local clock in milliseconds of the day, `from` inclusive, `to` exclusive."""

    from_ms: int
    to_ms: int


class When(msgspec.Struct, frozen=True, gc=False):
    """All conditions of a rule; None means any."""

    start: str | None = None
    end: str | None = None
    tz: str | None = None
    daily: Daily | None = None
    days: frozenset[int] | None = None
    stores: tuple[str, ...] | None = None
    zones: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    currency: tuple[str, ...] | None = None
    members: tuple[str, ...] | None = None
    tender: tuple[str, ...] | None = None
    coupon: str | None = None

    @property
    def timed(self) -> bool:
        """Does it need a clock?"""
        return any(each is not None for each in (self.start, self.end, self.daily, self.days))

    @property
    def choosy(self) -> bool:
        """Does it name places, channels, currencies, people or tenders?"""
        lists = (self.stores, self.zones, self.channels, self.currency, self.members, self.tender)
        return any(each is not None for each in lists)


def zone_of(name: str) -> ZoneInfo | None:
    """The IANA zone, or None when there is none of this name."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return None


def _read_wall(reader: Reader, key: str) -> str | None:
    found = reader.get(key)
    if found is None:
        return None
    words = "a wall time YYYY-MM-DDTHH:MM or with :SS | 形如 2026-01-17T23:59 的当地时间"
    if not isinstance(found, str) or not _WALL.fullmatch(found):
        reader.fault(key, found, words)
        return None
    try:
        year = datetime.fromisoformat(found).year
    except ValueError:
        year = 0
    if not 1971 <= year <= 9000:
        reader.fault(key, found, words)
        return None
    return found


def _read_daily(when: Reader) -> Daily | None:
    child = when.child("daily")
    if child is None:
        return None
    parts = []
    for key in ("from", "to"):
        found = child.get(key)
        match = _HOURS.fullmatch(found) if isinstance(found, str) else None
        if match is None:
            child.fault(key, found, "a time of day HH:MM | 时刻 HH:MM")
            parts.append(0)
        else:
            parts.append((int(match[1]) * 60 + int(match[2])) * 60_000)
    child.finish()
    return Daily(parts[0], parts[1])


def _read_days(when: Reader) -> frozenset[int] | None:
    listed = when.texts("days")
    if listed is None:
        return None
    for i, day in enumerate(listed):
        if day not in DAYS:
            when.fault(f"days[{i}]", day, "one of mon, tue, ... sun | mon 到 sun 之一")
    return frozenset(DAYS.index(day) for day in listed if day in DAYS)


def read_when(reader: Reader) -> When:
    """The conditions under `when`; contradictory ones are faults."""
    when = reader.child("when")
    if when is None:
        return When()
    tz = when.text("tz")
    if tz is not None and zone_of(tz) is None:
        when.fault("tz", tz, "an IANA time zone | IANA 时区")
    start, end = _read_wall(when, "start"), _read_wall(when, "end")
    if when.strict and start is not None and end is not None and end[:16] < start[:16]:
        when.fault("end", end, f"not before the start {start} | 不早于开始时间 {start}")
    lists = {
        name: when.texts(name)
        for name in ("stores", "zones", "channels", "currency", "members", "tender")
    }
    read = When(
        start=start,
        end=end,
        tz=tz,
        daily=_read_daily(when),
        days=_read_days(when),
        coupon=when.text("coupon"),
        **lists,
    )
    when.finish()
    return read


def to_ms(at: datetime) -> int:
    """An aware datetime as UTC milliseconds."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def _offset_ms(zone: tzinfo, at_ms: int) -> int:
    local = (EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    offset = local.utcoffset()
    return 0 if offset is None else offset // timedelta(milliseconds=1)


def _change(zone: tzinfo, low: int, high: int) -> int:
    """The first millisecond in (low, high] with another offset than at `low`."""
    before = _offset_ms(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_ms(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _wall(text: str, zone: ZoneInfo, fold: int) -> tuple[int, bool]:
    """The instant of a wall time, and whether it lies in a gap (then: when the gap begins)."""
    naive = datetime.fromisoformat(text)
    at = to_ms(naive.replace(tzinfo=zone, fold=fold))
    back = (EPOCH + timedelta(milliseconds=at)).astimezone(zone).replace(tzinfo=None)
    if back == naive:
        return at, False
    first = to_ms(naive.replace(tzinfo=zone, fold=1))
    second = to_ms(naive.replace(tzinfo=zone, fold=0))
    return _change(zone, min(first, second), max(first, second)), True


def start_ms(text: str, zone: ZoneInfo) -> int:
    """The first instant that counts as started."""
    return _wall(text, zone, 0)[0]


def end_ms(text: str, zone: ZoneInfo) -> int:
    """The first instant that no longer counts (the end itself is inclusive)."""
    at, gap = _wall(text, zone, 1)
    return at if gap else at + (1_000 if len(text) > 16 else 60_000)


class Window:
    """The compiled time conditions of one rule."""

    __slots__ = ("daily", "days", "end", "start", "tz_name", "zone")

    def __init__(self, when: When, store_tz: str) -> None:
        self.tz_name = when.tz or store_tz
        zone = zone_of(self.tz_name)
        self.zone = zone if zone is not None else ZoneInfo("UTC")
        self.start = -FAR_MS if when.start is None else start_ms(when.start, self.zone)
        self.end = FAR_MS if when.end is None else end_ms(when.end, self.zone)
        self.daily = when.daily
        self.days = when.days

    def reason(self, at_ms: int) -> str:
        """Why it is not live at this instant ("" when it is)."""
        if at_ms < self.start:
            return "NOT_STARTED"
        if at_ms >= self.end:
            return "EXPIRED"
        if self.daily is None and self.days is None:
            return ""
        local = at_ms + _offset_ms(self.zone, at_ms)
        day, reading = divmod(local, DAY_MS)
        if self.daily is not None:
            opens, closes = self.daily.from_ms, self.daily.to_ms
            if opens < closes:
                if not opens <= reading < closes:
                    return "OUTSIDE_HOURS"
            elif reading < closes:
                day -= 1
            elif reading < opens:
                return "OUTSIDE_HOURS"
        if self.days is not None and (day + 3) % 7 not in self.days:
            return "WRONG_DAY"
        return ""

    def _steps(self, low: int, high: int) -> list[int]:
        """Every instant in (low, high] at which `reason` may change."""
        steps = [at for at in (self.start, self.end) if low < at <= high]
        if self.daily is None and self.days is None:
            return steps
        marks = [0]
        if self.daily is not None:
            marks += [self.daily.from_ms, self.daily.to_ms]
        spans, here = [low], low
        while here < high:
            there = min(here + HOUR_MS, high)
            if _offset_ms(self.zone, here) != _offset_ms(self.zone, there):
                spans.append(_change(self.zone, here, there))
            here = there
        for begin, stop in zip(spans, [*spans[1:], high + 1], strict=True):
            offset = _offset_ms(self.zone, begin)
            first, last = (begin + offset) // DAY_MS, (stop + offset) // DAY_MS
            for day in range(first, last + 1):
                steps += [at for m in marks if begin < (at := day * DAY_MS + m - offset) < stop]
        return [at for at in steps + spans[1:] if low < at <= high]

    def judge(self, at_ms: int, uncertainty_ms: int) -> str:
        """`reason`, or CLOCK_UNTRUSTED when only part of [time - u, time + u] is inside."""
        here = self.reason(at_ms)
        if uncertainty_ms <= 0:
            return here
        low, high = at_ms - uncertainty_ms, at_ms + uncertainty_ms
        if high < self.start or low >= self.end:
            return here
        if self.daily is None and self.days is None:
            inside = self.start <= low and high < self.end
            return "" if inside else "CLOCK_UNTRUSTED"
        high = min(high, low + SPAN_MAX_MS)
        live = [not self.reason(at) for at in (low, *self._steps(low, high), at_ms)]
        if all(live):
            return ""
        return "CLOCK_UNTRUSTED" if any(live) else here
