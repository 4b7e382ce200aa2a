"""Rules in force: compiled, answered before any sale, refused with reasons; prices by the clock."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from edge.compose import Shop
from protocol.clock import ClockState
from protocol.events import (
    PriceSet,
    PromotionPublished,
    PromotionWithdrawn,
    RulesInForce,
    RulesRefreshRequested,
)
from protocol.ids import ALL, zone_stream
from protocol.node.books import opened
from protocol.node.sqljournal import read_line
from protocol.node.tables import READ, journal
from tests.edge.shop_builder import (
    BREAD,
    BUN,
    CAKE,
    MILK,
    NOON_MS,
    FixedClock,
    build,
    head_office,
    open_shift,
    product,
    ring_up,
    sell,
    three_for_two,
)


def own(shop: Shop) -> list[Any]:
    with shop.books.database.reading() as connection:
        rows = read_line(connection, shop.node.stream, 0, limit=1000)
    return [opened(row)[0].body for row in rows]


def answers(shop: Shop) -> list[RulesInForce]:
    return [body for body in own(shop) if isinstance(body, RulesInForce)]


def test_a_fresh_shop_answers_that_it_has_no_rules(shop: Shop) -> None:
    assert len(answers(shop)) == 1
    assert answers(shop)[0].rules == ()
    assert answers(shop)[0].rules_hash == shop.rules.in_force.hash


def test_publishing_is_answered_before_any_sale_uses_it(open_shop: Shop) -> None:
    before = open_shop.rules.in_force.hash
    head_office(open_shop, ALL, three_for_two())
    assert open_shop.rules.in_force.hash == before  # nothing prices half way
    open_shop.rules.refresh()
    sell(open_shop, [BUN, BREAD, BREAD])
    kinds = [type(body).__name__ for body in own(open_shop)]
    answer = answers(open_shop)[-1]
    assert kinds.index("SaleCompleted") > len(kinds) - 1 - kinds[::-1].index("RulesInForce")
    assert answer.rules == ("B3@1",)
    assert answer.engine >= 1
    assert answer.tzdata
    assert answer.upto["all"] > 0


def test_what_was_answered_is_not_answered_again(open_shop: Shop, clock: FixedClock) -> None:
    head_office(open_shop, ALL, three_for_two())
    open_shop.rules.refresh()
    open_shop.rules.refresh()
    assert len(answers(open_shop)) == 2
    head_office(open_shop, ALL, PromotionWithdrawn(rule="B3", version=2))
    open_shop.rules.refresh()
    assert answers(open_shop)[-1].rules == ()
    assert answers(open_shop)[-1].rules_hash == answers(open_shop)[0].rules_hash


def test_an_unreadable_rule_is_refused_with_reasons_the_others_go_on(open_shop: Shop) -> None:
    bad = PromotionPublished(
        rule="BAD",
        version=1,
        document={"id": "BAD", "type": "percent_off", "percent": 110, "selector": {}},
    )
    future = PromotionPublished(rule="NEW", version=1, document={"id": "NEW", "type": "teleport"})
    other = PromotionPublished(
        rule="X1",
        version=1,
        document={"id": "X2", "type": "percent_off", "percent": 5, "select": {"all": True}},
    )
    head_office(open_shop, ALL, bad, three_for_two(), future, other)
    in_force = open_shop.rules.refresh()
    assert in_force.versions == ("B3@1",)
    answer = answers(open_shop)[-1]
    assert {r.rule: r.reason for r in answer.refused} == {
        "BAD": "RULE_UNREADABLE",
        "NEW": "RULE_UNREADABLE",
        "X1": "RULE_ID_DIFFERS",
    }
    bad_answer = next(r for r in answer.refused if r.rule == "BAD")
    assert "110" in bad_answer.detail["en"]
    assert "110" in bad_answer.detail["zh"]
    assert ring_up(open_shop, [BUN, BUN, BUN]).discount_minor == 350
    verdict = next(v for v in open_shop.health.verdicts() if v.part == "rules")
    assert (verdict.state, verdict.code) == ("warn", "HEALTH_RULES_REFUSED")


def test_the_worker_compiles_when_news_arrives(shop: Shop) -> None:
    shop.rules.start()
    try:
        head_office(shop, ALL, three_for_two())
        deadline = time.monotonic() + 60
        while shop.rules.in_force.versions != ("B3@1",) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert shop.rules.in_force.versions == ("B3@1",)
    finally:
        shop.rules.stop()


def test_a_restart_prices_with_the_same_rules_and_answers_nothing_new(
    tmp_path: Path, clock: FixedClock
) -> None:
    shop = build(tmp_path, clock=clock)
    head_office(shop, ALL, three_for_two())
    known = shop.rules.refresh().hash
    shop.books.database.close()
    again = build(tmp_path, clock=clock)
    assert again.rules.in_force.hash == known
    assert len(answers(again)) == 2
    assert ring_up(again, [BUN, BUN, BUN]).discount_minor == 350
    again.books.database.close()


def test_the_first_sale_of_a_boot_carries_the_answer_once(
    tmp_path: Path, clock: FixedClock
) -> None:
    shop = build(tmp_path, clock=clock)
    open_shift(shop)
    head_office(shop, ALL, three_for_two())  # arrived, not compiled: the power goes
    before = len(answers(shop))
    shop.books.database.close()
    again = build(tmp_path, clock=clock)
    assert again.rules.in_force.versions == ("B3@1",)
    assert len(answers(again)) == before  # nothing is appended before head office was asked
    sell(again, [BUN, BUN, BUN])
    sell(again, [BUN])
    kinds = [type(body).__name__ for body in own(again)]
    assert kinds[-3:] == ["RulesInForce", "SaleCompleted", "SaleCompleted"]
    assert answers(again)[-1].rules == ("B3@1",)
    again.rules.refresh()
    assert len(answers(again)) == before + 1
    again.books.database.close()


def timed(rule: str = "T1") -> PromotionPublished:
    return PromotionPublished(
        rule=rule,
        version=1,
        document={
            "id": rule,
            "version": 1,
            "type": "percent_off",
            "percent": 10,
            "select": {"all": True},
            "when": {"start": "2026-11-02T11:00", "end": "2026-11-02T13:00"},
        },
    )


def test_a_timed_rule_waits_while_the_clock_is_not_trusted(shop: Shop, clock: FixedClock) -> None:
    head_office(shop, ALL, timed())
    shop.rules.refresh()
    assert ring_up(shop, [BREAD]).discount_minor == 120
    clock.state = ClockState.UNKNOWN
    view = shop.selling.view("1")
    assert view.discount_minor == 0
    assert [w.code for w in view.warnings] == ["WARN_OVERSOLD", "WARN_CLOCK"]
    assert view.lines[0].touching[0].why.code == "CLOCK_UNTRUSTED"
    clock.state = ClockState.HOLDOVER
    assert shop.selling.view("1").discount_minor == 120
    clock.later(2 * 3_600_000)
    assert shop.selling.view("1").lines[0].touching[0].why.code == "EXPIRED"


HOUR = 3_600_000


@pytest.mark.parametrize(
    ("state", "moment", "expected"),
    [
        (ClockState.TRUSTED, (NOON_MS - 1, 0, 0), 350),
        (ClockState.TRUSTED, (NOON_MS, 0, 0), 400),
        (ClockState.TRUSTED, (NOON_MS + 10, 20, 0), 350),  # not surely past yet
        (ClockState.HOLDOVER, (NOON_MS + 60_000, 60_000, 0), 400),
        (ClockState.UNKNOWN, (NOON_MS + HOUR, 0, NOON_MS - HOUR), 350),  # the last trusted instant
        (ClockState.UNKNOWN, (NOON_MS - HOUR, 0, NOON_MS + 5), 400),
        (ClockState.BEHIND, (0, 0, NOON_MS), 400),
    ],
)
def test_a_price_takes_effect_when_its_instant_has_surely_gone_by(
    shop: Shop, clock: FixedClock, state: ClockState, moment: tuple[int, int, int], expected: int
) -> None:
    head_office(shop, ALL, PriceSet(sku="bun", price_minor=400, effective_from_ms=NOON_MS))
    clock.state = state
    clock.at_ms, clock.u_ms, clock.high_water_ms = moment
    assert ring_up(shop, [BUN]).lines[0].unit_price_minor == expected


def test_the_zones_price_stands_before_a_newer_one_of_the_chain(shop: Shop) -> None:
    head_office(shop, ALL, PriceSet(sku="milk", price_minor=700, effective_from_ms=NOON_MS - 5000))
    assert ring_up(shop, [MILK]).lines[0].unit_price_minor == 880
    head_office(
        shop,
        zone_stream("east"),
        PriceSet(sku="milk", price_minor=860, effective_from_ms=NOON_MS - 1000),
    )
    view = shop.selling.clear("1", person="anna")
    view = ring_up(shop, [MILK])
    assert view.lines[0].unit_price_minor == 860
    assert view.prices_changed_ms == NOON_MS


def test_a_code_counts_only_while_its_product_lists_it(shop: Shop) -> None:
    head_office(shop, ALL, product("bun", "豆沙包", "Bean bun", CAKE))
    view = ring_up(shop, [BUN])
    assert view.lines[0].kind == "unknown"
    with shop.books.database.reading() as connection:
        found = shop.catalogue.find_code(connection, CAKE)
        rows = connection.execute(
            select(READ["product_code"].c.code).where(READ["product_code"].c.sku == "bun")
        ).all()
        kinds = connection.execute(select(journal.c.type).distinct()).scalars().all()
    assert len(rows) == 2
    assert "ProductListed" in kinds
    assert found is not None
    assert found.product.sku == "bun"


def test_a_request_is_answered_once_though_nothing_changed(
    open_shop: Shop, clock: FixedClock
) -> None:
    head_office(open_shop, ALL, three_for_two())
    open_shop.rules.refresh()
    before = len(answers(open_shop))
    open_shop.scanning.till_alive("2", "anna")
    head_office(open_shop, ALL, RulesRefreshRequested(request="q1", rule="B3"))
    open_shop.rules.refresh()
    open_shop.rules.refresh()
    said = answers(open_shop)
    assert len(said) == before + 1
    assert (said[-1].answers, said[-1].tills, said[-1].rules) == (("q1",), ("2",), ("B3@1",))
    assert said[-1].rules_hash == said[-2].rules_hash


def test_requests_that_waited_are_answered_together(open_shop: Shop) -> None:
    wanted = [f"q{n:03d}" for n in range(103)]
    requests = [RulesRefreshRequested(request=request, rule="B3") for request in wanted]
    head_office(open_shop, ALL, *requests)
    open_shop.rules.refresh()
    open_shop.rules.refresh()
    assert [len(answer.answers) for answer in answers(open_shop)[-2:]] == [100, 3]
    assert sorted(r for answer in answers(open_shop)[-2:] for r in answer.answers) == wanted


def test_the_worker_answers_a_request(shop: Shop) -> None:
    shop.rules.start()
    try:
        head_office(shop, ALL, RulesRefreshRequested(request="q1", rule="B3"))
        deadline = time.monotonic() + 60
        while not answers(shop)[-1].answers and time.monotonic() < deadline:
            time.sleep(0.01)
        assert answers(shop)[-1].answers == ("q1",)
    finally:
        shop.rules.stop()
