"""Money is exact."""

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from inferkit.core.errors import ConfigurationError
from inferkit.core.money import format_usd, to_nanos, to_usd

AMOUNTS = st.integers(0, 10**18)


@given(AMOUNTS)
def test_dollars_and_nano_dollars_are_the_same_amount(nanos):
    assert to_nanos(to_usd(nanos)) == nanos
    assert to_nanos(str(to_usd(nanos))) == nanos


@given(AMOUNTS)
def test_dollars_are_written_without_needless_zeros(nanos):
    written = f"{to_usd(nanos):f}"
    assert written == f"{Decimal(nanos).scaleb(-9):.9f}".rstrip("0").removesuffix(".")
    assert "E+" not in str(to_usd(nanos))


def test_nothing_is_zero():
    assert str(to_usd(0)) == "0"


@given(AMOUNTS, AMOUNTS)
def test_adding_nano_dollars_adds_dollars(one, other):
    assert to_usd(one + other) == to_usd(one) + to_usd(other)


@pytest.mark.parametrize(
    ("amount", "nanos"),
    [("5.00", 5 * 10**9), (5, 5 * 10**9), (Decimal("0.000000001"), 1), ("0", 0), ("1e-3", 10**6), (" 2 ", 2 * 10**9)],
)
def test_amounts_are_read(amount, nanos):
    assert to_nanos(amount) == nanos


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (0.1, 'as a string.*"0.1"'),
        (True, "got bool"),
        (None, "got NoneType"),
        ("five", "plain number"),
        ("$5", "plain number"),
        ("-1", "zero dollars or more"),
        ("NaN", "zero dollars or more"),
        ("Infinity", "zero dollars or more"),
        ("0.0000000001", "nine decimals"),
        ("1000000001", "a billion"),
        ("1e400", "a billion"),
        ("1." + "0" * 50 + "1", "nine decimals"),
    ],
)
def test_what_is_not_an_amount_of_money_is_refused_with_the_reason(amount, reason):
    with pytest.raises(ConfigurationError, match=reason):
        to_nanos(amount, "the price")


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "$0.00"),
        (5 * 10**9, "$5.00"),
        (1_234_560_000_000, "$1,234.56"),
        (1_999_999_999, "$2.00"),
        (10**7, "$0.01"),
        (123_400, "$0.0001234"),
        (1, "$0.000000001"),
        (-5 * 10**9, "-$5.00"),
    ],
)
def test_amounts_are_written_for_people(nanos, text):
    assert format_usd(nanos) == text


@pytest.mark.parametrize("amount", [float("nan"), float("inf")])
def test_a_float_that_is_no_number_is_not_asked_for_as_a_text(amount):
    with pytest.raises(ConfigurationError, match="the price of input is zero dollars or more; got"):
        to_nanos(amount, "the price of input")
