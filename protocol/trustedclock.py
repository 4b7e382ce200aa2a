"""The judge of one machine's clock: fed with what sources say, asked for readings, asks nobody.

    clock = TrustedClock(build_ms=.., mark=stored, boot=boot_id, wall_ms=.., mono_ms=..)
    clock.judge(answers, waiting=1, mono_ms=..)     # a round of time servers
    clock.hear_central(at_ms, u_ms, mono_ms=..)     # head office's signed time
    clock.read(wall_ms=.., mono_ms=..)              # -> Reading

`mono_ms` counts on when the wall clock jumps and while the machine sleeps (CLOCK_BOOTTIME). An
*anchor* ties true time to it; what made the anchor is its *basis*. The rules, each with its reason:

- A majority of at least two sources makes an anchor (`timesources.intersect`); head office's beacon
  is one more source, wider by the unknown way here.
- A majority that leaps more than a minute away from an anchor of sources, of the same boot or of a
  manager is refused until head office agrees or a manager confirms: whoever holds the network of a
  shop must not move its time. Where head office contradicts a majority that nothing else vouches
  for, the majority is refused, even after the fact.
- The hardware clock alone anchors only after a power cut, if it stands at or a plausible time after
  the high-water mark; it vetoes nobody, because it goes wrong more often than all others.
- Trusted time never goes back, but when one of the above proves that it was more than a minute
  ahead. For less it stands still, and `u` covers the difference.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from protocol.clock import DAY_MS, HOUR_MS, MINUTE_MS, ClockState, Reading, drift_ms
from protocol.clockstatus import CENTRAL, Basis, Last, Mark, Note, Status, span
from protocol.timesources import Agreement, Rejected, Sample, intersect

JUMP_MS: Final = MINUTE_MS
STEP_TOLD_MS: Final = 5_000  # a smaller correction is nobody's business
FRESH_MS: Final = HOUR_MS
AWAY_MS_MAX: Final = 35 * DAY_MS  # a longer time off is not plausible by the hardware clock alone
HARDWARE_U_MS: Final = 2_000
MANAGER_U_MS: Final = 60_000
CENTRAL_FRESH_MS: Final = 30_000  # three beacons
CENTRAL_WAY_MS: Final = 5_000  # a beacon that took longer through the broker is a liar
CENTRAL_FORGET_MS: Final = 10 * MINUTE_MS


class Anchor(msgspec.Struct, frozen=True):
    """True time is `true_ms` ± `error_ms` when the monotonic clock says `mono_ms`."""

    mono_ms: int
    true_ms: int
    error_ms: int
    basis: Basis
    vouched: bool = False  # by head office, a manager, or what they vouched for

    def at(self, mono_ms: int) -> tuple[int, int]:
        """(true time, uncertainty) at this count."""
        passed = max(0, mono_ms - self.mono_ms)
        return self.true_ms + passed, self.error_ms + drift_ms(passed)


class _Central(msgspec.Struct, frozen=True):
    """Head office's time: UTC minus our monotonic clock lies in [low, high]."""

    at_ms: int
    low_ms: int
    high_ms: int
    heard_ms: int  # mono

    def sample(self, mono_ms: int) -> Sample:
        grown = drift_ms(mono_ms - self.heard_ms)
        return Sample(
            CENTRAL,
            (self.low_ms + self.high_ms) // 2,
            (self.high_ms - self.low_ms + 1) // 2 + grown,
        )


def _gap(one: Agreement | Sample, other: Agreement | Sample) -> int:
    """How far two intervals are apart; 0 when they touch."""
    return max(0, one.low_ms - other.high_ms, other.low_ms - one.high_ms)


class TrustedClock:
    """One machine's judge; all arguments are milliseconds. Not for several threads at once."""

    def __init__(
        self, *, build_ms: int, wall_ms: int, mono_ms: int, last: Last | None = None
    ) -> None:
        self.build_ms = build_ms
        last = last or Last()
        self._boot = last.boot
        self._start_ms = mono_ms
        self._floor_ms = max(last.mark.utc_ms, last.told_ms)  # the latest trusted instant told
        self._good_ms = last.mark.good_ms
        self._slack_ms = last.mark.u_ms  # the mark itself is only so certain
        self._before = (self._floor_ms, self._good_ms)  # what to return to when one is revoked
        self._anchor: Anchor | None = None
        self._central: _Central | None = None
        self._agreed_mono: int | None = None
        self._round: tuple[tuple[Sample, ...], tuple[Rejected, ...], tuple[str, ...]] = (
            (),
            (),
            (),
        )
        self._why: tuple[str, dict[str, str]] = ("CLOCK_NO_SOURCE", {})
        self._proposed: Agreement | None = None  # refused until somebody decides
        self._stepped = (0, 0)
        self._state: tuple[ClockState, int] | None = None
        self._boot_anchor(last.mark, wall_ms, mono_ms)

    # -- after a start ----------------------------------------------------------------------

    def _boot_anchor(self, mark: Mark, wall_ms: int, mono_ms: int) -> None:
        if mark.basis is not Basis.NONE and mark.boot == self._boot and mark.boot:
            passed = mono_ms - mark.mono_ms
            if passed >= 0:
                weak = mark.basis is Basis.HARDWARE
                basis = Basis.HARDWARE if weak else Basis.CONTINUED
                error_ms = mark.u_ms + drift_ms(passed) + 1
                self._anchor = Anchor(mono_ms, mark.utc_ms + passed, error_ms, basis, mark.vouched)
                return
        self._hardware_anchor(wall_ms, mono_ms)

    def _hardware_anchor(self, wall_ms: int, mono_ms: int) -> None:
        """A hardware clock at or after the mark gives HOLDOVER: 2 s + 100 ppm of the time off."""
        latest_ms = self._floor_ms + AWAY_MS_MAX
        if not self._floor_ms or not self._surely_ms <= wall_ms <= latest_ms:
            return
        good_ms = self._good_ms or self._floor_ms
        error_ms = HARDWARE_U_MS + drift_ms(wall_ms - good_ms)
        self._anchor = Anchor(mono_ms, wall_ms, error_ms, Basis.HARDWARE)

    @property
    def _surely_ms(self) -> int:
        """What a wall clock that runs cannot be before."""
        return max(self.build_ms, self._floor_ms - self._slack_ms)

    # -- what sources say -------------------------------------------------------------------

    def hear_central(self, at_ms: int, u_ms: int, *, wall_ms: int, mono_ms: int) -> None:
        """Head office's signed time: at least that late, at most `CENTRAL_WAY_MS` later.

        A beacon that was held back (a slow broker, a replay) says less than the ones before it.
        """
        low, high = at_ms - u_ms - mono_ms, at_ms + u_ms + CENTRAL_WAY_MS - mono_ms
        last = self._central
        if last is not None and mono_ms - last.heard_ms < CENTRAL_FORGET_MS:
            grown = drift_ms(mono_ms - last.heard_ms)
            if at_ms <= last.at_ms or high < last.low_ms - grown:
                return
            if low <= last.high_ms + grown:  # both are right: the narrower truth
                low, high = max(low, last.low_ms - grown), min(high, last.high_ms + grown)
        self._central = _Central(at_ms, low, high, mono_ms)
        if self._revoked(mono_ms):
            self._hardware_anchor(wall_ms, mono_ms)
            self._revoked(mono_ms)

    def _heard_central(self, mono_ms: int) -> Sample | None:
        heard = self._central
        if heard is None or mono_ms - heard.heard_ms > CENTRAL_FRESH_MS:
            return None
        return heard.sample(mono_ms)

    def _revoked(self, mono_ms: int) -> bool:
        """An anchor that nothing vouched for stands or falls with head office's word."""
        anchor, central = self._anchor, self._heard_central(mono_ms)
        if central is None or anchor is None or anchor.vouched:
            return False
        now_ms, u_ms = anchor.at(mono_ms)
        ours = Sample("", now_ms - mono_ms, u_ms)
        if _gap(ours, central) <= JUMP_MS:
            if anchor.basis.strong:
                self._vouched(anchor, now_ms)
            return False
        if anchor.basis.strong:
            agreed = Agreement(ours.low_ms, ours.high_ms, ())
            self._contest("CLOCK_CENTRAL_DIFFERS", agreed, central)
        self._anchor = None
        self._floor_ms, self._good_ms = self._before
        return True

    def _vouched(self, anchor: Anchor, now_ms: int) -> None:
        self._anchor = msgspec.structs.replace(anchor, vouched=True)
        self._before = (now_ms, now_ms)

    def judge(
        self,
        found: Sequence[Sample | Rejected],
        *,
        waiting: Sequence[str] = (),
        wall_ms: int,
        mono_ms: int,
    ) -> bool:
        """A round of answers, `waiting` those still out; True when the time now stands on them."""
        samples = [one for one in found if isinstance(one, Sample)]
        central = self._heard_central(mono_ms)
        if central is not None:
            samples.append(central)
        self._round = (
            tuple(samples),
            tuple(one for one in found if isinstance(one, Rejected)),
            tuple(waiting),
        )
        agreed = intersect(samples, voters=len(samples) + len(waiting))
        if agreed is None:
            if not waiting:
                self._proposed = None
                self._disagreed(samples)
            return False
        refused = self._refusal(agreed, central, mono_ms)
        if refused is not None:
            self._contest(*refused)
            if self._anchor is None:
                self._hardware_anchor(wall_ms, mono_ms)
                self._revoked(mono_ms)
            return False
        self._accept(agreed, central, mono_ms)
        return True

    def _disagreed(self, samples: Sequence[Sample]) -> None:
        if len(samples) > 1:
            self._why = ("CLOCK_NO_MAJORITY", {"count": str(len(samples))})
        elif samples:
            self._why = ("CLOCK_ONE_SOURCE", {"source": samples[0].source})
        else:
            self._why = ("CLOCK_NO_SOURCE", {})

    def _refusal(
        self, agreed: Agreement, central: Sample | None, mono_ms: int
    ) -> tuple[str, Agreement, Sample] | None:
        """Why a majority is not followed, and what it is measured against."""
        vouched = central is not None and _gap(agreed, central) <= JUMP_MS
        if vouched:
            return None
        anchor = self._anchor
        if anchor is not None and anchor.basis.strong:
            now_ms, u_ms = anchor.at(mono_ms)
            ours = Sample("", now_ms - mono_ms, u_ms)
            far = abs(agreed.offset_ms - ours.offset_ms) > max(JUMP_MS, u_ms + agreed.error_ms)
            if far:
                return "CLOCK_JUMP", agreed, ours
            if anchor.vouched:
                return None  # majority and anchor agree: head office is the odd one
        if central is not None:
            return "CLOCK_CENTRAL_DIFFERS", agreed, central
        certain_ms = self._good_ms - mono_ms
        if (anchor is None or not anchor.basis.strong) and agreed.high_ms < certain_ms - JUMP_MS:
            return "CLOCK_BEFORE_MARK", agreed, Sample("", certain_ms, 0)
        return None

    def _contest(self, code: str, agreed: Agreement, against: Sample) -> None:
        self._why = (code, {"by": span(agreed.offset_ms - against.offset_ms)})
        self._proposed = agreed

    def _accept(self, agreed: Agreement, central: Sample | None, mono_ms: int) -> None:
        anchor = self._anchor
        strong = anchor is not None and anchor.basis.strong
        vouched = central is not None and _gap(agreed, central) <= JUMP_MS
        if anchor is not None and strong:
            vouched = vouched or anchor.vouched
        true_ms = mono_ms + agreed.offset_ms
        if anchor is not None:
            was_ms, u_ms = anchor.at(mono_ms)
            if abs(true_ms - was_ms) > max(STEP_TOLD_MS, u_ms + agreed.error_ms):
                self._stepped = (true_ms - was_ms, true_ms)
        self._set(Anchor(mono_ms, true_ms, agreed.error_ms, Basis.SOURCES, vouched))
        self._agreed_mono = mono_ms
        self._proposed = None
        self._why = ("", {})

    def _set(self, anchor: Anchor) -> None:
        """From now on; what was told more than a minute ahead is taken back."""
        if self._floor_ms > anchor.true_ms + JUMP_MS:
            self._floor_ms = anchor.true_ms
        self._anchor = anchor
        self._good_ms = anchor.true_ms
        if anchor.vouched:
            self._before = (anchor.true_ms, anchor.true_ms)

    def confirm(self, true_ms: int, *, mono_ms: int) -> None:
        """A manager vouched for the time with a PIN: HOLDOVER with u = 60 s.

        A person may correct a clock that a wrong source had set ahead.
        """
        self._floor_ms = 0
        self._set(Anchor(mono_ms, true_ms, MANAGER_U_MS, Basis.MANAGER, vouched=True))
        self._agreed_mono = None
        self._proposed = None
        self._why = ("", {})
        self._stepped = (0, 0)

    # -- what is told -----------------------------------------------------------------------

    def read(self, *, wall_ms: int, mono_ms: int) -> Reading:
        """The reading now; TRUSTED fades to HOLDOVER when no majority agreed for an hour.

        Without an anchor the wall clock is told, but never less than what is certainly past; such
        readings bind nothing.
        """
        anchor = self._anchor
        if anchor is None:
            state = ClockState.BEHIND if wall_ms < self._surely_ms else ClockState.UNKNOWN
            passed = max(0, mono_ms - self._start_ms)
            told_ms = max(wall_ms, max(self.build_ms, self._floor_ms) + passed)
            return self._told(Reading(told_ms, 0, state))
        now_ms, u_ms = anchor.at(mono_ms)
        fresh = self._agreed_mono is not None and mono_ms - self._agreed_mono <= FRESH_MS
        sure = fresh and anchor.basis is Basis.SOURCES and self._proposed is None
        self._floor_ms = max(self._floor_ms, now_ms)
        if anchor.basis.strong:
            self._good_ms = max(self._good_ms, now_ms)
        return self._told(
            Reading(
                self._floor_ms,
                u_ms + self._floor_ms - now_ms,
                ClockState.TRUSTED if sure else ClockState.HOLDOVER,
            )
        )

    def _told(self, reading: Reading) -> Reading:
        if self._state is None or self._state[0] is not reading.state:
            self._state = (reading.state, reading.at_ms)
        return reading

    def certain_ms(self, mono_ms: int) -> int:
        """An instant that is certainly past: the high-water mark and what was counted since.

        0 when nothing was ever certain. Prices act on it while the clock is not trusted.
        """
        if not self._floor_ms or self._anchor is not None:
            return self._floor_ms
        passed = max(0, mono_ms - self._start_ms)
        return self._floor_ms - self._slack_ms + passed - drift_ms(passed)

    def mark(self, *, wall_ms: int, mono_ms: int, seq: int = 0) -> Mark:
        """What to persist; without an anchor only the instant that stays certain."""
        reading = self.read(wall_ms=wall_ms, mono_ms=mono_ms)
        anchor = self._anchor
        if anchor is None:
            floor_ms, slack_ms = self._floor_ms, self._slack_ms
            return Mark(utc_ms=floor_ms, u_ms=slack_ms, good_ms=self._good_ms, seq=seq)
        return Mark(
            utc_ms=reading.at_ms,
            u_ms=reading.u_ms,
            good_ms=self._good_ms,
            mono_ms=mono_ms,
            boot=self._boot,
            seq=seq,
            basis=anchor.basis,
            vouched=anchor.vouched,
        )

    def status(self, *, wall_ms: int, mono_ms: int) -> Status:
        """Everything that a page says."""
        reading = self.read(wall_ms=wall_ms, mono_ms=mono_ms)
        anchor, proposed = self._anchor, self._proposed
        state, since_ms = self._state or (reading.state, reading.at_ms)
        why = self._why if self._why[0] else ("CLOCK_NO_SOURCE", {})
        if state is ClockState.TRUSTED:
            why = ("", {})
        central = self._heard_central(mono_ms)
        return Status(
            reading=reading,
            basis=anchor.basis if anchor else Basis.NONE,
            since_ms=since_ms,
            sources=self._notes(reading.at_ms - mono_ms),
            code=why[0],
            params=why[1],
            contested=proposed is not None,
            proposed_ms=proposed.offset_ms + mono_ms if proposed else 0,
            central_off_ms=central.low_ms + mono_ms - reading.at_ms if central else None,
            stepped_ms=self._stepped[0],
            stepped_at_ms=self._stepped[1],
        )

    def _notes(self, told_offset_ms: int) -> tuple[Note, ...]:
        samples, rejected, waiting = self._round
        agreed = intersect(samples, voters=len(samples) + len(waiting))
        inside = agreed.sources if agreed else ()
        notes = []
        for one in samples:
            off_ms = one.offset_ms - told_offset_ms
            used = one.source in inside and self._proposed is None
            code, params = "", dict[str, str]()
            if one.source not in inside and agreed is not None:
                code, params = "NTP_OUTLIER", {"by": span(one.offset_ms - agreed.offset_ms)}
            elif not used:
                code, params = "NTP_NOT_FOLLOWED", {"by": span(off_ms)}
            notes.append(Note(one.source, used, code, params, off_ms, one.error_ms))
        notes += [Note(one.source, False, one.code, one.params) for one in rejected]
        notes += [Note(name, False, "NTP_WAITING") for name in waiting]
        return tuple(notes)
