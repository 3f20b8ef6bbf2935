"""What is above a disk goes before it is erased: from the top, and only where it reaches no other disk."""

from pathlib import Path

import pytest

from bootos import rf_release
from bootos.rf_records import System
from bootos.rf_release import release
from bootos.rf_target import WriteError


class Machine:
    """Block devices in a folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.count = root, 0
        self.system = System(sys=str(root / "sys"), udev=str(root / "udev"), proc=str(root / "proc"))
        for name in ("sys/block", "sys/dev/block", "udev", "proc/self"):
            (root / name).mkdir(parents=True)
        self.ran: list[str] = []

    def device(self, name: str, serial: str = "", *, below: tuple[str, ...] = (), dm: str = "") -> None:
        folder = self.root / "sys/block" / name
        folder.mkdir()
        self._number(folder)
        (folder / "holders").mkdir()
        (folder / "slaves").mkdir()
        if serial:
            (folder / "serial").write_text(f"{serial}\n")
        if dm:
            (folder / "dm").mkdir()
            (folder / "dm/name").write_text(f"{dm}\n")
        for one in below:
            (folder / "slaves" / one).mkdir()
            (self.folder(one) / "holders" / name).mkdir()

    def part(self, disk: str, name: str) -> None:
        folder = self.root / "sys/block" / disk / name
        folder.mkdir()
        self._number(folder)
        (folder / "partition").write_text("1\n")
        (folder / "holders").mkdir()

    def _number(self, folder: Path) -> None:
        self.count += 1
        (folder / "dev").write_text(f"8:{self.count}\n")
        (self.root / "sys/dev/block" / f"8:{self.count}").symlink_to(folder)

    def folder(self, name: str) -> Path:
        return next(one for one in self.root.glob(f"sys/block/**/{name}") if (one / "dev").exists())

    def mount(self, name: str, place: str) -> None:
        number = (self.folder(name) / "dev").read_text().strip()
        with (self.root / "proc/self/mountinfo").open("a") as stream:
            stream.write(f"30 1 {number} / {place} rw - ext4 /dev/{name} rw\n")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Two disks with an array over a partition of each, a volume on the array, and a disk beside."""
    made = Machine(tmp_path)
    for name, serial in (("sda", "AAA1"), ("sdb", "BBB2"), ("sdc", "CCC3")):
        made.device(name, serial)
    made.part("sda", "sda1")
    made.part("sdb", "sdb1")
    made.device("md127", below=("sda1", "sdb1"))
    made.device("dm-0", below=("md127",), dm="old-root")
    made.mount("dm-0", "/mnt/old")
    monkeypatch.setattr(rf_release, "_run_tool", lambda argv: made.ran.append(" ".join(argv)))
    return made


def test_mount_volume_and_array_go_from_the_top(machine: Machine) -> None:
    done = release(machine.system, "AAA1", ["AAA1", "BBB2"])
    assert machine.ran == ["umount /mnt/old", "dmsetup remove --retry old-root", "mdadm --stop /dev/md127"]
    assert done == ["/mnt/old unmounted", "dm-0 (old-root) taken down", "md127 taken down"]


def test_what_also_lies_on_a_disk_that_stays_is_left_and_named(machine: Machine) -> None:
    with pytest.raises(
        WriteError, match=r"dm-0 \(old-root\) lies on sda, and also on sdb, .*nothing was"
    ) as caught:
        release(machine.system, "AAA1", ["AAA1", "CCC3"])
    assert (caught.value.code, machine.ran) == (65, [])


def test_a_volume_over_two_disks_and_an_array_goes_once_before_what_it_lies_on(machine: Machine) -> None:
    machine.device("dm-1", below=("md127", "sdc"), dm="big")
    release(machine.system, "CCC3", ["AAA1", "BBB2", "CCC3"])
    assert machine.ran == ["dmsetup remove --retry big"], "what does not hold this disk stays"
    machine.ran.clear()
    release(machine.system, "BBB2", ["AAA1", "BBB2", "CCC3"])
    assert machine.ran[-1] == "mdadm --stop /dev/md127"
    assert sorted(machine.ran[:-1]) == [
        "dmsetup remove --retry big", "dmsetup remove --retry old-root", "umount /mnt/old",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("holder", "identity", "says"),
    [("bcache0", "CCC3", "nobody knows how to take bcache0 down"), ("", "ZZZ9", "0 devices are ZZZ9")],
)
def test_what_is_not_understood_is_left(machine: Machine, holder: str, identity: str, says: str) -> None:
    if holder:
        machine.device(holder, below=("sdc",))
    with pytest.raises(WriteError, match=says):
        release(machine.system, identity, ["AAA1", "BBB2", "CCC3"])
    assert machine.ran == []


def test_a_disk_that_nothing_holds_needs_nothing(machine: Machine) -> None:
    assert release(machine.system, "CCC3", ["CCC3"]) == []
    assert machine.ran == []
