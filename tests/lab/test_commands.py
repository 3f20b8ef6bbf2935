"""One state behind both sides: what is set in band is what the LAN says, and what is saved."""

import pytest

from lab.bmc.completion import Completion
from lab.bmc.state import BmcState, StateFile, from_json, to_json


def test_an_address_set_in_band_is_read_back_saved_and_applied(bench):
    bench.in_band(0x0C, 0x01, 1, 3, 10, 77, 9, 11)
    bench.in_band(0x0C, 0x01, 1, 6, 255, 255, 255, 0)

    assert bench.in_band(0x0C, 0x02, 1, 3, 0, 0) == (Completion.OK, bytes((0x11, 10, 77, 9, 11)))
    assert str(bench.controller.state.lan.interface) == "10.77.9.11/24"
    assert bench.lan_port.changes == 2
    assert len(bench.saves) == 2


def test_the_factory_has_no_address(bench):
    assert bench.controller.state.lan.interface is None
    assert bench.in_band(0x0C, 0x02, 1, 3, 0, 0) == (Completion.OK, b"\x11\x00\x00\x00\x00")


def test_an_address_from_dhcp_is_read_only(bench):
    bench.in_band(0x0C, 0x01, 1, 4, 2)

    assert bench.in_band(0x0C, 0x01, 1, 3, 10, 77, 9, 11)[0] == Completion.PARAMETER_READ_ONLY


def test_boot_flags_are_kept_with_every_bit(bench):
    bench.in_band(0x00, 0x08, 5, 0xE0, 0x08, 0, 0, 0)

    assert bench.in_band(0x00, 0x09, 5, 0, 0) == (Completion.OK, b"\x01\x05\xe0\x08\x00\x00\x00")
    assert bench.chassis.asked == ["boot order"]
    assert bench.controller.state.boot_flags == "e008000000"


@pytest.mark.parametrize("operation", [2, 3, 4, 5])
def test_a_machine_that_is_off_can_only_be_switched_on(bench, operation):
    assert bench.in_band(0x00, 0x02, operation)[0] == Completion.NOT_IN_THIS_STATE
    assert bench.chassis.asked == []


def test_a_proof_value_goes_around(bench, console_on):
    bench.in_band(0x06, 0x58, 0xC0, *b"3f9a")
    console = console_on(bench)
    console.login("ADMIN", "factory-M1")

    assert console.ask(0x06, 0x59, 0, 0xC0, 0, 0) == (0, b"\x11" + b"3f9a")


def test_a_system_name_goes_around_in_blocks(bench):
    bench.in_band(0x06, 0x58, 2, 0, 0, 5, *b"web-1".ljust(14, b"\0"))

    expected = b"\x11\x00\x00\x05" + b"web-1".ljust(14, b"\0")
    assert bench.in_band(0x06, 0x59, 0, 2, 0, 0) == (Completion.OK, expected)


def test_a_name_belongs_to_one_slot(bench):
    assert bench.in_band(0x06, 0x45, 3, *b"ADMIN".ljust(16, b"\0"))[0] == Completion.INVALID_FIELD


def test_a_password_is_tested_whole(bench):
    bench.in_band(0x06, 0x47, 0x83, 2, *b"exactly-20-bytes-ab.")

    assert bench.in_band(0x06, 0x47, 0x83, 3, *b"exactly-20-bytes-ab.")[0] == Completion.OK
    assert bench.in_band(0x06, 0x47, 0x03, 3, *b"exactly-20-bytes")[0] == Completion.PASSWORD_WRONG


def test_looking_at_a_slot_does_not_make_a_user(bench):
    bench.in_band(0x06, 0x46, 7)
    bench.in_band(0x06, 0x44, 1, 7)

    assert list(bench.controller.state.users) == [2]


def test_events_are_numbered_listed_and_cleared(bench):
    event = (0, 0, 2, 0, 0, 0, 0, 0x20, 0, 4, 1, 1, 0x6F, 1, 2, 3)
    assert bench.in_band(0x0A, 0x44, *event) == (Completion.OK, b"\x01\x00")
    assert bench.in_band(0x0A, 0x44, *event) == (Completion.OK, b"\x02\x00")

    entry = bench.in_band(0x0A, 0x43, 0, 0, 0, 0, 0, 0xFF)[1]

    assert entry[:2] == b"\x02\x00"
    assert entry[2:9] == b"\x01\x00\x02" + (1000).to_bytes(4, "little")
    bench.in_band(0x0A, 0x47, 1, 0, *b"CLR", 0xAA)
    assert bench.in_band(0x0A, 0x43, 0, 0, 0, 0, 0, 0xFF)[0] == Completion.NOT_PRESENT


def test_the_console_has_one_holder(bench, console_on):
    first, second = console_on(bench), console_on(bench)
    first.login("ADMIN", "factory-M1")
    second.login("ADMIN", "factory-M1")

    assert first.ask(0x06, 0x48, 1, 1, 0, 0, 0, 0)[0] == 0
    assert second.ask(0x06, 0x48, 1, 1, 0, 0, 0, 0)[0] == 0x80
    assert second.ask(0x06, 0x49, 1, 1, 0, 0, 0, 0)[0] == 0
    assert second.ask(0x06, 0x48, 1, 1, 0, 0, 0, 0)[0] == 0


def test_state_survives_its_file_and_only_the_owner_reads_it(bench, tmp_path):
    for change in [(0x06, 0x47, 2, 0), (0x0C, 0x01, 1, 3, 10, 0, 0, 1), (0x06, 0x58, 0xC0, 1, 2)]:
        bench.in_band(*change)
    file = StateFile(tmp_path / "bmc.json", lambda: BmcState.factory("ADMIN", "x"))

    file.save(bench.controller.state)

    assert file.load() == bench.controller.state
    assert (tmp_path / "bmc.json").stat().st_mode & 0o777 == 0o600
    assert file.reset() == BmcState.factory("ADMIN", "x")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"users": {"2": {"nme": "x"}}, "lan": {}}'])
def test_a_damaged_state_file_is_said_to_be_one(text):
    with pytest.raises(ValueError):
        from_json(text)


def test_factory_state_round_trip():
    state = BmcState.factory("ADMIN", "x")

    assert from_json(to_json(state)) == state
