"""Payments over devices at a real shop: money and sale agree, whatever is lost or killed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from devices.sim.vcard import VirtualTerminal
from devices.sim.vpay import VirtualProvider
from edge.compose import Shop
from edge.settings import PaymentSettings, ProviderSettings, TillSettings
from edge.tables import frozen_sale
from edge.tendering import PayAsk
from edge.views import PaymentView, TenderIn
from protocol.codec import body_of, decode
from protocol.errors import Conflict, Refusal, Unavailable
from protocol.events import (
    PaymentReversed,
    PromotionPublished,
    PromotionWithdrawn,
    SaleCompleted,
)
from protocol.ids import ALL
from protocol.node.tables import journal
from tests.edge.shop_builder import (
    BUN,
    MILK,
    FixedClock,
    build,
    head_office,
    open_shift,
    ring_up,
    settings_for,
    three_for_two,
)

ALIPAY_CODE, WECHAT_CODE = "281234567890123456", "134512345678901234"
LIMIT_S = 60.0


def payment_settings(url: str, **changes: Any) -> PaymentSettings:
    values: dict[str, Any] = {
        "providers": (ProviderSettings(name="sim", kind="simulated", url=url),),
        "patience_s": 2.0,
        "poll_s": 0.02,
        "retry_max_s": 0.05,
        "watch_s": 0.3,
    }
    return PaymentSettings(**(values | changes))


@contextmanager
def shop_with(folder: Path, provider: VirtualProvider, **changes: Any) -> Iterator[Shop]:
    """A shop that collects with this provider; leaving is a clean stop."""
    values = {"payment": payment_settings(provider.url)} | changes
    shop = build(folder, settings=settings_for(folder, **values))
    shop.tendering.start()
    try:
        yield shop
    finally:
        shop.tendering.stop()
        shop.books.database.close()


@pytest.fixture
def provider() -> Iterator[VirtualProvider]:
    with VirtualProvider() as virtual:
        yield virtual


@pytest.fixture
def shop(tmp_path: Path, provider: VirtualProvider) -> Iterator[Shop]:
    with shop_with(tmp_path, provider) as made:
        open_shift(made)
        yield made


def until(what: Callable[[], Any], says: str = "") -> Any:
    """Wait for a condition."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.01)
    raise AssertionError(says or "it never happened")


def ask(shop: Shop, attempt: str, amount: int | None = None, **changes: Any) -> PaymentView:
    view = shop.selling.view("1")
    amount = view.total_minor if amount is None else amount
    wanted = {"attempt": attempt, "kind": "scan", "amount_minor": amount, "code": ALIPAY_CODE}
    return shop.tendering.start_payment("1", view.sale, PayAsk(**(wanted | changes)), person="anna")


def settled(shop: Shop, attempt: str) -> PaymentView:
    """The payment when its worker has gone."""
    until(lambda: shop.tendering._job(attempt) is None)
    return shop.tendering.view(attempt)


def told(shop: Shop, kind: type) -> list[Any]:
    with shop.books.database.reading() as connection:
        rows = connection.execute(select(journal.c.data).where(journal.c.type == kind.__name__))
        return [body_of(decode(row.data)) for row in rows]


def test_a_scanned_pay_code_pays_the_sale(shop: Shop, provider: VirtualProvider) -> None:
    view = ring_up(shop, [BUN, MILK])
    started = ask(shop, "attempt-0000000001")
    assert started.waits
    done = settled(shop, "attempt-0000000001")
    assert (done.state, done.booked) == ("paid", True)
    assert done.paid is not None
    assert done.paid.sale == view.sale
    [sale] = told(shop, SaleCompleted)
    [tender] = sale.tenders
    assert (tender.kind, tender.amount_minor, sale.change_minor) == ("scan", view.total_minor, 0)
    assert (tender.provider, tender.attempt) == ("sim", "attempt-0000000001")
    assert tender.reference == "P-attempt-0000000001"
    assert provider.captured == ["attempt-0000000001"]
    assert shop.selling.view("1").lines == ()
    assert shop.tendering.list_open() == []
    again = ask_again(shop, view.sale, started)
    assert again.paid == done.paid
    assert len(provider.captured) == 1


HAPPY_HOUR = {
    "id": "T1",
    "version": 1,
    "type": "percent_off",
    "percent": 10,
    "select": {"all": True},
    "name": {"zh": "午市九折", "en": "Lunch"},
    "when": {"start": "2026-11-02T11:00", "end": "2026-11-02T13:00"},
}


def test_a_basket_shows_the_price_that_is_being_paid(shop: Shop, provider: VirtualProvider) -> None:
    """The promotion ends and another begins while the customer looks for the phone."""
    head_office(shop, ALL, PromotionPublished(rule="T1", version=1, document=HAPPY_HOUR))
    shop.rules.refresh()
    before = ring_up(shop, [MILK, BUN, BUN, BUN])
    provider.script("never")
    ask(shop, "attempt-0000000001")
    assert isinstance(shop.clock, FixedClock)
    shop.clock.later(2 * 3_600_000)
    frozen = shop.selling.view("1")
    assert frozen.at_ms > before.at_ms
    assert [row.promotions for row in frozen.lines] == [row.promotions for row in before.lines]
    for name in ("lines", "total_minor", "gross_minor", "discount_minor", "gifts", "rules_hash"):
        assert getattr(frozen, name) == getattr(before, name), name
    assert "T1" in {row.rule for row in shop.selling.explain("1") if row.applied}
    head_office(shop, ALL, three_for_two(), PromotionWithdrawn(rule="T1", version=2))
    shop.rules.refresh()
    frozen = shop.selling.view("1")
    assert [row.promotions for row in frozen.lines] == [row.promotions for row in before.lines]
    assert (frozen.total_minor, frozen.gross_minor, frozen.discount_minor) == (
        before.total_minor,
        before.gross_minor,
        before.discount_minor,
    )
    assert (frozen.rules_hash, frozen.exact) == (before.rules_hash, before.exact)
    shop.tendering.cancel_payment("attempt-0000000001", person="anna")
    assert settled(shop, "attempt-0000000001").state == "reversed"
    live = shop.selling.view("1")
    assert (live.total_minor, live.discount_minor) == (880 + 2 * 350, 350)
    assert live.rules_hash == shop.rules.in_force.hash


def ask_again(shop: Shop, sale: str, first: PaymentView) -> PaymentView:
    same = PayAsk(
        attempt=first.attempt, kind="scan", amount_minor=first.amount_minor, code=ALIPAY_CODE
    )
    return shop.tendering.start_payment("1", sale, same, person="anna")


def test_the_sale_stays_as_it_was_asked_for(shop: Shop, provider: VirtualProvider) -> None:
    provider.script("never")
    view = ring_up(shop, [BUN, BUN, BUN])
    ask(shop, "attempt-0000000001")
    for change in (
        lambda: shop.selling.scan("1", MILK, "anna"),
        lambda: shop.selling.void_line("1", view.lines[0].line, person="anna"),
        lambda: shop.selling.clear("1", person="anna"),
        lambda: shop.selling.hold("1", person="anna"),
        lambda: shop.selling.pay(
            "1", view.sale, [TenderIn("cash", view.total_minor)], person="anna"
        ),
        lambda: ask(shop, "attempt-0000000002"),
    ):
        with pytest.raises(Conflict) as caught:
            change()
        assert caught.value.code == "PAY_RUNNING"
    head_office(shop, "all", three_for_two())
    shop.rules.refresh()
    assert shop.selling.view("1").total_minor == view.total_minor
    provider.orders["attempt-0000000001"].behaviour = "slow"
    done = settled(shop, "attempt-0000000001")
    assert done.booked
    [sale] = told(shop, SaleCompleted)
    assert sale.total_minor == view.total_minor == sale.tenders[0].amount_minor
    shop.selling.scan("1", MILK, "anna")


def test_refused_then_cash(shop: Shop, provider: VirtualProvider) -> None:
    provider.script("refused")
    view = ring_up(shop, [BUN])
    ask(shop, "attempt-0000000001")
    done = settled(shop, "attempt-0000000001")
    assert done.state == "refused"
    assert "balance too low" in done.says.en
    assert told(shop, SaleCompleted) == []
    shop.selling.scan("1", MILK, "anna")  # thawed
    total = shop.selling.view("1").total_minor
    paid = shop.selling.pay("1", view.sale, [TenderIn("cash", total + 20)], person="anna")
    assert paid.change_minor == 20
    assert provider.captured == []


def test_cancel_takes_the_money_back(shop: Shop, provider: VirtualProvider) -> None:
    provider.script("never")
    ring_up(shop, [BUN])
    ask(shop, "attempt-0000000001")
    shop.tendering.cancel_payment("attempt-0000000001", person="anna")
    done = settled(shop, "attempt-0000000001")
    assert done.state == "reversed"
    assert provider.captured == []
    [event] = told(shop, PaymentReversed)
    assert (event.attempt, event.amount_minor) == ("attempt-0000000001", 350)
    assert shop.selling.scan("1", BUN, "anna").items_milli == 2000


def test_part_by_scan_part_in_cash_and_change_only_on_cash(
    shop: Shop, provider: VirtualProvider
) -> None:
    view = ring_up(shop, [BUN, MILK])
    ask(shop, "attempt-0000000001", 1000)
    held = settled(shop, "attempt-0000000001")
    assert (held.held, held.booked, held.left_minor) == (True, False, view.total_minor - 1000)
    assert shop.tendering.list_open() == [held]
    with pytest.raises(Conflict):
        shop.selling.clear("1", person="anna")
    with pytest.raises(Refusal) as caught:
        ask(shop, "attempt-0000000002", view.total_minor)
    assert caught.value.code == "PAY_AMOUNT_WRONG"
    paid = shop.selling.pay("1", view.sale, [TenderIn("cash", 500)], person="anna")
    assert paid.change_minor == 500 + 1000 - view.total_minor
    [sale] = told(shop, SaleCompleted)
    assert {t.kind: t.amount_minor for t in sale.tenders} == {
        "scan": 1000,
        "cash": view.total_minor - 1000,
    }
    assert shop.tendering.list_open() == []
    report = shop.shifts.x_report("1")
    assert {t.kind: t.expected_minor for t in report.totals} == {
        "scan": 1000,
        "cash": 20_000 + view.total_minor - 1000,
    }
    closed = shop.shifts.close("1", person="anna", counted={"cash": 19_000}, shift=report.shift)
    assert {t.kind: t.counted_minor for t in closed.totals} == {"scan": 1000, "cash": 19_000}


def test_part_by_scan_given_back(shop: Shop, provider: VirtualProvider) -> None:
    ring_up(shop, [BUN, MILK])
    ask(shop, "attempt-0000000001", 1000)
    assert settled(shop, "attempt-0000000001").held
    shop.tendering.cancel_payment("attempt-0000000001", person="anna")
    assert settled(shop, "attempt-0000000001").state == "reversed"
    assert provider.reversed == ["attempt-0000000001"]
    assert shop.tendering.list_open() == []
    shop.selling.clear("1", person="anna")


def test_two_providers_families_and_what_is_not_set_up(
    tmp_path: Path, provider: VirtualProvider
) -> None:
    only = ProviderSettings(name="w", kind="simulated", url=provider.url, codes=("wechat",))
    setting = payment_settings(provider.url, providers=(only,))
    with shop_with(tmp_path, provider, payment=setting) as shop:
        open_shift(shop)
        ring_up(shop, [BUN])
        assert shop.tendering.providers.kinds("1") == ("cash", "scan")
        for changes, code in (
            ({"code": ALIPAY_CODE}, "PAY_CODE_WRONG"),
            ({"code": BUN}, "PAY_CODE_WRONG"),
            ({"kind": "card"}, "PAY_NOT_SET_UP"),
            ({"kind": "cash"}, "PAY_NOT_SET_UP"),
            ({"amount": 0}, "PAY_AMOUNT_WRONG"),
        ):
            with pytest.raises(Refusal) as caught:
                ask(shop, "attempt-0000000001", **({"code": WECHAT_CODE} | changes))
            assert caught.value.code == code
        with pytest.raises(Refusal) as caught:
            shop.selling.pay(
                "1", shop.selling.view("1").sale, [TenderIn("scan", 350)], person="anna"
            )
        assert caught.value.code == "TENDER_NOT_BY_HAND"
        assert provider.calls == []
        ask(shop, "attempt-0000000001", code=WECHAT_CODE)
        assert settled(shop, "attempt-0000000001").booked


def test_nobody_is_asked_to_pay_when_the_sale_could_not_be_recorded(
    tmp_path: Path, provider: VirtualProvider
) -> None:
    room = [10**9]
    values = {"payment": payment_settings(provider.url)}
    shop = build(tmp_path, settings=settings_for(tmp_path, **values), free_bytes=lambda: room[0])
    try:
        open_shift(shop)
        ring_up(shop, [BUN])
        room[0] = 10
        with pytest.raises(Unavailable) as caught:
            ask(shop, "attempt-0000000001")
        assert caught.value.code == "DISK_LOW"
        assert provider.calls == []
        with shop.books.database.reading() as connection:
            assert connection.execute(select(frozen_sale)).first() is None
    finally:
        shop.tendering.stop()
        shop.books.database.close()


def test_a_provider_that_is_down_is_asked_until_it_answers(
    shop: Shop, provider: VirtualProvider
) -> None:
    provider.script("lost-answer")
    view = ring_up(shop, [BUN])
    provider.lose_next(1)
    ask(shop, "attempt-0000000001")
    until(lambda: provider.captured)
    provider.down = True
    until(lambda: shop.tendering.view("attempt-0000000001").says.code == "PAY_SAYS_REVERSING_LOST")
    assert [v.attempt for v in shop.tendering.open_at("1")] == ["attempt-0000000001"]
    with pytest.raises(Conflict):
        shop.selling.clear("1", person="anna")
    provider.down = False
    assert settled(shop, "attempt-0000000001").state == "reversed"
    assert provider.reversed == ["attempt-0000000001"]
    assert shop.selling.view("1").sale == view.sale


def test_a_payment_nobody_heard_of_frees_the_till_and_is_watched(
    tmp_path: Path, provider: VirtualProvider
) -> None:
    provider.script("overdue")
    setting = payment_settings(provider.url, watch_s=60.0)
    with shop_with(tmp_path, provider, payment=setting) as shop:
        open_shift(shop)
        view = ring_up(shop, [BUN])
        ask(shop, "attempt-0000000001")
        until(lambda: not shop.tendering.view("attempt-0000000001").waits)
        shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna")
        done = settled(shop, "attempt-0000000001")
        assert done.state == "reversed"
        assert provider.captured == provider.reversed == ["attempt-0000000001"]
        assert not done.booked


def test_a_card_terminal(tmp_path: Path, provider: VirtualProvider) -> None:
    with VirtualTerminal() as terminal:
        tills = (TillSettings(id="1", card=terminal.url), TillSettings(id="2"))
        with shop_with(tmp_path, provider, tills=tills) as shop:
            open_shift(shop)
            assert shop.tendering.providers.kinds("1") == ("cash", "scan", "card")
            assert shop.tendering.providers.kinds("2") == ("cash", "scan")
            for n, behaviour in enumerate(("slow", "lost-answer", "ok", "delayed")):
                terminal.script(behaviour)
                ring_up(shop, [BUN])
                ask(shop, f"attempt-000000001{n}", kind="card", code="")
                done = settled(shop, f"attempt-000000001{n}")
                assert (done.booked, done.provider) == (True, "card")
            assert terminal.captured == ["000001", "000002", "000003", "000004"]
            assert terminal.faults == []
            assert [s.tenders[0].kind for s in told(shop, SaleCompleted)] == ["card"] * 4


def test_a_provider_that_left_the_settings_is_not_forgotten(
    tmp_path: Path, provider: VirtualProvider
) -> None:
    provider.script("never")
    with shop_with(tmp_path, provider) as shop:
        open_shift(shop)
        ring_up(shop, [BUN])
        ask(shop, "attempt-0000000001")
    with shop_with(tmp_path, provider, payment=PaymentSettings()) as shop:
        [found] = shop.tendering.list_open()
        assert found.says.code == "PAY_PROVIDER_GONE"
        assert "payments" not in [one.part for one in shop.health.complaints()]
        assert isinstance(shop.clock, FixedClock)
        shop.clock.later(6 * 60_000)
        assert ("payments", "HEALTH_PAYMENTS") in [
            (one.part, one.code) for one in shop.health.complaints()
        ]
    with shop_with(tmp_path, provider) as shop:
        shop.tendering.cancel_payment("attempt-0000000001", person="anna")
        assert settled(shop, "attempt-0000000001").state == "reversed"
