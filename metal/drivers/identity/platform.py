"""Processor, architecture, firmware mode, usable memory and TPM, from lscpu, sysfs and /proc."""

from dataclasses import dataclass
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.identity import cpuinfo
from metal.errors import Unparsable
from specs.facts import FirmwareMode, Tpm

LSCPU: Final = Query("lscpu", ("lscpu", "-J"))

PLATFORM: Final = Query(
    "platform",
    (
        "sh",
        "-c",
        # One line per value, without a process per file: this runs on emulated machines too.
        r"""for f in sys_vendor product_name product_serial product_uuid; do
v=; [ -r /sys/class/dmi/id/$f ] && read -r v </sys/class/dmi/id/$f; echo "$f=$v"; done 2>/dev/null
v=none; [ -r /sys/class/tpm/tpm0/tpm_version_major ] && read -r v </sys/class/tpm/tpm0/tpm_version_major
[ -d /sys ] && echo "tpm=$v"
[ -d /sys ] && { if [ -d /sys/firmware/efi ]; then echo firmware=uefi; else echo firmware=bios; fi; }
while read -r k v u; do [ "$k" = MemTotal: ] && echo "memtotal_kib=$v"; done </proc/meminfo
echo "arch=$(uname -m)" """,
    ),
)

ARCHITECTURES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""The kernel's machine name -> the name that images and Debian use; others stay as they are."""
TPMS: Final[dict[str, Tpm]] = {"none": "none", "1": "1.2", "2": "2.0"}
"""`tpm_version_major` of the kernel (Documentation/ABI/stable/sysfs-class-tpm) -> the version of the TPM."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processors of the machine; counts are totals of the machine."""

    model: str | None
    sockets: int | None
    cores: int | None
    threads: int | None
    arch: str | None


@dataclass(frozen=True, slots=True)
class Platform:
    """What `PLATFORM` prints."""

    dmi: dict[str, str]
    firmware: FirmwareMode | None
    memory_bytes: int | None
    arch: str | None
    tpm: Tpm | None = None


def parse_lscpu(text: str) -> Cpu:
    """The processors as `cpuinfo` reads them, the architecture by the name that images use."""
    read = cpuinfo.parse(text).value
    return Cpu(
        model=read.models[0] if read.models else None,
        sockets=read.sockets,
        cores=read.cores,
        threads=read.threads,
        arch=_arch(read.architecture),
    )


def parse_platform(text: str) -> Platform:
    """`key=value` lines; what is missing is unknown."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    memory_kib = _count(values.get("memtotal_kib"))
    if "arch" not in values:
        raise Unparsable(f"platform: expected key=value lines, found {text[:80]!r}", reason="unparsable")
    return Platform(
        dmi={key: value for key, value in values.items() if key.startswith(("sys_", "product_"))},
        firmware={"uefi": "uefi", "bios": "bios"}.get(values.get("firmware", "")),  # type: ignore[arg-type]
        memory_bytes=memory_kib * 1024 if memory_kib else None,
        arch=_arch(values.get("arch")),
        tpm=TPMS.get(values.get("tpm", "").strip()),
    )


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isascii() and text.strip().isdigit() else None


def _arch(text: str | None) -> str | None:
    return ARCHITECTURES.get(text, text) if text else None
