"""What a foreign DHCP server has to know of each network: addresses, options, loaders, the edge's address."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Final

from pxe_edge.policy.boot import decide
from pxe_edge.policy.loaders import Loader
from pxe_edge.policy.ranges import without
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import HostView, NetworkView, SiteOption, SiteView
from pxe_edge.wire import options as opt
from pxe_edge.wire import pxe

SCRIPT: Final = "boot.ipxe"
NO_PROXY: Final = opt.encapsulate({pxe.IPXE_NO_PXEDHCP: b"\x01"})
"""Value of option 175: iPXE does not wait for a proxy after the first offer."""


class NotServedError(ValueError):
    """There is nothing to print; `hint` says what to change."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Stage:
    """One loader: the architectures (option 93) that get it, and how they are told."""

    archs: tuple[int, ...]
    file: str
    http: bool


@dataclass(frozen=True, slots=True)
class Served:
    """One network as a foreign server serves it."""

    view: NetworkView
    edge: IPv4Address
    base: str
    """Where the boot plane is: `http://ADDRESS:PORT`."""
    ranges: tuple[tuple[IPv4Address, IPv4Address], ...]
    """The pool without exclusions, reservations and whatever else is somebody's."""
    stages: tuple[Stage, ...]
    vlan: int | None = None

    @property
    def name(self) -> str:
        """The network's name, a DNS label: fit for any configuration's identifiers."""
        return self.view.name

    @property
    def script(self) -> str:
        """What iPXE is given: the script asks the edge again with the machine's MAC and UUID."""
        return f"{self.base}/{SCRIPT}"

    @property
    def options(self) -> tuple[SiteOption, ...]:
        """The Site's options that a foreign server can tell apart: those for a host's name it cannot."""
        return tuple(option for option in self.view.options if not option.host)

    def loader(self, stage: Stage) -> str:
        """The file as the option says it: a URL for firmware that boots by HTTP."""
        return f"{self.base}/{stage.file}" if stage.http else stage.file


def served(
    site: SiteView,
    *,
    network: str | None = None,
    edge: IPv4Address | None = None,
    vlans: Mapping[str, int] = MappingProxyType({}),
) -> tuple[Served, ...]:
    """The provisioning networks of IPv4, or one of them; `edge` is said instead of the address that it sees.

    Raises NotServedError where there is none, or where nobody knows the edge's address.
    """
    boots = [one for one in site.networks if one.purpose == "provisioning"]
    chosen = [one for one in boots if network in (None, one.name)]
    if not chosen:
        known = ", ".join(one.name for one in boots) or "none"
        called = f" called {network}" if network else ""
        raise NotServedError(
            f"the Site has no provisioning network of IPv4{called}", f"those that it has: {known}"
        )
    stages = stages_of(site)
    found = []
    for view in chosen:
        address = edge or site.server_addresses.get(view.name)
        if address is None:
            told = f"the edge has no address on {view.name}, and on no other provisioning network"
            raise NotServedError(told, "give it with --edge ADDRESS")
        base = f"http://{address}:{site.http_port}"
        ranges = _ranges(view, site, address)
        found.append(Served(view, address, base, ranges, stages, vlans.get(view.name)))
    return tuple(found)


def stages_of(site: SiteView) -> tuple[Stage, ...]:
    """The loaders by architecture, as the edge itself would answer a machine that is due a boot."""
    due = HostView("", "", due="boot-os")
    archs: dict[tuple[str, bool], list[int]] = {}
    for code, arch in pxe.ARCHITECTURES.items():
        answer = decide(BootRequest("", "http" if arch.http else "pxe", code), due, site)
        if isinstance(answer, Loader):
            archs.setdefault((answer.file, answer.http), []).append(code)
    return tuple(Stage(tuple(codes), file, http) for (file, http), codes in archs.items())


def _ranges(
    view: NetworkView, site: SiteView, edge: IPv4Address
) -> tuple[tuple[IPv4Address, IPv4Address], ...]:
    special: Iterable[IPv4Address | None] = (
        view.subnet.network_address,
        view.subnet.broadcast_address,
        view.gateway,
        edge,
        *site.server_addresses.values(),
        *view.reservations.values(),
        *view.kept,
    )
    single = ((int(address), int(address)) for address in special if address is not None)
    excluded = ((int(part.first), int(part.last)) for part in view.exclude)
    pool = ((int(part.first), int(part.last)) for part in view.pool)
    left = without(pool, (*single, *excluded))
    return tuple((IPv4Address(first), IPv4Address(last)) for first, last in left)
