"""Accounts at head office: passwords, sign-in with growing delay and lock-out, sessions."""

import msgspec

from central.recording import Desk

SESSION_MS = 12 * 3_600_000


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody at head office; `role` is buyer or admin."""

    person: str  # sign-in name
    name: str
    role: str
    active: bool = True
    locked_until_ms: int = 0


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A signed-in browser. `token` goes into its cookie, `csrf` into its forms."""

    token: str
    csrf: str
    account: Account
    until_ms: int


class Accounts:
    """Verbs of accounts. All state is in the database: a restart forgives nothing."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_account(self, person: str, *, name: str, role: str, password: str, by: str) -> Account:
        """Add an account. Refusal PASSWORD_SHORT (10 characters), ROLE_UNKNOWN; Conflict."""
        raise NotImplementedError

    def change_account(
        self, person: str, *, by: str, name: str = "", role: str = "", active: bool | None = None
    ) -> Account:
        """Change what is given; the last active admin stays one (Refusal LAST_ADMIN)."""
        raise NotImplementedError

    def set_password(self, person: str, password: str, *, by: str) -> None:
        """A new password; ends all sessions of the account."""
        raise NotImplementedError

    def accounts(self) -> list[Account]:
        """All accounts by sign-in name."""
        raise NotImplementedError

    def sign_in(self, person: str, password: str) -> Session:
        """Open a session. Refusal SIGN_IN_WRONG, SIGN_IN_WAIT (seconds), SIGN_IN_LOCKED."""
        raise NotImplementedError

    def confirm(self, person: str, password: str) -> Account:
        """A second person vouches on somebody else's page; the same delays as `sign_in`."""
        raise NotImplementedError

    def session(self, token: str) -> Session | None:
        """The session behind a cookie, or None when it ended."""
        raise NotImplementedError

    def sign_out(self, token: str) -> None:
        """End a session."""
        raise NotImplementedError
