"""The boot answer: one pure function that DHCP, TFTP and HTTP all ask, so that they can't disagree.

A plain start of an installed machine never depends on the edge: without due work the answer is
silence about booting (an address, no boot file), and the firmware goes on to its disk.
"""

from dataclasses import dataclass

from pxe_edge.policy.loaders import Loader, find_loader
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import HostView, SiteView


@dataclass(frozen=True, slots=True)
class Script:
    """Second stage: the iPXE script, or GRUB's configuration, that boots the boot OS."""


@dataclass(frozen=True, slots=True)
class LocalDisk:
    """Go on to the disk, said aloud (boot order network-first)."""

    reason: str = "local-disk"


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing to boot, and why; `reason` is a code of `specs.reasons` or of this package's own log."""

    reason: str


BootAnswer = Loader | Script | LocalDisk | Silence


def word(answer: BootAnswer) -> str:
    """What a boot answer says, in one word for log and sightings."""
    match answer:
        case Loader(file=file):
            return f"loader:{file}"
        case Script():
            return "script"
        case LocalDisk(reason=reason) | Silence(reason=reason):
            return reason


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
        case "grub":
            return Script()
        case "ipxe":
            return _ipxe_stage(request, site)
        case "plain":
            return Silence("no-boot-client")
        case "pxe" | "http":
            loader = find_loader(request.arch, site, http=request.client == "http")
            return loader or Silence("no-loader")


def _ipxe_stage(request: BootRequest, site: SiteView) -> BootAnswer:
    # An iPXE in a NIC's ROM may lack HTTP: it loads ours by TFTP. One that says to be ours and lacks it
    # as well would be told to load itself for ever.
    if request.http:
        return Script()
    if request.own:
        return Silence("ipxe-without-http")
    return find_loader(request.arch, site, http=False) or Silence("no-loader")


def held(request: BootRequest, host: HostView | None, site: SiteView) -> Silence | None:
    """Silence for a machine that is to get no DHCP answer at all: unknown, booting, not yet let in."""
    if host is None and request.boots and site.discovery in ("off", "hold"):
        answer = decide(request, host, site)
        return answer if isinstance(answer, Silence) else None
    return None
