"""One thing that is wrong, in words, with what to do."""

import msgspec

from protocol.errors import sentence


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `level` is bad or warn; `subject` a shop, rule or stream."""

    code: str
    level: str
    subject: str
    at_ms: int
    params: dict[str, str] = {}
    params_zh: dict[str, str] = {}  # what is told otherwise in Chinese

    def _params(self, language: str) -> dict[str, str]:
        return {**self.params, **self.params_zh} if language.startswith("zh") else self.params

    def sentence(self, language: str) -> str:
        """What happened."""
        return sentence(self.code, self._params(language), language)

    def todo(self, language: str) -> str:
        """What to do."""
        return sentence(f"{self.code}_DO", self._params(language), language)
