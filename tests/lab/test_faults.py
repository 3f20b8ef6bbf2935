"""Faults, lockouts, counters and cuts as values, without sockets."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.bmc.board import FaultBoard, FaultyChassis, FaultyCommands
from lab.bmc.completion import Completion
from lab.bmc.counters import Counters, Counts, from_blockstats
from lab.bmc.cutter import EDGE_IP, Progress, Segment, checksum, parse, probe, reset
from lab.bmc.lockout import Lockout
from lab.bmc.table import COMMANDS
from lab.definition import LockoutRule
from lab.errors import LabError
from lab.faults import KINDS, make

SEGMENT = Segment(bytes(6), bytes((10, 77, 1, 50)), 40000, 8080, 5, 1000, opening=False)


@pytest.mark.parametrize(
    ("kind", "given_options", "told"),
    [
        ("melted", {}, "no fault 'melted'"),
        ("bmc-slow", {}, "bmc-slow needs --delay"),
        ("bmc-slow", {"delay": "long"}, "could not convert"),
        ("disk-error", {"on": "trim"}, "one of: read, write"),
        ("link-down", {"disk": 1}, "link-down has no option disk"),
    ],
)
def test_what_is_wrong_with_a_fault_is_said(kind, given_options, told):
    with pytest.raises(LabError, match=told):
        make(kind, given_options)


def test_a_fault_crosses_the_control_socket_unchanged():
    for kind, shape in KINDS.items():
        needed = {option.name: {"power": "on", "on": "read"}.get(option.name, 7) for option in shape.options}
        fault = make(kind, {name: "lan" if name == "side" else value for name, value in needed.items()})

        assert make(fault.kind, fault.options) == fault


def test_sides_are_apart_and_delays_add_up():
    board = FaultBoard()
    board.add(make("bmc-silent", {"side": "inband"}))
    board.add(make("bmc-slow", {"delay": 1, "side": "both"}))
    board.add(make("bmc-slow", {"delay": 2}))

    assert (board.silent("lan"), board.silent("inband")) == (False, True)
    assert (board.delay_s("lan"), board.delay_s("inband")) == (3.0, 1.0)


def test_a_refused_command_is_refused_on_its_side_alone_and_needs_no_privilege(bench):
    board = FaultBoard()
    board.add(make("bmc-refuse", {"netfn": 6, "command": 1, "code": 0xC3}))
    answers = [
        bench.controller.handle(FaultyCommands(COMMANDS, board, side), 6, 1, b"", None)[0]
        for side in ("lan", "inband")
    ]

    assert answers == [0xC3, Completion.OK]


def test_a_lie_changes_what_is_told_and_stuck_what_is_done(bench):
    board = FaultBoard()
    chassis = FaultyChassis(bench.chassis, board)
    board.add(make("bmc-lie", {"power": "on"}))
    chassis.power(on=False)
    board.add(make("bmc-stuck", {}))
    chassis.power(on=True)

    assert chassis.is_on
    assert bench.chassis.asked == ["off"]


@given(st.lists(st.booleans(), max_size=40))
def test_only_failures_in_a_row_lock_and_time_unlocks(passwords_right):
    lockout, row = Lockout(LockoutRule(threshold=3, seconds=10)), 0
    for right in passwords_right:
        assert lockout.locked(2, 5.0) == (row >= 3)
        if row >= 3:
            break
        lockout.begun(2)
        if right:
            lockout.proven(2)
        row = 0 if right else row + 1
    lockout.locked(2, 5.0)

    assert not lockout.locked(2, 15.0)
    assert lockout.report(5.0).get(2, {}).get("lockouts", 0) == (row >= 3)


def test_without_a_rule_failures_are_counted_and_nothing_is_locked():
    lockout = Lockout()
    for _ in range(1000):
        lockout.begun(2)

    assert not lockout.locked(2, 0.0)
    assert lockout.report(0.0)[2]["failed"] == 1000


def test_a_restarted_bmc_does_not_count_its_running_machine_twice(tmp_path):
    path = tmp_path / "counters.json"
    first = Counters.load(path, 1)
    for qemu, written in (("a", 10), ("b", 5), ("b", 7)):
        first.running(qemu)
        first.sample({"disk0": Counts(bytes_written=written)})

    again = Counters.load(path, 1)
    again.running("b")
    again.sample({"disk0": Counts(bytes_written=8)})
    assert again.totals() == {"disk0": Counts(bytes_written=18)}
    again.running("c")
    assert Counters.load(path, 1).totals() == {"disk0": Counts(bytes_written=18)}


def test_block_statistics_of_both_kinds_of_disk_and_none_of_the_firmware():
    stats = {"wr_bytes": 1, "wr_operations": 2, "failed_wr_operations": 3}
    places = [
        "/machine/peripheral/disk0/virtio-backend",
        "/machine/peripheral/disk1",
        "/machine/system.flash1",
    ]

    found = from_blockstats([{"qdev": place, "stats": stats} for place in places])

    assert found == {name: Counts(1, 2, failed_writes=3) for name in ("disk0", "disk1")}


def frame(segment, *, payload=b"", flags=0x10):
    tcp = struct.pack(
        ">HHIIBBHHH", segment.port, segment.edge_port, 5, segment.acknowledged, 0x50, flags, 0, 0, 0
    )
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), 0, 0, 64, 6, 0) + segment.source + EDGE_IP
    return bytes(6) + segment.source_mac + b"\x08\x00" + ip + tcp + payload


@given(st.binary(max_size=200))
def test_any_frame_is_a_segment_or_nothing(data):
    parse(data)
    parse(frame(SEGMENT)[: len(data)] + data)


def test_a_reset_takes_the_place_of_the_machines_next_byte():
    seen = parse(frame(SEGMENT, payload=b"GET"))
    assert seen
    assert seen.sequence == 8

    cut = parse(reset(seen))

    assert cut
    assert (cut.port, cut.edge_port, cut.sequence, cut.source) == (40000, 8080, 8, SEGMENT.source)
    assert checksum(reset(seen)[14:34]) == b"\0\0"
    assert checksum(probe(seen)[14:34]) == b"\0\0"
    assert parse(probe(seen)) is None, "it goes to the machine"


def test_a_connection_is_cut_once_when_it_has_delivered_enough():
    progress = Progress(8080, 100)
    acknowledged = [2**32 - 50, 2**32 - 1, 49, 50, 51]
    due = [progress.due(Segment(b"", b"a", 1, 8080, 0, each, opening=False)) for each in acknowledged]

    assert due == [False, False, False, True, False]
    assert not progress.due(Segment(b"", b"a", 1, 80, 0, 2000, opening=False))


def test_a_new_connection_from_an_old_port_starts_from_zero():
    progress = Progress(8080, 100)
    rows = [(False, 0), (False, 200), (True, 0), (False, 1000), (False, 1050), (False, 1100)]
    due = [progress.due(Segment(b"", b"a", 1, 8080, 0, ack, opening=opening)) for opening, ack in rows]

    assert due == [False, True, False, False, False, True]


def test_every_fault_is_in_the_readme():
    text = Path("lab/README.md").read_text()

    assert [kind for kind in KINDS if f"`{kind}" not in text] == []
