"""Every fuzz target over its seeds, over made-up bytes, and over seeds with a few octets changed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import targets
from tests.fuzz.seeds import seeds

ALL = sorted(targets.TARGETS)
CHANGES = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8)


@pytest.mark.parametrize("name", ALL)
def test_seeds(name):
    assert seeds(name)
    for data in seeds(name):
        targets.TARGETS[name](data)


@pytest.mark.parametrize("name", ALL)
@given(data=st.binary(max_size=600))
@settings(deadline=None)
def test_any_bytes(name, data):
    targets.TARGETS[name](data)


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
@settings(deadline=None, max_examples=200)
def test_changed_seeds(name, data):
    changed = bytearray(data.draw(st.sampled_from(seeds(name))))
    for at, value in data.draw(CHANGES):
        changed[at % len(changed)] = value
    targets.TARGETS[name](
        bytes(changed[: data.draw(st.integers(0, 1500))] if data.draw(st.booleans()) else changed)
    )
