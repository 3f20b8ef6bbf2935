"""A deployed system's facts in one reading: a question, the reader's answer, and what is kept of it."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.guest.document import PYTHON, program
from metal.drivers.guest.sha512_crypt import is_password
from metal.drivers.network.running import parse_addresses
from metal.errors import Refused, Unparsable
from metal.planning.mounting import formatted, key_path
from metal.protocols import Shell
from specs.facts import FileFact, InstallRecord, MountFact, SystemFacts, UserFact
from specs.model import Host
from specs.records import SecretValue, WorkOrder

NETWORK_GLOB: Final = "/etc/systemd/network/*rackflow*"
MANAGEMENT_USER: Final = "rackflow"
RF_EXEC: Final = "/usr/lib/rackflow/rf-exec"
NETWORKD_ENABLED: Final = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
LVM_TOOLS: Final = ("/usr/sbin/lvm", "/sbin/lvm")
"""Without it no system finds its logical volumes (lvm2; Debian's and Red Hat's place)."""
LVM_DEVICES: Final = "/etc/lvm/devices/system.devices"
"""The only devices that LVM looks at where it is there (lvmdevices(8)); Red Hat's installer writes it."""
RELABELS: Final = "/usr/lib/systemd/system-generators/selinux-autorelabel-generator.sh"
"""What has a system with SELinux label its files at its next start, if it is asked to (policycoreutils)."""
THIN_TOOLS: Final = ("/usr/sbin/thin_check", "/sbin/thin_check")
"""Without it LVM opens no thin pool (lvmthin(7); thin-provisioning-tools, device-mapper-persistent-data)."""
CRYPT_TOOLS: Final = ("/usr/lib/systemd/systemd-cryptsetup", "/lib/systemd/systemd-cryptsetup")
"""What carries out crypttab (systemd-cryptsetup@.service(8))."""
TSS_LIBRARIES: Final = (
    "libtss2-esys.so.0",
    "libtss2-mu.so.0",
    "libtss2-rc.so.0",
    "libtss2-tcti-device.so.0",
)
"""What systemd-cryptsetup loads by name to speak to a TPM (tpm2-util.c)."""
LIBRARY_FOLDERS: Final = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
SUDO_RULE: Final = "{name} ALL=(ALL:ALL) NOPASSWD:ALL\n"

Secrets = Mapping[str, SecretValue]
"""By reference, `secret:NAME@VERSION`."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a root: "/" is the running system, anything else a mounted one."""

    root: str = "/"
    users: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    @classmethod
    def about(cls, order: WorkOrder, root: str) -> "Question":
        """Ask what the host's spec speaks of."""
        spec = order.spec
        return cls(
            root=root,
            users=tuple(user.name for user in spec.users) if spec else (),
            files=(*(file.path for file in spec.files), *_key_paths(spec)) if spec else (),
        )

    def stdin(self) -> bytes:
        """Give what the reader takes."""
        body = {
            "program": program("reader"),
            "root": self.root,
            "users": sorted({*self.users, MANAGEMENT_USER}),
            "files": list(self.files),
            "texts": list(self.texts),
            "present": [
                *(RF_EXEC, "/usr/bin/python3", NETWORKD_ENABLED, RELABELS),
                *(*LVM_TOOLS, LVM_DEVICES, *THIN_TOOLS, *CRYPT_TOOLS, *_TSS),
            ],
            "network_glob": NETWORK_GLOB,
        }
        return json.dumps(body).encode()


def places_of(library: str) -> tuple[str, ...]:
    """Where distributions keep a library."""
    return tuple(f"{folder}/{library}" for folder in LIBRARY_FOLDERS)


_TSS: Final = tuple(path for name in TSS_LIBRARIES for path in places_of(name))


def _key_paths(spec: Host) -> tuple[str, ...]:
    return tuple(key_path(part.name) for part in formatted(spec) if part.luks)


@dataclass(frozen=True, slots=True)
class Reading:
    """The reader's answer; holds shadow fields, so it is not printed and not kept."""

    host: str
    raw: dict[str, Any]

    def __repr__(self) -> str:
        """Without content: shadow fields stay out of logs and tracebacks."""
        return f"Reading(host={self.host!r})"

    def text(self, path: str) -> str | None:
        """One of the texts asked for."""
        found = self.raw["texts"].get(path)
        return None if found is None else str(found)

    def present(self, path: str) -> bool:
        """Whether something is at this path."""
        return bool(self.raw["present"].get(path))

    def system(self, secrets: Secrets, *, management_key: str | None = None) -> SystemFacts:
        """Give the facts; passwords and secret files become yes or no per secret."""
        live: dict[str, Any] = self.raw["live"] or {}
        mounts = _mounts(live.get("mounts"))
        bonds: dict[str, Any] = live.get("bonds") or {}
        return SystemFacts(
            hostname=_hostname(self.raw, live),
            os_release=_pretty_name(self.raw["os_release"]),
            kernel=live.get("kernel"),
            boot_id=live.get("boot_id"),
            root_device=next((m.device for m in mounts if m.mount == "/"), None),
            record=_record(self.raw["install"]),
            users=tuple(
                _user(name, found, secrets)
                for name, found in self.raw["users"].items()
                if found is not None and name != MANAGEMENT_USER
            ),
            files=tuple(
                _file(path, found, secrets) for path, found in self.raw["files"].items() if found is not None
            ),
            network_files=dict(self.raw["network"]),
            addresses=parse_addresses(json.dumps(live["addresses"])) if live.get("addresses") else {},
            bonds={name: tuple(bond["members"]) for name, bond in bonds.items()},
            bond_modes={name: str(bond["mode"]) for name, bond in bonds.items()},
            mounts=mounts,
            fstab=_fstab(self.raw["fstab"]),
            ssh_host_key=_key(self.raw["host_key"]),
            management_key=self._managed(management_key) if management_key else None,
        )

    def _managed(self, public_key: str) -> bool:
        """Whether the site's key, the sudo rule and rf-exec are all there."""
        user = self.raw["users"].get(MANAGEMENT_USER)
        if user is None or not self.present(RF_EXEC):
            return False
        keys = {_key(key) for key in user["keys"]}
        return _key(public_key) in keys and user["sudo"] == SUDO_RULE.format(name=MANAGEMENT_USER)


def read_system(shell: Shell, question: Question) -> Reading:
    """Read a root in one round trip. Raises Refused when the machine cannot run the reader."""
    said = shell.read(PYTHON, stdin=question.stdin(), timeout_s=60)
    if not said.ok:
        raise Refused(
            f"cannot read the system under {question.root}: {said.stderr.strip()[-500:] or said.status}",
            host=shell.host,
            reason="refused",
            hint="the deployed system needs python3 and sudo for its management user",
        )
    try:
        answer = json.loads(said.stdout)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or "users" not in answer:
        raise Unparsable(
            f"the system's reader gave no object with users: {said.stdout[:200]!r}",
            host=shell.host,
            reason="unparsable",
        )
    return Reading(shell.host, answer)


def sha256_of(data: bytes) -> str:
    """Give a content's digest as FileFact holds it."""
    return hashlib.sha256(data).hexdigest()


def decoded(content: str) -> bytes:
    """Give the bytes of a base64 content of a step."""
    return base64.b64decode(content, validate=True)


def _hostname(raw: Mapping[str, Any], live: Mapping[str, Any]) -> str | None:
    """Give the file's name; a kernel that says otherwise shows, so that it is repaired."""
    stated = (raw["hostname"] or "").strip() or None
    running = live.get("hostname")
    return stated if running in (None, stated) else f"{stated} (running: {running})"


def _pretty_name(text: str | None) -> str | None:
    for line in (text or "").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip().strip("\"'")
    return None


def _record(text: str | None) -> InstallRecord | None:
    try:
        return InstallRecord.model_validate_json(text) if text else None
    except ValueError:
        return None


def _user(name: str, found: Mapping[str, Any], secrets: Secrets) -> UserFact:
    return UserFact(
        name=name,
        ssh_keys=tuple(found["keys"]),
        sudo=found["sudo"] == SUDO_RULE.format(name=name),
        shell=found["shell"],
        password_is={ref: is_password(secret.value, found["shadow"]) for ref, secret in secrets.items()},
    )


def _file(path: str, found: Mapping[str, Any], secrets: Secrets) -> FileFact:
    return FileFact(
        path=path,
        sha256=found["sha256"],
        mode=found["mode"],
        owner=found["owner"],
        group=found["group"],
        matches={ref: found["sha256"] == sha256_of(secret.value.encode()) for ref, secret in secrets.items()},
    )


def _mounts(found: Mapping[str, Any] | None) -> tuple[MountFact, ...]:
    return tuple(
        MountFact(
            mount=row["target"],
            device=row["source"],
            filesystem=row["fstype"],
            fs_uuid=row.get("uuid"),
            size_bytes=int(row["size"]) if row.get("size") is not None else None,
        )
        for row in (found or {}).get("filesystems", ())
    )


def _fstab(text: str | None) -> tuple[str, ...]:
    lines = (" ".join(line.split()) for line in (text or "").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _key(line: str | None) -> str | None:
    """Give type and body of a public key, without its comment."""
    words = (line or "").split()
    return " ".join(words[:2]) if len(words) >= 2 else None
