"""People of the shops: their roles, where they may work, and their PINs.

A PIN is kept as argon2id over the hex digits of HMAC-SHA256(key = the shop's pepper, message = the
PIN's digits in ASCII), once per person and shop; the pepper never stands in a database.
"""

import msgspec

from central.recording import Desk
from central.stores import Stores


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who works in shops; `stores` are those where he may work now."""

    person: str
    name: str
    role: str
    stores: tuple[str, ...]
    active: bool = True  # somewhere


def pin_secret(pepper: bytes, pin: str) -> str:
    """What is hashed: 64 hex digits."""
    raise NotImplementedError


class People:
    """Verbs of shop people."""

    def __init__(self, desk: Desk, stores: Stores) -> None:
        self._desk = desk
        self._stores = stores

    def add_person(self, person: Person, *, pin: str, by: str) -> Person:
        """Add somebody with a PIN. Refusal PIN_SHAPE, ROLE_UNKNOWN, STORE_UNKNOWN; Conflict."""
        raise NotImplementedError

    def change_person(self, person: Person, *, by: str, pin: str = "") -> Person:
        """Change name, role or shops; a new shop or the manager role needs the PIN typed again."""
        raise NotImplementedError

    def set_pin(self, person: str, pin: str, *, by: str) -> None:
        """A new PIN, for every shop where the person works."""
        raise NotImplementedError

    def remove(self, person: str, *, by: str) -> None:
        """Nobody signs in as this person any more, in any shop."""
        raise NotImplementedError

    def people(self) -> list[Person]:
        """All people by id."""
        raise NotImplementedError

    def person(self, person: str) -> Person:
        """One person; Refusal PERSON_UNKNOWN."""
        raise NotImplementedError

    def name_of(self, person: str) -> str:
        """The name, or the id when unknown (HQ accounts included)."""
        raise NotImplementedError
