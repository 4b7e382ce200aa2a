"""What somebody at head office should look at now: one list, each with what to do."""

import msgspec

from central.recording import Desk
from protocol.errors import sentence


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `level` is bad or warn; `subject` a shop, rule or stream."""

    code: str
    level: str
    subject: str
    at_ms: int
    params: dict[str, str] = {}

    def sentence(self, language: str) -> str:
        """What happened."""
        return sentence(self.code, self.params, language)

    def todo(self, language: str) -> str:
        """What to do."""
        return sentence(f"{self.code}_DO", self.params, language)


class Alarms:
    """Looks for what is wrong, each time anew."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def alarms(self) -> list[Alarm]:
        """All alarms, the worst and newest first."""
        raise NotImplementedError
