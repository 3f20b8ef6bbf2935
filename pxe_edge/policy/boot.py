"""The boot answer: one pure function that DHCP, TFTP and HTTP all ask, so that they can't disagree.

A plain start of an installed machine never depends on the edge: without due work the answer is
silence about booting (an address, no boot file), and the firmware goes on to its disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import HostView, SiteView


@dataclass(frozen=True, slots=True)
class Loader:
    """First stage: a network boot program, by its name in the boot folder; `http` asks for a URL."""

    file: str
    http: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """Second stage: the iPXE script that boots the boot OS."""


@dataclass(frozen=True, slots=True)
class LocalDisk:
    """Go on to the disk, said aloud (boot order network-first)."""

    reason: str = "local-disk"


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing to boot, and why; `reason` is a code of `specs.reasons` or of this package's own log."""

    reason: str


BootAnswer = Loader | Script | LocalDisk | Silence

LOADERS: Final[Mapping[int, Loader]] = {
    0: Loader("undionly.kpxe"),
    7: Loader("snponly.efi"),
    9: Loader("snponly.efi"),
    16: Loader("snponly.efi", http=True),
}
"""Option 93 -> loader. An architecture that is not here gets no boot file, never another one's."""

LOADER_FILES: Final = tuple(sorted({loader.file for loader in LOADERS.values()}))


def decide(request: BootRequest, host: HostView | None, site: SiteView) -> BootAnswer:
    """Say what a boot request gets; `host` is the registered host that the request is from, if any."""
    if host is None:
        if site.discovery == "off":
            return Silence("discovery-off")
        if site.discovery == "hold":
            return Silence("awaiting-approval")
    elif host.due is None:
        return LocalDisk("no-work-due") if site.boot_order == "network-first" else Silence("no-work-due")
    elif host.due == "local-disk":
        return LocalDisk()
    return _stage(request, site)


def _stage(request: BootRequest, site: SiteView) -> BootAnswer:
    match request.client:
        case "ipxe":
            return Script()
        case "plain":
            return Silence("no-boot-client")
        case "pxe" | "http":
            loader = LOADERS.get(request.arch) if request.arch is not None else None
            if site.loader != "ipxe" or loader is None or loader.http != (request.client == "http"):
                return Silence("no-loader")
            return loader


def held(request: BootRequest, host: HostView | None, site: SiteView) -> Silence | None:
    """Silence for a machine that is to get no DHCP answer at all: unknown, booting, not yet let in."""
    if host is None and request.boots and site.discovery in ("off", "hold"):
        answer = decide(request, host, site)
        return answer if isinstance(answer, Silence) else None
    return None
