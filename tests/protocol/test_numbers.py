"""Money and quantity: exact, whole, never cut, never a float."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import money, quantity
from protocol.errors import Refusal

WEIGHTS = st.lists(st.integers(0, 10**9), max_size=20)


@given(st.integers(-(10**12), 10**12), WEIGHTS)
def test_shares_sum_back(total: int, weights: list[int]) -> None:
    parts = money.share_out(total, weights)
    assert len(parts) == len(weights)
    assert sum(parts) == (total if sum(weights) else 0)


@given(st.integers(0, 10**12), WEIGHTS)
def test_a_share_is_its_exact_part_rounded_down_or_up(total: int, weights: list[int]) -> None:
    for part, weight in zip(money.share_out(total, weights), weights, strict=True):
        if sum(weights):
            exact = Fraction(total * weight, sum(weights))
            assert exact - 1 < part < exact + 1
            assert part == 0 or weight > 0


def test_equal_remainders_go_to_the_earlier_place() -> None:
    assert money.share_out(100, [1, 1, 1]) == [34, 33, 33]
    assert money.share_out(2, [1, 1, 1, 1]) == [1, 1, 0, 0]
    assert money.share_out(5, [0, 0]) == [0, 0]
    assert money.share_out(5, []) == []


@given(st.fractions())
def test_half_up_is_the_nearest_and_a_half_goes_away_from_zero(value: Fraction) -> None:
    whole = money.half_up(value)
    assert abs(whole - value) <= Fraction(1, 2)
    if abs(whole - value) == Fraction(1, 2):
        assert abs(whole) > abs(value)
    assert money.half_up(-value) == -whole


@given(st.integers(0, 10**15), st.integers(1, 10**9))
def test_half_up_ratio_is_half_up(numerator: int, denominator: int) -> None:
    expected = money.half_up(Fraction(numerator, denominator))
    assert money.half_up_ratio(numerator, denominator) == expected


@given(st.integers(0, money.MINOR_MAX), st.integers(0, 3))
def test_money_reads_back_what_it_writes(value: int, digits: int) -> None:
    text = money.format_minor(value, "CNY", digits=digits)
    assert text.startswith("¥")
    assert money.parse_minor(text[1:], digits=digits) == value


def test_money_for_people() -> None:
    assert money.format_minor(-5, "CNY") == "-¥0.05"
    assert money.format_minor(5, "JPY", digits=0) == "JPY 5"
    assert money.format_minor(1250, "XYZ") == "XYZ 12.50"
    assert money.parse_minor(" 12.5 ") == 1250
    assert money.parse_minor(".5") == 50
    assert money.parse_minor("12.") == 1200
    assert money.parse_minor("0" * 100 + "7") == 700


BAD = ["", ".", "-1", "+1", "1,5", "1e3", "１２", "٣", "1.2.3", "1 2", "NaN", "²", "0x1", "1_000"]


@pytest.mark.parametrize("text", [*BAD, "0.001"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        money.parse_minor(text)
    assert caught.value.code == "MONEY_UNREADABLE"


@pytest.mark.parametrize("text", ["10000000000.01", "9" * 5000, "9" * 5000 + ".99"])
def test_an_amount_too_large_is_refused_in_words(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        money.parse_minor(text)
    assert caught.value.code == "MONEY_TOO_LARGE"


@given(st.integers(0, quantity.MILLI_MAX))
def test_quantity_reads_back_what_it_writes(value: int) -> None:
    assert quantity.parse_milli(quantity.format_milli(value)) == value


@given(st.integers(0, 10**9), st.integers(0, 3), st.text("0123456789", max_size=6))
def test_no_digit_is_ever_cut(whole: int, decimals: int, part: str) -> None:
    text = f"{whole}.{part}"
    exact = Fraction(f"{whole}.{part or 0}") * 1000
    if len(part.rstrip("0")) <= decimals:
        assert quantity.parse_milli(text, decimals=decimals) == exact
        return
    with pytest.raises(Refusal) as caught:
        quantity.parse_milli(text, decimals=decimals)
    assert caught.value.code == "QUANTITY_TOO_FINE"


def test_a_hundred_small_pieces_are_one() -> None:
    assert sum(quantity.parse_milli("0.01") for _ in range(100)) == 1000
    assert quantity.parse_milli("0.99", decimals=2) == 990
    assert quantity.parse_milli("0.990", decimals=2) == 990


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        quantity.parse_milli(text)
    assert caught.value.code == "QUANTITY_UNREADABLE"


@pytest.mark.parametrize("text", ["1000000000.001", "9" * 5000])
def test_a_quantity_too_large_is_refused_in_words(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        quantity.parse_milli(text)
    assert caught.value.code == "QUANTITY_TOO_LARGE"


def test_precision_of_a_product() -> None:
    assert quantity.check_precision(1250, decimals=2) == 1250
    assert quantity.check_precision(-2000, decimals=0) == -2000
    with pytest.raises(Refusal, match=r"1\.255 has more decimals"):
        quantity.check_precision(1255, decimals=2)
    with pytest.raises(Refusal):
        quantity.check_precision(-1, decimals=2)
    assert quantity.format_milli(-1250) == "-1.25"
