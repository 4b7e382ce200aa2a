"""Every sale priced again: agreement, planted differences, unknown rules, other engines, forks."""

from pathlib import Path

import msgspec
import pytest

from central.compose import HeadOffice
from central.repricing import AGREED, DIFFERS, OTHER_ENGINE, UNKNOWN_RULES, UNREADABLE, Repricing
from promotions.ruleset import compile_rules
from protocol.journal import ORIGIN
from protocol.node.sqljournal import read_line
from protocol.replication import Accepted
from tests.central.shops import TZ, Shop

RULE = '{"type": "percent_off", "percent": 10, "select": {"groups": ["bread"]}}'
BUNDLE = (
    '{"type": "bundle", "slots": [{"select": {"groups": ["bread"]}, "qty": 3}],'
    ' "effect": {"kind": "free", "on": "cheapest:1"}}'
)


@pytest.fixture
def shop(office: HeadOffice, shops: dict[str, Shop]) -> Shop:
    office.campaigns.save_draft("R1", RULE, by="ann")
    office.campaigns.publish("R1", by="ann")
    return shops["A"]


def _outcomes(office: HeadOffice) -> dict[str, str]:
    return {row.sale: row.repriced for row in office.sales.sales()}


def test_head_office_agrees_with_honest_sales_under_changing_rules(
    office: HeadOffice, shop: Shop
) -> None:
    rules = shop.answer(office)
    shop.sell(rules, "s1", ("X", "bread", 1250, 2000), ("Y", "cake", 333, 1000))
    office.campaigns.save_draft("R2", BUNDLE, by="ann")
    office.campaigns.publish("R2", by="ann")
    shop.sell(rules, "s2", ("X", "bread", 1250, 3000))  # not told of the new rule yet
    shop.sell(shop.answer(office), "s3", ("X", "bread", 1250, 3000))
    office.campaigns.withdraw("R1", by="ann")
    shop.sell(shop.answer(office), "s4", ("X", "bread", 1250, 3000), ("W", "bread", 999, 755))
    shop.deliver(office)
    assert [lag.behind for lag in office.repricing.status()] == [8, 0]
    assert office.repricing.step() == 4
    assert _outcomes(office) == dict.fromkeys(("s1", "s2", "s3", "s4"), AGREED)
    assert office.repricing.differences() == []
    assert [lag.behind for lag in office.repricing.status()] == [0, 0]
    assert office.repricing.step() == 0
    discounts = {r.sale: r.discount_minor for r in office.sales.sales()}
    assert discounts["s2"] == 375
    assert discounts["s3"] > discounts["s2"]
    restarted = Repricing(office.desk)
    assert restarted.step() == 0


def test_differences_are_found_and_shown(office: HeadOffice, shop: Shop) -> None:
    rules = shop.answer(office)
    line = ("X", "bread", 1250, 2000)
    shop.sell(rules, "good", line)
    shop.sell(rules, "planted", line, discount_minor=999)
    shop.sell(rules, "newer", line, engine=99)
    other = compile_rules([], TZ)
    shop.sell(other, "foreign", line)
    shop.sell(rules, "garbled", line, context={"time_ms": "noon"})
    shop.deliver(office)
    assert office.repricing.step(limit=3) == 1
    assert office.repricing.step(limit=100) == 4
    assert _outcomes(office) == {
        "good": AGREED,
        "planted": DIFFERS,
        "newer": OTHER_ENGINE,
        "foreign": UNKNOWN_RULES,
        "garbled": UNREADABLE,
    }
    found = {d.sale: d for d in office.repricing.differences()}
    assert found["planted"].repriced_discount_minor == 250
    assert msgspec.json.decode(found["planted"].detail) == {
        "discount_minor": {"sold": 999, "here": 250}
    }
    assert "engine" in found["newer"].detail
    assert office.sales.sale("A", "planted").difference == found["planted"].detail
    (alarm,) = [a for a in office.alarms.alarms() if a.code == "ALARM_PRICE"]
    assert alarm.params["count"] == "3"


def test_the_follower_is_woken_by_sales(office: HeadOffice, shop: Shop) -> None:
    office.repricing.start()
    try:
        with office.hub.subscribe() as facts:
            shop.sell(shop.answer(office), "s1", ("X", "bread", 1250, 2000))
            shop.deliver(office)
            while facts.get(timeout=60).topic != "repriced":
                pass
    finally:
        office.repricing.stop()
    assert _outcomes(office) == {"s1": AGREED}


def test_a_fork_is_priced_from_where_it_began(
    office: HeadOffice, shop: Shop, tmp_path: Path
) -> None:
    rules = shop.answer(office)
    line = ("X", "bread", 1250, 2000)
    shop.sell(rules, "s1", line)
    shop.deliver(office)
    copied = Shop("A", tmp_path, epoch="f" * 16)  # the shop's disk, restored on another machine
    with copied.books.begin() as tx:
        with shop.books.database.reading() as connection:
            events = read_line(connection, shop.stream, 0, limit=100)
        first = Accepted(ORIGIN, tuple(events), events[-1].position, fork=False)
        copied.books.keep(tx, first, at_ms=0)
    shop.sell(rules, "s2", line)
    shop.sell(rules, "s3", line)
    shop.deliver(office)
    assert office.repricing.step() == 3
    copied.sell(rules, "c2", line)
    with office.books.begin() as tx:
        with copied.books.database.reading() as connection:
            branch = read_line(connection, shop.stream, events[-1].position.seq, limit=100)
        verdict = Accepted(events[-1].position, tuple(branch), branch[-1].position, fork=True)
        office.books.keep(tx, verdict, at_ms=0)
    while office.repricing.step():
        pass
    assert _outcomes(office) == dict.fromkeys(("s1", "s2", "s3", "c2"), AGREED)
    assert [lag.behind for lag in office.repricing.status()] == [0, 0]
    copied.close()
