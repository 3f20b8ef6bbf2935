"""Machines with emulated RAID controllers: from dirty drives to the declared volumes, and on through a life.

Each machine of lab/racks/raid.yaml is switched on with old volumes, another controller's configuration and
old LVM, md or ZFS signatures on what it shows; one has plain disks for kernel arrays. What volumes there are
is asked of the controllers' state in the rack's folder, which rackflow does not write, or of the kernel.
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import demo as lab_demo
from lab.demo import CLONE, Demo
from lab.raid import guest
from lab.raid.cabinet import Cabinet
from lab.raid.families import FAMILIES
from lab.site import Site, eventually, management_key
from specs.records import JobRecord

pytestmark = [pytest.mark.rack, pytest.mark.timeout(3000)]

RACK = CLONE / "lab" / "racks" / "raid.yaml"
DISK_KEY = "disk-key-9f41c07a66d25be8"
ARRAY = re.compile(r"^(md\d+) : active (?:\(\S+\) )?(raid\d+) (.*)$", re.MULTILINE)
Rule = dict[str, Any]
LUKS: Rule = {"key": {"secret": "disk-key"}}
GROUP: Rule = {
    "name": "data",
    "logicalVolumes": [
        {"name": "data", "size": "2GiB", "filesystem": "xfs", "mount": "/data"},
        {"name": "vault", "size": "rest", "filesystem": "ext4", "mount": "/vault", "luks": LUKS},
    ],
}
"""On the array that changes: one volume open, one encrypted."""


@dataclass(frozen=True)
class Case:
    """A machine: where its mirror's drives are, which of them fails and how that is told, what comes after.

    `more` is a further volume, of kernel arrays, which changes in place of the root's mirror; a volume group
    lies on it, with an encrypted volume. `tool` comes with the system too, so that a controller is seen from
    there.
    """

    machine: str
    mac: str
    address: str
    mirror: Rule
    fault: tuple[str, ...]
    told: tuple[str, ...]
    tool: str | None
    ten: Rule | None
    """The drives of the RAID 10 that comes after; None where the family has none."""
    more: Rule | None = None

    @property
    def host(self) -> str:
        """The host's name."""
        return f"raid-{self.machine}"

    def volumes(self, level: str) -> list[Rule]:
        """What the spec says of volumes, with this level for the one that changes."""
        changed = self.ten if level == "raid10" else self.more or self.mirror
        volume = {"level": level, "drives": changed}
        if self.more is None:
            return [{"name": "system", **volume}]
        return [{"name": "system", "level": "raid1", "drives": self.mirror}, {"name": "data", **volume}]


CASES = {
    "ssacli": Case(
        "rs", "52:54:00:77:21:00", "10.77.1.31", {"slots": ["1I:1:1", "1I:1:3"], "count": 2},
        ("drive-failed", "--slot", "RFRS03"), ("RFRS03", "1I:1:3"), "ssacli", {"count": 4},
    ),
    "storcli": Case(
        "rm", "52:54:00:77:22:00", "10.77.1.32", {"slots": ["252:0", "252:2"], "count": 2},
        ("drive-failed", "--slot", "RFRM03"), ("RFRM03", "252:2"), "storcli64", {"count": 4},
    ),
    "sas3ircu": Case(
        "ri", "52:54:00:77:23:00", "10.77.1.33", {"slots": ["1:0", "1:1"], "count": 2},
        ("drive-failed", "--slot", "RFRI02"), ("RFRI02", "1:1"), "sas3ircu", {"count": 4},
    ),
    "mvcli": Case(
        "rv", "52:54:00:77:24:00", "10.77.1.34", {"count": 2},
        ("drive-failed", "--slot", "RFRV02"), ("RFRV02", "slot 1"), "mvcli", None,
    ),
    "mdadm": Case(
        "rd", "52:54:00:77:25:00", "10.77.1.35", {"serials": ["RFRD01", "RFRD02"], "count": 2},
        ("disk-error", "--disk", "1", "--on", "write"), ("RFRD02", "ata-2"), None,
        {"serials": ["RFRD03", "RFRD04", "RFRD05", "RFRD06"], "count": 4},
        more={"serials": ["RFRD03", "RFRD04"], "count": 2},
    ),
}  # fmt: skip


def spec(case: Case, level: str, **lifecycle: Any) -> str:
    """The host's spec."""
    route = {"to": "default", "via": "10.77.1.1"}
    link = {"match": {"macaddress": case.mac}, "addresses": [f"{case.address}/24"], "routes": [route]}
    root = [{"name": "root", "size": "3GiB", "filesystem": "ext4", "mount": "/"}]
    rest = {"name": "data", "size": "rest", "filesystem": "ext4", "mount": "/data"}
    disks = [{"device": "root", "partitions": root if case.more else [*root, rest]}]
    if case.more:
        grouped = {"name": "pv0", "size": "rest", "lvm": {"vg": GROUP["name"]}}
        disks.append({"device": {"raid": "data"}, "partitions": [grouped]})
    shim = {"path": f"/usr/sbin/{case.tool}", "content": guest.SHIM.read_text(), "mode": "0755"}
    return yaml.safe_dump(
        {
            "apiVersion": "rackflow/v1",
            "kind": "Host",
            "metadata": {"name": case.host},
            "extends": ["demo"],
            "match": {"serial": f"RF-{case.machine.upper()}-0001"},
            "firmware": {"bootMode": "bios"},
            "raid": case.volumes(level),
            "rootDevice": {"raid": "system"},
            "disks": disks,
            "volumeGroups": [GROUP] if case.more else [],
            "network": {"ethernets": {"nic0": link}},
            "files": [shim] if case.tool else [],
            "lifecycle": lifecycle,
        },
        sort_keys=False,
    )


@pytest.fixture(scope="module")
def raid_site(alone: Callable[[], Demo], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose rack has RAID controllers, and whose boot OS has their emulated tools; machines off."""
    demo = alone()
    image = lab_demo.build(demo)
    boot = demo.data / "boot"
    guest.install(boot, FAMILIES)
    lab_demo.forget(demo)
    demo.python("-m", "lab", "up", "--rack", str(RACK), "--fresh")
    with contextlib.ExitStack() as stack:
        stack.callback(guest.install, boot, ())
        process = stack.enter_context(lab_demo.running_site(demo))
        stack.callback(lab_demo.stop, demo, process)
        lab_demo.prepare(demo, image)
        demo.rackflow("secret", "set", "disk-key", stdin=DISK_KEY)
        yield Site(demo, management_key(demo, tmp_path_factory.mktemp("key")))


@dataclass(frozen=True)
class Installed:
    """A host that was installed, and the site it is of."""

    site: Site
    case: Case

    def publish(self, level: str, **lifecycle: Any) -> None:
        """Make this the host's spec."""
        self.site.publish({f"hosts/{self.case.host}.yaml": spec(self.case, level, **lifecycle)})

    def lab(self, *argv: str) -> None:
        """Do something to the machine."""
        self.site.demo.python("-m", "lab", argv[0], self.case.machine, *argv[1:])

    def volumes(self) -> dict[str, list[str]]:
        """Level and unique id of each volume -> its drives, as the controller or the kernel has it."""
        if self.case.tool is None:
            stat = self.site.ssh(self.case.address, "cat /proc/mdstat")
            return {f"{level} {name}": members.split() for name, level, members in ARRAY.findall(stat)}
        cabinet = Cabinet.of(Path(self.site.demo.data) / "lab" / "machines" / self.case.machine, ())
        return {
            f"{volume.level} {volume.wwn}": sorted(
                one.serial for one in controller.drives if one.group == volume.group
            )
            for controller in cabinet.controllers
            for volume in controller.volumes
        }

    def of_level(self, level: str) -> list[int]:
        """How many drives the volumes of a level have."""
        return [len(drives) for name, drives in self.volumes().items() if name.startswith(f"{level} ")]

    def in_sync(self) -> bool:
        """Active, and as its spec says."""
        return self.site.in_sync(self.case.host)

    def job(self, number: int, state: str) -> JobRecord | None:
        """The job, once it is in a state."""
        return self.site.job(self.case.host, number, state)


@pytest.fixture(scope="module", params=CASES)
def installed(request: pytest.FixtureRequest, raid_site: Site) -> Iterator[Installed]:
    """From the power button to in sync, over what an earlier life left."""
    here = Installed(raid_site, CASES[request.param])
    here.publish("raid1", destroy="allow", takeDisks=True)
    here.lab("button", "on")
    try:
        eventually("in sync", here.in_sync, 1500, every_s=3)
        yield here
    finally:
        here.lab("button", "off")


def test_dirty_drives_become_the_declared_mirror_with_the_system_on_it(installed: Installed) -> None:
    case, site = installed.case, installed.site
    mirrors = [name.split()[1] for name in installed.volumes() if name.startswith("raid1 ")]
    below = site.ssh(case.address, "lsblk -nso NAME,SERIAL $(findmnt -no SOURCE /)")

    assert set(installed.of_level("raid1")) == {2}
    assert len(mirrors) == (1 if case.more is None else 2)
    assert any(mirror in below for mirror in mirrors)
    assert "/data" in site.ssh(case.address, "findmnt -no TARGET /data")
    if case.more is not None:
        vault = site.ssh(case.address, "lsblk -nso NAME,TYPE $(findmnt -no SOURCE /vault)")
        assert [row.split()[-1] for row in vault.splitlines()][:4] == ["crypt", "lvm", "part", "raid1"]


def test_a_second_apply_writes_nothing(installed: Installed) -> None:
    before = installed.volumes()

    row = installed.site.apply(installed.case.host)

    assert (row["result"], row["changes"], row["writes"]) == ("in-sync", 0, 0)
    assert installed.volumes() == before


def test_a_failed_drive_is_drift_with_its_slot_and_serial(installed: Installed) -> None:
    case, site = installed.case, installed.site
    installed.lab("fault", *case.fault)
    site.ssh(case.address, "sudo sh -c 'echo x >/var/tmp/written; sync'")

    told = site.rackflow("plan", case.host, "--refresh", ok=(0, 3))

    assert all(word in told for word in case.told)


def test_raid_10_instead_of_a_mirror_asks_for_consent_and_then_happens(installed: Installed) -> None:
    case, site = installed.case, installed.site
    if case.ten is None:
        pytest.skip("this card has no RAID 10")
    before = installed.volumes()
    installed.publish("raid10", destroy="ask", takeDisks=True)
    with site.demo.edge() as edge:
        number = edge.post_job(case.host, "reinstall", by="tester").no
    eventually("waiting", lambda: installed.job(number, "waiting-consent"), 400, every_s=2)
    untouched = installed.volumes()
    installed.lab("fault", "--clear")
    site.rackflow("approve", case.host)
    eventually("done", lambda: installed.job(number, "done"), 1500, every_s=3)

    row = site.apply(case.host)
    assert untouched == before
    assert installed.of_level("raid10") == [4]
    assert installed.of_level("raid1") == ([] if case.more is None else [2])
    assert (row["result"], row["writes"]) == ("in-sync", 0)
