"""The rack's namespaces and one BMC, driven by clients that are not ours: ipmitool and pyghmi."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import enter
from lab.processes import ProcessRecord
from tests.free_port import free_port

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("suite", [3, 17])
def test_ipmitool_logs_in_with_the_user_made_in_band(user, ipmitool, suite):
    done = ipmitool("power", "status", suite=suite)

    assert done.stdout == "Chassis Power is off\n", done.stderr


@pytest.mark.parametrize(
    ("who", "password"), [("rackflow", "wrong"), ("nobody", None), ("rackflow", "factory-M1")]
)
def test_ipmitool_is_refused_with_wrong_credentials(user, ipmitool, who, password):
    done = ipmitool("power", "status", user=who, password=password)

    assert done.returncode == 1
    assert "Unable to establish IPMI v2 / RMCP+ session" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("chassis", "bootdev", "pxe", "options=efiboot"), "Set Boot Device to pxe"),
        (("chassis", "bootparam", "get", "5"), "a004000000"),
        (("sol", "info", "1"), "Enabled                         : true"),
        (("lan", "print", "1"), "02:bc:00:00:01:01"),
        (("channel", "getciphers", "ipmi"), "17   N/A     hmac_sha256"),
        (("fru", "print", "0"), "RF-M1-0001"),
        (("mc", "guid"), "7f3c1a52-6b0e-4d7a-9c11-0a5d31c0de01"),
        (("raw", "6", "0x59", "0", "0xc0", "0", "0"), "11 70 72 6f 6f 66"),
        (("user", "list", "1"), "rackflow         true    true       true       ADMINISTRATOR"),
        (("sdr", "list"), "CPU1 Temp        | 42 degrees C"),
        (("sel", "info"), "Entries          : 0"),
    ],
)
def test_ipmitool_understands(user, ipmitool, words, expected):
    done = ipmitool(*words)

    assert expected in done.stdout, done.stderr


def test_pyghmi_agrees(rack, user):
    script = f"""
import json
from pyghmi.ipmi import command
bmc = command.Command(bmc={user.address!r}, userid={user.name!r}, password={user.password!r}, keepalive=False)
bmc.set_bootdev("hd", persist=True, uefiboot=True)
print(json.dumps([bmc.get_power(), bmc.get_bootdev(), bmc.get_net_configuration()["mac_address"]]))
"""
    done = subprocess.run(
        rack.command([sys.executable, "-c", script]), capture_output=True, text=True, timeout=60, check=False
    )

    assert json.loads(done.stdout) == [
        {"powerstate": "off"},
        {"bootdev": "hd", "persistent": True, "uefimode": True},
        "02:bc:00:00:01:01",
    ], done.stderr


def test_the_bmc_network_is_reached_through_the_router(rack, user):
    route = subprocess.run(
        rack.command(["ip", "route", "get", user.address]), capture_output=True, text=True, check=True
    )

    assert "via 10.77.1.1 dev prov0" in route.stdout


def test_exit_code_and_signals_pass_through(rack):
    assert subprocess.run(rack.command(["sh", "-c", "exit 7"]), check=False).returncode == 7
    script = "trap 'echo stopped; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(rack.command(["sh", "-c", script]), stdout=subprocess.PIPE, text=True) as inside:
        assert inside.stdout
        assert inside.stdout.readline() == "ready\n"
        inside.send_signal(signal.SIGTERM)
        assert inside.stdout.readline() == "stopped\n"
        assert inside.wait(timeout=10) == 3


def test_up_mends_a_dead_bmc_and_else_does_nothing(rack, user, ipmitool):
    definition = rack.definition_path
    assert not rack.up(definition)
    record = ProcessRecord.load(rack.directory / "run" / "bmc-m1.json")
    assert record
    os.kill(record.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while record.alive():
        assert time.monotonic() < deadline

    assert rack.up(definition)

    assert rack.status().machines[0].bmc_address == user.address
    assert ipmitool("power", "status").returncode == 0


def test_the_relay_reaches_inside_and_ends_with_the_rack(rack, tmp_path):
    (tmp_path / "page").write_text("from inside")
    serve = [sys.executable, "-m", "http.server", "8099", "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    port = free_port()
    relay = [sys.executable, "-m", "lab", "relay", "--dir", str(rack.directory)]
    relay += ["--listen", f"127.0.0.1:{port}", "--to", "127.0.0.1:8099"]
    with (
        subprocess.Popen(rack.command(serve), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as inside,
        subprocess.Popen(
            relay, stdout=subprocess.PIPE, text=True, cwd=Path(enter.__file__).parents[1]
        ) as outside,
    ):
        assert outside.stdout
        assert "relaying" in outside.stdout.readline()
        fetch = ["curl", "--silent", "--fail", "--retry", "20", "--retry-delay", "1", "--retry-all-errors"]
        page = subprocess.run(
            [*fetch, f"http://127.0.0.1:{port}/page"], capture_output=True, text=True, timeout=60, check=False
        )
        assert page.stdout == "from inside"
        rack.down()
        assert outside.wait(timeout=10) == 0
        assert inside.wait(timeout=10) != 0
    assert rack.status().up is False
    assert rack.down() is False


def test_what_a_guest_flushed_survives_a_power_cut(tmp_path):
    """qemu-io writes through QEMU's block layer with the machines' cache mode, flushes, and kills itself."""
    disk = tmp_path / "disk.raw"
    disk.touch()
    os.truncate(disk, 1 << 20)
    steps = ["write -P 0xab 4096 8192", "flush", "sigraise 9"]
    argv = [
        "qemu-io",
        "-f",
        "raw",
        "-t",
        "unsafe",
        *(word for step in steps for word in ("-c", step)),
        str(disk),
    ]

    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)

    assert done.returncode == -signal.SIGKILL
    assert disk.read_bytes()[4096:12288] == b"\xab" * 8192
