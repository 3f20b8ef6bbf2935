"""From power-on to the declared OS, once per firmware, as seen by ssh, ipmitool and the serial console."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.demo import CLONE, OPS_PASSWORD, Machine
from lab.site import Site, eventually
from tests.rack.secret_scan import Scan

pytestmark = [pytest.mark.rack, pytest.mark.chosen, pytest.mark.timeout(1800)]


def test_a_bios_machine_becomes_what_its_spec_declares(site: Site, installed: dict[str, Machine]) -> None:
    """A virtio disk, grown root, extra file system, active-backup bond of two links."""
    machine = installed["db-01"]
    assert machine.record is not None

    bond = site.ssh("10.77.1.22", "cat /proc/net/bonding/bond0")
    disks = site.ssh("10.77.1.22", "lsblk -bnro MOUNTPOINT,SIZE,FSTYPE /dev/vda")

    assert "fault-tolerance (active-backup)" in bond
    assert len(re.findall("^Slave Interface:", bond, re.MULTILINE)) == 2
    assert f"/ {3 << 30}" in disks
    assert re.search(r"^/srv/db \d+ ext4", disks, re.MULTILINE)
    assert site.ssh("10.77.1.22", "hostname").strip() == "db-01"
    assert {c.type: c.status for c in machine.record.conditions}["BmcVerified"] == "True"


def test_a_uefi_machine_gets_its_root_on_a_mirror(site: Site, installed: dict[str, Machine]) -> None:
    """Root on md RAID1 of two SATA disks, by the array's own partition and never by a member's."""
    assert installed["web-01"].done

    root = site.ssh("10.77.1.21", "realpath $(findmnt -no SOURCE /)").strip()
    mdstat = site.ssh("10.77.1.21", "cat /proc/mdstat")

    assert re.fullmatch(r"/dev/md\d+p1", root)
    assert re.search(r"active raid1 sd[ab]\[\d\] sd[ab]\[\d\]", mdstat)
    assert "super 1.0" in mdstat
    assert site.ssh("10.77.1.21", "cat /etc/motd") == "web-01, installed by rackflow.\n"
    assert "data" in site.ssh("10.77.1.21", "findmnt -no TARGET /data")
    assert site.ssh("10.77.1.21", "test -d /sys/firmware/efi && echo uefi") == "uefi\n"


@pytest.mark.parametrize("host", ["db-01", "web-01"])
def test_a_second_apply_writes_nothing(site: Site, installed: dict[str, Machine], host: str) -> None:
    row = site.apply(host)

    assert (row["result"], row["changes"], row["writes"]) == ("in-sync", 0, 0)
    assert site.json("plan", host)["hosts"][0]["in_sync"] is True


def test_writes_are_counted(site: Site, installed: dict[str, Machine]) -> None:
    """Drift made by hand is repaired and counted: the zero above means something."""
    site.ssh("10.77.1.22", "echo drifted | sudo tee /etc/motd; sudo hostnamectl set-hostname drifted")

    row = site.apply("db-01")

    assert row["result"] == "applied"
    assert row["changes"] == 2
    assert row["writes"] >= 2
    assert site.ssh("10.77.1.22", "cat /etc/motd; hostname") == "db-01, installed by rackflow.\ndb-01\n"
    assert site.apply("db-01")["writes"] == 0


def test_ipmitool_logs_in_and_powers_the_machine(site: Site, installed: dict[str, Machine]) -> None:
    assert site.ipmitool("db-01", "power", "status") == "Chassis Power is on"

    site.ipmitool("db-01", "power", "off")
    eventually("off", lambda: site.ipmitool("db-01", "power", "status") == "Chassis Power is off", 60)
    shown = site.rackflow("power", "status", "db-01")
    site.rackflow("power", "on", "db-01")

    assert "off" in shown
    eventually("ssh after power on", lambda: site.ssh("10.77.1.22", "hostname") == "db-01\n", 300)


def test_the_password_logs_in_on_the_released_serial_console(
    site: Site, installed: dict[str, Machine], tmp_path: Path
) -> None:
    site.rackflow("console", "web-01", "--release")
    account = next(c for c in site.json("credentials", "web-01") if c["state"] == "current")
    argv = [sys.executable, "-m", "lab", "exec", "--ns", "edge", "--", "ipmitool", "-I", "lanplus"]
    secret = tmp_path / "bmc-password"
    secret.touch(0o600)
    secret.write_text(account["password"])
    argv += ["-H", account["address"], "-U", account["user"], "-f", str(secret), "sol", "activate"]
    master, slave = pty.openpty()
    client = eventually("session free", lambda: activate(argv, site, master, slave), 90)
    try:
        talk(master, b"\r", b"login: ")
        talk(master, b"ops\r", b"Password: ")
        talk(master, OPS_PASSWORD.encode() + b"\r", b"ops@web-01")
        said = talk(master, b"id -un; echo is-$(id -u)\r", b"is-1000")
        os.write(master, b"exit\r~.")
    finally:
        client.kill()
        client.wait()

    assert b"ops" in said


def activate(argv: list[str], site: Site, master: int, slave: int) -> subprocess.Popen[bytes] | None:
    """A SOL client that is connected, None while the session is not free yet."""
    client = subprocess.Popen(
        argv, cwd=CLONE, env=site.demo.environment, stdin=slave, stdout=slave, stderr=slave
    )
    said = read_until(master, (b"operational", b"already active", b"Error"), 10)
    if b"operational" in said:
        return client
    client.kill()
    client.wait()
    return None


def talk(master: int, send: bytes, until: bytes) -> bytes:
    """Type, and read until the answer is there."""
    os.write(master, send)
    said = read_until(master, (until,), 60)
    assert until in said, said[-300:]
    return said


def read_until(master: int, words: tuple[bytes, ...], deadline_s: float) -> bytes:
    """What the console says until one of the words."""
    said = b""
    ends_at = time.monotonic() + deadline_s
    while time.monotonic() < ends_at and not any(word in said for word in words):
        if select.select([master], [], [], 0.2)[0]:
            said += os.read(master, 65536)
    return said


def test_the_run_shows_plan_and_serial_log(site: Site, installed: dict[str, Machine]) -> None:
    """What an operator looks at: artifacts of the run, asked of Prefect itself."""
    keys = {artifact["key"] for artifact in site.prefect("/artifacts/latest/filter")}

    assert {"plan-db-01", "plan-web-01", "hardware-db-01", "hardware-web-01"} <= keys
    assert {"serial-db-01", "serial-web-01"} <= keys
    names = {run["name"] for run in site.prefect("/flow_runs/filter")}
    assert {"discover db-01", "discover web-01", "reconcile db-01", "reconcile web-01"} <= names


def test_no_secret_is_seen_anywhere_in_a_whole_life(
    site: Site, installed: dict[str, Machine], whole_life: Scan
) -> None:
    """Sampled from the power button on: logs, databases, process lists, kernel command lines, here and there.

    That the scan finds what is there is shown by tests/rack/test_secret_scan.py.
    """
    report = whole_life.finish()

    assert report.clean, report.text()
