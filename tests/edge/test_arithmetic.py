"""Properties of the pure parts: tax, tenders, the basket, the business date, scale prefixes."""

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from devices.scan import parse_prefix
from edge import till as pure
from edge.pricing import business_date, gross_of, taxes
from edge.tenders import settle
from edge.till import BasketLine, BasketState
from edge.views import TenderIn
from protocol.errors import Refusal, TillmeshError

money = st.integers(0, 10**7)
nets_and_rates = st.lists(st.tuples(money, st.sampled_from([0, 600, 900, 1300])), max_size=30)


@given(nets_and_rates)
def test_tax_of_lines_and_of_rates_sum_to_the_same_fen(pairs: list[tuple[int, int]]) -> None:
    nets, rates = [n for n, _ in pairs], [r for _, r in pairs]
    per_line, parts = taxes(nets, rates)
    assert sum(per_line) == sum(p.tax_minor for p in parts)
    assert sum(nets) == sum(p.gross_minor for p in parts)
    for part in parts:
        exact = part.gross_minor * part.rate_bp / (10_000 + part.rate_bp)
        assert abs(part.tax_minor - exact) <= 0.5
    assert all(0 <= tax <= net for tax, net in zip(per_line, nets, strict=True))


@given(money, st.lists(st.tuples(st.sampled_from(["cash", "scan", "card"]), money), max_size=5))
def test_tenders_cover_the_total_exactly_and_only_cash_gives_change(
    total: int, given_in: list[tuple[str, int]]
) -> None:
    try:
        covered, change = settle(total, [TenderIn(k, m) for k, m in given_in])
    except Refusal as refusal:
        event(refusal.code)
        return
    assert sum(t.amount_minor for t in covered) == total
    assert sum(t.given_minor for t in covered) - change == total
    assert change <= sum(t.given_minor for t in covered if t.kind == "cash")


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(["a", "b", "c"]), st.integers(1, 5)),
        st.tuples(st.just("red"), st.text(max_size=200), st.just(0)),
        st.tuples(st.just("set"), st.integers(0, 12), st.integers(-3, 9)),
        st.tuples(st.just("void"), st.integers(0, 12), st.just(0)),
    ),
    max_size=25,
)


def act(state: BasketState, step: tuple) -> BasketState:
    kind, what, n = step
    if kind == "add":
        return pure.add(state, BasketLine(line=0, sku=what, decimals=0, qty_milli=n * 1000))
    if kind == "red":
        return pure.add(state, pure.red_row(what, "CODE_UNKNOWN", {"text": what}))
    if kind == "set":
        return pure.set_quantity(state, what, n * 1000)
    return pure.void_line(state, what)


@given(steps)
def test_a_basket_keeps_its_promises_whatever_one_does(todo: list[tuple]) -> None:
    state = BasketState(sale="s")
    used: set[int] = set()
    for step in todo:
        before = state
        try:
            state = act(state, step)
        except TillmeshError:
            assert state is before
            continue
        numbers = [x.line for x in state.lines]
        assert len(set(numbers)) == len(numbers)
        new = set(numbers) - {x.line for x in before.lines}
        assert not new & used  # a row's number is never used twice
        used |= set(numbers)
        assert all(x.qty_milli > 0 for x in state.lines)
        assert all(len(x.code) <= pure.CODE_MAX for x in state.lines)
        assert pure.read(pure.dump(state)) == state
        msgspec.json.decode(pure.dump(state))


def test_rounding_is_half_up() -> None:
    assert gross_of(BasketLine(line=1, unit_price_minor=5, qty_milli=500)) == 3
    assert gross_of(BasketLine(line=1, unit_price_minor=8800, qty_milli=536)) == 4717


@pytest.mark.parametrize(
    ("at_ms", "starts", "expected"),
    [
        (1_793_548_799_999, "00:00", "2026-11-01"),  # 23:59:59.999 in Shanghai
        (1_793_548_800_000, "00:00", "2026-11-02"),
        (1_793_548_800_000, "04:00", "2026-11-01"),
        (1_793_563_199_999, "04:00", "2026-11-01"),
        (1_793_563_200_000, "04:00", "2026-11-02"),
    ],
)
def test_the_trading_day_is_the_shops(at_ms: int, starts: str, expected: str) -> None:
    assert business_date(at_ms, "Asia/Shanghai", starts) == expected


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("20:item5:weight5", True),
        ("21:item5:price5", True),
        ("22:item4:check1:price5", True),
        ("22:item5:weight6", False),
        ("99:item5:weight5", False),
        ("20:item5", False),
        ("20:goods5:weight5", False),
        ("", False),
        ("20:item:weight", False),
    ],
)
def test_scale_prefixes_are_read_or_left_out(text: str, good: bool) -> None:
    assert (parse_prefix(text) is not None) == good
