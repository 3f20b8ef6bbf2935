"""A machine's controllers in its folder: delivered, kept, shown; and the way from a tool to a disk."""

import asyncio
import functools
import re
import socket
import subprocess
from pathlib import Path

import pytest

from bootos import overlay_tree
from bootos.steps import BuildError
from lab.bmc.counters import Counters, Counts
from lab.bmc.raid import RaidBay
from lab.definition import parse
from lab.errors import LabError
from lab.machine import RAID_PORT, Machine
from lab.raid import guest
from lab.raid.cabinet import STATE, Cabinet
from lab.raid.families import FAMILIES
from lab.raid.guest import shim
from tests.lab.raid.racked import MACHINE, FakeQemu, beside, controller, controllers, drive, machine

MIRROR = {"name": "old", "level": "raid1", "slots": [1, 2], "content": "lvm"}


def ssa(*slots, **more):
    return controller("ssacli", *(drive(slot) for slot in slots), **more)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_is_delivered_with_its_old_volume_and_comes_back_as_it_was(tmp_path, family):
    given = controllers(
        controller(family, drive(1), drive(2), drive(3, foreign="elsewhere"), volumes=[MIRROR])
    )
    delivered = Cabinet.of(tmp_path, given)
    again = Cabinet.of(tmp_path, ())

    assert again == delivered
    assert [one.condition for one in again.controllers[0].drives][:2] == ["online", "online"]
    assert again.controllers[0].drives[2].foreign == "elsewhere"


def test_an_old_volume_carries_what_an_earlier_life_left_and_a_restart_keeps_what_was_written(tmp_path):
    given = controllers(ssa(1, 2, 3, volumes=[MIRROR]))
    (disk,) = Cabinet.of(tmp_path, given).shown()
    found = subprocess.run(
        ["/usr/sbin/blkid", "-p", "-o", "value", "-s", "TYPE", tmp_path / disk.file],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    with (tmp_path / disk.file).open("r+b") as stream:
        stream.write(b"written")

    again = Cabinet.of(tmp_path, given)
    again.make_images()

    assert found.stdout.strip() == "LVM2_member"
    assert again.shown() == (disk,)
    assert (tmp_path / disk.file).read_bytes()[:7] == b"written"


def test_a_volume_that_a_controller_would_refuse_is_a_finding():
    with pytest.raises(LabError, match=r"controllers\[0\]\.volumes: the controller refuses: drive-count"):
        controllers(ssa(1, 2, volumes=[{"name": "v", "level": "raid5", "slots": [1, 2]}]))
    with pytest.raises(LabError, match="disk serial RFD00001 is used twice"):
        controllers(ssa(1, 2), controller("storcli", drive(1)))
    with pytest.raises(LabError, match=r"expected at most 20 letters and digits, got 'a,b'"):
        controllers(ssa(1) | {"drives": [drive(1, serial="a,b")]})


def test_a_machine_without_controllers_is_as_it_was(tmp_path):
    plain = Machine(parse(MACHINE, "rack.yaml").machine("r1"), tmp_path)
    plain.prepare()

    assert not (tmp_path / STATE).exists()
    assert "virtserialport" not in " ".join(plain.command("tcg"))


def test_firmware_starts_from_a_volume_and_a_snapshot_finds_it_at_its_target(tmp_path):
    racked = Machine(machine(ssa(1, 2, 3, 4, volumes=[MIRROR])), tmp_path)
    racked.prepare()
    (disk,) = racked.raid_disks()
    cold = [word for word in racked.command("tcg", boot_first="pxe") if disk.name in word]

    assert racked.boot_ids("pxe") == ["nic0", disk.name]
    assert '"scsi-id": 0' in cold[-1]
    assert '"bootindex": 2' in cold[-1]


def bay(folder, *given, qemu):
    return RaidBay(Machine(machine(*given), folder), qemu.execute, qemu.reordered, lambda _: None)


def running(test):
    """A test that is a coroutine, in a loop of its own."""

    @functools.wraps(test)
    def run(**given):
        asyncio.run(test(**given))

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_guest(sock, name, words, stdin=None):
    """The shim's side of the port, in a thread as it would be in another machine."""
    saved, shim.sys.argv = shim.sys.argv, [f"/usr/sbin/{name}", *words]
    try:
        return shim.ask(sock.fileno(), stdin)
    finally:
        shim.sys.argv = saved


async def spoken(one, *calls, before=b""):
    """Calls of the shim over the port of a bay that serves."""
    server = await one.serve()
    with socket.socket(socket.AF_UNIX) as port:
        port.connect(RAID_PORT)
        port.sendall(before)
        answers = [await asyncio.to_thread(in_guest, port, *call) for call in calls]
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
    server.close()
    await server.wait_closed()
    (Path() / RAID_PORT).unlink()
    return answers


CREATE = ("ssacli", ["ctrl", "slot=0", "create", "type=ld", "drives=1I:1:3,1I:1:4", "raid=1", "forced"])
DELETE = ("ssacli", ["ctrl", "slot=0", "ld", "1", "delete", "forced"])


@running
async def test_a_tool_makes_and_deletes_real_disks(folder):
    qemu = FakeQemu()
    one = bay(folder, ssa(1, 2, 3, 4, volumes=[MIRROR]), qemu=qemu)
    await one.show()
    (old,) = qemu.devices
    made, gone, shown = await spoken(one, CREATE, DELETE, ("ssacli", ["ctrl", "slot=0", "ld", "2", "show"]))

    assert [made["status"], gone["status"]] == [0, 0]
    (new,) = qemu.devices.values()
    assert new["id"] != old
    unique = re.search(r"Unique Identifier: (\w+)", str(shown["stdout"]))
    assert unique is not None
    assert unique[1].lower() == new["serial"]
    assert set(qemu.nodes) == {new["drive"], new["drive"].replace("-raw", "-file")}
    assert [path.name for path in folder.glob("raid-v*.raw")] == [f"raid-{new['id'][5:]}.raw"]
    assert qemu.refused == []


@running
async def test_what_died_between_an_answer_and_its_disks_is_made_up_for(folder):
    qemu = FakeQemu()
    given = ssa(1, 2, 3, 4, volumes=[MIRROR])
    await bay(folder, given, qemu=qemu).show()
    for call in (CREATE, DELETE):
        assert Cabinet.of(folder, ()).call([call[0], *call[1]], None).status == 0

    await bay(folder, given, qemu=qemu).show()

    (disk,) = Cabinet.of(folder, ()).shown()
    assert list(qemu.devices) == [disk.name]
    assert (folder / disk.file).stat().st_size == disk.plug.size_bytes
    assert qemu.refused == []


@running
async def test_a_request_that_was_cut_off_and_an_answer_of_another_call_are_passed_over(folder):
    one = bay(folder, ssa(1, 2), qemu=FakeQemu())
    cut = b'{"id": "1", "argv": ["ssacli", "ver'
    foreign = b'\n{"id": "2", "argv": ["ssacli", "version"], "stdin": null}\n{"id": '

    (answer,) = await spoken(one, ("ssacli", ["ctrl", "all", "show"]), before=cut + foreign)

    assert "Smart Array" in str(answer["stdout"])


@running
async def test_a_tool_that_asks_says_so_and_changes_nothing(folder):
    qemu = FakeQemu()
    one = bay(folder, ssa(1, 2, volumes=[MIRROR]), qemu=qemu)
    await one.show()
    words = ["ctrl", "slot=0", "ld", "1", "delete"]

    asked, answered = await spoken(one, ("ssacli", words), ("ssacli", words, "y\n"))

    assert asked["asks"] is True
    assert answered["asks"] is False
    assert qemu.devices == {}


@running
async def test_the_volume_that_the_controller_starts_from_is_the_first_disk(folder):
    given = ssa(1, 2, 3, 4, volumes=[MIRROR])
    qemu = FakeQemu()
    choose = ("ssacli", ["ctrl", "slot=0", "ld", "2", "modify", "bootvolume=primary"])

    await spoken(bay(folder, given, qemu=qemu), CREATE, choose)

    racked = Machine(machine(given), folder)
    made = Cabinet.of(folder, ()).controllers[0].volumes[1]
    assert racked.boot_ids() == [f"disk-v{made.wwn}", "nic0"]
    assert qemu.reorders == 2
    assert set(racked.bootable()) == {*qemu.devices, "nic0"}


@running
async def test_a_machine_without_a_controller_is_told_so_by_its_tools(folder):
    plain = Machine(beside(ssa(1, 2, 3, 4, volumes=[MIRROR])), folder)
    one = RaidBay(plain, FakeQemu().execute, FakeQemu().reordered, lambda _: None)
    (answer,) = await spoken(one, ("ssacli", ["ctrl", "all", "show", "config", "detail"]))

    assert "name=rack.raid" in " ".join(plain.command("tcg"))
    assert "Error: No controllers detected." in str(answer["stdout"])
    assert answer["status"] == 1


def test_a_rack_without_controllers_answers_no_tools(tmp_path):
    assert "rack.raid" not in " ".join(Machine(machine(), tmp_path).command("tcg"))


@running
async def test_a_drive_that_dies_and_its_replacement_are_what_the_tool_shows(folder):
    qemu = FakeQemu()
    one = bay(folder, ssa(1, 2, volumes=[MIRROR]), qemu=qemu)
    await one.fail("1:2", gone=False)
    (failed,) = await spoken(one, ("ssacli", ["ctrl", "slot=0", "pd", "all", "show"]))
    await one.replace("RFD00002", "RFNEW1")
    cabinet = Cabinet.of(folder, ())
    building = [drive.condition for drive in cabinet.controllers[0].drives]
    cabinet.tick(lambda: cabinet.ticked_at + 30)

    assert "1I:1:2" in str(failed["stdout"])
    assert "Failed" in str(failed["stdout"])
    assert building == ["online", "rebuilding"]
    assert [(drive.serial, drive.condition) for drive in cabinet.controllers[0].drives] == [
        ("RFD00001", "online"),
        ("RFNEW1", "online"),
    ]
    with pytest.raises(LabError, match=r"0 drives are '9'"):
        await one.fail("9", gone=False)


def test_the_builder_of_real_boot_systems_refuses_the_shim(tmp_path):
    vendor = tmp_path / "vendor"
    (vendor / "tree/usr/sbin").mkdir(parents=True)
    for place in ("ssacli", "tree/usr/sbin/ssacli"):
        target = vendor / place
        target.write_bytes(guest.SHIM.read_bytes())
        with pytest.raises(BuildError, match="emulated tool of the virtual rack"):
            overlay_tree.assemble(tmp_path / "root", vendor)
        target.unlink()
    overlay_tree.assemble(tmp_path / "root", vendor)


def test_a_racks_boot_system_comes_with_the_tools_asked_for_and_without_them_again(tmp_path):
    boot = tmp_path / "boot"
    (boot / "bootos").mkdir(parents=True)
    current = boot / "bootos" / "current.json"
    current.write_text('{"kernel": "k", "initrds": ["base.img", "overlay.cpio"]}')

    guest.install(boot, ["ssacli", "sas3ircu"])
    guest.install(boot, ["ssacli"])
    archive = (boot / guest.INITRD).read_bytes()
    first = current.read_text()
    guest.install(boot, [])

    assert b"overlay/usr/sbin/hpssacli\0" in archive
    assert b"sas3ircu" not in archive.replace(guest.SHIM.read_bytes(), b"")
    assert first.count(guest.INITRD) == 1
    assert "lab-raid" not in current.read_text()
    assert not (boot / guest.INITRD).exists()


def test_what_was_written_to_a_volume_that_is_gone_still_counts(tmp_path):
    counters = Counters.load(tmp_path / "counters.json", 0)
    counters.running("q1")
    counters.sample({"disk-v1": Counts(bytes_written=10, writes=2)})
    counters.sample({"disk-v2": Counts(bytes_written=5, writes=1)})
    counters.sample({"disk-v1": Counts(bytes_written=1, writes=1), "disk-v2": Counts(5, 1)})

    totals = Counters.load(tmp_path / "counters.json", 0).totals()

    assert (totals["disk-v1"].bytes_written, totals["disk-v2"].bytes_written) == (11, 5)
