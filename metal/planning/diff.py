"""What differs between a spec and a reading of the installed host.

Each difference is *adjustable* (a step kind repairs it in place), *creation-only* (reported; only a
consented reinstall repairs it) or *unknown*. Unknown is never taken for absent: repairing what was only
not read changes machines for no reason, and calling it equal hides drift.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from metal.planning.difference import Difference
from metal.planning.disks import Refusal
from metal.planning.ids import derived_uuid
from metal.planning.mounting import formatted, mounts_of, unlocked_name
from metal.planning.network import NetworkPlan
from metal.planning.plan import StepKind
from metal.planning.raid.standing import volume_drift
from metal.planning.volume_drift import pool_drift
from metal.planning.wish import GENERATED, Wish, layout_hash
from specs.facts import InstallRecord, Observation, SystemFacts
from specs.model import Formatted, Host
from specs.raid_health import found_for, health_of, installed_on, name_of, why_unknown
from specs.records import WorkOrder

LOCKED: Final = (
    " (a TPM that was cleared or came with another board opens nothing: its key still does, and a reinstall "
    "that preserves it, or the two commands of docs/disks.md, have the TPM that is there open it)"
)
"""The next step where a file system is missing that the TPM is to open."""


def differences(
    spec: Host, order: WorkOrder, wish: Wish, observation: Observation, *, ours: bool = True
) -> tuple[Difference, ...]:
    """All differences. `ours` False leaves image and layout out: an adopted host was not installed by us."""
    found = list(_power(spec, observation))
    system = observation.system
    if system is None and spec.power == "off" and not found:
        return ()  # nothing can be read of a machine that is off, which is all that was asked for
    if system is None:
        why = observation.unknown.get("system", f"seen from {observation.seen_from} only")
        return (*found, Difference("system", "to be read", why, unknown=True))
    if ours:
        found += _creation(spec, order, observation, system)
    found += drives_to_replace(spec, observation)
    found += _hostname(wish, system)
    for part, compare in (("network", _network), ("users", _users), ("files", _files)):
        unread = _why_unknown(observation, part)
        if unread is None:
            found += compare(wish, system, observation)
        else:
            found.append(Difference(part, "to be read", unread, unknown=True))
    if wish.management_key:
        found += _management(system)
    return tuple(found)


def _why_unknown(observation: Observation, part: str) -> str | None:
    paths = {"network": ("system.network_files", "system.addresses")}.get(part, (f"system.{part}",))
    return next((observation.unknown[path] for path in paths if path in observation.unknown), None)


def _power(spec: Host, observation: Observation) -> Iterator[Difference]:
    seen = observation.bmc.power if observation.bmc else None
    # A machine that answers over SSH is on, whatever its BMC failed to say.
    seen = seen or ("on" if observation.seen_from != "bmc" else None)
    if seen is None:
        yield Difference("power", spec.power, observation.unknown.get("bmc", "not read"), unknown=True)
    elif seen != spec.power:
        yield Difference("power", spec.power, seen, "power")


def _creation(
    spec: Host, order: WorkOrder, observation: Observation, system: SystemFacts
) -> Iterator[Difference]:
    record = system.record
    if record is None:
        why = observation.unknown.get("system.record")
        seen = why or "no install record"
        yield Difference("image", spec.image or "none", seen, unknown=why is not None)
        return
    if record.host not in (order.host.id, order.host.name):
        yield Difference("image", order.host.id, f"installed for host {record.host}")
    if spec.image and order.image is None:
        yield Difference("image", spec.image, "the image is not in the store", unknown=True)
    elif order.image and record.image_digest != order.image.digest:
        yield Difference("image", order.image.digest, record.image_digest)
    if record.layout_hash != layout_hash(spec):
        yield Difference("disks", layout_hash(spec), f"{record.layout_hash} of job {record.job}")
    yield from _mounts(spec, order.host.id, record, system)
    yield from _arrays(spec, observation)
    yield from pool_drift(spec, observation)


def _mounts(spec: Host, host_id: str, record: InstallRecord, system: SystemFacts) -> Iterator[Difference]:
    """Every file system of the spec is mounted, and is the one that the recorded job made."""
    for part in formatted(spec):
        wished = _fs_uuid(part, host_id, record)
        if part.mount == "/":
            yield from _mounted(part, "/", (), wished, system)
            continue
        for mount, options in mounts_of(part):
            if mount.startswith("/"):
                yield from _mounted(part, mount, options, wished, system)


def _mounted(
    part: Formatted, mount: str, options: tuple[str, ...], wished: str | None, system: SystemFacts
) -> Iterator[Difference]:
    seen = next((one for one in system.mounts if one.mount == mount), None)
    field = f"disks.{part.name}"
    if seen is None:
        asked = part.luks is not None and part.luks.tpm2 != "off"
        yield Difference(field, f"mounted on {mount}", f"not mounted{LOCKED if asked else ''}")
        return
    if part.filesystem and mount != "/" and seen.filesystem != part.filesystem:
        yield Difference(field, part.filesystem, seen.filesystem)
    elif wished and seen.fs_uuid is None:
        yield Difference(field, wished, "its UUID was not read", unknown=True)
    elif wished and seen.fs_uuid and not same_fs_uuid(wished, seen.fs_uuid):
        yield Difference(field, f"file system {wished}", f"file system {seen.fs_uuid}")
    opened = f"/dev/mapper/{unlocked_name(part.name)}"
    if part.luks and seen.device.partition("[")[0] != opened:
        yield Difference(f"{field}.luks", f"mounted from {opened}", f"mounted from {seen.device}")
    lines = (line.split() for line in system.fstab)
    listed = next((words[3].split(",") for words in lines if len(words) > 3 and words[1] == mount), None)
    missing = [option for option in options if listed is not None and option not in listed]
    if missing:
        yield Difference(f"{field}.options", ",".join(options), ",".join(listed or ()))


def same_fs_uuid(wished: str, seen: str) -> bool:
    """Whether a file system carries an id; vfat has room for its first 32 bits only (`1A2B-3C4D`)."""
    plain_wished, plain_seen = wished.replace("-", "").lower(), seen.replace("-", "").lower()
    return plain_seen == (plain_wished[:8] if len(plain_seen) == 8 else plain_wished)


def _fs_uuid(part: Formatted, host_id: str, record: InstallRecord) -> str | None:
    if part.mount == "/":
        return record.root_uuid
    # What was preserved keeps the id that an earlier job or someone else gave it.
    return None if part.preserve else derived_uuid(host_id, record.job, f"fs:{part.name}")


def _arrays(spec: Host, observation: Observation) -> Iterator[Difference]:
    """What the volumes are; one that can't be read without its controller's tool is no difference."""
    hardware = observation.hardware
    if hardware is None or "hardware.raids" in observation.unknown:
        return  # the layout's hash and the mounted file systems above stand for the arrays below them
    for volume in (one for one in spec.raid if one.level != "jbod"):
        array = found_for(volume, hardware, installed_on(observation))
        if array is not None and array.level != volume.level:
            yield Difference(f"raid.{volume.name}", volume.level, array.level)
        elif array is not None:
            yield from volume_drift(volume, array, hardware)
        elif why_unknown(volume, observation) is None:
            yield Difference(f"raid.{volume.name}", volume.level, "no such volume")


def drives_to_replace(spec: Host, observation: Observation) -> tuple[Difference, ...]:
    """Members of the spec's volumes that failed, are missing or about to fail: no step repairs them.

    What else lies on a machine's drives is no part of what was asked for.
    """
    hardware = observation.hardware
    installed = installed_on(observation)
    arrays = [found_for(volume, hardware, installed) for volume in spec.raid] if hardware else []
    own = {name_of(array) for array in arrays if array}
    health = health_of(observation, spec.raid)
    return tuple(
        Difference(f"raid.{one.volume}", "every drive in order", one.text.removeprefix("is "), told=one.text)
        for one in health.replace
        if one.volume in own
    )


def _hostname(wish: Wish, system: SystemFacts) -> Iterator[Difference]:
    if system.hostname is None:
        yield Difference("hostname", wish.hostname, "not read", unknown=True)
    elif system.hostname != wish.hostname:
        yield Difference("hostname", wish.hostname, system.hostname, "hostname")


def _network(wish: Wish, system: SystemFacts, observation: Observation) -> Iterator[Difference]:
    if isinstance(wish.network, Refusal):
        yield Difference("network", "as in the spec", wish.network.message, unknown=True)
        return
    files = wish.network.files if wish.network else {}
    wished = {path: digest(text) for path, text in files.items()}
    for path in sorted(wished.keys() | system.network_files.keys()):
        have, want = system.network_files.get(path, "absent"), wished.get(path, "absent")
        if have != want:
            yield Difference(f"network:{path}", want[:12], have[:12], "network")
    if wish.network:
        yield from _addresses(wish.network, system, observation)


def _addresses(plan: NetworkPlan, system: SystemFacts, observation: Observation) -> Iterator[Difference]:
    running = {nic.mac: nic.name for nic in observation.hardware.nics} if observation.hardware else {}
    everywhere = {address for held in system.addresses.values() for address in held}
    for link, wished in plan.addresses.items():
        name = running.get(plan.nics[link].mac) if link in plan.nics else link
        # A NIC's name in the running system is only known when its hardware was read there.
        held = set(system.addresses.get(name, ())) if name else everywhere
        missing = [address for address in wished if address not in held]
        if missing:
            seen = ", ".join(sorted(held)) or "none"
            yield Difference(f"network.{link}.addresses", ", ".join(missing), seen, "network")


def _users(wish: Wish, system: SystemFacts, observation: Observation) -> Iterator[Difference]:
    seen = {user.name: user for user in system.users}
    for user in wish.users:
        name = f"users.{user['name']}"
        fact = seen.get(user["name"])
        if fact is None:
            yield Difference(name, "present", "absent", "users")
            continue
        pairs = {
            "sshKeys": (sorted(map(plain_key, user["ssh_keys"])), sorted(map(plain_key, fact.ssh_keys))),
            "sudo": (user["sudo"], fact.sudo),
            "shell": (user["shell"], fact.shell if fact.shell is not None else user["shell"]),
        }
        for key, (want, have) in pairs.items():
            if want != have:
                yield Difference(f"{name}.{key}", _short(want), _short(have), "users")
        if user["password"] not in (None, GENERATED):
            yield from _secret(f"{name}.password", user["password"], fact.password_is, "users", observation)


def _files(wish: Wish, system: SystemFacts, observation: Observation) -> Iterator[Difference]:
    seen = {file.path: file for file in system.files}
    for file in wish.files:
        field = f"files:{file['path']}"
        fact = seen.get(file["path"])
        if fact is None:
            yield Difference(field, "present", "absent", "files")
            continue
        for key in ("mode", "owner", "group"):
            have = getattr(fact, key)
            if have is not None and not _same_mode(file[key], have):
                yield Difference(f"{field}.{key}", file[key], have, "files")
        if "secret" in file:
            yield from _secret(field, file["secret"], fact.matches, "files", observation)
        elif fact.sha256 != file["sha256"]:
            have = fact.sha256[:12] if fact.sha256 else "absent"
            yield Difference(field, str(file["sha256"])[:12], have, "files")


def _secret(
    field: str, ref: str, answers: Mapping[str, bool], kind: StepKind, observation: Observation
) -> Iterator[Difference]:
    """Whether the machine has a secret's current version, as the observer compared it."""
    if ref not in answers:
        yield Difference(field, ref, observation.unknown.get(field, "not compared"), unknown=True)
    elif not answers[ref]:
        yield Difference(field, ref, "another value", kind)


def _management(system: SystemFacts) -> Iterator[Difference]:
    if system.management_key is None:
        yield Difference("management", "the site's key", "not read", unknown=True)
    elif not system.management_key:
        yield Difference("management", "the site's key", "absent", "management")


def plain_key(line: str) -> str:
    """An SSH public key without its comment, which says nothing about who may log in."""
    return " ".join(line.split()[:2])


def digest(text: str) -> str:
    """sha256 of a file's text, as observers report it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _same_mode(wished: str, seen: str) -> bool:
    return wished.lstrip("0") == seen.lstrip("0")


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(f"{one[:20]}…{one[-8:]}" for one in value) or "none"
    return str(value)
