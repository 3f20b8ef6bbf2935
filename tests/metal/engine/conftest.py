"""An edge and a machine in memory, for the engine: what is sent changes what is read afterwards."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metal.drivers.guest.document import PYTHON
from metal.drivers.hardware import QUERIES
from metal.drivers.raid.md import MD_DETAIL
from metal.drivers.storage.disks import LSBLK, SETTLE
from metal.drivers.storage.identity import DISK_SYSFS
from metal.engine.claim import Claim
from metal.engine.connect import Openers, Sessions
from metal.engine.steps import Memory, Surroundings
from metal.engine.storage_steps import FAST_ZERO
from metal.errors import LeaseLost, Refused, Unreachable
from metal.protocols import BootFlags, Output
from metal.testing.fake_shell import FakeShell
from specs.model import Host
from specs.phases import Phase
from specs.records import (
    BmcCredential,
    BootRecord,
    Consent,
    HostRecord,
    JobRecord,
    JournalRow,
    LeaseGrant,
    SecretValue,
    WorkOrder,
)

T0 = datetime(2026, 11, 25, 12, tzinfo=UTC)
ROOT_UUID = "8d1f2c5e-6a0b-4c7d-9e3f-d3b1a212f001"
GIB = 1 << 30
MIB = 1 << 20
SITE_KEY = "ssh-ed25519 AAAAsite"
HOST_KEY = "ssh-ed25519 AAAAhost"
NO_FLAGS = BootFlags("none", persistent=False, efi=False)
CLAIM = Claim("web-01", 7, "run-1", 4)


@dataclass
class FakeEdge:
    """The calls of a run, answered from memory. `calls` has their names in order."""

    record: HostRecord
    order_: WorkOrder
    rows: list[JournalRow] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    credentials_: list[BmcCredential] = field(default_factory=list)
    epoch: int = 4
    cancelling: bool = False
    silent: bool = False
    now: datetime = T0
    put: dict[str, Any] = field(default_factory=dict)
    given: list[Consent] = field(default_factory=list)
    verb: str = "apply"

    def host(self, name: str) -> HostRecord:
        return self.record

    def order(self, name: str) -> WorkOrder:
        return self.order_.model_copy(update={"host": self.record})

    def renew(self, host: str, *, epoch: int, run_id: str) -> LeaseGrant:
        self.calls.append("renew")
        if self.silent:
            raise Unreachable("no edge")
        if epoch < self.epoch:
            raise LeaseLost("held by run-2", host=host, reason="lease-lost")
        return LeaseGrant(epoch=epoch, ttl_s=90, cancelling=self.cancelling)

    def journal_rows(self, host: str, *, job: int | None = None) -> list[JournalRow]:
        return [row for row in self.rows if row.job == job]

    def journal(self, host: str, **row: Any) -> JournalRow:
        self.now += timedelta(seconds=1)
        self.calls.append(f"journal {row['step']} {row['phase']}")
        self.rows.append(JournalRow(no=len(self.rows), at=self.now, **row))
        return self.rows[-1]

    def management_key(self) -> str:
        return "PEM"

    def secret(self, name: str) -> SecretValue:
        self.calls.append(f"secret {name}")
        return SecretValue(name=name, version=1, value="hunter2")

    def install_token(self, host: str, *, epoch: int, job: int) -> dict[str, Any]:
        return {"token": "t0ken", "phone_home": "http://10.77.1.1:8080/v1/phone-home"}

    def put_install_record(self, host: str, record: dict[str, Any], *, epoch: int) -> None:
        self.put["install"] = record

    def put_observation(self, host: str, observation: Any, *, epoch: int | None = None) -> HostRecord:
        self.put["observation"] = (observation, epoch)
        return self.record

    def put_condition(self, host: str, type_: str, **said: Any) -> None:
        self.put[type_] = said

    def expect_os(self, name: str, *, epoch: int) -> int:
        """Number the boot that is about to start."""
        self.expected_os = getattr(self, "expected_os", 0) + 1
        return self.expected_os

    def boot_wish(self, host: str, wish: str, *, epoch: int) -> None:
        self.calls.append(f"boot-wish {wish}")

    def job(self, host: str, number: int) -> JobRecord:
        return JobRecord(
            host=host, host_id="h1", no=number, verb=self.verb, state="claimed", by="t", created_at=T0
        )

    def wait(self, host: str, number: int, **asked: Any) -> bool:
        self.calls.append(f"wait {asked['event']}")
        self.put["wait"] = asked
        return False

    def json(self, method: str, path: str, **_more: Any) -> dict[str, Any]:
        self.calls.append(f"{method} {path}")
        return {}

    def consents(self, host: str, plan: str, *, job: int | None = None) -> list[Consent]:
        return [one for one in self.given if one.plan == plan]

    def bmc_lock(self, host: str, *, owner: str, ttl_s: int, epoch: int | None = None) -> list[BmcCredential]:
        self.calls.append("lock")
        return list(self.credentials_)

    def bmc_unlock(self, host: str, *, owner: str) -> None:
        self.calls.append("unlock")

    def bmc_candidate(self, host: str, **asked: Any) -> BmcCredential:
        self.calls.append("candidate")
        found = BmcCredential(
            address=asked["address"], user=asked["user"], password="new-secret-1234", state="candidate"
        )
        self.credentials_.append(found)
        return found

    def bmc_promote(self, host: str, *, epoch: int, user: str) -> None:
        self.calls.append("promote")


@dataclass
class FakeBmc:
    """A BMC over the LAN: power, flags, identity, and who may log in."""

    host: str = "web-01"
    state: str = "on"
    flags: BootFlags = NO_FLAGS
    uuid: str | None = "guid-1"
    mac: str | None = "02:bc:00:00:00:01"
    proof: str | None = None
    passwords: set[str] = field(default_factory=lambda: {"good"})
    sent: list[str] = field(default_factory=list)
    obeys: bool = True

    def log_in(self, host: str, credential: BmcCredential) -> "FakeBmc":
        if credential.password not in self.passwords:
            raise Refused("no", host=host, reason="bmc-unverified")
        return self

    def power(self):
        return self.state

    def set_power(self, action: str) -> None:
        self.sent.append(action)
        if self.obeys:
            self.state = "off" if action in ("off", "soft") else "on"

    def boot_flags(self) -> BootFlags:
        return self.flags

    def set_boot_flags(self, flags: BootFlags) -> None:
        self.sent.append(f"boot {flags.target}")
        self.flags = flags if self.obeys else self.flags

    def guid(self) -> str | None:
        return self.uuid

    def lan_mac(self) -> str | None:
        return self.mac

    def read_proof(self) -> str | None:
        return self.proof

    def close(self) -> None:
        return


class FakeMachine(FakeShell):
    """Disks, arrays and a deployed root that follow what is sent."""

    def __init__(self, disks: dict[str, int], **more: Any) -> None:
        super().__init__({}, host="web-01", on_change=self.changed, **more)
        self.disks = {
            serial: {"kname": f"sd{chr(97 + n)}", "size": size, "parts": {}}
            for n, (serial, size) in enumerate(disks.items())
        }
        self.array: dict[str, Any] | None = None
        self.fast_zero = False
        self.mounted = False
        self.torn: set[str] = set()
        """Partitions whose file system a power cut left half made."""
        self.deaf: set[str] = set()
        """Programs that are taken and have no effect."""
        self.guest: dict[str, Any] = {
            "hostname": "debian\n", "os_release": None, "install": None, "users": {}, "files": {},
            "network": {}, "fstab": "", "host_key": None, "texts": {}, "present": {}, "live": None,
        }  # fmt: skip

    @property
    def programs(self) -> list[str]:
        return [sent.change.argv[0] for sent in self.sent]

    def read(self, argv, *, stdin=None, timeout_s=30, limit_bytes=4 << 20):
        self.script = self._script()
        return super().read(argv, stdin=stdin, timeout_s=timeout_s)

    def _script(self) -> dict[tuple[str, ...], Output | str]:
        missing = {query.argv: Output(query.argv, 127, "", "not found") for query in QUERIES}
        return missing | {
            SETTLE.argv: "",
            LSBLK.argv: json.dumps({"blockdevices": [self._disk(disk) for disk in self.disks.values()]}),
            DISK_SYSFS.argv: self._sysfs(),
            MD_DETAIL.argv: self._detail(),
            FAST_ZERO.argv: "\n".join(d["kname"] for d in self.disks.values()) if self.fast_zero else "",
            ("cat", "/proc/mounts"): "/dev/x /mnt/rackflow ext4 rw 0 0\n" if self.mounted else "",
            ("true",): "",
            **{("e2fsck", "-f", "-n", f"/dev/{name}"): self._checked(name) for name in self._parts()},
            PYTHON: json.dumps(self.guest),
        }

    def _parts(self) -> list[str]:
        places = [*((d["kname"], d["parts"]) for d in self.disks.values())]
        places += [("md127", self.array["parts"])] if self.array else []
        return [f"{k}p{n}" if k[-1].isdigit() else f"{k}{n}" for k, parts in places for n in parts]

    def _checked(self, name: str) -> Output:
        return Output(("e2fsck",), 4 if name in self.torn else 0, "", "")

    def _disk(self, disk: dict[str, Any]) -> dict[str, Any]:
        node = {"name": disk["kname"], "kname": disk["kname"], "type": "disk", "size": disk["size"]}
        node |= {"fstype": disk.get("signature")}
        if self.array and disk["kname"] in self.array["knames"]:
            inner = {"name": "md127", "kname": "md127", "type": "raid1", "size": self.array["size"]}
            node["children"] = [inner | self._children("md127", self.array["parts"])]
        return node | ({} if "children" in node else self._children(disk["kname"], disk["parts"]))

    @staticmethod
    def _children(kname: str, parts: dict[int, dict[str, Any]]) -> dict[str, Any]:
        prefix = f"{kname}p" if kname[-1].isdigit() else kname
        rows = [
            part | {"name": f"{prefix}{n}", "kname": f"{prefix}{n}", "type": "part"}
            for n, part in parts.items()
        ]
        return {"children": rows, "pttype": "gpt"} if rows else {}

    def _sysfs(self) -> str:
        text = "".join(f"disk {d['kname']}\nserial {serial}\n" for serial, d in self.disks.items())
        return text + ("disk md127\n" if self.array else "")

    def _detail(self) -> str:
        if not self.array:
            return ""
        roles = "".join(f"MD_DEVICE_dev_{k}_ROLE={n}\n" for n, k in enumerate(self.array["knames"]))
        uuid = self.array["uuid"]
        return f"array md127\nSTATE=clean\nMD_LEVEL=raid1\nMD_UUID={uuid}\nMD_NAME=any:system\n{roles}"

    def changed(self, change: Any) -> Output | None:
        argv = change.argv
        if argv[0] in self.deaf:
            return None
        place = self.array or next(iter(self.disks.values()))
        if argv[:2] == ("mdadm", "--create"):
            uuid = next(word for word in argv if word.startswith("--uuid=")).removeprefix("--uuid=")
            knames = [self.disks[guard.identity]["kname"] for guard in change.disks]
            self.array = {"uuid": uuid, "knames": knames, "size": 8 * GIB - MIB, "parts": {}}
        elif argv[0].endswith("rf-write"):
            place["parts"] = {
                14: {"size": 2 * MIB, "start": 2048},
                1: {"size": GIB - 40 * MIB, "start": 71680, "fstype": "ext4", "uuid": ROOT_UUID},
            }  # fmt: skip
        elif argv[0] == "sgdisk":
            self._table(place, argv)
        elif argv[0].startswith("mkfs"):
            number = int(re.search(r":p(\d+)", argv[-1])[1])
            place["parts"][number] |= {"fstype": argv[0][5:], "uuid": argv[argv.index("-U") + 1]}
        elif argv[0] == "blockdev":
            place["parts"] = {} if "wipefs" in self.programs else place["parts"]
        elif argv[0] in ("mount", "umount"):
            self.mounted = argv[0] == "mount"
        elif argv == PYTHON:
            self._guest(json.loads(change.stdin))
        return None

    @staticmethod
    def _table(place: dict[str, Any], argv: tuple[str, ...]) -> None:
        for word in argv:
            if found := re.fullmatch(r"--new=(\d+):(\d+):(\d+)", word):
                number, first, last = (int(text) for text in found.groups())
                old = place["parts"].get(number, {})
                place["parts"][number] = old | {"start": first, "size": (last - first + 1) * 512}
            if found := re.fullmatch(r"--partition-guid=(\d+):(\S+)", word):
                place["parts"][int(found[1])]["partuuid"] = found[2]

    def _guest(self, document: dict[str, Any]) -> None:

        for wish in document["accounts"]:
            user = {
                "shell": wish["login_shell"],
                "keys": wish["keys"],
                "sudo": None,
                "shadow": wish["password_hash"] or "*",
            }
            self.guest["users"][wish["name"]] = user
        for file in document["files"]:
            path, data = file["path"], base64.b64decode(file["data"])
            digest = hashlib.sha256(data).hexdigest()
            self.guest["files"][path] = {"sha256": digest, **{k: file[k] for k in ("mode", "owner", "group")}}
            keys = {
                "/etc/hostname": "hostname",
                "/etc/fstab": "fstab",
                "/etc/rackflow/install.json": "install",
            }
            keys["/etc/ssh/ssh_host_ed25519_key.pub"] = "host_key"
            if path in keys:
                self.guest[keys[path]] = data.decode()
            if "/systemd/network/" in path:
                self.guest["network"][path] = digest
            if path.startswith("/etc/sudoers.d/rackflow-"):
                self.guest["users"][path.removeprefix("/etc/sudoers.d/rackflow-")]["sudo"] = data.decode()
            self.guest["texts"][path] = data.decode()
        for copy in document["copies"]:
            self.guest["present"][copy["path"]] = True


@dataclass
class Rig:
    """Edge, machine and BMC, and the surroundings of a run over them."""

    edge: FakeEdge
    machine: FakeMachine
    bmc: FakeBmc
    around: Surroundings
    clock: list[float]
    said: list[str] = field(default_factory=list)


BOOT = BootRecord(
    boot_no=1, kind="boot-os", address="10.77.1.50", ssh_host_key=HOST_KEY, reported_at=T0, started_at=T0
)
SPEC = {
    "metadata": {"name": "web-01"},
    "users": [
        {"name": "ops", "sshKeys": ["ssh-ed25519 AAAAops"], "sudo": True, "passwordFrom": {"secret": "ops"}}
    ],
    "files": [{"path": "/etc/motd", "content": "hi"}],
}
BMC_CURRENT = BmcCredential(address="10.77.9.50", user="rackflow", password="good", state="current")


@pytest.fixture
def rig() -> Rig:
    record = HostRecord(id="h1", name="web-01", phase=Phase.READY, boot=BOOT, bmc_address="10.77.9.50")
    order = WorkOrder(
        host=record,
        spec=Host.model_validate(SPEC),
        specset="set-1",
        addresses={"bmc": "10.77.9.50/24"},
        management_key=SITE_KEY,
        phone_home_url="http://10.77.1.1:8080/v1/phone-home",
        secrets={"ops": 1},
    )
    edge = FakeEdge(record, order, credentials_=[BMC_CURRENT])
    machine = FakeMachine({"RF-D0": 8 * GIB, "RF-D1": 8 * GIB})
    bmc = FakeBmc()
    clock = [1000.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        edge.now += timedelta(seconds=seconds)

    sessions = Sessions(Openers(ssh=lambda _at, _key: machine, ipmi=bmc.log_in))
    around = Surroundings(sessions, Memory(), clock=lambda: clock[0], sleep=sleep, now=lambda: edge.now)
    return Rig(edge, machine, bmc, around, clock)
