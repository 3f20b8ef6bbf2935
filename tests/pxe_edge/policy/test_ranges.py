"""What is left of a pool: every number that is in it and not barred, and no other."""

from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.policy.ranges import without

ENDS = st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], sum(pair)))


def numbers(ranges):
    return [number for first, last in ranges for number in range(first, last + 1)]


@given(st.lists(ENDS, max_size=5), st.lists(ENDS, max_size=6))
def test_what_is_left_is_what_nobody_barred_once_and_in_order(pool, barred):
    left = without(pool, barred)

    assert numbers(left) == sorted(set(numbers(pool)) - set(numbers(barred)))


def test_the_size_of_a_range_costs_nothing():
    assert without([(0, 1 << 120)], [(5, 1 << 119)]) == [(0, 4), ((1 << 119) + 1, 1 << 120)]
