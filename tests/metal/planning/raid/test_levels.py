"""Arithmetic of the levels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metal.planning.raid.levels import LEVELS, data_bytes, spans_of, why_impossible

TB = 10**12


@pytest.mark.parametrize(
    ("level", "count", "spans", "drives"),
    [
        ("raid0", 1, 1, 1),
        ("raid0", 4, 1, 4),
        ("raid1", 2, 1, 1),
        ("raid1e", 3, 1, 1.5),
        ("raid1adm", 3, 1, 1),
        ("raid5", 5, 1, 4),
        ("raid6", 6, 1, 4),
        ("raid10", 8, 1, 4),
        ("raid10adm", 9, 1, 3),
        ("raid50", 12, 2, 10),
        ("raid50", 9, 3, 6),
        ("raid60", 8, 2, 4),
    ],
)
def test_what_a_level_holds(level, count, spans, drives):
    assert spans_of(level, count) == spans
    assert data_bytes(level, count, TB, spans) == int(drives * TB)


@pytest.mark.parametrize(
    ("level", "count", "spans", "told"),
    [
        ("raid5", 2, None, "raid5 needs at least 3 drives, got 2"),
        ("raid10", 5, None, "raid10 needs a multiple of 2 drives, got 5"),
        ("raid10adm", 8, None, "raid10adm needs a multiple of 3 drives, got 8"),
        ("raid50", 7, None, "raid50 can't divide 7 drives into equal spans of at least 3"),
        ("raid60", 12, 6, "raid60 can't divide 12 drives into 6 spans of at least 4"),
        ("raid6", 8, 2, "raid6 can't divide 8 drives into 2 spans"),
    ],
)
def test_what_cannot_be(level, count, spans, told):
    assert why_impossible(level, count, spans) == told


def test_the_fewest_spans_are_taken_and_others_on_wish():
    assert spans_of("raid50", 12) == 2
    assert spans_of("raid50", 12, 4) == 4
    assert spans_of("raid50", 12, 5) is None


@given(st.sampled_from(sorted(LEVELS)), st.integers(1, 64), st.integers(1, 1 << 50))
def test_no_level_holds_more_than_its_drives_or_less_than_one_span(level, count, usable):
    if why_impossible(level, count) is None:
        spans = spans_of(level, count)
        assert spans is not None
        assert 0 < data_bytes(level, count, usable, spans) <= count * usable
