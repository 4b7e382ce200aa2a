"""Something to tell a person: a stable code and its sentence in both languages."""

from collections.abc import Mapping

import msgspec

from protocol.errors import TillmeshError, sentence


class Notice(msgspec.Struct, frozen=True):
    """`code` may be relied upon, the words are for people."""

    code: str
    en: str
    zh: str

    def text(self, language: str) -> str:
        """The sentence in this language ("en", or anything that starts with "zh")."""
        return self.zh if language.startswith("zh") else self.en


def notice(code: str, params: Mapping[str, object] | None = None) -> Notice:
    """The notice of a defined code."""
    known = params or {}
    return Notice(code, sentence(code, known, "en"), sentence(code, known, "zh"))


def notice_of(fault: TillmeshError) -> Notice:
    """The same for an error that was raised."""
    return Notice(fault.code, fault.sentence("en"), fault.sentence("zh"))
