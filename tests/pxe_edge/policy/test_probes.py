"""What is known of addresses that were asked for on the link."""

from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.policy.probes import FRESH_S, MAX_KEPT, PROXY_ANSWERS, REPEAT_S, WAIT_S, Probes

ADDRESS = 0x0A4D0010
MAC, ROUTER = b"\x52\x54\0\0\0\x01", b"\x52\x54\0\0\0\xfe"


def test_an_address_is_clear_once_nobody_answered_in_time_and_for_a_while() -> None:
    probes = Probes()
    assert not probes.is_clear(ADDRESS, 100.0)
    probes.sent(ADDRESS, 100.0)
    assert not probes.is_clear(ADDRESS, 100.0 + WAIT_S / 2)
    assert probes.is_clear(ADDRESS, 100.0 + WAIT_S)
    assert not probes.is_clear(ADDRESS, 100.0 + FRESH_S)


def test_who_answers_has_it_until_it_is_asked_for_again() -> None:
    probes = Probes()
    probes.sent(ADDRESS, 100.0)
    assert probes.heard(ADDRESS, MAC)
    assert probes.holder(ADDRESS) == MAC
    assert not probes.is_clear(ADDRESS, 101.0)
    probes.sent(ADDRESS, 200.0)
    assert probes.holder(ADDRESS) is None
    assert probes.is_clear(ADDRESS, 201.0)


def test_an_answer_that_nobody_asked_for_is_nothing() -> None:
    probes = Probes()
    assert not probes.heard(ADDRESS, MAC)
    assert probes.holder(ADDRESS) is None


def test_due_are_those_not_asked_for_lately() -> None:
    probes = Probes()
    probes.sent(ADDRESS, 100.0)
    assert probes.due([ADDRESS, ADDRESS + 1], 101.0) == [ADDRESS + 1]
    assert probes.due([ADDRESS], 100.0 + REPEAT_S) == [ADDRESS]


def test_who_answers_for_every_address_is_a_proxy_and_counts_no_more() -> None:
    probes = Probes()
    for number in range(PROXY_ANSWERS + 2):
        probes.sent(ADDRESS + number, 100.0)
        believed = probes.heard(ADDRESS + number, ROUTER)
        assert believed == (number < PROXY_ANSWERS)
    assert probes.is_proxy(ROUTER)
    assert all(probes.is_clear(ADDRESS + number, 101.0) for number in range(PROXY_ANSWERS + 2))
    assert probes.heard(ADDRESS, MAC)
    assert probes.holder(ADDRESS) == MAC


def test_one_that_answers_again_for_its_own_address_is_no_proxy() -> None:
    probes = Probes()
    for number in range(3 * PROXY_ANSWERS):
        probes.sent(ADDRESS, 100.0 * number)
        assert probes.heard(ADDRESS, MAC)
    assert not probes.is_proxy(MAC)


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(min_size=6, max_size=6))))
def test_nothing_grows_with_what_is_heard(heard: list[tuple[int, bytes]]) -> None:
    probes = Probes()
    for address, mac in heard:
        probes.heard(address, mac)
    assert (len(probes._holders), len(probes._answers)) == (0, 0)


def test_no_more_is_kept_than_allowed() -> None:
    probes = Probes()
    for number in range(MAX_KEPT + 10):
        probes.sent(number, 100.0)
        probes.heard(number, number.to_bytes(6, "big"))
    assert len(probes._sent) == len(probes._holders) == len(probes._answers) == MAX_KEPT
    assert not probes.is_clear(0, 101.0)
