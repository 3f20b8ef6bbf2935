"""GRUB's configuration, the peer of the iPXE script: boots the boot OS, or says why nothing is booted.

A signed GRUB looks for `grub/x86_64-efi/grub.cfg` and `grub/grub.cfg` beside where it came from, whatever
the machine. That one sends it on, by its MAC, to the one that is made for it. Everything comes the way that
the first file came: Debian's signed GRUB has no HTTP in it, and with Secure Boot on it loads no module.
`base` is such a way as GRUB writes it: `http,10.0.0.1:8080` or `tftp,10.0.0.1`.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from pxe_edge.policy.boot import BootAnswer, LocalDisk, Script, Silence
from pxe_edge.policy.views import BootOsView, BootPlan, SiteView

ENTRANCES: Final = frozenset(
    f"{prefix}grub.cfg" for prefix in ("grub/x86_64-efi/", "grub/arm64-efi/", "grub/", "EFI/debian/")
)
ARCHITECTURES: Final[Mapping[str, int]] = {"x86_64": 7, "arm64": 11, "i386": 6}
"""GRUB's `grub_cpu` under UEFI -> option 93 (RFC 4578 section 2.1)."""
_READ_S: Final = 5
_UNSAFE: Final = re.compile(r"[^\x20-\x7e]|['\\]")


def entrance(base: str) -> str:
    """Come back with the MAC and the processor, which only GRUB knows."""
    return _lines(
        f"configfile ({base})/v1/boot/$net_default_mac/$grub_cpu/grub.cfg",
        *_failed("the configuration of this machine could not be fetched"),
    )


def boot_config(base: str, mac: str, plan: BootPlan, bootos: BootOsView) -> str:
    """Boot the boot OS with this boot's seed."""
    place = f"({base})"
    files = [*bootos.initrds, *([bootos.firmware] if bootos.firmware else [])]
    initrds = [f"{place}/{quote(path)}" for path in files]
    arguments = [*bootos.kernel_args.split(), f"BOOTIF=01-{mac.replace(':', '-')}", "rackflow=1"]
    return _lines(
        f"echo {_quoted(f'rackflow: boot {plan.boot_no} of {mac}')}",
        f"if linux {place}/{quote(bootos.kernel)} {' '.join(map(_quoted, arguments))}; then",
        f"  if initrd {' '.join(initrds)} {place}{plan.seed_url}; then",
        "    boot",
        "  fi",
        "fi",
        *_failed("the boot OS could not be loaded"),
    )


def message_config(answer: BootAnswer, site: SiteView) -> str:
    """Say why nothing is booted, and go on to the firmware's next device."""
    match answer:
        case Script():
            said = site.what_is_missing
        case LocalDisk(reason=reason):
            said = f"Nothing to do here ({reason}): on to the disk."
        case Silence(reason=reason):
            said = f"No network boot for this machine: {reason}."
        case _:
            said = "This address serves GRUB."
    return _lines(f"echo {_quoted(f'rackflow: {said}')}", f"sleep {_READ_S}", "exit")


def _failed(what: str) -> tuple[str, ...]:
    return (f"echo {_quoted(f'rackflow: {what}')}", f"sleep {_READ_S}", "exit")


def _quoted(text: str) -> str:
    # In single quotes GRUB takes everything as it stands; what could end them is left out.
    return f"'{_UNSAFE.sub(' ', text)}'"


def _lines(*lines: str) -> str:
    return "\n".join(("# rackflow", *lines)) + "\n"
