"""Steps over the deployed system: the same in its mounted root and in the running system."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.guest import (
    accounts,
    bootloader,
    fstab,
    host_key,
    hostname,
    install_record,
    managed_files,
    network,
    phone_home,
)
from metal.drivers.guest.accounts import UserWish
from metal.drivers.guest.bootloader import GRUB_CFG, HOOK
from metal.drivers.guest.document import Document, commands
from metal.drivers.guest.facts import LVM_DEVICES, LVM_TOOLS, RELABELS, THIN_TOOLS
from metal.drivers.guest.fstab import FSTAB, Mount
from metal.drivers.guest.hostname import HOSTS
from metal.drivers.guest.managed_files import FileWish
from metal.drivers.guest.sha512_crypt import new_salt
from metal.engine.work import Handler, Work
from metal.errors import Refused
from metal.planning.plan import StepKind
from specs.facts import InstallRecord

GENERATED: Final = "generated"
NEEDED: Final = (
    ("lvm", "lvm2", LVM_TOOLS, "find none of its logical volumes", "lvm"),
    ("thin", "thin-provisioning-tools", THIN_TOOLS, "open none of its thin pools", "thinPools"),
)
"""What the image must bring for what its fstab will name: mark of a mount, package, its program's places."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A step that compares facts and sends one document."""

    compare: Callable[[Work], tuple[str, ...]]
    compose: Callable[[Work], Document]
    blind: bool = False
    partial: bool = False
    """Whether more is written than is compared, so that an interrupted start proves nothing."""

    def differences(self, work: Work) -> tuple[str, ...]:
        """Compare the last reading with the step."""
        found = self.compare(work)
        if not found and self.partial and work.interrupted and not work.acted:
            return ("an earlier start may have written a part of it",)
        return found

    def act(self, work: Work) -> None:
        """Send the document, and read again: only that says done."""
        root = work.root()
        sent = work.send(commands(self.compose(work), root))
        if sent:
            work.reading(fresh=True)


def _hostname(work: Work) -> tuple[str, ...]:
    return hostname.differences(work.system(), str(work.args["hostname"]))


def _set_hostname(work: Work) -> Document:
    return hostname.document(str(work.args["hostname"]), work.reading().text(HOSTS))


def _mounts(work: Work) -> tuple[Mount, ...]:
    return tuple(
        Mount.of(entry, str(entry.get("fs_uuid") or work.made(f"fs:{entry['name']}")))
        for entry in work.args.get("mounts", ())
    )


def _fstab(work: Work) -> tuple[str, ...]:
    reading = work.reading()
    for mark, package, tools, told, hint in NEEDED:
        asked = any(entry.get(mark) for entry in work.args.get("mounts", ()))
        if asked and not any(map(reading.present, tools)):
            raise Refused(
                f"the image has no {package} ({' or '.join(tools)}), so it would {told}",
                host=work.host,
                reason="image-unfit",
                hint=f"put {package} into the image, or leave {hint} out of the spec",
            )
    if reading.present(LVM_DEVICES) and any(entry.get("lvm") for entry in work.args.get("mounts", ())):
        raise Refused(
            f"the image has a list of LVM's devices ({LVM_DEVICES}), so it would see none of its new groups",
            host=work.host,
            reason="image-unfit",
            hint=f"remove {LVM_DEVICES} from the image: without it LVM looks at all devices (lvmdevices(8))",
        )
    return fstab.differences(work.system(), _mounts(work))


def _write_fstab(work: Work) -> Document:
    return fstab.document(_mounts(work), work.reading().text(FSTAB))


def _network(work: Work) -> tuple[str, ...]:
    return network.differences(work.system(), work.args["files"])


def _write_network(work: Work) -> Document:
    return network.document(work.system(), work.args["files"])


def _wished_users(work: Work) -> tuple[UserWish, ...]:
    for user in work.args["users"]:
        if user.get("password") == GENERATED:
            raise Refused(
                f"the password of {user['name']} is to be generated, and nobody would learn it",
                host=work.host,
                reason="secret-missing",
                hint="name a secret in passwordFrom, or leave it out",
            )
    return tuple(UserWish.of(user) for user in work.args["users"])


def _users(work: Work) -> tuple[str, ...]:
    return accounts.differences(work.system(), _wished_users(work))


def _set_users(work: Work) -> Document:
    return accounts.document(work.system(), _wished_users(work), work.secrets(), new_salt)


def _wished_files(work: Work) -> tuple[FileWish, ...]:
    return tuple(FileWish.of(file) for file in work.args["files"])


def _files(work: Work) -> tuple[str, ...]:
    return managed_files.differences(work.system(), _wished_files(work))


def _write_files(work: Work) -> Document:
    return managed_files.document(work.system(), _wished_files(work), work.secrets())


def _management(work: Work) -> tuple[str, ...]:
    return () if work.system().management_key else ("the site's management key has no way in",)


def _set_management(work: Work) -> Document:
    return accounts.management_document(
        str(work.args["public_key"]), from_boot_os=work.step.where == "boot-os"
    )


def _set_host_key(_work: Work) -> Document:
    return host_key.document(host_key.make_host_key())


def _has_host_key(work: Work) -> tuple[str, ...]:
    return () if work.system().ssh_host_key else ("the system has no SSH host key",)


def _phone_home(work: Work) -> Document:
    token = work.edge.install_token(work.host, epoch=work.claim.epoch, job=work.claim.job)
    url = str(token.get("phone_home") or work.args.get("url") or work.order().phone_home_url)
    tables = [step.args.get("mounts", ()) for step in work.plan.steps if step.kind == "fstab"]
    mounts = [str(entry["mount"]) for table in tables for entry in table if entry.get("mount")]
    places = [mount for mount in mounts if mount.startswith("/")]
    relabel = work.reading().present(RELABELS)
    return phone_home.document(work.host, url, str(token["token"]), places, relabel=relabel)


def _record(work: Work) -> InstallRecord:
    args = work.args
    return InstallRecord(
        host=work.plan.host_id,
        job=work.claim.job,
        image_digest=str(args["image_digest"]),
        specset=str(args.get("specset") or ""),
        layout_hash=str(args["layout_hash"]),
        disks=tuple(args.get("disks") or ()),
        root_disks=tuple(args.get("root_disks") or ()),
        volumes={name: tuple(drives) for name, drives in (args.get("volumes") or {}).items()},
        root_uuid=str(args.get("root_uuid") or work.root_uuid()),
        root_volume=args.get("root_volume"),
    )


@dataclass(frozen=True, slots=True)
class InstallRecordStep:
    """The record in the root and its copy in the registry, with the host key that the system will show."""

    blind: bool = True
    """Blind: the machine cannot say whether the registry has its copy."""

    def differences(self, work: Work) -> tuple[str, ...]:
        """Compare the record in the root."""
        return install_record.differences(work.system(), _record(work))

    def act(self, work: Work) -> None:
        """Write the root's record, then the registry's."""
        record = _record(work)
        if install_record.differences(work.system(), record):
            work.send(commands(install_record.document(record), work.root()))
        facts = work.reading(fresh=True).system({})
        if facts.ssh_host_key is None:
            raise Refused("the deployed system has no SSH host key", host=work.host, reason="step-failed")
        copy: dict[str, Any] = record.model_dump(mode="json")
        copy |= {
            "disk_serials": list(record.disks),
            "ssh_host_key": facts.ssh_host_key,
            "address": _static_address(work),
        }
        work.edge.put_install_record(work.host, copy, epoch=work.claim.epoch)


@dataclass(frozen=True, slots=True)
class Bootloader:
    """Tell the kernel which device its root is, where the image cannot know."""

    blind: bool = False

    def differences(self, work: Work) -> tuple[str, ...]:
        """Say what would be written."""
        document = self._document(work)
        return () if document.empty else (document.says,)

    def act(self, work: Work) -> None:
        """Write it."""
        root = work.root()
        work.send(commands(self._document(work), root))
        work.reading(fresh=True)

    @staticmethod
    def _document(work: Work) -> Document:
        reading = work.reading()
        return bootloader.document(
            reading.text(GRUB_CFG),
            reading.text(HOOK),
            work.target().raid_uuid,
            int(work.args["root_partition"]),
        )


HANDLERS: Final[Mapping[StepKind, Handler]] = {
    "hostname": Guest(_hostname, _set_hostname, partial=True),
    "fstab": Guest(_fstab, _write_fstab),
    "network": Guest(_network, _write_network, partial=True),
    "users": Guest(_users, _set_users),
    "files": Guest(_files, _write_files),
    "management": Guest(_management, _set_management, partial=True),
    # An image may carry a key or a token of its own: that something is there does not make it ours.
    "host-key": Guest(_has_host_key, _set_host_key, blind=True),
    "phone-home": Guest(lambda _work: (), _phone_home, blind=True),
    "install-record": InstallRecordStep(),
    "bootloader": Bootloader(),
}


def _static_address(work: Work) -> str | None:
    """Give the first static address that the plan sets: where the system will answer."""
    step = next((step for step in work.plan.steps if step.kind == "network"), None)
    held = step.args.get("addresses", {}) if step else {}
    first = next((address for addresses in held.values() for address in addresses), None)
    return str(first).partition("/")[0] if first else None
