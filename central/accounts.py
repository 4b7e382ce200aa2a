"""Accounts at head office: passwords, sign-in with growing delay and lock-out, sessions.

A wrong password costs 1, 2, 4 ... 60 s of waiting from the third on; ten in a row lock the name for
15 minutes. Names that do not exist are treated alike, at the same cost of hashing.
"""

from hashlib import sha256
from hmac import compare_digest
from typing import Final

import msgspec
import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, func, insert, select, update

from central.recording import Desk
from central.tables import account, sign_in_failures, web_session
from protocol.errors import Conflict, Refusal, define
from protocol.ids import check_id
from protocol.node.sqljournal import upsert
from protocol.roles import ROLES

SESSION_MS: Final = 12 * 3_600_000
PASSWORD_MIN: Final = 10
PASSWORD_MAX: Final = 200
FREE_TRIES: Final = 2
LOCK_AFTER: Final = 10
LOCK_MS: Final = 15 * 60_000
HQ_ROLES: Final = ("buyer", "admin")
log = structlog.get_logger("accounts")
_hasher: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY: Final = _hasher.hash("nobody has this password")

define(
    {
        "SIGN_IN_WRONG": (
            "Name or password is wrong. Check both and try again.",
            "用户名或密码错误。请检查后重试。",
        ),
        "SIGN_IN_WAIT": (
            "Wrong several times. Wait {seconds} seconds, then try again.",
            "多次错误。请等待 {seconds} 秒后再试。",
        ),
        "SIGN_IN_LOCKED": (
            "Too many wrong tries: this name is locked for {minutes} more minutes.",
            "错误次数过多：该账号还将锁定 {minutes} 分钟。",
        ),
        "PASSWORD_SHORT": (
            "A password needs {least} to {most} characters. Take a few words.",
            "密码须为 {least} 到 {most} 个字符。可以用几个词组成。",
        ),
        "ROLE_UNKNOWN": (
            "There is no role “{role}” here. Choose one of: {roles}.",
            "没有“{role}”这个角色。请选择：{roles}。",
        ),
        "ACCOUNT_TAKEN": (
            "The sign-in name {person} is taken. Choose another one.",
            "登录名 {person} 已被使用。请换一个。",
        ),
        "ACCOUNT_UNKNOWN": (
            "There is no account {person}.",
            "没有账号 {person}。",
        ),
        "LAST_ADMIN": (
            "{person} is the last active admin. Make somebody else an admin first.",
            "{person} 是最后一个有效的管理员。请先指定另一位管理员。",
        ),
        "NAME_MISSING": (
            "A name is missing. Type it in Chinese or English, 100 characters at most.",
            "缺少名称。请填写中文或英文名称，最多 100 个字符。",
        ),
    }
)


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


def check_name(name: str) -> str:
    """A person's or thing's name without control characters; NAME_MISSING."""
    clean = " ".join(name.split())
    if not clean or len(clean) > 100 or not clean.isprintable():
        raise Refusal("NAME_MISSING")
    return clean


def check_role(role: str, allowed: tuple[str, ...]) -> str:
    """ROLE_UNKNOWN unless the role is one of those allowed."""
    if role not in allowed or role not in ROLES:
        raise Refusal("ROLE_UNKNOWN", role=role[:40], roles=", ".join(allowed))
    return role


def _hash(password: str) -> str:
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise Refusal("PASSWORD_SHORT", least=PASSWORD_MIN, most=PASSWORD_MAX)
    return _hasher.hash(password)


def _matches(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password[:PASSWORD_MAX])
    except (VerificationError, InvalidHashError):
        return False


def _hold_until(failures: int, last_ms: int) -> int:
    """The instant before which nobody may try this name again."""
    if failures >= LOCK_AFTER:
        return last_ms + LOCK_MS
    if failures <= FREE_TRIES:
        return 0
    return last_ms + 1000 * int(min(60, 2 ** (failures - FREE_TRIES - 1)))


def _token_hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()


class Accounts:
    """Verbs of accounts. All state is in the database: a restart forgives nothing."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def _now_ms(self) -> int:
        return self._desk.clock.read().at_ms

    # -- keeping accounts ---------------------------------------------------------------------

    def add_account(self, person: str, *, name: str, role: str, password: str, by: str) -> Account:
        """Add an account. Refusal PASSWORD_SHORT (10 characters), ROLE_UNKNOWN; Conflict."""
        row = {
            "person": check_id(person, "sign-in name"),
            "name": check_name(name),
            "role": check_role(role, HQ_ROLES),
            "password_hash": _hash(password),
            "active": True,
        }
        with self._desk.books.database.begin() as tx:
            if self._row(tx, person) is not None:
                raise Conflict("ACCOUNT_TAKEN", person=person)
            tx.execute(insert(account), row)
        log.info("account_added", person=person, role=role, by=by)
        return self.account(person)

    def change_account(
        self,
        person: str,
        *,
        by: str,
        name: str = "",
        role: str = "",
        active: bool | None = None,
    ) -> Account:
        """Change what is given; the last active admin stays one (Refusal LAST_ADMIN)."""
        values: dict[str, object] = {}
        if name:
            values["name"] = check_name(name)
        if role:
            values["role"] = check_role(role, HQ_ROLES)
        if active is not None:
            values["active"] = active
        with self._desk.books.database.begin() as tx:
            self._known(tx, person)
            if values:
                tx.execute(update(account).where(account.c.person == person).values(**values))
            if not self._admins(tx):
                raise Refusal("LAST_ADMIN", person=person)
            if active is False:
                tx.execute(delete(web_session).where(web_session.c.person == person))
        log.info("account_changed", person=person, by=by, **values)
        return self.account(person)

    def set_password(self, person: str, password: str, *, by: str) -> None:
        """A new password; ends all sessions of the account and forgives its wrong tries."""
        hashed = _hash(password)
        with self._desk.books.database.begin() as tx:
            self._known(tx, person)
            tx.execute(
                update(account).where(account.c.person == person).values(password_hash=hashed)
            )
            tx.execute(delete(web_session).where(web_session.c.person == person))
            tx.execute(delete(sign_in_failures).where(sign_in_failures.c.person == person))
        log.info("password_set", person=person, by=by)

    @staticmethod
    def _admins(tx: Connection) -> int:
        query = select(func.count()).where(account.c.role == "admin", account.c.active)
        return tx.execute(query).scalar_one()

    @staticmethod
    def _row(tx: Connection, person: str) -> Account | None:
        row = tx.execute(
            select(
                account.c.person,
                account.c.name,
                account.c.role,
                account.c.active,
                sign_in_failures.c.failures,
                sign_in_failures.c.last_ms,
            )
            .outerjoin(sign_in_failures, sign_in_failures.c.person == account.c.person)
            .where(account.c.person == person)
        ).first()
        if row is None:
            return None
        locked = _hold_until(row.failures or 0, row.last_ms or 0)
        return Account(
            person=row.person,
            name=row.name,
            role=row.role,
            active=row.active,
            locked_until_ms=locked,
        )

    def _known(self, tx: Connection, person: str) -> Account:
        found = self._row(tx, person)
        if found is None:
            raise Refusal("ACCOUNT_UNKNOWN", person=person[:40])
        return found

    def account(self, person: str) -> Account:
        """One account; Refusal ACCOUNT_UNKNOWN."""
        with self._desk.books.database.reading() as connection:
            return self._known(connection, person)

    def accounts(self) -> list[Account]:
        """All accounts by sign-in name."""
        with self._desk.books.database.reading() as connection:
            names = connection.execute(select(account.c.person).order_by(account.c.person))
            return [self._known(connection, person) for person in names.scalars().all()]

    # -- signing in ---------------------------------------------------------------------------

    def _try(self, person: str, password: str) -> Account:
        """Check a password; count the wrong ones in a transaction of their own."""
        now = self._now_ms()
        with self._desk.books.database.reading() as connection:
            self._refuse_while_held(connection, person, now)
            stored = connection.execute(
                select(account.c.password_hash).where(account.c.person == person, account.c.active)
            ).scalar()
        right = _matches(stored or _NOBODY, password) and stored is not None
        with self._desk.books.database.begin() as tx:
            self._refuse_while_held(tx, person, now)  # tries at the same moment count, too
            if right:
                tx.execute(delete(sign_in_failures).where(sign_in_failures.c.person == person))
                return self._known(tx, person)
            self._count_failure(tx, person[:40], now)
        raise Refusal("SIGN_IN_WRONG")

    @staticmethod
    def _count_failure(tx: Connection, person: str, now: int) -> None:
        failures = sign_in_failures.c.failures
        tx.execute(
            upsert(tx, sign_in_failures).on_conflict_do_update(
                index_elements=["person"], set_={"failures": failures + 1, "last_ms": now}
            ),
            {"person": person, "failures": 1, "last_ms": now},
        )
        old = now - 24 * 3_600_000  # names that nobody has must not fill the table
        tx.execute(delete(sign_in_failures).where(sign_in_failures.c.last_ms < old))

    @staticmethod
    def _refuse_while_held(connection: Connection, person: str, now: int) -> None:
        row = connection.execute(
            select(sign_in_failures.c.failures, sign_in_failures.c.last_ms).where(
                sign_in_failures.c.person == person[:40]
            )
        ).first()
        if row is None:
            return
        left = _hold_until(row.failures, row.last_ms) - now
        if left <= 0:
            return
        if row.failures >= LOCK_AFTER:
            raise Refusal("SIGN_IN_LOCKED", minutes=-(-left // 60_000))
        raise Refusal("SIGN_IN_WAIT", seconds=-(-left // 1000))

    def sign_in(self, person: str, password: str) -> Session:
        """Open a session. Refusal SIGN_IN_WRONG, SIGN_IN_WAIT (seconds), SIGN_IN_LOCKED."""
        found = self._try(person, password)
        token = self._desk.random_bytes(32).hex()
        csrf = self._desk.random_bytes(32).hex()
        now = self._now_ms()
        with self._desk.books.database.begin() as tx:
            tx.execute(delete(web_session).where(web_session.c.until_ms < now))
            tx.execute(
                insert(web_session),
                {
                    "token_hash": _token_hash(token),
                    "csrf": csrf,
                    "person": person,
                    "until_ms": now + SESSION_MS,
                },
            )
        return Session(token=token, csrf=csrf, account=found, until_ms=now + SESSION_MS)

    def confirm(self, person: str, password: str) -> Account:
        """A second person vouches on somebody else's page; the same delays as `sign_in`."""
        return self._try(person, password)

    def session(self, token: str) -> Session | None:
        """The session behind a cookie, or None when it ended."""
        hashed = _token_hash(token)
        with self._desk.books.database.reading() as connection:
            row = connection.execute(
                select(web_session).where(web_session.c.token_hash == hashed)
            ).first()
            if row is None or row.until_ms < self._now_ms():
                return None
            found = self._row(connection, row.person)
        if found is None or not found.active or not compare_digest(row.token_hash, hashed):
            return None
        return Session(token=token, csrf=row.csrf, account=found, until_ms=row.until_ms)

    def sign_out(self, token: str) -> None:
        """End a session."""
        with self._desk.books.database.begin() as tx:
            tx.execute(delete(web_session).where(web_session.c.token_hash == _token_hash(token)))
