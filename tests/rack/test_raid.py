"""Machines with emulated RAID controllers: from dirty drives to the declared volumes, and on through a life.

Each machine of lab/racks/raid.yaml is switched on with old volumes, another controller's configuration and
old LVM, md or ZFS signatures on what it shows. The controllers' state in the rack's folder is the witness:
rackflow does not write it.
"""

import contextlib
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
from specs.phases import Phase
from specs.records import HostRecord, JobRecord

pytestmark = [pytest.mark.rack, pytest.mark.timeout(3000)]

RACK = CLONE / "lab" / "racks" / "raid.yaml"
TOOLS_PATH = "/usr/sbin"


@dataclass(frozen=True)
class Case:
    """A machine, the slots of the mirror that it gets first, and which of them fails."""

    machine: str
    family: str
    mac: str
    address: str
    mirror: tuple[str, ...]
    fails: str
    serial: str
    tool: str
    grows: bool = True
    """Whether the family can make RAID 10 of what the machine has."""

    @property
    def host(self) -> str:
        """The host's name."""
        return f"raid-{self.machine}"


CASES = (
    Case(
        "rs", "ssacli", "52:54:00:77:21:00", "10.77.1.31",
        mirror=("1I:1:1", "1I:1:3"), fails="1I:1:3", serial="RFRS03", tool="ssacli",
    ),
)  # fmt: skip


def spec(case: Case, level: str, drives: dict[str, Any], **lifecycle: Any) -> str:
    """The host's spec. The tool comes with the system, so that a controller is seen from there too."""
    shim = {"path": f"{TOOLS_PATH}/{case.tool}", "content": guest.SHIM.read_text(), "mode": "0755"}
    route = {"to": "default", "via": "10.77.1.1"}
    link = {"match": {"macaddress": case.mac}, "addresses": [f"{case.address}/24"], "routes": [route]}
    return yaml.safe_dump(
        {
            "apiVersion": "rackflow/v1",
            "kind": "Host",
            "metadata": {"name": case.host},
            "extends": ["demo"],
            "match": {"serial": f"RF-{case.machine.upper()}-0001"},
            "firmware": {"bootMode": "bios"},
            "raid": [{"name": "system", "level": level, "drives": drives}],
            "rootDevice": {"raid": "system"},
            "disks": [
                {
                    "device": "root",
                    "partitions": [
                        {"name": "root", "size": "3GiB", "filesystem": "ext4", "mount": "/"},
                        {"name": "data", "size": "rest", "filesystem": "ext4", "mount": "/data"},
                    ],
                }
            ],
            "network": {"ethernets": {"nic0": link}},
            "files": [shim],
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
        yield Site(demo, management_key(demo, tmp_path_factory.mktemp("key")))


@dataclass(frozen=True)
class Installed:
    """A host that was installed, and the site it is of."""

    site: Site
    case: Case

    def publish(self, level: str, drives: dict[str, Any], **lifecycle: Any) -> None:
        """Make this the host's spec."""
        name = f"hosts/{self.case.host}.yaml"
        self.site.publish({name: spec(self.case, level, drives, **lifecycle)})

    def button(self, what: str) -> None:
        """Press a button of the front panel."""
        self.site.demo.python("-m", "lab", "button", self.case.machine, what)

    def volumes(self) -> dict[str, list[str]]:
        """Level -> serials of its drives, of each volume, as the controller itself has it."""
        cabinet = Cabinet.of(Path(self.site.demo.data) / "lab" / "machines" / self.case.machine, ())
        return {
            f"{volume.level} {volume.wwn}": sorted(
                one.serial for one in controller.drives if one.group == volume.group
            )
            for controller in cabinet.controllers
            for volume in controller.volumes
        }

    def record(self) -> HostRecord | None:
        """The host, if it is known and not failed."""
        with self.site.demo.edge() as edge:
            found = [one for one in edge.hosts() if one.name == self.case.host]
        if found and found[0].phase.value.endswith("-failed"):
            raise AssertionError(f"{found[0].phase}: {found[0].message}")
        return found[0] if found else None

    def in_sync(self) -> bool:
        """Active, and as its spec says."""
        record = self.record()
        conditions = {one.type: one.status for one in record.conditions} if record else {}
        return record is not None and record.phase is Phase.ACTIVE and conditions.get("InSync") == "True"

    def job(self, number: int, state: str) -> JobRecord | None:
        """The job, once it is in a state; a failed one never will be."""
        with self.site.demo.edge() as edge:
            job = edge.job(self.case.host, number)
        if job.state == "failed" and state != "failed":
            raise AssertionError(f"job {number} failed: {job.reason}: {job.message}")
        return job if job.state == state else None


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.family)
def installed(request: pytest.FixtureRequest, raid_site: Site) -> Iterator[Installed]:
    """From the power button to in sync, over what an earlier life left."""
    here = Installed(raid_site, request.param)
    case = here.case
    here.publish("raid1", {"slots": list(case.mirror), "count": 2}, destroy="allow", takeDisks=True)
    here.button("on")
    try:
        eventually("in sync", here.in_sync, 1500, every_s=3)
        yield here
    finally:
        here.button("off")


def test_dirty_drives_become_the_declared_mirror_with_the_system_on_it(installed: Installed) -> None:
    case, site = installed.case, installed.site
    made = [one for level, one in installed.volumes().items() if level.startswith("raid1 ")]
    root = site.ssh(case.address, "lsblk -nso NAME,SERIAL,TYPE $(findmnt -no SOURCE /)")

    assert case.serial in made[0]
    assert len(made[0]) == 2
    (unique,) = (name.split()[1] for name in installed.volumes() if name.startswith("raid1 "))
    assert unique in root
    assert "/data" in site.ssh(case.address, "findmnt -no TARGET /data")


def test_a_second_apply_writes_nothing(installed: Installed) -> None:
    before = installed.volumes()

    row = installed.site.apply(installed.case.host)

    assert (row["result"], row["changes"], row["writes"]) == ("in-sync", 0, 0)
    assert installed.volumes() == before


def test_a_failed_drive_is_drift_with_its_slot_and_serial(installed: Installed) -> None:
    case, site = installed.case, installed.site
    site.demo.python("-m", "lab", "fault", case.machine, "drive-failed", "--slot", case.serial)

    told = site.rackflow("plan", case.host, "--refresh", ok=(0, 3))
    told += site.rackflow("host", case.host)

    assert case.serial in told
    assert case.fails in told


def test_raid_10_instead_of_the_mirror_asks_for_consent_and_then_happens(installed: Installed) -> None:
    case, site = installed.case, installed.site
    if not case.grows:
        pytest.skip(f"{case.family} has no RAID 10 of two drives")
    before = installed.volumes()
    installed.publish("raid10", {"count": 4}, destroy="ask", takeDisks=True)
    with site.demo.edge() as edge:
        number = edge.post_job(case.host, "reinstall", by="tester").no
    waiting = eventually("waiting", lambda: installed.job(number, "waiting-consent"), 400, every_s=2)
    untouched = installed.volumes()
    site.rackflow("approve", case.host)
    eventually("done", lambda: installed.job(number, "done"), 1500, every_s=3)

    made = [one for level, one in installed.volumes().items() if level.startswith("raid10 ")]
    row = site.apply(case.host)
    assert waiting.plan is not None
    assert untouched == before
    assert [len(one) for one in made] == [4]
    assert not any(name.startswith("raid1 ") for name in installed.volumes())
    assert (row["result"], row["writes"]) == ("in-sync", 0)
