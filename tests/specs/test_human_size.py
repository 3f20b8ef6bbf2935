"""Sizes for tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from specs.sizes import human_size

GIB = 1 << 30


@pytest.mark.parametrize(
    ("size_bytes", "told"),
    [
        (0, "0 B"),
        (8 * GIB, "8 GiB"),
        (999 * GIB, "999 GiB"),
        (1000 * GIB, "1000 GiB"),
        (1536 * GIB, "1.5 TiB"),
    ],
)
def test_three_digits_or_the_whole_number(size_bytes, told):
    assert human_size(size_bytes) == told


@given(st.integers(0, 1 << 70))
def test_no_size_is_told_with_an_exponent(size_bytes):
    assert "e" not in human_size(size_bytes).split()[0]
