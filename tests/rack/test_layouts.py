"""A machine whose system starts from an MBR and a logical volume, with a thin pool and a TPM: its whole life.

From dirty disks to in sync, through a power cut and a reinstallation that keeps its data, to a host that is
wiped. What there is is asked of the installed system's own kernel and LVM through SSH, and in the end of the
disks' files.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import demo as lab_demo
from lab import tpm
from lab.demo import CLONE, Demo
from lab.rack import Rack
from lab.site import Failed, Site, eventually, management_key
from specs.phases import Phase

pytestmark = [pytest.mark.rack, pytest.mark.timeout(3600)]

RACK = CLONE / "lab" / "racks" / "layouts.yaml"
MACHINE, HOST, ADDRESS = "ly", "layouts", "10.77.1.41"
SERIALS = ("RFLY01", "RFLY02")
DISK_KEY = "disk-key-9f41c07a66d25be8"
IMAGE = "demo-debian-12-lvm"
MIB, GIB = 1 << 20, 1 << 30
MOUNTED = {"/": "ext4", "/home": "ext4", "/builds": "xfs", "/var/log": "ext4", "/vault": "ext4"}
ROOT_BYTES = 2 * GIB
IMAGE_DOCUMENT = """\
apiVersion: rackflow/v1
kind: Image
metadata: {name: debian-12-lvm}
source: {upload: true}
format: qcow2
os:
  family: debian
  version: "12"
  bootModes: [bios]
  cloudInit: false
  rootFilesystem: {label: root}
"""
KEPT = ("/home", "/builds", "/vault")
"""What a reinstallation keeps, if the spec asks for that."""
LAYOUT = """\
rootDevice: {serial: RFLY01}
disks:
  - device: root
    partitions:
      - {name: root, size: 2GiB, mount: /}
      - {name: log, size: rest, filesystem: ext4, mount: /var/log}
  - device: {serial: RFLY02}
    table: mbr
    partitions:
      - {name: pv0, size: 4GiB, lvm: {vg: data}}
      - name: vault
        size: rest
        filesystem: ext4
        mount: /vault
        preserve: %(keep)s
        luks: {key: {secret: disk-key}, tpm2: require}
volumeGroups:
  - name: data
    thinPools: [{name: pool, size: 3GiB}]
    logicalVolumes:
      - {name: builds, size: 4GiB, thinPool: pool, filesystem: xfs, mount: /builds, preserve: %(keep)s}
      - {name: home, size: 1GiB, thinPool: pool, filesystem: ext4, mount: /home, preserve: %(keep)s}
"""


def spec(*, keep: bool, **lifecycle: Any) -> str:
    """The host's spec."""
    route = {"to": "default", "via": "10.77.1.1"}
    match = {"macaddress": "52:54:00:77:31:00"}
    link = {"match": match, "addresses": [f"{ADDRESS}/24"], "routes": [route]}
    head = {
        "apiVersion": "rackflow/v1",
        "kind": "Host",
        "metadata": {"name": HOST},
        "extends": ["demo"],
        "image": "debian-12-lvm",
        "match": {"serial": "RF-LY-0001"},
        "firmware": {"bootMode": "bios"},
        "network": {"ethernets": {"nic0": link}},
        "lifecycle": lifecycle,
    }
    return yaml.safe_dump(head, sort_keys=False) + LAYOUT % {"keep": str(keep).lower()}


@dataclass(frozen=True)
class Here:
    """The host and its site."""

    site: Site

    def publish(self, *, keep: bool = False, **lifecycle: Any) -> None:
        """Make this its spec."""
        files = {
            f"hosts/{HOST}.yaml": spec(keep=keep, **lifecycle),
            "images/debian-12-lvm.yaml": IMAGE_DOCUMENT,
        }
        self.site.publish(files)

    def press(self, what: str) -> None:
        """Press a button of its front panel."""
        self.site.demo.python("-m", "lab", "button", MACHINE, what)

    def ssh(self, command: str) -> str:
        """What the installed system says."""
        return self.site.ssh(ADDRESS, command)

    def mounted(self) -> dict[str, str]:
        """Mount point -> file system, of those that the spec names."""
        rows = (line.split() for line in self.ssh("findmnt -rno TARGET,FSTYPE").splitlines())
        return {target: kind for target, kind in rows if target in MOUNTED}

    def below(self, target: str) -> list[str]:
        """What a mount stands on, from the top: kinds of devices."""
        return self.ssh(f"lsblk -rnso TYPE $(findmnt -no SOURCE {target})").split()

    def volumes(self) -> dict[str, dict[str, str]]:
        """Logical volumes, as LVM in the installed system tells them."""
        fields = "vg_name,lv_name,segtype,pool_lv,lv_size"
        told = self.ssh(f"sudo lvs --reportformat json --units b --nosuffix -o {fields}")
        return {f"{one['vg_name']}/{one['lv_name']}": one for one in json.loads(told)["report"][0]["lv"]}

    def file_systems(self) -> dict[str, str]:
        """Mount point -> id of the file system."""
        rows = (line.split() for line in self.ssh("findmnt -rno TARGET,UUID").splitlines())
        return {row[0]: row[1] for row in rows if row[0] in MOUNTED}

    def boot_id(self) -> str:
        """Which boot of its kernel this is."""
        return self.ssh("cat /proc/sys/kernel/random/boot_id")

    def restarted(self) -> None:
        """Cut its power and start it again; the system is another boot afterwards."""
        before = self.boot_id()
        self.press("off")
        self.press("on")
        eventually("started again", lambda: self.boot_id() != before, 400, every_s=2)

    def shut_down(self) -> None:
        """Have its system end itself. Each cut counts at a TPM as a wrong try, and this one bears three."""
        with contextlib.suppress(Failed):
            self.ssh("sudo systemctl poweroff")
        eventually("off", lambda: self.rack.ask(MACHINE, "status")["power"] == "off", 200)

    def is_in(self, phase: Phase) -> bool:
        """Whether the host is in a phase."""
        record = self.site.record(HOST)
        return record is not None and record.phase is phase

    @property
    def rack(self) -> Rack:
        """The rack that the machine is of."""
        return Rack(self.site.demo.data / "lab")

    @property
    def folder(self) -> Path:
        """The machine's own files."""
        return self.rack.machine(MACHINE).directory

    @property
    def tpm(self) -> Path:
        """What its TPM remembers."""
        return self.folder / tpm.STATE

    def is_blank(self, index: int) -> bool:
        """Whether all of a disk is zeros, but for the last MiB: an overwrite notes there what it did."""
        path = self.folder / f"disk{index}.raw"
        with path.open("rb") as file:
            return not any(file.read(MIB).strip(b"\0") for _ in range(path.stat().st_size // MIB - 1))


@pytest.fixture(scope="module")
def here(alone: Callable[[], Demo], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    """From the power button to in sync, over what an earlier life left."""
    demo = alone()
    image = lab_demo.build(demo, IMAGE)
    lab_demo.forget(demo)
    demo.python("-m", "lab", "up", "--rack", str(RACK), "--fresh")
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(lab_demo.running_site(demo))
        stack.callback(lab_demo.stop, demo, process)
        demo.rackflow("secret", "set", "ops-password", stdin=lab_demo.OPS_PASSWORD)
        demo.rackflow("secret", "set", "disk-key", stdin=DISK_KEY)
        demo.rackflow("image", "add", "debian-12-lvm", "--file", str(image))
        found = Here(Site(demo, management_key(demo, tmp_path_factory.mktemp("key"))))
        found.publish(destroy="allow", takeDisks=True)
        found.press("on")
        eventually("in sync", lambda: found.site.in_sync(HOST), 2400, every_s=3)
        yield found


def test_dirty_disks_become_an_mbr_a_root_on_lvm_a_thin_pool_and_what_the_tpm_opens(here: Here) -> None:
    volumes = here.volumes()
    root_bytes = int(volumes["system/root"]["lv_size"])
    tables = here.ssh("lsblk -rdno SERIAL,PTTYPE").splitlines()

    assert here.mounted() == MOUNTED
    assert here.below("/") == ["lvm", "part", "disk"]
    assert ROOT_BYTES - 8 * MIB < root_bytes < ROOT_BYTES
    assert int(here.ssh("df --output=size -B1 / | tail -1")) > 0.9 * root_bytes
    assert {row for row in tables if row.startswith("RFLY")} == {f"{serial} dos" for serial in SERIALS}
    assert {name: (one["segtype"], one["pool_lv"]) for name, one in volumes.items()} == {
        "system/root": ("linear", ""),
        "data/pool": ("thin-pool", ""),
        "data/builds": ("thin", "pool"),
        "data/home": ("thin", "pool"),
    }
    assert here.below("/vault") == ["crypt", "part", "disk"]


def test_what_new_mounts_would_hide_is_in_them(here: Here) -> None:
    """Its keys among it, or this could not be asked."""
    places = ("/home", "/home/rackflow", "/home/ops", "/var/log", "/var/log/btmp")

    owners = here.ssh(f"stat -c %U:%G {' '.join(places)}").split()
    mounts = here.ssh(f"stat -c %m {' '.join(places)}").split()

    assert owners == ["root:root", "rackflow:rackflow", "ops:ops", "root:root", "root:utmp"]
    assert mounts == ["/home"] * 3 + ["/var/log"] * 2


def test_no_copy_of_the_key_is_on_the_root(here: Here) -> None:
    (row,) = here.ssh("sudo cat /etc/crypttab | grep -v '^#'").splitlines()

    assert "tpm2-device=auto" in row
    assert row.split()[2] in ("-", "none")
    assert here.ssh("sudo find /etc/rackflow/keys -type f 2>/dev/null || true") == ""
    assert here.ssh(f"sudo grep -rl {DISK_KEY} /etc /root /home || true") == ""


def test_after_a_power_cut_everything_is_mounted_and_nobody_typed(here: Here) -> None:
    files = " ".join(f"{target.rstrip('/')}/kept" for target in MOUNTED)
    here.ssh(f"for file in {files}; do echo kept | sudo tee $file >/dev/null; done; sync")

    here.restarted()

    assert eventually("mounted", lambda: here.mounted() == MOUNTED, 120, every_s=2)
    assert here.ssh(f"cat {files}").split() == ["kept"] * len(MOUNTED)
    assert here.ssh("systemctl is-system-running --wait || systemctl --failed").strip() == "running"


def test_a_second_apply_writes_nothing(here: Here) -> None:
    row = here.site.apply(HOST)

    assert (row["result"], row["changes"], row["writes"]) == ("in-sync", 0, 0)


def test_a_reinstallation_keeps_what_the_spec_preserves_and_lets_its_users_in(here: Here) -> None:
    """Homes that stay hide the new system's own: ops has lost a key in them, and has another number there."""
    before = here.file_systems()
    here.ssh("echo mine | sudo -u ops tee /home/ops/mine; sudo rm /home/ops/.ssh/authorized_keys")
    here.ssh("sudo chown -R 4242:4242 /home/ops; sync")
    here.publish(keep=True, destroy="allow", takeDisks=True)
    with here.site.demo.edge() as edge:
        number = edge.post_job(HOST, "reinstall", by="tester").no
    job = eventually("reinstalled", lambda: here.site.job(HOST, number, "done"), 1500, every_s=3)
    after = here.file_systems()
    found = here.ssh("ls -d /kept /var/log/kept /home/kept /builds/kept /vault/kept 2>/dev/null || true")
    asked = "cd /home/ops; stat -c %U:%G mine .ssh/authorized_keys; cat mine"
    of_ops = here.ssh(f"id -u ops; sudo sh -c '{asked}'")

    assert job.result == "applied"
    assert here.mounted() == MOUNTED
    assert {target for target in MOUNTED if after[target] == before[target]} == {"/", *KEPT}
    assert sorted(found.split()) == sorted(f"{target}/kept" for target in KEPT)
    assert of_ops.split() == ["4242", "ops:ops", "ops:ops", "mine"]
    assert here.site.apply(HOST)["writes"] == 0


def test_another_tpm_opens_nothing_which_is_drift(here: Here) -> None:
    here.shut_down()
    here.tpm.rename(here.tpm.with_name("tpm.kept"))
    here.press("on")
    eventually("started again", lambda: "/home" in here.mounted(), 400, every_s=2)

    told = here.site.rackflow("plan", HOST, "--refresh", ok=(0, 3))
    without = here.mounted()
    here.shut_down()
    shutil.rmtree(here.tpm)
    here.tpm.with_name("tpm.kept").rename(here.tpm)
    here.press("on")

    assert "/vault" not in without
    assert "/vault" in told
    assert eventually("all of it again", lambda: here.mounted() == MOUNTED, 400, every_s=2)


def test_a_wipe_by_consent_leaves_blank_disks_reports_and_a_ready_host(here: Here) -> None:
    site = here.site
    here.publish(destroy="ask")
    (row,) = site.json("wipe", HOST, "--yes", "--method", "overwrite", ok=(4,))["hosts"]
    untouched = here.mounted()
    site.rackflow("approve", HOST)
    eventually("wiped", lambda: here.is_in(Phase.READY), 1500, every_s=3)

    told = site.rackflow("host", HOST)
    job = site.json("host", HOST)["job"]
    assert untouched == MOUNTED
    assert row["result"] == "waiting-consent"
    assert (job["verb"], job["state"]) == ("wipe", "done")
    for index, serial in enumerate(SERIALS):
        rows = (line.split("\t") for line in told.splitlines())
        (report,) = (cells for cells in rows if cells[0] == serial and "overwrite" in cells)
        assert report[-1] == "by reading"
        assert here.is_blank(index)
