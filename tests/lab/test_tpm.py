"""A machine's TPM: asked for in the rack file, a program beside QEMU, a memory in the machine's folder."""

import socket
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lab import tpm
from lab.definition import DEFAULT_RACK, load, parse
from lab.errors import LabError
from lab.machine import Machine, needs
from lab.processes import ProcessRecord, end, start_ticks
from lab.snapshots import NOT_OF_A_MACHINE

M1 = load(DEFAULT_RACK).machine("m1")


def test_a_machine_has_one_only_if_the_rack_file_says_so(tmp_path: Path) -> None:
    raw = yaml.safe_load(DEFAULT_RACK.read_text())
    raw["machines"][0]["tpm"] = True
    m1, m2 = parse(yaml.safe_dump(raw), "rack.yaml").machines

    assert (m1.tpm, m2.tpm) == (True, False)
    assert "tpm-tis,tpmdev=tpm0" in Machine(m1, tmp_path).command("tcg")
    assert not any("tpm" in word for word in Machine(m2, tmp_path).command("tcg"))
    assert "swtpm" in {need.package for need in needs([m1])}
    assert "swtpm" not in {need.package for need in needs([m2])}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One that has a TPM, with its folder as the BMC sees it: short names, for a socket's path is short."""
    if not tpm.program().exists():
        pytest.skip("scripts/setup has not unpacked swtpm")
    monkeypatch.chdir(tmp_path)
    return Machine(replace(M1, tpm=True), Path())


def test_it_listens_and_ends_with_its_machine_and_remembers(machine: Machine) -> None:
    for _ in range(2):
        tpm.start(machine.directory)
        record = ProcessRecord.load(machine.directory / tpm.RECORD)
        assert record is not None
        with socket.socket(socket.AF_UNIX) as port:
            port.connect(str(machine.directory / tpm.SOCKET))
        assert record.alive()
        tpm.start(machine.directory)
        assert start_ticks(record.pid) is None
    last = ProcessRecord.load(machine.directory / tpm.RECORD)
    assert last is not None
    end(last, grace_s=2)
    (machine.directory / tpm.STATE / "remembered").touch()
    assert tpm.RECORD.endswith(NOT_OF_A_MACHINE)
    assert not tpm.STATE.endswith(NOT_OF_A_MACHINE)

    machine.blank()

    assert not (machine.directory / tpm.STATE).exists()


def test_a_new_one_bears_as_many_power_cuts_as_one_on_a_mainboard(machine: Machine) -> None:
    tpm.start(machine.directory)
    listening = ProcessRecord.load(machine.directory / tpm.RECORD)
    assert listening is not None
    end(listening, grace_s=2)
    server = ("--server", f"type=unixio,path={machine.directory / 'asked'}")
    made = tpm._spawn(machine.directory, "asked", *server, "--flags", "not-need-init,startup-clear")

    with socket.socket(socket.AF_UNIX) as port:
        port.connect(str(machine.directory / "asked"))
        # TPM2_GetCapability: three properties, TPM_PT_MAX_AUTH_FAIL first.
        port.sendall(struct.pack(">HIIIII", 0x8001, 22, 0x17A, 6, 0x20F, 3))
        answer = port.recv(4096)
    end(made, grace_s=2)

    assert struct.unpack(">6I", answer[-24:])[1::2] == tpm.TRIES


def test_one_that_does_not_start_is_told_with_its_log(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tpm, "program", lambda: Path("/bin/false"))
    with pytest.raises(LabError, match=r"did not start") as error:
        tpm.start(machine.directory)
    assert "swtpm.log" in error.value.hint
