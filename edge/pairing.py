"""A browser is paired with a till once, by a six-digit code that works once, for ten minutes."""

import msgspec

from edge.node import ShopNode


class Browser(msgspec.Struct, frozen=True):
    """A paired browser; `till` is empty for a phone or a back-office screen."""

    key: str  # public name of the pairing (part of the token's hash)
    till: str
    name: str
    paired_ms: int


class Pairing:
    """Codes and paired browsers."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node

    def make_code(self, till: str, *, person: str = "") -> str:
        """A new code for a till ("" for a phone). No `person`: printed on the node's console."""
        raise NotImplementedError

    def pair(self, code: str, *, name: str = "") -> str:
        """Use a code; returns the token for the browser's cookie. Wrong codes wait longer."""
        raise NotImplementedError

    def browser(self, token: str) -> Browser | None:
        """The pairing behind a cookie."""
        raise NotImplementedError

    def browsers(self) -> list[Browser]:
        """All paired browsers, newest first."""
        raise NotImplementedError

    def unpair(self, key: str, *, person: str) -> None:
        """Forget a browser."""
        raise NotImplementedError
