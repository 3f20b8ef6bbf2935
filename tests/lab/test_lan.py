"""The LAN side against a console written from the specification, and against bytes that mean nothing."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.bmc import rmcp


@pytest.mark.parametrize("suite", [3, 17])
def test_right_password_opens_a_session_that_answers(bench, console_on, suite):
    console = console_on(bench, suite=suite)

    assert console.login("ADMIN", "factory-M1") == 0
    assert console.bmc_is_right
    assert console.ask(0x00, 0x01) == (0, bytes((1 << 5, 0, 0x40)))


@pytest.mark.parametrize(
    ("user", "password", "role", "status"),
    [
        ("ADMIN", "factory-m1", 4, 0x0F),
        ("ADMIN", "", 4, 0x0F),
        ("nobody", "factory-M1", 4, 0x0D),
        ("", "", 4, 0x0D),
    ],
)
def test_wrong_credentials_open_nothing(bench, console_on, user, password, role, status):
    console = console_on(bench)

    assert console.login(user, password, role=role) == status
    assert bench.controller.sessions == {}


def test_an_operator_may_not_log_in_as_administrator_nor_rise_above_operator(bench, console_on):
    bench.in_band(0x06, 0x45, 3, *b"op".ljust(16, b"\0"))
    bench.in_band(0x06, 0x47, 0x83, 2, *b"secret".ljust(20, b"\0"))
    bench.in_band(0x06, 0x43, 0xB1, 3, 3)
    bench.in_band(0x06, 0x47, 3, 1)

    assert console_on(bench).login("op", "secret", role=4) == 0x09
    console = console_on(bench)
    assert console.login("op", "secret", role=3) == 0
    assert console.ask(0x06, 0x3B, 4)[0] == 0x81
    assert console.ask(0x06, 0x47, 2, 0)[0] == 0xD4
    assert console.ask(0x06, 0x3B, 3) == (0, b"\x03")
    assert console.ask(0x00, 0x02, 1)[0] == 0
    assert bench.chassis.asked == ["on"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param((0x06, 0x47, 2, 0), id="disabled"),
        pytest.param((0x06, 0x43, 0xA1, 2, 4), id="no IPMI messaging"),
        pytest.param((0x06, 0x43, 0xB1, 2, 15), id="no privilege"),
    ],
)
def test_a_user_without_access_is_unknown_on_the_lan(bench, console_on, change):
    bench.in_band(*change)

    assert console_on(bench).login("ADMIN", "factory-M1") == 0x0D


def test_a_closed_channel_is_silent(bench):
    bench.in_band(0x06, 0x40, 1, 0x40, 0)

    bench.lan.receive(rmcp.plain(0x10, bytes(32)), ("192.0.2.1", 1))

    assert bench.sent == []


def test_a_retransmitted_command_is_answered_twice_and_done_once(bench, console_on):
    console = console_on(bench)
    console.login("ADMIN", "factory-M1")
    console.ask(0x06, 0x3B, 4)
    datagram = console.datagram(0x00, 0x02, 1)

    bench.ask(datagram)
    bench.ask(datagram)

    assert bench.chassis.asked == ["on"]


def test_a_changed_bit_anywhere_in_a_sealed_command_is_noticed(bench, console_on):
    console = console_on(bench)
    console.login("ADMIN", "factory-M1")
    good = console.datagram(0x06, 0x01)

    for index in range(4, len(good)):
        bench.sent.clear()
        bench.lan.receive(good[:index] + bytes((good[index] ^ 1,)) + good[index + 1 :], ("192.0.2.1", 1))
        assert bench.sent == [], f"byte {index}"


def test_seventeenth_session_is_refused_until_an_old_one_times_out(bench, console_on):
    assert [console_on(bench).open() for _ in range(16)] == [0] * 16
    assert console_on(bench).open() == 0x01

    bench.controller.clock = lambda: 1061.0

    assert console_on(bench).open() == 0


def test_sessionless_commands_are_only_the_three_that_may_be(bench):
    message = bytes((0x20, 0x18, 0xC8, 0x81, 0x04))
    for command, answers in ((0x38, 1), (0x54, 1), (0x01, 0), (0x47, 0)):
        body = message[3:] + bytes((command, 0x0E, 0x04, 0x80))
        bench.sent.clear()
        bench.lan.receive(rmcp.plain(0, message[:3] + body + bytes((-sum(body) & 0xFF,))), ("192.0.2.1", 1))
        assert len(bench.sent) == answers, hex(command)


def test_presence_ping_gets_a_pong_with_its_tag(bench):
    answer = bench.ask(b"\x06\x00\xff\x06\x00\x00\x11\xbe\x80\x2a\x00\x00")

    assert answer[8:10] == b"\x40\x2a"
    assert answer[20] == 0x81


HEADS = st.sampled_from(
    [
        b"",
        b"\x06\x00\xff\x07",
        b"\x06\x00\xff\x07\x06",
        b"\x06\x00\xff\x06\x00\x00\x11\xbe\x80",
        b"\x06\x00\xff\x07\x00",
    ]
    + [b"\x06\x00\xff\x07\x06" + bytes((kind,)) for kind in (0x00, 0x10, 0x12, 0x14, 0xC0, 0xC1)]
)


@given(datagrams=st.lists(st.tuples(HEADS, st.binary(max_size=80)), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_datagram_harms(make_bench, console_on, datagrams):
    bench = make_bench()
    for head, rest in datagrams:
        bench.lan.receive(head + rest, ("192.0.2.1", 1))

    assert console_on(bench).login("ADMIN", "factory-M1") == 0


@given(kind=st.sampled_from([0x10, 0x12, 0x14, 0x00]), payload=st.binary(max_size=64))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_well_framed_payload_harms(make_bench, console_on, kind, payload):
    bench = make_bench()
    half_open = console_on(bench)
    half_open.open()
    number = half_open.session_id.to_bytes(4, "little")
    bench.lan.receive(rmcp.plain(kind, payload), ("192.0.2.1", 1))
    bench.lan.receive(rmcp.plain(kind, payload[:4].ljust(4, b"\0") + number + payload[4:]), ("192.0.2.1", 1))

    assert console_on(bench).login("ADMIN", "factory-M1") == 0


@given(netfn=st.integers(0, 63), command=st.integers(0, 255), data=st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=400)
def test_no_command_harms(make_bench, netfn, command, data):
    bench = make_bench()

    completion, answer = bench.in_band(netfn, command, *data)

    assert 0 <= int(completion) <= 0xFF
    assert isinstance(answer, bytes)
