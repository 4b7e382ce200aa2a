"""Every sale priced again at head office, behind the ingest, with its own cursor per shop."""

import msgspec

from central.recording import Desk

AGREED = "agreed"
DIFFERS = "differs"
OTHER_ENGINE = "other_engine"
UNKNOWN_RULES = "unknown_rules"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A sale that head office prices otherwise (or cannot): `outcome` is one of the words above."""

    store: str
    sale: str
    receipt_number: str
    at_ms: int
    outcome: str
    sold_discount_minor: int
    repriced_discount_minor: int
    detail: str  # JSON


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far the follower is in one shop's stream."""

    store: str
    done_seq: int
    head_seq: int

    @property
    def behind(self) -> int:
        """Events not looked at yet."""
        return self.head_seq - self.done_seq


class Repricing:
    """The follower; `start` runs it in a thread, `step` does what is there now."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def start(self) -> None:
        """Follow in the background, woken by what is committed."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the thread after the sale at hand."""
        raise NotImplementedError

    def step(self, *, limit: int = 200) -> int:
        """Price up to `limit` events of every shop again; return how many sales were priced."""
        raise NotImplementedError

    def status(self) -> list[Lag]:
        """The lag per shop."""
        raise NotImplementedError

    def differences(self, *, limit: int = 200) -> list[Difference]:
        """Newest first: all that is not AGREED."""
        raise NotImplementedError
