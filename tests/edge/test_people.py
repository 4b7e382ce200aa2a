"""PINs, lock-outs that survive a restart, sessions, pairing."""

from pathlib import Path

import pytest

from edge.compose import Shop
from protocol.errors import Refusal
from protocol.events import PersonSet
from protocol.ids import to_stream
from tests.edge.shop_builder import PINS, FixedClock, build, head_office, pin_hash


def fail(shop: Shop, times: int, *, person: str = "anna", browser: str = "") -> list[str]:
    codes = []
    for _ in range(times):
        with pytest.raises(Refusal) as refusal:
            shop.people.sign_in("9999", person=person, browser=browser, till="1")
        codes.append(refusal.value.code)
    return codes


def test_a_pin_opens_a_session_and_signing_out_ends_it(shop: Shop) -> None:
    signed = shop.people.sign_in(PINS["anna"], person="anna", browser="b1", till="1")
    assert (signed.person.name, signed.person.role, signed.till) == ("Anna", "cashier", "1")
    assert shop.people.session(signed.token) == signed
    assert shop.people.session("something else") is None
    assert shop.people.session("") is None
    shop.people.sign_out(signed.token)
    assert shop.people.session(signed.token) is None
    assert [p.name for p in shop.people.staff()] == ["Anna", "梅"]


def test_a_pin_alone_finds_its_person(shop: Shop) -> None:
    signed = shop.people.sign_in(PINS["mei"], browser="b1", till="2")
    assert signed.person.person == "mei"


def test_one_pin_of_two_people_opens_for_neither(shop: Shop) -> None:
    head_office(
        shop,
        to_stream("s1"),
        PersonSet(person="twin", name="Twin", role="cashier", pin_hash=pin_hash(PINS["anna"])),
    )
    with pytest.raises(Refusal, match="PIN_WRONG"):
        shop.people.sign_in(PINS["anna"], browser="b1")
    assert shop.people.sign_in(PINS["anna"], person="twin", browser="b1").person.name == "Twin"


def test_wrong_pins_wait_longer_and_longer_then_lock(shop: Shop, clock: FixedClock) -> None:
    assert fail(shop, 3) == ["PIN_WRONG", "PIN_WRONG", "PIN_WAIT"]
    with pytest.raises(Refusal, match="PIN_WAIT"):  # the right one too, until the wait is over
        shop.people.sign_in(PINS["anna"], person="anna")
    waits = []
    for _ in range(6):
        clock.later(61_000)
        with pytest.raises(Refusal) as refusal:
            shop.people.sign_in("9999", person="anna")
        waits.append(refusal.value.params["seconds"])
    assert waits == [2, 4, 8, 16, 32, 60]
    clock.later(61_000)
    assert fail(shop, 1) == ["PIN_LOCKED"]
    clock.later(14 * 60_000)
    with pytest.raises(Refusal, match="PIN_LOCKED"):
        shop.people.sign_in(PINS["anna"], person="anna")
    assert shop.people.sign_in(PINS["mei"], person="mei").person.person == "mei"
    shop.people.unlock("anna", by="mei")
    assert shop.people.sign_in(PINS["anna"], person="anna").person.person == "anna"
    with pytest.raises(Refusal, match="NOT_ALLOWED"):
        shop.people.unlock("mei", by="anna")


def test_guessing_at_some_browsers_locks_nobody_out_at_the_others(
    shop: Shop, clock: FixedClock
) -> None:
    for n in range(48):
        for person in (*PINS, ""):
            with pytest.raises(Refusal):
                shop.people.sign_in("9999", person=person, browser=f"rogue{n % 4}")
        clock.later(20_000)
    with pytest.raises(Refusal, match="PIN_LOCKED"):
        shop.people.sign_in(PINS["mei"], person="mei", browser="rogue1")
    for person, pin in PINS.items():
        shop.people.sign_in(pin, person=person, browser="till")
        shop.people.sign_in(pin, browser="till")
    shop.people.unlock("mei", by="mei")
    shop.people.sign_in(PINS["mei"], person="mei", browser="rogue1")
    with pytest.raises(Refusal, match="PIN_LOCKED"):
        shop.people.sign_in(PINS["anna"], person="anna", browser="rogue1")


def test_a_session_belongs_to_its_browser(shop: Shop) -> None:
    signed = shop.people.sign_in(PINS["mei"], person="mei", browser="till-1", till="1")
    assert shop.people.session(signed.token, browser="till-1") == signed
    assert shop.people.session(signed.token, browser="till-2") is None
    assert shop.people.session(signed.token, browser="till-1") == signed


def test_a_lock_out_survives_a_restart(tmp_path: Path, clock: FixedClock) -> None:
    shop = build(tmp_path, clock=clock)
    for _ in range(10):
        with pytest.raises(Refusal):
            shop.people.sign_in("9999", person="anna")
        clock.later(61_000)
    shop.books.database.close()
    clock.later(60_000)
    again = build(tmp_path, clock=clock)
    with pytest.raises(Refusal, match="PIN_LOCKED"):
        again.people.sign_in(PINS["anna"], person="anna")
    clock.later(15 * 60_000)
    assert again.people.sign_in(PINS["anna"], person="anna").person.person == "anna"
    again.books.database.close()


def test_a_clock_set_back_locks_nobody_out_for_years(shop: Shop, clock: FixedClock) -> None:
    fail(shop, 3)
    clock.later(-365 * 86_400_000)
    assert shop.people.sign_in(PINS["anna"], person="anna").person.person == "anna"


def test_pins_tried_without_a_name_stop_that_browser_only(shop: Shop) -> None:
    assert fail(shop, 3, person="", browser="bad")[-1] == "PIN_WAIT"
    with pytest.raises(Refusal, match="PIN_WAIT"):
        shop.people.sign_in(PINS["anna"], browser="bad")
    assert shop.people.sign_in(PINS["anna"], browser="good").person.person == "anna"
    assert shop.people.sign_in(PINS["anna"], person="anna", browser="bad").person.person == "anna"


def test_who_left_is_out_at_once(shop: Shop) -> None:
    signed = shop.people.sign_in(PINS["anna"], person="anna")
    gone = PersonSet(
        person="anna", name="Anna", role="cashier", pin_hash=pin_hash(PINS["anna"]), active=False
    )
    head_office(shop, to_stream("s1"), gone)
    assert shop.people.session(signed.token) is None
    with pytest.raises(Refusal, match="PERSON_UNKNOWN"):
        shop.people.sign_in(PINS["anna"], person="anna")
    with pytest.raises(Refusal, match="PERSON_UNKNOWN"):
        shop.people.demand("anna", "sell")


def test_idle_sessions_end(shop: Shop, clock: FixedClock) -> None:
    signed = shop.people.sign_in(PINS["anna"], person="anna")
    clock.later(11 * 3_600_000)
    assert shop.people.session(signed.token) is not None  # and counts anew from here
    clock.later(11 * 3_600_000)
    assert shop.people.session(signed.token) is not None
    clock.later(13 * 3_600_000)
    assert shop.people.session(signed.token) is None


def test_a_code_pairs_one_browser_once(shop: Shop) -> None:
    code = shop.pairing.make_code("1", person="mei")
    assert len(code) == 6
    token = shop.pairing.pair(f" {code[:3]} {code[3:]}", name="till tablet")
    found = shop.pairing.browser(token)
    assert found is not None
    assert (found.till, found.name) == ("1", "till tablet")
    with pytest.raises(Refusal, match="PAIRING_WRONG"):
        shop.pairing.pair(code)
    with pytest.raises(Refusal, match="NOT_ALLOWED"):
        shop.pairing.unpair(found.key, person="anna")
    shop.pairing.unpair(found.key, person="mei")
    assert shop.pairing.browser(token) is None
    assert shop.pairing.browsers() == []


def test_codes_grow_old_and_guessing_waits(shop: Shop, clock: FixedClock) -> None:
    code = shop.pairing.make_code("")
    clock.later(10 * 60_000 + 1)
    with pytest.raises(Refusal, match="PAIRING_WRONG"):
        shop.pairing.pair(code)
    for _ in range(2):
        with pytest.raises(Refusal, match="PAIRING_WRONG"):
            shop.pairing.pair("000000")
    fresh = shop.pairing.make_code("1", person="mei")
    with pytest.raises(Refusal, match="PIN_WAIT"):
        shop.pairing.pair(fresh)
    clock.later(2_000)
    assert shop.pairing.browser(shop.pairing.pair(fresh)) is not None
    with pytest.raises(Refusal, match="NOT_ALLOWED"):
        shop.pairing.make_code("1", person="anna")
    with pytest.raises(Refusal, match="TILL_UNKNOWN"):
        shop.pairing.make_code("9", person="mei")
