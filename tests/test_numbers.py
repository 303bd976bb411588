"""How numbers are written for people."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.numbers import digits, plural, readable, rounded, times


@given(st.floats(1e-12, 1e12) | st.floats(-1e12, -1e-12), st.integers(2, 6))
def test_no_magnitude_has_an_exponent_and_every_digit_is_the_number_s(value: float, most: int) -> None:
    for text in (digits(value, most), readable(value)):
        assert re.fullmatch(r"-?\d{1,3}(,\d{3})*(\.\d+)?", text)
    assert float(digits(value, most).replace(",", "")) == pytest.approx(value, rel=0.51 * 10.0 ** (1 - most))
    assert float(readable(value).replace(",", "")) == pytest.approx(value, rel=1e-4, abs=0.5e-4)


@pytest.mark.parametrize("power", range(-12, 13))
def test_a_power_of_ten_is_written_out(power: int) -> None:
    text = digits(10.0**power, 5)
    assert float(text.replace(",", "")) == 10.0**power
    assert text == (f"{10**power:,}" if power >= 0 else f"0.{'0' * (-power - 1)}1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.49899, "0.4990"),
        (-0.25, "-0.2500"),
        (999.12345, "999.1235"),
        (999.99996, "1,000"),
        (2859.69634, "2,859.7"),
        (-4321.987, "-4,322"),
        (0.000123456, "0.00012346"),
        (12_340_000.4, "12,340,000"),
        (65_079.3, "65,079"),
        (0.000012, "0.000012"),
        (1e-30, "1e-30"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_a_score_is_read_at_a_glance(value: float, text: str) -> None:
    assert readable(value) == text


def test_values_in_tables() -> None:
    assert [rounded(value) for value in (0.25, 12_345.6, 4.4e-6, 3, "adam", np.float64(0.1))] == [
        "0.25",
        "12,350",
        "4.4e-06",
        "3",
        "adam",
        "0.1",
    ]


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 rows have"), (1, "1 row has"), (2, "2 rows have"), (1200, "1,200 rows have")]
)
def test_one_is_one_and_all_else_are_many(count: int, words: str) -> None:
    assert plural(count, "row has", "rows have") == words
    assert plural(count, "row") == words.rpartition(" ")[0]


def test_how_often() -> None:
    assert [times(count) for count in (0, 1, 2)] == ["0 times", "once", "2 times"]
