"""One reading of a host: whichever system is up, and what could not be known."""

import pytest

from metal.engine.claim import Claim
from metal.engine.connect import Openers, Sessions, running_os
from metal.engine.observe import observe
from metal.engine.steps import Surroundings
from metal.engine.verify import verify
from metal.errors import Refused, Unreachable
from metal.testing.fake_shell import FakeShell
from specs.facts import BmcFacts, Hardware, Nic, Observation

CLAIM = Claim("web-01", 7, "run-1", 4)


def look(rig, **more):
    return observe(rig.edge, "web-01", CLAIM, around=rig.around, **more)


def installed(rig) -> None:
    """The deployed system is up; its machine answers as a running one."""
    up = rig.edge.record.boot.model_copy(update={"kind": "os", "address": "10.77.1.21"})
    rig.edge.record = rig.edge.record.model_copy(
        update={"boot": None, "os": up, "installed": {"ssh_host_key": "ssh-ed25519 AAAAinstaller"}}
    )
    rig.machine.guest["live"] = {"hostname": "debian", "kernel": "6.1", "boot_id": "b", "bonds": {}}


def answering(rig, by: dict[str, object]) -> Surroundings:
    """Surroundings in which only the systems named can be reached."""

    def ssh(at, _key):
        answer = by.get(at.where, Unreachable("no route"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    sessions = Sessions(Openers(ssh=ssh, ipmi=rig.bmc.log_in))
    return Surroundings(sessions, rig.around.memory, rig.around.clock, rig.around.sleep)


def test_the_boot_os_shows_hardware_and_says_that_no_system_runs(rig):
    rig.machine.files["/proc/cmdline"] = b"quiet BOOTIF=01-52-54-00-77-02-00 console=ttyS0"
    seen = look(rig)
    assert (seen.seen_from, seen.system) == ("boot-os", None)
    assert [disk.serial for disk in seen.hardware.disks] == ["RF-D0", "RF-D1"]
    assert "boot OS is up" in seen.unknown["system"]
    assert (seen.bmc.power, seen.bmc.address) == ("on", "10.77.9.50")
    assert rig.edge.put["observation"] == (seen, 4)
    assert rig.machine.sent == []
    assert rig.bmc.sent == []


def test_the_running_system_shows_itself_and_secrets_only_as_yes_or_no(rig):
    installed(rig)
    seen = look(rig)
    assert (seen.seen_from, seen.system.hostname) == ("running-os", "debian")
    assert "hunter2" not in seen.model_dump_json()


def test_what_only_the_boot_os_can_read_is_kept_and_disks_are_not(rig):
    nic = Nic(name="eth0", mac="52:54:00:77:02:00", booted=True)
    last = Hardware(
        serial="RF-M2-0001", memory_bytes=1 << 30, bmc=BmcFacts(mac="02:bc:00:00:00:01"), nics=(nic,)
    )
    before = Observation(at=rig.edge.now, seen_from="boot-os", hardware=last)
    installed(rig)
    rig.edge.record = rig.edge.record.model_copy(update={"observation": before})
    rig.machine.disks.clear()
    seen = look(rig)
    assert (seen.hardware.serial, seen.hardware.bmc.mac) == ("RF-M2-0001", "02:bc:00:00:00:01")
    assert "hardware.serial" not in seen.unknown
    assert seen.hardware.disks == ()


@pytest.mark.parametrize(("shown", "tpm"), [("none", "2.0"), ("1", "1.2")])
def test_a_system_without_the_driver_of_the_tpm_does_not_say_that_there_is_none(shown, tpm, rig):
    before = Observation(at=rig.edge.now, seen_from="boot-os", hardware=Hardware(tpm="2.0"))
    installed(rig)
    rig.edge.record = rig.edge.record.model_copy(update={"observation": before})
    rig.machine.platform = f"arch=x86_64\nfirmware=bios\ntpm={shown}\n"
    assert look(rig).hardware.tpm == tpm


def test_a_boot_os_that_is_gone_leaves_the_deployed_system_to_try(rig):
    boot = rig.edge.record.boot
    installed(rig)
    rig.edge.record = rig.edge.record.model_copy(update={"boot": boot})
    around = answering(rig, {"running-os": rig.machine})
    assert observe(rig.edge, "web-01", around=around).seen_from == "running-os"
    other_key = answering(rig, {"boot-os": Refused("another host key"), "running-os": rig.machine})
    assert observe(rig.edge, "web-01", around=other_key).seen_from == "running-os"


def test_a_silent_machine_is_seen_from_its_bmc_and_without_one_not_at_all(rig):
    around = answering(rig, {})
    rig.bmc.state = "off"
    seen = observe(rig.edge, "web-01", around=around)
    assert (seen.seen_from, seen.hardware, seen.bmc.power) == ("bmc", None, "off")
    assert "no route" in seen.unknown["hardware"]
    rig.bmc.passwords.clear()
    with pytest.raises(Unreachable):
        observe(rig.edge, "web-01", around=around)


def test_a_deployed_system_is_known_by_the_installers_key_only(rig):
    installed(rig)
    assert running_os(rig.edge.record).host_key == "ssh-ed25519 AAAAinstaller"
    assert running_os(rig.edge.record).user == "rackflow"


def test_a_shell_is_kept_until_the_machine_reports_anew(rig):
    opened = []

    def ssh(at, _key):
        opened.append(at)
        return FakeShell()

    sessions = Sessions(Openers(ssh=ssh, ipmi=rig.bmc.log_in))
    at = running_os(rig.edge.record.model_copy(update={"os": rig.edge.record.boot}))
    assert sessions.shell(rig.edge, at) is sessions.shell(rig.edge, at)
    sessions.drop("h1")
    sessions.shell(rig.edge, at)
    assert len(opened) == 2


def test_verification_names_what_is_not_as_the_spec_asks(rig):
    installed(rig)
    with pytest.raises(Refused, match="hostname") as caught:
        verify(rig.edge, CLAIM, around=rig.around)
    assert caught.value.reason == "verify-failed"
