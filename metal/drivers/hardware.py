"""The machine's hardware in one round trip: every driver's questions in one bundle, every answer parsed.

The tools of RAID controllers are asked in a second one, where there are any.

A tool that is missing, hangs or says something new makes its own part unknown and is named in
`unknown` with the reason; the other parts stand. Nothing raises but a machine that does not answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from metal.drivers.bmc import in_band
from metal.drivers.bundle import Query, read_bundle
from metal.drivers.erasing import ERASERS, parse_erasers
from metal.drivers.identity.dmi import DMIDECODE, DmiIdentity, parse_dmi_sysfs, parse_dmidecode
from metal.drivers.identity.platform import LSCPU, PLATFORM, Cpu, Platform, parse_lscpu, parse_platform
from metal.drivers.network.links import IP_LINK, NIC_SYSFS, parse_nics
from metal.drivers.raid import FAMILIES
from metal.drivers.raid.controller_facts import arrays_of, controllers_of
from metal.drivers.raid.detection import ask, detected, first_questions
from metal.drivers.raid.family import RaidFamily
from metal.drivers.raid.md import MD_DETAIL, parse_detail
from metal.drivers.storage.disks import DISK_HEADS, LSBLK, SETTLE, build_disks, parse_heads, parse_lsblk
from metal.drivers.storage.identity import BY_PATH, DISK_SYSFS, parse_by_path, parse_disk_sysfs
from metal.drivers.storage.lvm import LVM
from metal.drivers.storage.lvm import parse as parse_groups
from metal.errors import Unparsable
from metal.protocols import Output, Shell
from specs.facts import Disk, Hardware, RaidArray, VolumeGroupFact

_T = TypeVar("_T")
NOT_THERE: Final = (126, 127)
"""What timeout(1) gives for a program that cannot be run or found."""

QUERIES: Final[tuple[Query, ...]] = (
    DMIDECODE,
    PLATFORM,
    LSCPU,
    IP_LINK,
    NIC_SYSFS,
    SETTLE,
    LSBLK,
    DISK_SYSFS,
    BY_PATH,
    DISK_HEADS,
    ERASERS,
    MD_DETAIL,
    LVM,
    *in_band.QUERIES,
)


def read_hardware(
    shell: Shell, booted_mac: str | None, families: Sequence[RaidFamily] = FAMILIES
) -> tuple[Hardware, dict[str, str]]:
    """Read the hardware, and say by field path what could not be known. Raises Unreachable only.

    A second round trip asks the tools of RAID controllers, where there are any.
    """
    first = read_bundle(shell, (*QUERIES, *first_questions(families)))
    return parse_hardware(ask(shell, families, first), booted_mac, families)


def parse_hardware(
    answers: Mapping[str, Output], booted_mac: str | None, families: Sequence[RaidFamily] = FAMILIES
) -> tuple[Hardware, dict[str, str]]:
    """The same from answers that are there already."""
    reading = _Reading(answers)
    platform = reading.take("arch", (PLATFORM,), parse_platform)
    cpu = reading.take("cpu_model", (LSCPU,), parse_lscpu)
    dmi = reading.take("serial", (DMIDECODE,), parse_dmidecode)
    nics = reading.take("nics", (IP_LINK, NIC_SYSFS), lambda link, sys: parse_nics(link, sys, booted_mac))
    disks = reading.take("disks", (LSBLK, DISK_SYSFS), lambda lsblk, sys: _disks(answers, lsblk, sys))
    raids = reading.take("raids", (MD_DETAIL, LSBLK, DISK_SYSFS), _raids)
    detection = detected(families, answers)
    reading.unknown.update(detection.unknown)
    bmc = reading.attempt("bmc", lambda: in_band.parse_bmc(answers))
    seen = {
        "nics": nics or (),
        "disks": disks or (),
        "raids": (*(raids or ()), *arrays_of(detection, disks or ())),
        "controllers": controllers_of(detection),
        "volume_groups": _groups(reading, answers[LVM.name], disks or ()),
        "bmc": bmc,
    }
    return _hardware(platform, cpu, dmi).model_copy(update=seen), reading.unknown


class _Reading:
    """Parses answers and remembers, by field, what could not be known and why."""

    def __init__(self, answers: Mapping[str, Output]) -> None:
        self._answers = answers
        self.unknown: dict[str, str] = {}

    def take(self, field: str, queries: tuple[Query, ...], parse: Callable[..., _T]) -> _T | None:
        """Parse the answers to some queries; None, and an entry in `unknown`, where one is missing."""
        for query in queries:
            output = self._answers[query.name]
            if not output.stdout.strip() and not output.ok:
                said = output.stderr.strip().splitlines()
                self.unknown[field] = f"{query.name}: {said[-1] if said else f'exit status {output.status}'}"
                return None
        return self.attempt(field, lambda: parse(*(self._answers[query.name].stdout for query in queries)))

    def attempt(self, field: str, parse: Callable[[], _T]) -> _T | None:
        """Run one parser; what it cannot read is unknown."""
        try:
            return parse()
        except (Unparsable, ValueError) as error:
            self.unknown[field] = str(error)
            return None


def _hardware(platform: Platform | None, cpu: Cpu | None, dmi: DmiIdentity | None) -> Hardware:
    sysfs = parse_dmi_sysfs(platform.dmi if platform else {})
    smbios = dmi or DmiIdentity()
    return Hardware(
        manufacturer=smbios.manufacturer or sysfs.manufacturer,
        product=smbios.product or sysfs.product,
        serial=smbios.serial or sysfs.serial,
        uuid=smbios.uuid or sysfs.uuid,
        firmware=platform.firmware if platform else None,
        arch=(platform.arch if platform else None) or (cpu.arch if cpu else None),
        cpu_model=cpu.model if cpu else None,
        cpu_sockets=cpu.sockets if cpu else None,
        cpu_cores=cpu.cores if cpu else None,
        cpu_threads=cpu.threads if cpu else None,
        memory_bytes=smbios.memory_bytes or (platform.memory_bytes if platform else None),
        tpm=platform.tpm if platform else None,
    )


def _disks(answers: Mapping[str, Output], lsblk: str, sysfs: str) -> tuple[Disk, ...]:
    return build_disks(
        parse_lsblk(lsblk),
        parse_disk_sysfs(sysfs),
        parse_by_path(answers[BY_PATH.name].stdout),
        parse_heads(answers[DISK_HEADS.name].stdout),
        parse_erasers(answers[ERASERS.name].stdout),
    )


def _groups(reading: _Reading, output: Output, disks: Sequence[Disk]) -> tuple[VolumeGroupFact, ...]:
    """Groups of LVM; a system without it has none that it could use, and does not know other ones."""
    if output.status in NOT_THERE:
        seen = [p.device for disk in disks for p in disk.partitions if p.filesystem == "LVM2_member"]
        seen += [disk.device for disk in disks if any(s.startswith("LVM2_member") for s in disk.found)]
        if seen:
            reading.unknown["volume_groups"] = f"no lvm here to ask what {seen[0]} is a part of"
        return ()
    return reading.take("volume_groups", (LVM,), parse_groups) or ()


def _raids(detail: str, lsblk: str, sysfs: str) -> tuple[RaidArray, ...]:
    return parse_detail(detail, parse_lsblk(lsblk), parse_disk_sysfs(sysfs))
