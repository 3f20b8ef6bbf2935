"""Every fuzz target over its seeds, over made-up bytes, and over seeds with a few octets changed."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe_edge.policy import replies, transfer
from pxe_edge.wire import dhcp, tftp
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


def elsewhere(*args):
    return replies.Target(IPv4Address("192.0.2.7"), 68, "unicast")


def uncounted(transfer_, data):
    transfer_.sent = transfer_.last
    return True


PLANTED = {
    "answers that go anywhere": ("dhcp-answer", replies, "target_of", elsewhere),
    "options that are lost": ("dhcp-codec", dhcp, "decode", lambda data, read=dhcp.decode: lossy(read(data))),
    "a window without end": ("tftp-transfer", transfer.Transfer, "receive", uncounted),
    "an error that has no name": ("tftp-request", tftp, "_pairs", lambda strings: {}[strings[0]]),
}


def lossy(packet):
    """The packet without its last option, another one at each reading."""
    return replace(packet, options=dict(list(packet.options.items())[:-1]))


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_fault_is_found_by_the_seeds(planted, monkeypatch):
    name, where, what, fault = PLANTED[planted]
    monkeypatch.setattr(where, what, fault)

    with pytest.raises((AssertionError, KeyError)):
        run_all(name)


def run_all(name):
    """A target over its seeds."""
    for data in seeds(name):
        targets.TARGETS[name](data)
