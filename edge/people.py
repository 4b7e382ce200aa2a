"""Who works here: sign in by PIN with growing delay and lock-out, sessions, roles.

The hash was made at head office and came with `PersonSet`, so a PIN works offline. Failures are
kept in the database: pulling the plug is no way around a lock-out.
"""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Sequence
from typing import Final

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Connection, delete, select, update

from edge.node import ShopNode
from edge.tables import pin_attempt, session
from protocol.errors import Refusal, define
from protocol.events import PersonSet
from protocol.node.sqljournal import Recorded, upsert
from protocol.node.tables import READ
from protocol.roles import demand

FREE_FAILURES: Final = 3  # then each failure doubles the wait
WAIT_MS_MAX: Final = 60_000
LOCK_FAILURES: Final = 10
LOCK_MS: Final = 15 * 60_000
FORGET_MS: Final = 12 * 3_600_000  # failures older than this are an old day's
PIN_MAX: Final = 64
SEEN_EVERY_MS: Final = 60_000
HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)

define(
    {
        "PIN_WRONG": (
            "That PIN is not right. {left} more tries before a pause.",
            "PIN 不正确。再错 {left} 次后需要等待。",
        ),
        "PIN_WAIT": (
            "Too many wrong PINs. Wait {seconds} s, then try again. Others can sign in meanwhile.",
            "PIN 错误次数过多，请等待 {seconds} 秒后再试。其他人可照常登录。",
        ),
        "PIN_LOCKED": (
            "Locked for {minutes} minutes after {failures} wrong PINs. A manager can unlock it; "
            "others can sign in meanwhile.",
            "因输错 {failures} 次已锁定 {minutes} 分钟。店长可解锁；其他人可照常登录。",
        ),
        "PERSON_UNKNOWN": (
            "Nobody called “{person}” works in this shop (any more). Head office sets that.",
            "本店没有员工“{person}”（或已停用）。请联系总部。",
        ),
        "SIGNED_OUT": (
            "Nobody is signed in here. Sign in with your PIN; the sale is kept.",
            "当前无人登录。请输入 PIN 登录，本单已保留。",
        ),
    }
)


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


def peppered(pin: str, pepper: bytes) -> str:
    """What argon2id hashes, here and at head office: HMAC-SHA256(pepper, PIN) in hex."""
    return hmac.new(pepper, pin.encode(), hashlib.sha256).hexdigest()


def token_hash(token: str) -> str:
    """What is kept of a cookie."""
    return hashlib.sha256(token.encode()).hexdigest()


class Attempts:
    """Wrong tries per name, with a growing wait."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node

    def demand_open(self, who: str) -> None:
        """Raise PIN_WAIT or PIN_LOCKED while `who` must wait."""
        with self._node.books.database.reading() as connection:
            row = connection.execute(select(pin_attempt).where(pin_attempt.c.who == who)).first()
        left_ms = self._left_ms(row.until_ms) if row else 0
        if row and left_ms > 0:
            if row.failures >= LOCK_FAILURES:
                minutes = -(-left_ms // 60_000)
                raise Refusal("PIN_LOCKED", minutes=minutes, failures=row.failures)
            raise Refusal("PIN_WAIT", seconds=-(-left_ms // 1000))

    def _left_ms(self, until_ms: int) -> int:
        # A clock that was set back must not lock anybody out for longer than a lock-out.
        left = until_ms - self._node.clock.read().at_ms
        return left if left <= LOCK_MS else 0

    def failed(self, who: str) -> Refusal:
        """Count a failure; return what to tell."""
        now = self._node.clock.read().at_ms
        with self._node.books.begin() as tx:
            row = tx.execute(select(pin_attempt).where(pin_attempt.c.who == who)).first()
            fresh = row is not None and now - row.failed_ms < FORGET_MS
            failures = row.failures + 1 if row is not None and fresh else 1
            wait_ms = 0
            if failures >= LOCK_FAILURES:
                wait_ms = LOCK_MS
            elif failures >= FREE_FAILURES:
                wait_ms = min(WAIT_MS_MAX, 1000 * 2 ** (failures - FREE_FAILURES))
            values = {"failures": failures, "failed_ms": now, "until_ms": now + wait_ms}
            tx.execute(
                upsert(tx, pin_attempt).on_conflict_do_update(index_elements=["who"], set_=values),
                {"who": who, **values},
            )
        if failures >= LOCK_FAILURES:
            return Refusal("PIN_LOCKED", minutes=LOCK_MS // 60_000, failures=failures)
        if wait_ms:
            return Refusal("PIN_WAIT", seconds=wait_ms // 1000)
        return Refusal("PIN_WRONG", left=FREE_FAILURES - failures)

    def forget(self, tx: Connection, who: str) -> None:
        """After a right PIN, or a manager's unlock."""
        tx.execute(delete(pin_attempt).where(pin_attempt.c.who == who))

    def forget_everywhere(self, tx: Connection, person: str) -> None:
        """At every browser."""
        self.forget(tx, _counted("", person))
        at_browsers = pin_attempt.c.who.endswith(f"/person/{person}", autoescape=True)
        tx.execute(delete(pin_attempt).where(at_browsers))


def _counted(browser: str, person: str) -> str:
    """Where wrong tries are counted: whoever guesses at one browser locks nobody out elsewhere."""
    name = f"person/{person[:40]}"
    return f"browser/{browser[:64]}/{name}" if browser else name


class People:
    """Roles come from head office (`to/{store}`)."""

    def __init__(self, node: ShopNode, pepper: bytes) -> None:
        self._node = node
        self._pepper = pepper
        self.attempts = Attempts(node)
        self._known: dict[str, Person] = {}  # asked at every scan; dropped when anybody changes
        self._hashing = threading.BoundedSemaphore(2)  # 19 MB each: a flood must not eat the box

    def staff(self) -> list[Person]:
        """Everybody active here, by name."""
        table = READ["person"].c
        with self._node.books.database.reading() as connection:
            rows = connection.execute(
                select(table.person, table.name, table.role)
                .where(table.store == self._node.store, table.active)
                .order_by(table.name, table.person)
            )
            return [Person(r.person, r.name, r.role) for r in rows]

    def person(self, person: str) -> Person | None:
        """One active person."""
        with self._node.books.database.reading() as connection:
            found = self._row(connection, person)
        return found[0] if found else None

    def heard(self, recorded: Sequence[Recorded]) -> None:
        """Listener of the books: head office changed somebody, so look again."""
        if any(isinstance(r.body, PersonSet) for r in recorded):
            self.look_again()

    def look_again(self) -> None:
        """Look again at everybody."""
        self._known = {}

    def _row(self, connection: Connection, person: str) -> tuple[Person, str] | None:
        table = READ["person"].c
        row = connection.execute(
            select(table.person, table.name, table.role, table.pin_hash).where(
                table.store == self._node.store, table.person == person, table.active
            )
        ).first()
        return (Person(row.person, row.name, row.role), row.pin_hash) if row else None

    def demand(self, person: str, action: str) -> Person:
        """The person, if the role may do `action` (protocol.roles); else NOT_ALLOWED."""
        known = self._known
        found = known.get(person) or self.person(person)
        if found is None:
            raise Refusal("PERSON_UNKNOWN", person=person[:40])
        known[person] = found  # into the old dict when it was replaced meanwhile
        demand(found.role, action)
        return found

    def _matches(self, pin_hash: str, pin: str) -> bool:
        with self._hashing:
            try:
                return HASHER.verify(pin_hash, peppered(pin, self._pepper))
            except (Argon2Error, InvalidHashError):
                return False

    def check_pin(self, person: str, pin: str, *, browser: str = "") -> Person:
        """The right PIN of this person, or a refusal that counts; no session."""
        who = _counted(browser, person)
        self.attempts.demand_open(who)
        with self._node.books.database.reading() as connection:
            found = self._row(connection, person)
        if found is None:
            raise Refusal("PERSON_UNKNOWN", person=person[:40])
        if not self._matches(found[1], pin[:PIN_MAX]):
            raise self.attempts.failed(who)
        with self._node.books.begin() as tx:
            self.attempts.forget(tx, who)
        return found[0]

    def _by_pin_alone(self, pin: str, browser: str) -> Person:
        """Whose PIN it is. Failures count for this browser, so nobody locks out the shop."""
        who = f"browser/{browser[:64]}"
        self.attempts.demand_open(who)
        table = READ["person"].c
        with self._node.books.database.reading() as connection:
            rows = connection.execute(
                select(table.person, table.name, table.role, table.pin_hash)
                .where(table.store == self._node.store, table.active)
                .order_by(table.person)
            ).all()
        owners = [r for r in rows if self._matches(r.pin_hash, pin[:PIN_MAX])]
        if len(owners) != 1:  # one PIN of two people opens for neither
            raise self.attempts.failed(who)
        person = Person(owners[0].person, owners[0].name, owners[0].role)
        self.attempts.demand_open(_counted(browser, person.person))
        with self._node.books.begin() as tx:
            self.attempts.forget(tx, who)
        return person

    def sign_in(self, pin: str, *, person: str = "", browser: str = "", till: str = "") -> SignedIn:
        """PIN alone or person and PIN. PIN_WRONG, then PIN_WAIT with the seconds, then PIN_LOCKED.

        Failures count per browser, and there per person when one is named: nobody can lock out
        the whole shop from one corner of it.
        """
        if person:
            found = self.check_pin(person, pin, browser=browser)
        else:
            found = self._by_pin_alone(pin, browser)
        token = secrets.token_urlsafe(32)
        now = self._node.clock.read().at_ms
        with self._node.books.begin() as tx:
            tx.execute(delete(session).where(session.c.browser == browser, session.c.till == till))
            tx.execute(
                session.insert(),
                {
                    "token_hash": token_hash(token),
                    "browser": browser,
                    "till": till,
                    "person": found.person,
                    "started_ms": now,
                    "seen_ms": now,
                },
            )
        self._node.hub.publish("people", {"till": till})
        return SignedIn(token=token, person=found, till=till)

    def session(
        self, token: str, *, browser: str | None = None, acts: bool = True
    ) -> SignedIn | None:
        """Who this cookie is; None when signed out, idle too long, or no longer working here.

        At another browser than the one that signed in (`browser`), it is nobody's. A call that
        the page makes by itself (`acts` is false) does not count as somebody being there.
        """
        if not token:
            return None
        kept = token_hash(token)
        now = self._node.clock.read().at_ms
        with self._node.books.database.reading() as connection:
            row = connection.execute(select(session).where(session.c.token_hash == kept)).first()
            found = self._row(connection, row.person) if row else None
        if row is None or found is None or browser not in {None, row.browser}:
            return None
        idle_ms = now - row.seen_ms
        if idle_ms > self._node.settings.idle_minutes * 60_000:
            self.sign_out(token)
            return None
        if acts and idle_ms > SEEN_EVERY_MS:
            with self._node.books.begin() as tx:
                tx.execute(update(session).where(session.c.token_hash == kept).values(seen_ms=now))
        return SignedIn(token=token, person=found[0], till=row.till)

    def sign_out(self, token: str) -> None:
        """End the session."""
        with self._node.books.begin() as tx:
            tx.execute(delete(session).where(session.c.token_hash == token_hash(token)))

    def unlock(self, person: str, *, by: str) -> None:
        """A manager lifts a lock-out."""
        self.demand(by, "override")
        with self._node.books.begin() as tx:
            self.attempts.forget_everywhere(tx, person)
