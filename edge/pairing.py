"""A browser is paired with a till once, by a six-digit code that works once, for ten minutes."""

import secrets
from typing import Any, Final

import msgspec
from sqlalchemy import delete, func, insert, select

from edge.node import ShopNode
from edge.people import People, token_hash
from edge.tables import browser, pairing_code
from protocol.errors import Refusal, define

CODE_MS: Final = 10 * 60_000
CODE_DIGITS: Final = 6
WHO: Final = "pairing"
KEY_DIGITS: Final = 12

define(
    {
        "PAIRING_WRONG": (
            "That code is wrong, used or older than 10 minutes. Ask a manager for a new one.",
            "配对码错误、已使用或超过 10 分钟。请让店长生成新码。",
        ),
    }
)


class Browser(msgspec.Struct, frozen=True):
    """A paired browser; `till` is empty for a phone or a back-office screen."""

    key: str  # public name of the pairing (part of the token's hash)
    till: str
    name: str
    paired_ms: int


class Pairing:
    """Codes and paired browsers."""

    def __init__(self, node: ShopNode, people: People) -> None:
        self._node = node
        self._people = people

    def make_code(self, till: str, *, person: str = "") -> str:
        """A new code for a till ("" for a phone). No `person`: printed on the node's console."""
        if person:
            self._people.demand(person, "pair_till")
        if till:
            self._node.settings.till(till)
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
        now = self._node.clock.read().at_ms
        with self._node.books.begin() as tx:
            tx.execute(delete(pairing_code).where(pairing_code.c.expires_ms < now))
            tx.execute(delete(pairing_code).where(pairing_code.c.code_hash == token_hash(code)))
            tx.execute(
                insert(pairing_code),
                {
                    "code_hash": token_hash(code),
                    "till": till,
                    "made_by": person,
                    "expires_ms": now + CODE_MS,
                },
            )
        return code

    def pair(self, code: str, *, name: str = "") -> str:
        """Use a code; returns the token for the browser's cookie. Wrong codes wait longer."""
        attempts = self._people.attempts
        attempts.demand_open(WHO)
        token = secrets.token_urlsafe(32)
        now = self._node.clock.read().at_ms
        digits = "".join(char for char in code if char.isdigit())
        with self._node.books.begin() as tx:
            row = tx.execute(
                select(pairing_code).where(pairing_code.c.code_hash == token_hash(digits))
            ).first()
            # Twice: a code from the console was dated by the machine's own clock.
            alive = row is not None and 0 <= row.expires_ms - now <= 2 * CODE_MS
            if row is not None:
                tx.execute(delete(pairing_code).where(pairing_code.c.code_hash == row.code_hash))
            if row is not None and alive:
                attempts.forget(tx, WHO)
                tx.execute(
                    insert(browser),
                    {
                        "token_hash": token_hash(token),
                        "till": row.till,
                        "name": name[:60],
                        "paired_ms": now,
                    },
                )
        if not alive:
            attempts.failed(WHO)
            raise Refusal("PAIRING_WRONG")
        self._node.hub.publish("browsers", {})
        return token

    def browser(self, token: str) -> Browser | None:
        """The pairing behind a cookie."""
        if not token:
            return None
        with self._node.books.database.reading() as connection:
            row = connection.execute(
                select(browser).where(browser.c.token_hash == token_hash(token))
            ).first()
        return _read(row) if row else None

    def browsers(self) -> list[Browser]:
        """All paired browsers, newest first."""
        with self._node.books.database.reading() as connection:
            rows = connection.execute(
                select(browser).order_by(browser.c.paired_ms.desc(), browser.c.token_hash)
            )
            return [_read(row) for row in rows]

    def unpair(self, key: str, *, person: str) -> None:
        """Forget a browser."""
        self._people.demand(person, "pair_till")
        with self._node.books.begin() as tx:
            part = func.substr(browser.c.token_hash, 1, KEY_DIGITS)
            tx.execute(delete(browser).where(part == key))
        self._node.hub.publish("browsers", {})


def _read(row: Any) -> Browser:
    return Browser(row.token_hash[:KEY_DIGITS], row.till, row.name, row.paired_ms)
