"""What MegaCli is asked for a whole view of its controllers, and its answers joined.

An exit code is no proof of anything (`-adpCount` exits with the count), but each command prints one at
its end, so an answer without it was cut off. The names by which the system shows volumes stand in no
listing; they follow from SCSI targets.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.raid.listing import Controller, VirtualDrive, wwn_text
from metal.drivers.raid.megacli import parse
from metal.drivers.raid.megacli.controllers import with_spares
from metal.errors import Unparsable
from metal.protocols import Output

NO_LOG: Final = "-NoLog"
"""Without it MegaSAS.log grows in the working directory until a boot OS has no memory left."""
TIMEOUT_S: Final = 60
"""A call takes a second or two, but waits for a firmware that spins drives up."""

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "megacli-count": ("-adpCount",),
    "megacli-adapters": ("-AdpAllInfo", "-aALL"),
    "megacli-drives": ("-PDList", "-aALL"),
    "megacli-volumes": ("-LdPdInfo", "-aALL"),
    "megacli-groups": ("-CfgDsply", "-aALL"),
}
_OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    # What old versions and small controllers may refuse.
    "megacli-pci": ("-AdpGetPciInfo", "-aALL"),
    "megacli-jbod": ("-AdpGetProp", "EnableJBOD", "-aALL"),
    "megacli-battery": ("-AdpBbuCmd", "-GetBbuStatus", "-aALL"),
    "megacli-preserved": ("-GetPreservedCacheList", "-aALL"),
    "megacli-foreign": ("-CfgForeign", "-Scan", "-aALL"),
}
_EACH_ADAPTER: Final = ("megacli-adapters", "megacli-drives", "megacli-volumes")
DEVICES: Final = Query(
    "megacli-devices",
    (
        "sh",
        "-c",
        r"""for d in /sys/bus/scsi/devices/*:*:*:*; do [ -d "$d/block" ] || continue
a=${d##*/}; read -r n <"/sys/class/scsi_host/host${a%%:*}/proc_name"
[ "$n" = megaraid_sas ] || continue; p=$(readlink -f "$d"); p=${p%%/host*}
w=; [ -r "$d/wwid" ] && read -r w <"$d/wwid"
for b in "$d"/block/*; do b=${b##*/}; [ -n "$w" ] || w=$(lsblk -dno WWN "/dev/$b")
echo "${p##*/} $a $b $w"; done; done; :""",
    ),
)
"""Disks that the driver megaraid_sas shows: PCI address, SCSI address, name and unique id, one a line.

The id is the kernel's reading of VPD page 83, else udev's of the same page, as lsblk shows it.
"""

_EXIT = re.compile(r"^Exit Code\s*:\s*0x[0-9a-f]{1,8}$", re.IGNORECASE)
_COUNT = re.compile(r"^\s*Controller Count\s*:\s*(\d{1,4})\.?\s*$", re.IGNORECASE | re.MULTILINE)
_ADAPTER = re.compile(r"^\s*Adapter #(\d{1,4})\s*$", re.IGNORECASE)
_TARGET = re.compile(r"^\s*Virtual D\w+\s*:\s*(\d{1,6})\s*\(Target Id\s*:\s*(\d{1,6})\)", re.IGNORECASE)
_DEVICE = re.compile(r"^(?P<pci>\S+) \d+:(?P<channel>\d+):(?P<target>\d+):0 (?P<name>\w+) ?(?P<wwid>.*)$")
_FIRST_VOLUME_CHANNEL: Final = 2
_TARGETS_PER_CHANNEL: Final = 128
"""The Linux driver shows target 0-127 of the firmware on SCSI channel 2, and further ones on channel 3."""


def queries(tool: str) -> tuple[Query, ...]:
    """All that is asked of a machine."""
    asked = {**_REQUIRED, **_OPTIONAL}
    told = (Query(name, (tool, *words, NO_LOG), TIMEOUT_S) for name, words in asked.items())
    return (*told, DEVICES)


def controllers(answers: Mapping[str, Output]) -> tuple[Controller, ...]:
    """Join the answers. Raises Unparsable where one is cut off, refused or of other adapters."""
    count = _count(answers["megacli-count"])
    if count == 0:
        return ()
    texts = {name: _whole(answers[name]) for name in (*_REQUIRED, *_OPTIONAL)}
    for name in _REQUIRED:
        if name != "megacli-count":
            _refuse_failure(name, answers[name], count)
    # Drives come before volumes: a list of drives alone would replace what those say of missing members.
    order = ("megacli-adapters", *_OPTIONAL, "megacli-drives", "megacli-volumes")
    text = "\n".join(texts[name] for name in order if name in _REQUIRED or _readable(texts[name]))
    groups = {one.index: one for one in parse(texts["megacli-groups"]).value.controllers}
    refuses_jbod = not _succeeded(texts["megacli-jbod"])
    devices = _devices(answers[DEVICES.name].stdout)
    found = []
    for one in parse(text).value.controllers:
        joined = _in_groups(one, groups.get(one.index))
        if joined.jbod is None and refuses_jbod:
            joined = replace(joined, jbod=False)
        named = tuple(_shown(volume, joined, devices) for volume in joined.volumes)
        found.append(_addressable(replace(joined, volumes=named), texts["megacli-volumes"]))
    return tuple(found)


def _count(answer: Output) -> int:
    match = _COUNT.search(answer.stdout)
    if match is None:
        head = next((line for line in (answer.stdout + answer.stderr).splitlines() if line.strip()), "")
        raise Unparsable(f"MegaCli does not count its controllers: {head.strip()[:200] or 'no answer'}")
    return int(match[1])


def _whole(answer: Output) -> str:
    last = next((line.strip() for line in reversed(answer.stdout.splitlines()) if line.strip()), "")
    if not _EXIT.match(last):
        asked = " ".join(answer.argv)
        told = last[:100] or answer.stderr.strip()[:100] or "nothing"
        raise Unparsable(f"the answer to {asked} ends without an exit code, with: {told}")
    return answer.stdout


def _refuse_failure(name: str, answer: Output, count: int) -> None:
    """Refuse a listing that failed or tells of fewer adapters than there are: it would look empty."""
    listing = parse(answer.stdout).value
    asked = " ".join(answer.argv)
    if listing.outcome is not None and not listing.outcome.ok:
        raise Unparsable(f"{asked} failed: {listing.outcome.message or hex(listing.outcome.code or 1)}")
    seen = {one.index for one in listing.controllers}
    if name in _EACH_ADAPTER and (len(seen) != count or None in seen):
        raise Unparsable(f"{asked} tells of {len(seen)} adapters, of {count}")


def _readable(text: str) -> bool:
    try:
        parse(text)
    except Unparsable:
        return False
    return True


def _succeeded(text: str) -> bool:
    if not _readable(text):
        return False
    outcome = parse(text).value.outcome
    return outcome is None or outcome.ok


def _in_groups(one: Controller, grouped: Controller | None) -> Controller:
    """The controller with the arrays of its volumes, which -CfgDsply alone tells, and their spares."""
    arrays = {volume.id: volume.groups for volume in grouped.volumes} if grouped else {}
    volumes = tuple(replace(volume, groups=arrays.get(volume.id, ())) for volume in one.volumes)
    return with_spares(replace(one, volumes=volumes))


def _devices(text: str) -> dict[tuple[str, int], tuple[str, str]]:
    """(PCI address, target) -> name and unique id."""
    rows = (_DEVICE.match(line.strip()) for line in text.splitlines())
    found = {}
    for row in rows:
        if row and int(row["channel"]) >= _FIRST_VOLUME_CHANNEL:
            channel = int(row["channel"]) - _FIRST_VOLUME_CHANNEL
            place = (row["pci"], channel * _TARGETS_PER_CHANNEL + int(row["target"]))
            found[place] = (row["name"], row["wwid"])
    return found


def _shown(
    volume: VirtualDrive, controller: Controller, devices: Mapping[tuple[str, int], tuple[str, str]]
) -> VirtualDrive:
    """The volume with the block device that shows it."""
    if controller.pci is None or volume.id is None or (controller.pci, int(volume.id)) not in devices:
        return volume
    name, wwid = devices[controller.pci, int(volume.id)]
    return replace(volume, device=f"/dev/{name}", wwn=wwn_text(wwid))


def _addressable(controller: Controller, text: str) -> Controller:
    """The controller without ids that -L could take for another volume.

    Versions before 2010 number volumes in a row and print another target id beside it; which of both -L
    means then is not told, and the wrong one would delete a volume that stays.
    """
    doubtful, index = set[str](), None
    for line in text.splitlines():
        adapter, target = _ADAPTER.match(line), _TARGET.match(line)
        if adapter:
            index = adapter[1]
        elif target and index == controller.index and int(target[1]) != int(target[2]):
            doubtful.add(target[2])
    if not doubtful:
        return controller
    return replace(
        controller,
        volumes=tuple(replace(one, id=None) if one.id in doubtful else one for one in controller.volumes),
        drives=tuple(
            replace(one, volume=None) if one.volume in doubtful else one for one in controller.drives
        ),
    )
