"""People of the shops: their roles, where they may work, and their PINs.

A PIN is kept as argon2id over the hex digits of HMAC-SHA256(key = the shop's pepper, message = the
PIN's digits in ASCII), once per person and shop; the pepper never stands in a database.
"""

import hmac
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, select

from central.accounts import check_name, check_role
from central.recording import Desk, Said, record
from central.stores import Stores
from central.tables import account
from protocol.errors import Conflict, Refusal, define
from protocol.events import PersonSet
from protocol.ids import check_id, to_stream
from protocol.node.tables import READ
from protocol.roles import ROLES

PIN_DIGITS_MAX: Final = 6
PIN_DIGITS_MIN: Final = {"cashier": 4, "manager": 6}
SHOP_ROLES: Final = tuple(ROLES)
_hasher: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)

define(
    {
        "PIN_SHAPE": (
            "A PIN has 4 to 6 digits, for a manager always 6, and not all the same.",
            "PIN 为 4 到 6 位数字（店长必须 6 位），且不能全部相同。",
        ),
        "PIN_TAKEN": (
            "Somebody in {store} has this PIN already. Choose another one.",
            "门店 {store} 已有人使用此 PIN。请换一个。",
        ),
        "PIN_NEEDED": (
            "Type the PIN as well: it is kept per shop and role ({detail}).",
            "请同时输入 PIN：PIN 按门店和角色保存（{detail}）。",
        ),
        "PERSON_TAKEN": (
            "The id {person} is taken by {name}. Choose another one.",
            "编号 {person} 已被 {name} 使用。请换一个。",
        ),
        "HQ_PERSON_UNKNOWN": (
            "There is nobody with the id {person}.",
            "没有编号为 {person} 的人员。",
        ),
    }
)


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who works in shops; `stores` are those where he may work now."""

    person: str
    name: str
    role: str
    stores: tuple[str, ...]
    active: bool = True  # somewhere


def pin_secret(pepper: bytes, pin: str) -> str:
    """What is hashed: 64 hex digits."""
    return hmac.new(pepper, pin.encode("ascii"), sha256).hexdigest()


def hash_pin(pepper: bytes, pin: str) -> str:
    """The argon2id hash that travels to one shop."""
    return _hasher.hash(pin_secret(pepper, pin))


def _verifies(stored: str, secret: str) -> bool:
    try:
        return _hasher.verify(stored, secret)
    except (VerificationError, InvalidHashError):
        return False


def check_pin(pin: str, role: str) -> str:
    """PIN_SHAPE unless it has 4 to 6 digits (6 for everybody who may approve)."""
    least = PIN_DIGITS_MIN.get(role, PIN_DIGITS_MAX)
    right = pin.isascii() and pin.isdigit() and least <= len(pin) <= PIN_DIGITS_MAX
    if not right or len(set(pin)) == 1:
        raise Refusal("PIN_SHAPE")
    return pin


Rows = Mapping[str, PersonSet]  # store -> what stands in its stream


class People:
    """Verbs of shop people."""

    def __init__(self, desk: Desk, stores: Stores) -> None:
        self._desk = desk
        self._stores = stores

    def add_person(self, person: Person, *, pin: str, by: str) -> Person:
        """Add somebody with a PIN. Refusal PIN_SHAPE, ROLE_UNKNOWN, HQ_STORE_UNKNOWN; Conflict.

        The same person, name, role and shops again is no conflict: the PIN is set anew.
        """
        wanted = self._checked(person)
        check_pin(pin, wanted.role)
        said = self._fresh(wanted, wanted.stores, pin)
        with self._desk.books.begin() as tx:
            before = _person_of(wanted.person, self._rows(tx, wanted.person))
            if before is not None and before != wanted and before.active:
                raise Conflict("PERSON_TAKEN", person=wanted.person, name=before.name)
            self._say(tx, said, by=by)
        return wanted

    def change_person(self, person: Person, *, by: str, pin: str = "") -> Person:
        """Change name, role or shops; a new shop or the manager role needs the PIN typed again."""
        wanted = self._checked(person)
        if pin:
            check_pin(pin, wanted.role)
        with self._desk.books.database.reading() as connection:
            rows = self._rows(connection, wanted.person)
        self._demand_pin(wanted, rows, pin)
        fresh = self._fresh(wanted, wanted.stores, pin) if pin else {}
        with self._desk.books.begin() as tx:
            rows = self._rows(tx, wanted.person)
            said = fresh or {
                store: msgspec.structs.replace(rows[store], name=wanted.name, role=wanted.role)
                for store in wanted.stores
            }
            gone = {
                store: msgspec.structs.replace(row, active=False)
                for store, row in rows.items()
                if store not in wanted.stores
            }
            changed = {s: p for s, p in {**said, **gone}.items() if rows.get(s) != p}
            self._say(tx, changed, by=by)
        return wanted

    @staticmethod
    def _demand_pin(wanted: Person, rows: Rows, pin: str) -> None:
        if not rows:
            raise Refusal("HQ_PERSON_UNKNOWN", person=wanted.person)
        if pin:
            return
        fresh = [s for s in wanted.stores if s not in rows or not rows[s].active]
        if fresh:
            raise Refusal("PIN_NEEDED", detail=", ".join(fresh))
        longer = PIN_DIGITS_MIN.get(wanted.role, PIN_DIGITS_MAX)
        if any(PIN_DIGITS_MIN.get(row.role, PIN_DIGITS_MAX) < longer for row in rows.values()):
            raise Refusal("PIN_NEEDED", detail=wanted.role)

    def set_pin(self, person: str, pin: str, *, by: str) -> None:
        """A new PIN, for every shop where the person works."""
        found = self.person(person)
        check_pin(pin, found.role)
        said = self._fresh(found, found.stores, pin)
        with self._desk.books.begin() as tx:
            self._say(tx, said, by=by)

    def remove(self, person: str, *, by: str) -> None:
        """Nobody signs in as this person any more, in any shop."""
        with self._desk.books.begin() as tx:
            rows = self._rows(tx, person)
            if not rows:
                raise Refusal("HQ_PERSON_UNKNOWN", person=person[:40])
            said = {
                store: msgspec.structs.replace(row, active=False, pin_hash="")
                for store, row in rows.items()
                if row.active
            }
            self._say(tx, said, by=by)

    def people(self) -> list[Person]:
        """All people by id."""
        table = READ["person"]
        rows: dict[str, dict[str, PersonSet]] = {}
        with self._desk.books.database.reading() as connection:
            for row in connection.execute(select(table).order_by(table.c.person, table.c.store)):
                rows.setdefault(row.person, {})[row.store] = _set_of(row)
        return [p for person, each in rows.items() if (p := _person_of(person, each))]

    def person(self, person: str) -> Person:
        """One person; Refusal HQ_PERSON_UNKNOWN."""
        with self._desk.books.database.reading() as connection:
            found = _person_of(person, self._rows(connection, person))
        if found is None:
            raise Refusal("HQ_PERSON_UNKNOWN", person=person[:40])
        return found

    def name_of(self, person: str) -> str:
        """The name, or the id when unknown (HQ accounts included)."""
        with self._desk.books.database.reading() as connection:
            return names_of(connection, [person]).get(person, person)

    # -- below ----------------------------------------------------------------------------------

    def _checked(self, person: Person) -> Person:
        check_id(person.person, "person")
        check_role(person.role, SHOP_ROLES)
        stores = tuple(sorted(set(person.stores)))
        known = {s.store for s in self._stores.stores()}
        for store in stores:
            if store not in known:
                raise Refusal("HQ_STORE_UNKNOWN", store=store[:40])
        return Person(
            person=person.person,
            name=check_name(person.name),
            role=person.role,
            stores=stores,
            active=bool(stores),
        )

    def _fresh(self, person: Person, stores: Iterable[str], pin: str) -> dict[str, PersonSet]:
        """Hashed before any transaction opens: it costs 20 ms and more per shop."""
        for store in stores:
            self._demand_unused(store, person.person, pin)
        return {
            store: PersonSet(
                person=person.person,
                name=person.name,
                role=person.role,
                pin_hash=hash_pin(self._stores.pepper(store), pin),
            )
            for store in stores
        }

    def _demand_unused(self, store: str, person: str, pin: str) -> None:
        """A till may ask for the PIN alone, so a PIN says who it is within one shop."""
        table = READ["person"]
        secret = pin_secret(self._stores.pepper(store), pin)
        with self._desk.books.database.reading() as connection:
            hashes = connection.execute(
                select(table.c.pin_hash).where(
                    table.c.store == store, table.c.person != person, table.c.active
                )
            ).scalars()
            others = list(hashes)
        if any(_verifies(each, secret) for each in others):
            raise Refusal("PIN_TAKEN", store=store)

    def _say(self, tx: Connection, said: Mapping[str, PersonSet], *, by: str) -> None:
        drafts: dict[str, list[Said]] = {
            to_stream(s): [(self._desk.new_id(), body)] for s, body in said.items()
        }
        record(self._desk, tx, drafts, by=by)

    @staticmethod
    def _rows(connection: Connection, person: str) -> dict[str, PersonSet]:
        table = READ["person"]
        found = connection.execute(select(table).where(table.c.person == person))
        return {row.store: _set_of(row) for row in found}


def _set_of(row: Any) -> PersonSet:
    return PersonSet(
        person=row.person,
        name=row.name,
        role=row.role,
        pin_hash=row.pin_hash,
        active=row.active,
    )


def _person_of(person: str, rows: Rows) -> Person | None:
    if not rows:
        return None
    working = tuple(sorted(store for store, row in rows.items() if row.active))
    shown = rows[working[0]] if working else next(iter(rows.values()))
    return Person(
        person=person, name=shown.name, role=shown.role, stores=working, active=bool(working)
    )


def names_of(connection: Connection, people: Iterable[str]) -> dict[str, str]:
    """Ids -> names, of shop people and of accounts; unknown ids are left out."""
    wanted = sorted(set(people) - {""})
    found: dict[str, str] = {}
    for table in (READ["person"], account):
        for start in range(0, len(wanted), 500):
            rows = connection.execute(
                select(table.c.person, table.c.name).where(
                    table.c.person.in_(wanted[start : start + 500])
                )
            )
            found |= {row.person: row.name for row in rows}
    return found
