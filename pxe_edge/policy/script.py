"""The iPXE script: what boots the boot OS, or says on the machine's screen why nothing is booted.

iPXE under EFI gives each image to the kernel under its name, so the kernel line lists `initrd=` for
every one; under BIOS iPXE joins them and the names do no harm. `exit 1` because EFI firmware that
gets "success" back opens its menu instead of the next boot device.
"""

from posixpath import basename
from typing import Final
from urllib.parse import quote

from pxe_edge.policy.boot import BootAnswer, LocalDisk, Script, Silence
from pxe_edge.policy.views import BootOsView, BootPlan, SiteView

_HEAD: Final = "#!ipxe"
_READ_S: Final = 5
"""How long a message stays on the screen."""


def chain_script(base: str) -> str:
    """For a request that names no machine: come back with MAC and UUID, which only iPXE knows."""
    return _lines(
        _HEAD,
        f"chain {base}/boot.ipxe?mac=${{netX/mac}}&uuid=${{uuid}} || goto failed",
        *_failed("the boot script could not be fetched"),
    )


def boot_script(base: str, mac: str, plan: BootPlan, bootos: BootOsView) -> str:
    """Boot the boot OS with this boot's seed."""
    files = [*bootos.initrds, *([bootos.firmware] if bootos.firmware else [])]
    images = [(basename(path), f"{base}/{quote(path)}") for path in files]
    images.append(("seed.cpio", f"{base}{plan.seed_url}"))
    names = " ".join(f"initrd={name}" for name, _ in images)
    arguments = f"{bootos.kernel_args} BOOTIF=01-{mac.replace(':', '-')} rackflow=1".strip()
    return _lines(
        _HEAD,
        f"echo rackflow: boot {plan.boot_no} of {mac}",
        f"kernel {base}/{quote(bootos.kernel)} {names} {arguments} || goto failed",
        *(f"initrd --name {name} {url} || goto failed" for name, url in images),
        "boot || goto failed",
        *_failed("the boot OS could not be loaded"),
    )


def message_script(answer: BootAnswer, site: SiteView) -> str:
    """Say why nothing is booted, and go on to the firmware's next device."""
    match answer:
        case Script():
            said = (site.what_is_missing,)
        case LocalDisk(reason=reason):
            said = (f"Nothing to do here ({reason}): on to the disk.",)
        case Silence(reason=reason):
            said = (f"No network boot for this machine: {reason}.",)
        case _:
            said = ("This address serves iPXE.",)
    return _lines(_HEAD, *(f"echo rackflow: {_plain(text)}" for text in said), f"sleep {_READ_S}", "exit 1")


def _failed(what: str) -> tuple[str, ...]:
    return (":failed", f"echo rackflow: {what}", f"sleep {_READ_S}", "exit 1")


def _plain(text: str) -> str:
    # A message must stay one line that iPXE neither expands nor splits.
    return "".join(char if char.isprintable() and char not in "$|&{}" else " " for char in text)


def _lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"
