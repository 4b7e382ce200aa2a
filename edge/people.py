"""Who works here: sign in by PIN with growing delay and lock-out, sessions, roles."""

import msgspec

from edge.node import ShopNode


class Person(msgspec.Struct, frozen=True):
    """Somebody who may work in this shop."""

    person: str
    name: str
    role: str


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A session. `token` goes into the browser's cookie; only its hash is kept."""

    token: str
    person: Person
    till: str


class People:
    """Roles come from head office (`to/{store}`), so a PIN works offline."""

    def __init__(self, node: ShopNode, pepper: bytes) -> None:
        self._node = node
        self._pepper = pepper

    def staff(self) -> list[Person]:
        """Everybody active here, by name."""
        raise NotImplementedError

    def person(self, person: str) -> Person | None:
        """One active person."""
        raise NotImplementedError

    def demand(self, person: str, action: str) -> Person:
        """The person, if the role may do `action` (protocol.roles); else NOT_ALLOWED."""
        raise NotImplementedError

    def sign_in(self, pin: str, *, person: str = "", browser: str = "", till: str = "") -> SignedIn:
        """PIN alone or person and PIN. PIN_WRONG, then PIN_WAIT with the seconds, then PIN_LOCKED.

        Failures count per person, and per browser when no person is named: nobody can lock out
        the whole shop.
        """
        raise NotImplementedError

    def check_pin(self, person: str, pin: str) -> Person:
        """A second person vouches in place (override, time); same delays, no session."""
        raise NotImplementedError

    def session(self, token: str) -> SignedIn | None:
        """Who this cookie is; None when signed out or idle too long."""
        raise NotImplementedError

    def sign_out(self, token: str) -> None:
        """End the session."""
        raise NotImplementedError

    def unlock(self, person: str, *, by: str) -> None:
        """A manager lifts a lock-out."""
        raise NotImplementedError
