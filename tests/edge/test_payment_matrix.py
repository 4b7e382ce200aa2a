"""Every behaviour of a provider x every point at which a node can die: money and sale agree."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.payment import PayAnswer, PayRequest, Provider
from devices.sim.book import BEHAVIOURS
from devices.sim.vpay import VirtualProvider
from edge import payments
from edge.compose import Shop
from edge.tendering import PayAsk
from edge.views import TenderIn
from protocol.errors import Conflict
from protocol.events import SaleCompleted
from tests.edge.shop_builder import BUN, MILK, build, open_shift, ring_up, settings_for
from tests.edge.test_tendering import ALIPAY_CODE, payment_settings, told, until

POINTS = (
    "before-pay", "after-pay", "before-query", "after-query", "before-reverse", "after-reverse",
    "before-commit", "after-commit", "never",
)  # fmt: skip
SCRIPTS = tuple(b for b in BEHAVIOURS if b != "overdue")  # it has a test with a longer watch


class Killed(BaseException):
    """The node dies here: nothing is written down any more."""


class Dying:
    """A provider at which the node dies, before or after one kind of message."""

    def __init__(self, provider: Provider, point: str) -> None:
        self._provider = provider
        self._point = point

    def _ask(self, verb: str, request: PayRequest) -> PayAnswer:
        if self._point == f"before-{verb}":
            raise Killed
        answer: PayAnswer = getattr(self._provider, verb)(request)
        if self._point == f"after-{verb}":
            raise Killed
        return answer

    def pay(self, request: PayRequest) -> PayAnswer:
        return self._ask("pay", request)

    def query(self, request: PayRequest) -> PayAnswer:
        return self._ask("query", request)

    def reverse(self, request: PayRequest) -> PayAnswer:
        return self._ask("reverse", request)


class Desk:
    """A shop that can die, the provider that cannot, and what must hold between them."""

    def __init__(self, folder: Path, provider: VirtualProvider) -> None:
        self.folder = folder
        self.provider = provider
        self.shop = self._open()
        open_shift(self.shop)
        self.attempts: list[str] = []

    def _open(self) -> Shop:
        setting = payment_settings(self.provider.url, patience_s=0.5, poll_s=0.01, watch_s=0.2)
        return build(self.folder, settings=settings_for(self.folder, payment=setting))

    def die_at(self, point: str) -> None:
        """From now on the shop dies there."""
        providers, checkout = self.shop.tendering.providers, self.shop.tendering._checkout
        real = providers.provider("sim", "1")
        providers._built["sim"] = Dying(real, point)
        finish = checkout.finish

        def dying(*asked: Any) -> Any:
            if point == "before-commit":
                raise Killed
            done = finish(*asked)
            if point == "after-commit":
                raise Killed
            return done

        checkout.finish = dying  # type: ignore[method-assign]
        run = self.shop.tendering._run

        def ending(job: Any) -> None:
            with contextlib.suppress(Killed):
                run(job)

        self.shop.tendering._run = ending  # type: ignore[method-assign]

    def ask(self, amount: int) -> str:
        """Ask for so much of what lies on the till."""
        attempt = f"attempt-{len(self.attempts):010d}"
        self.attempts.append(attempt)
        wanted = PayAsk(attempt=attempt, kind="scan", amount_minor=amount, code=ALIPAY_CODE)
        sale = self.shop.selling.view("1").sale
        self.shop.tendering.start_payment("1", sale, wanted, person="anna")
        return attempt

    def rest(self) -> None:
        """Until nobody works on a payment any more."""
        until(lambda: not self.shop.tendering._jobs)

    def start_again(self) -> None:
        """A new process on the same files: it takes up what is open."""
        self.shop.books.database.close()
        self.shop = self._open()
        self.shop.tendering.start()
        self.rest()

    def close(self) -> None:
        self.shop.tendering.stop()
        self.shop.books.database.close()

    def holds(self) -> None:
        """One capture that is in exactly one sale, or none that did not go back."""
        sold = [t for sale in told(self.shop, SaleCompleted) for t in sale.tenders if t.attempt]
        for sale in told(self.shop, SaleCompleted):
            assert sum(t.amount_minor for t in sale.tenders) == sale.total_minor
        for attempt in self.attempts:
            captured = self.provider.captured.count(attempt)
            back = self.provider.reversed.count(attempt)
            in_sales = [t.attempt for t in sold].count(attempt)
            assert captured <= 1
            assert back <= 1
            if in_sales:
                assert (in_sales, captured, back) == (1, 1, 0)
            else:
                with self.shop.books.database.reading() as connection:
                    row = payments.read_row(connection, attempt)
                assert row is not None
                assert captured == 0 or back == 1 or (row.held and back == 0)

    def clear(self) -> None:
        """Whatever is held goes back; the till is free for the next customer."""
        self.provider._script.clear()
        for view in self.shop.tendering.open_at("1"):
            self.shop.tendering.cancel_payment(view.attempt, person="anna")
        self.rest()
        assert self.shop.tendering.list_open() == []
        self.shop.selling.clear("1", person="anna")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with VirtualProvider() as provider:
        made = Desk(tmp_path_factory.mktemp("matrix"), provider)
        yield made
        made.close()


def one_case(desk: Desk, behaviour: str, point: str, *, part: bool = False) -> None:
    total = ring_up(desk.shop, [BUN, MILK]).total_minor
    desk.provider.script(behaviour)
    desk.die_at(point)
    desk.ask(total - 100 if part else total)
    desk.rest()
    desk.start_again()
    desk.holds()
    desk.clear()
    desk.holds()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("behaviour", ["ok", "slow", "lost-answer", "never"])
def test_a_node_that_dies_neither_loses_nor_doubles_money(
    desk: Desk, behaviour: str, point: str
) -> None:
    one_case(desk, behaviour, point)


@pytest.mark.nightly
@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("behaviour", SCRIPTS)
def test_the_whole_matrix(desk: Desk, behaviour: str, point: str, part: bool) -> None:
    one_case(desk, behaviour, point, part=part)


acts = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 3), st.sampled_from(SCRIPTS)),
        st.tuples(st.just("lose"), st.integers(1, 6), st.just("")),
        st.tuples(st.just("die"), st.just(0), st.sampled_from(POINTS)),
        st.tuples(st.just("cancel"), st.just(0), st.just("")),
        st.tuples(st.just("cash"), st.just(0), st.just("")),
        st.tuples(st.just("scan"), st.just(0), st.just("")),
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=20)
@given(acts)
def test_random_stories_end_with_money_and_sale_in_agreement(
    desk: Desk, story: list[tuple[str, int, str]]
) -> None:
    ring_up(desk.shop, [BUN, MILK])
    for act, n, word in story:
        view = desk.shop.selling.view("1")
        held = [v for v in desk.shop.tendering.open_at("1") if v.held]
        left = held[0].left_minor if held else view.total_minor
        try:
            if act == "ask" and view.lines:
                desk.provider.script(word)
                desk.ask(max(1, left // n))
            elif act == "lose":
                desk.provider.lose_next(n)
            elif act == "die":
                desk.die_at(word)
            elif act == "cancel" and desk.attempts:
                desk.shop.tendering.cancel_payment(desk.attempts[-1], person="anna")
            elif act == "cash" and view.lines:
                desk.shop.selling.pay("1", view.sale, [TenderIn("cash", left)], person="anna")
            elif act == "scan":
                ring_up(desk.shop, [BUN])
        except Conflict:
            continue  # a payment is open: that is the answer
        if act in {"ask", "cancel"}:
            desk.rest()
    desk.start_again()
    desk.provider.lose_next(0)
    desk.holds()
    desk.clear()
    desk.holds()


def test_the_same_payment_from_many_hands_is_one(desk: Desk) -> None:
    total = ring_up(desk.shop, [BUN]).total_minor
    sale = desk.shop.selling.view("1").sale
    attempt = "attempt-many-hands"
    desk.attempts.append(attempt)
    wanted = PayAsk(attempt=attempt, kind="scan", amount_minor=total, code=ALIPAY_CODE)
    gate = threading.Barrier(8)
    answers: list[str] = []

    def press() -> None:
        gate.wait(30)
        view = desk.shop.tendering.start_payment("1", sale, wanted, person="anna")
        answers.append(view.attempt)

    hands = [threading.Thread(target=press) for _ in range(8)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join(60)
    desk.rest()
    assert answers == [attempt] * 8
    assert desk.provider.captured.count(attempt) == 1
    desk.holds()
