"""Shops, joining files, people with PINs, accounts and sign-in."""

import hmac
import stat
import tomllib
from hashlib import sha256

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from central.accounts import LOCK_AFTER, LOCK_MS, SESSION_MS, Accounts
from central.compose import HeadOffice
from central.people import Person
from central.stores import Store
from protocol.errors import Conflict, Refusal, Unavailable
from protocol.node.tables import READ
from tests.central.conftest import TestClock
from tests.central.shops import Shop

SHOP = Store(store="A", name_zh="甲店", name_en="", zone="east", group="town", tz="Asia/Shanghai")
KIM = Person(person="kim", name="Kim 金", role="cashier", stores=("A", "B"))
KEY = "ab" * 32


def _hashes(office: HeadOffice, person: str) -> dict[str, tuple[str, bool]]:
    table = READ["person"]
    with office.books.database.reading() as connection:
        rows = connection.execute(select(table).where(table.c.person == person))
        return {row.store: (row.pin_hash, row.active) for row in rows}


def test_a_joining_file_says_all_that_a_shop_needs(office: HeadOffice) -> None:
    text = office.stores.add_store(SHOP, by="ann")
    joining = tomllib.loads(text)
    assert joining["store"] == "A"
    assert joining["name"] == {"zh": "甲店", "en": "甲店"}
    assert joining["central_public_key"] == office.key.public_hex
    broker = {"host": "127.0.0.1", "port": 1883, "username": "A", "tls": False}
    assert joining["broker"] == broker
    assert len(bytes.fromhex(joining["pepper"])) == 32
    path = office.stores.pepper_path("A")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = office.stores.add_store(SHOP, by="ann")
    assert again == text  # the pepper is made once
    path.unlink()
    with pytest.raises(Unavailable, match="HQ_PEPPER_MISSING"):
        office.stores.joining_file("A")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"store": "a/b"}, "ID_UNREADABLE"),
        ({"store": "central"}, "ID_UNREADABLE"),
        ({"store": "Central"}, "ID_UNREADABLE"),
        ({"store": "central-1"}, "ID_UNREADABLE"),  # an ingest worker may read and write all
        ({"tz": "Mars/Olympus"}, "ZONE_UNKNOWN"),
        ({"name_zh": ""}, "NAME_MISSING"),
        ({"zone": ""}, "ID_UNREADABLE"),
    ],
)
def test_shops_that_are_none(office: HeadOffice, change: dict[str, str], code: str) -> None:
    wrong = {f: getattr(SHOP, f) for f in SHOP.__struct_fields__} | change
    with pytest.raises(Refusal, match=code):
        office.stores.add_store(Store(**wrong), by="ann")
    assert office.stores.stores() == []


def test_a_node_is_accepted_by_its_line(office: HeadOffice) -> None:
    office.stores.add_store(SHOP, by="ann")
    assert office.stores.node_key("A") is None
    assert office.stores.accept_node(f" tillmesh-node A ed25519 {KEY}\n", by="ann") == "A"
    assert office.stores.node_key("A") == KEY
    assert office.stores.store("A").public_key == KEY
    for line in ("", "tillmesh-node A ed25519 abc", f"tillmesh-node A rsa {KEY}"):
        with pytest.raises(Refusal, match="NODE_LINE_WRONG"):
            office.stores.accept_node(line, by="ann")
    with pytest.raises(Refusal, match="HQ_STORE_UNKNOWN"):
        office.stores.accept_node(f"tillmesh-node Z ed25519 {KEY}", by="ann")


def test_a_pin_is_hashed_per_shop_in_the_agreed_form(
    office: HeadOffice, shops: dict[str, Shop]
) -> None:
    office.people.add_person(KIM, pin="4711", by="ann")
    hashes = _hashes(office, "kim")
    assert hashes["A"][0] != hashes["B"][0]
    for store, (stored, _) in hashes.items():
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        pepper = bytes.fromhex(office.stores.pepper_path(store).read_text())
        secret = hmac.new(pepper, b"4711", sha256).hexdigest()
        assert PasswordHasher().verify(stored, secret)
    assert office.people.person("kim") == KIM
    assert office.people.name_of("kim") == "Kim 金"
    assert shops


def test_people_move_between_shops_and_leave(office: HeadOffice, shops: dict[str, Shop]) -> None:
    people = office.people
    people.add_person(
        Person(person="kim", name="Kim", role="cashier", stores=("A",)), pin="4711", by="ann"
    )
    with pytest.raises(Refusal, match="PIN_NEEDED"):
        people.change_person(KIM, by="ann")
    people.change_person(KIM, by="ann", pin="4712")
    only_b = Person(person="kim", name="Kim", role="cashier", stores=("B",))
    assert people.change_person(only_b, by="ann") == only_b
    assert {s: active for s, (_, active) in _hashes(office, "kim").items()} == {
        "A": False,
        "B": True,
    }
    with pytest.raises(Refusal, match="PIN_NEEDED"):
        people.change_person(
            Person(person="kim", name="Kim", role="manager", stores=("B",)), by="ann"
        )
    people.remove("kim", by="ann")
    assert _hashes(office, "kim")["B"] == ("", False)
    gone = people.person("kim")
    assert (gone.active, gone.stores) == (False, ())
    people.add_person(only_b, pin="8321", by="ann")
    assert people.person("kim").stores == ("B",)


def test_pins_have_a_shape_and_are_one_persons_own(
    office: HeadOffice, shops: dict[str, Shop]
) -> None:
    for pin, role in (
        ("123", "cashier"),
        ("1111", "cashier"),
        ("12a4", "cashier"),
        ("12345", "manager"),
        ("1234567", "cashier"),
        ("１２３４", "cashier"),
    ):
        with pytest.raises(Refusal, match="PIN_SHAPE"):
            office.people.add_person(
                Person(person="x", name="X", role=role, stores=("A",)), pin=pin, by="ann"
            )
    office.people.add_person(KIM, pin="4711", by="ann")
    with pytest.raises(Refusal, match="PIN_TAKEN"):
        office.people.add_person(
            Person(person="lee", name="Lee", role="cashier", stores=("B",)), pin="4711", by="ann"
        )
    office.people.set_pin("kim", "9053", by="ann")
    with pytest.raises(Conflict, match="PERSON_TAKEN"):
        office.people.add_person(
            Person(person="kim", name="Other", role="cashier", stores=("A",)), pin="7788", by="ann"
        )
    for wrong, code in (
        (Person(person="q", name="Q", role="king", stores=("A",)), "ROLE_UNKNOWN"),
        (Person(person="q", name="Q", role="cashier", stores=("Z",)), "HQ_STORE_UNKNOWN"),
        (Person(person="q", name=" ", role="cashier", stores=("A",)), "NAME_MISSING"),
    ):
        with pytest.raises(Refusal, match=code):
            office.people.add_person(wrong, pin="7788", by="ann")
    with pytest.raises(Refusal, match="HQ_PERSON_UNKNOWN"):
        office.people.set_pin("nobody", "7788", by="ann")


def test_sign_in_slows_down_locks_and_survives_a_restart(
    office: HeadOffice, clock: TestClock
) -> None:
    accounts = office.accounts
    accounts.add_account("ann", name="Ann", role="admin", password="correct horse", by="x")
    session = accounts.sign_in("ann", "correct horse")
    found = accounts.session(session.token)
    assert found is not None
    assert (found.account.person, found.csrf) == ("ann", session.csrf)
    for _ in range(3):
        with pytest.raises(Refusal, match="SIGN_IN_WRONG"):
            accounts.sign_in("ann", "wrong")
    restarted = Accounts(office.desk)
    with pytest.raises(Refusal, match="SIGN_IN_WAIT") as waiting:
        restarted.sign_in("ann", "correct horse")
    assert waiting.value.params["seconds"] == 1
    while True:
        clock.forward(61_000)
        with pytest.raises(Refusal) as refused:
            accounts.sign_in("ann", "wrong")
        if refused.value.code == "SIGN_IN_LOCKED":
            break
    assert accounts.account("ann").locked_until_ms > clock.at_ms
    clock.forward(LOCK_MS)
    assert accounts.confirm("ann", "correct horse").person == "ann"
    assert accounts.sign_in("ann", "correct horse").account.locked_until_ms == 0
    assert LOCK_AFTER == 10


def test_unknown_names_wait_like_known_ones(office: HeadOffice) -> None:
    for _ in range(3):
        with pytest.raises(Refusal, match="SIGN_IN_WRONG"):
            office.accounts.sign_in("nobody", "whatever it is")
    with pytest.raises(Refusal, match="SIGN_IN_WAIT"):
        office.accounts.sign_in("nobody", "whatever it is")


def test_sessions_end(office: HeadOffice, clock: TestClock) -> None:
    accounts = office.accounts
    accounts.add_account("ann", name="Ann", role="admin", password="correct horse", by="x")
    accounts.add_account("bob", name="Bob", role="buyer", password="battery staple", by="ann")
    one, two = (accounts.sign_in("bob", "battery staple") for _ in range(2))
    accounts.sign_out(one.token)
    assert accounts.session(one.token) is None
    accounts.change_account("bob", by="ann", active=False)
    assert accounts.session(two.token) is None
    with pytest.raises(Refusal, match="SIGN_IN_WRONG"):
        accounts.sign_in("bob", "battery staple")
    three = accounts.sign_in("ann", "correct horse")
    clock.forward(SESSION_MS + 1)
    assert accounts.session(three.token) is None
    assert accounts.session("no such token") is None


def test_accounts_are_checked(office: HeadOffice) -> None:
    accounts = office.accounts
    accounts.add_account("ann", name="Ann", role="admin", password="correct horse", by="x")
    for call, code in (
        (
            lambda: accounts.add_account("ann", name="A", role="buyer", password="x" * 12, by="a"),
            "ACCOUNT_TAKEN",
        ),
        (
            lambda: accounts.add_account("b", name="A", role="buyer", password="short", by="a"),
            "PASSWORD_SHORT",
        ),
        (
            lambda: accounts.add_account("b", name="A", role="cashier", password="x" * 12, by="a"),
            "ROLE_UNKNOWN",
        ),
        (lambda: accounts.change_account("ann", by="a", role="buyer"), "LAST_ADMIN"),
        (lambda: accounts.change_account("ann", by="a", active=False), "LAST_ADMIN"),
        (lambda: accounts.set_password("zoe", "x" * 12, by="a"), "ACCOUNT_UNKNOWN"),
    ):
        with pytest.raises((Refusal, Conflict), match=code):
            call()
    assert [a.role for a in accounts.accounts()] == ["admin"]
    session = accounts.sign_in("ann", "correct horse")
    accounts.set_password("ann", "another horse", by="ann")
    assert accounts.session(session.token) is None
    assert accounts.sign_in("ann", "another horse")
