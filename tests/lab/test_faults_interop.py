"""Each fault as its victim sees it: ipmitool, the in-band wire, iPXE, QEMU's block layer, curl."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import time

import pytest

from lab.faults import make
from lab.network import EDGE_ADDRESS
from lab.qmp import QmpClient, QmpError

pytestmark = pytest.mark.interop

LOCKOUT = {"threshold": 3, "seconds": 600}
MACHINE = {
    "memory_mib": 256,
    # iPXE's driver of this card tells the link's state.
    "nics": [{"model": "e1000e", "mac": "52:54:00:77:01:00", "network": "prov"}],
    "disks": [{"bus": "virtio", "size": "64MiB", "serial": "RF-M1-D0"}],
    "bmc": {
        "factory_user": "ADMIN",
        "factory_password": "factory-M1",
        "mac": "02:bc:00:00:01:01",
        "lockout": LOCKOUT,
    },
}
NO_SESSION = "Unable to establish IPMI v2 / RMCP+ session"


@pytest.fixture
def fault(rack):
    """Break something; all of it is mended after the test, and the machine is off."""
    yield lambda kind, **options: rack.fault("m1", make(kind, options))
    rack.mend("m1")
    rack.button("m1", "off")


def status(rack):
    return rack.status().machines[0]


def eventually(what, deadline_s=20):
    ends_at = time.monotonic() + deadline_s
    while not (found := what()):
        assert time.monotonic() < ends_at, what
    return found


def qmp(machine, command, **arguments):
    """One command on the machine's second QMP socket."""

    async def ask():
        directory = os.open(machine.directory, os.O_PATH)
        client = QmpClient(lambda _event: None, lambda: None)
        try:
            await client.connect(f"/proc/self/fd/{directory}/{machine.qmp.name}", timeout_s=10)
            return await client.execute(command, **arguments)
        finally:
            await client.close()
            os.close(directory)

    return asyncio.run(ask())


def disk_io(machine, words):
    """A request as the disk's device would make it, to its end: on a loaded machine that takes a while."""
    disk = "/machine/peripheral/disk0/virtio-backend"
    for line in (words, "aio_flush"):
        qmp(machine, "human-monitor-command", **{"command-line": f'qemu-io -d {disk} "{line}"'})


def answers_a_ping(rack, user):
    """RMCP presence ping (IPMI 2.0 section 13.2.3) from the edge's network."""
    script = f"""
import socket
bmc = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
bmc.settimeout(1)
bmc.sendto(bytes.fromhex("0600ff06000011be80000000"), ({user.address!r}, 623))
try:
    bmc.recv(64)
except TimeoutError:
    raise SystemExit(1)
"""
    return subprocess.run(rack.command([sys.executable, "-c", script]), check=False).returncode == 0


def shuts_itself_down(rack):
    """The guest's own ACPI power-off: S5 into PM1a_CNT, which the firmware has put at 0x604."""
    with contextlib.suppress(QmpError):
        qmp(rack.machine("m1"), "human-monitor-command", **{"command-line": "o /w 0x604 0x2000"})
    return status(rack).power == "off"


def test_a_silent_bmc_answers_nobody_until_it_is_mended(rack, fault, user, ipmitool):
    fault("bmc-silent")

    assert status(rack).faults == ("bmc-silent side=lan",)
    assert not answers_a_ping(rack, user)
    rack.mend("m1", "bmc-silent")
    assert ipmitool("power", "status").returncode == 0
    assert status(rack).faults == ()


def test_the_machine_and_the_lan_are_deaf_apart(fault, ipmitool, in_band):
    fault("bmc-silent", side="lan")

    assert in_band.ask(0x06, 0x01)


def test_a_fault_with_a_time_ends_by_itself(rack, fault, ipmitool):
    fault("bmc-silent", **{"for": 0.5})

    eventually(lambda: ipmitool("power", "status", wait_s=1).returncode == 0)
    assert status(rack).faults == ()


def test_a_slow_bmc_answers_late(fault, ipmitool):
    fault("bmc-slow", delay=0.3)

    began = time.monotonic()
    done = ipmitool("power", "status")

    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began > 1.5  # five messages at the least


@pytest.mark.parametrize(("code", "told"), [(0xC0, "Node busy"), (0xD5, "Command not supported in present")])
def test_a_command_is_refused_with_the_code_asked_for(fault, ipmitool, code, told):
    fault("bmc-refuse", netfn="0x00", command="0x01", code=code)

    assert told in ipmitool("power", "status").stderr
    assert ipmitool("mc", "guid").returncode == 0


def test_a_password_can_be_refused_in_band(fault, in_band):
    fault("bmc-refuse", netfn=6, command=0x47, side="inband")

    assert in_band.request(0x06, 0x47, 0x83, 2, *b"x".ljust(20, b"\0")) == b"\xc0"
    assert in_band.ask(0x06, 0x01)


def test_a_lying_bmc_tells_another_power_state(rack, fault, ipmitool):
    fault("bmc-lie", power="on")

    assert ipmitool("power", "status").stdout == "Chassis Power is on\n"
    assert status(rack).power == "off"


def test_a_stuck_bmc_says_yes_and_does_nothing(rack, fault, ipmitool):
    fault("bmc-stuck")

    assert ipmitool("power", "on").returncode == 0
    assert ipmitool("power", "status").stdout == "Chassis Power is off\n"
    assert status(rack).power == "off"


def test_a_bmc_reset_mutes_it_for_a_while(fault, ipmitool, rack):
    fault("bmc-reset", mute=4)

    log = rack.machine("m1").directory / "bmc.log"
    eventually(lambda: "controller reset" in log.read_text())
    began = time.monotonic()
    done = ipmitool("power", "status", tries=5, wait_s=1)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began > 1


@pytest.fixture
def victim(in_band):
    """An account that nobody else needs, in slot 4."""
    in_band.ask(0x06, 0x45, 4, *b"victim".ljust(16, b"\0"))
    in_band.ask(0x06, 0x47, 0x84, 2, *b"right".ljust(20, b"\0"))
    in_band.ask(0x06, 0x43, 0xB1, 4, 4)
    in_band.ask(0x06, 0x47, 4, 1)
    return "victim"


def test_an_account_is_locked_after_failed_logins_in_a_row(rack, user, victim, ipmitool):
    def login(password):
        return ipmitool("power", "status", user=victim, password=password).returncode == 0

    def slot():
        return status(rack).accounts["4"]

    assert not any(login("wrong") for _ in range(2))
    assert slot()["in_a_row"] == 2
    assert login("right")
    assert slot()["in_a_row"] == 0
    assert not any(login("wrong") for _ in range(LOCKOUT["threshold"]))

    assert slot()["lockouts"] == 1
    assert 0 < slot()["locked_for_s"] <= LOCKOUT["seconds"]
    assert not login("right")
    assert (slot()["logins"], slot()["failed"]) == (1, 5)
    assert ipmitool("power", "status").returncode == 0, "the other account is not locked"


class TestPower:
    """These run QEMU with firmware alone."""

    @pytest.mark.parametrize(
        ("policy", "before", "after"),
        [
            ("always-off", "on", "off"),
            ("previous", "on", "on"),
            ("previous", "off", "off"),
            ("always-on", "off", "on"),
        ],
    )
    def test_after_a_power_cut_the_chassis_policy_decides(
        self, rack, fault, user, ipmitool, policy, before, after
    ):
        assert ipmitool("chassis", "policy", policy).returncode == 0
        rack.button("m1", before)

        fault("power-cut", **{"back-after": 600})

        assert status(rack).power == "off"
        rack.button("m1", "on")
        assert status(rack).power == "off", "there is no power to switch on"
        rack.mend("m1", "power-cut")
        assert not status(rack).faults
        eventually(lambda: status(rack).power == after)

    def test_power_returns_by_itself_after_the_time_that_was_given(self, rack, fault, user, ipmitool):
        assert ipmitool("chassis", "policy", "always-on").returncode == 0
        fault("power-cut", **{"back-after": 0.5})

        eventually(lambda: status(rack).power == "on")
        assert not status(rack).faults

    def test_a_cut_that_is_over_at_once_leaves_the_machine_to_its_bmc(self, rack, fault, ipmitool):
        rack.button("m1", "on")

        fault("power-cut")

        assert (status(rack).power, status(rack).faults) == ("off", ())
        assert ipmitool("power", "on").returncode == 0
        eventually(lambda: status(rack).power == "on")

    def test_a_cut_may_take_the_bmc_too(self, rack, fault, user, ipmitool):
        assert ipmitool("chassis", "policy", "always-off").returncode == 0
        fault("power-cut", bmc=True)

        assert not answers_a_ping(rack, user)
        rack.mend("m1")
        assert ipmitool("power", "status").stdout == "Chassis Power is off\n"

    def test_a_pulled_cable_is_seen_by_the_card(self, rack, fault):
        log = rack.machine("m1").serial_log
        fault("link-down")
        rack.button("m1", "on")

        eventually(lambda: re.search(r"Waiting for link-up on net0\.+", log.read_text(errors="replace")), 60)
        told = log.stat().st_size
        rack.mend("m1")
        eventually(lambda: "ok" in log.read_bytes()[told:].decode(errors="replace"), 60)

    def test_a_disk_fails_writes_but_not_reads_and_the_counters_tell(self, rack, fault):
        rack.button("m1", "on")
        machine = rack.machine("m1")
        before = rack.counters("m1")["disk0"]
        fault("disk-error", on="write")

        disk_io(machine, "aio_write -P 1 4096 512")
        disk_io(machine, "aio_read 4096 512")
        refused = rack.counters("m1")["disk0"] - before
        rack.mend("m1")
        disk_io(machine, "aio_write -P 1 4096 512")
        granted = rack.counters("m1")["disk0"] - before

        assert (refused.bytes_written, refused.failed_writes) == (0, 1)
        assert (granted.bytes_written, granted.failed_writes) == (512, 1)
        assert machine.disk(0).read_bytes()[4096:4608] == b"\x01" * 512

    def test_an_error_once_is_over_after_one_request_and_stands_over_a_power_cycle(self, rack, fault):
        machine = rack.machine("m1")
        fault("disk-error", on="write", once=True)
        rack.button("m1", "on")
        before = rack.counters("m1")["disk0"]

        for _ in range(2):
            disk_io(machine, "aio_write -P 2 8192 512")

        after = rack.counters("m1")["disk0"] - before
        assert (after.writes, after.failed_writes) == (1, 1)

    def test_written_bytes_are_summed_over_every_end_of_qemu(self, rack, fault):
        machine = rack.machine("m1")
        before = rack.counters("m1")["disk0"]
        for end in ("cut", "guest's shutdown"):
            rack.button("m1", "on")
            disk_io(machine, "aio_write -P 3 0 65536")
            if end == "cut":
                rack.button("m1", "off")
            else:
                eventually(lambda: shuts_itself_down(rack))

        assert (rack.counters("m1")["disk0"] - before).bytes_written == 2 * 65536

    def test_http_is_cut_in_mid_file_and_only_as_often_as_asked(self, rack, fault, tmp_path):
        size = 64 << 20
        (tmp_path / "file").touch()
        os.truncate(tmp_path / "file", size)
        rewire_first_card(rack)
        serve = [sys.executable, "-m", "http.server", "8080", "--bind", EDGE_ADDRESS, "-d", str(tmp_path)]
        argv = ["curl", "--silent", "--show-error", "--max-time", "60", "-o", str(tmp_path / "got")]
        argv += ["--retry", "40", "--retry-delay", "1", "--retry-connrefused"]
        # At this rate the BMC, which counts and cuts, may be late by seconds.
        slowly = ["--limit-rate", "8M"]

        def get(*options):
            url = f"http://{EDGE_ADDRESS}:8080/file"
            command = rack.command([*argv, *options, url], ns="client")
            return subprocess.run(command, capture_output=True, text=True, check=False)

        with subprocess.Popen(
            rack.command(serve), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as server:
            whole = get()
            fault("http-cut", after=1 << 20)
            cut = get(*slowly)
            got = (tmp_path / "got").stat().st_size
            again = get()
            server.terminate()

        assert whole.returncode == 0, whole.stderr
        assert cut.returncode == 56, cut.stderr  # connection reset by peer
        assert 1 << 20 <= got < size
        assert again.returncode == 0, again.stderr
        assert status(rack).faults == ()


def rewire_first_card(rack):
    """Put a client of the host's kernel in the place of the machine's first card."""
    for words in (
        "netns add client",
        "-n sw link del m1n0",
        "-n sw link add m1n0 type veth peer name eth0 netns client",
        "-n sw link set m1n0 master br-prov up",
        "-n client link set eth0 up",
        "-n client addr add 10.77.1.77/24 dev eth0",
    ):
        subprocess.run(rack.command(["ip", *words.split()], ns="-"), check=True)
