"""What the checks rest on: the site as the edge tells it, and this machine as the kernel shows it."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from metal.doctor import kernel
from metal.doctor.kernel import Link
from metal.edge_client import EdgeClient
from metal.edge_client.wire import EdgeAddress, NotKnown, data_dir
from metal.errors import RackflowError, Refused, Unreachable
from specs.load import load_files, load_tree, resolve
from specs.model import Image
from specs.shapes import IpAddress
from specs.site_model import Site, SiteNetwork

BOOT_PORT: Final = 8080
CONTROL_PORT: Final = 8443
ON_THE_EDGE: Final = "only the edge's own machine can tell; run rackflow doctor there"


@dataclass(frozen=True, slots=True)
class BootFile:
    """A file that machines are told to fetch, as it stands in the edge's boot folder."""

    name: str
    kind: str
    """`loader`, `kernel` or `initrd`."""
    url: str
    architectures: tuple[int, ...] = ()
    """Option 93 of the machines that load it first."""
    size_bytes: int | None = None
    sha256: str | None = None
    """None: it is not there."""

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "BootFile":
        """From the edge's answer."""
        return cls(
            name=told["name"],
            kind=told["kind"],
            url=told["url"],
            architectures=tuple(told["architectures"]),
            size_bytes=told["size_bytes"],
            sha256=told["sha256"],
        )


@dataclass(frozen=True, slots=True)
class EdgeSeen:
    """What a living edge tells."""

    specset: str | None
    boot_files: tuple[BootFile, ...]
    servers: Mapping[str, IpAddress]
    """Network -> the edge's address on it."""
    bmcs: Mapping[str, str]
    """Host -> address of its BMC."""
    image_states: Mapping[str, Mapping[str, Any]]
    clock_ahead_s: float | None
    """How far the edge's clock is ahead of this machine's."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The site and this machine; checks read it and change nothing of it."""

    address: EdgeAddress
    data: Path
    site: Site | None
    images: Mapping[str, Image] = field(default_factory=dict)
    edge: EdgeSeen | None = None
    edge_error: RackflowError | None = None
    links: Mapping[str, Link] = field(default_factory=dict)
    on_edge_host: bool = False
    now: Callable[[], float] = time.time

    @property
    def networks(self) -> tuple[SiteNetwork, ...]:
        """The site's networks; none when the site is not known."""
        return self.site.networks if self.site else ()

    @property
    def own_addresses(self) -> frozenset[IpAddress]:
        """All addresses of this machine."""
        return frozenset(a.ip for link in self.links.values() for a in link.addresses)

    @property
    def boot_port(self) -> int:
        """The boot plane's TCP port."""
        told = [urlsplit(file.url).port for file in self.edge.boot_files] if self.edge else []
        return next((port for port in told if port is not None), BOOT_PORT)

    @property
    def control_port(self) -> int:
        """The API's TCP port."""
        return urlsplit(self.address.url).port or CONTROL_PORT

    def server_of(self, network: SiteNetwork) -> IpAddress | None:
        """The edge's address towards a network's machines."""
        if self.edge is not None and network.name in self.edge.servers:
            return self.edge.servers[network.name]
        link = self.links.get(network.interface or "")
        if link is None or not self.on_edge_host:
            return None
        return next((a.ip for a in link.addresses if a.ip in network.subnet), None)

    @property
    def servers(self) -> tuple[IpAddress, ...]:
        """Every address at which machines reach the edge, each once."""
        found = [self.server_of(network) for network in self.networks]
        return tuple(dict.fromkeys(address for address in found if address is not None))


def gather(specs: Path | None = None, now: Callable[[], float] = time.time) -> Surroundings:
    """Ask the edge and the kernel; an edge that does not answer leaves what `--specs` and the kernel say."""
    address = EdgeAddress.from_environment()
    edge: EdgeSeen | None = None
    files: dict[str, str | bytes] = {}
    error: RackflowError | None = None
    try:
        with EdgeClient(address, sleep=lambda _: None) as client:
            edge, files = ask(client, now)
    except RackflowError as problem:
        error = problem
    loaded = load_tree(specs) if specs is not None else load_files(files)
    known = resolve(loaded)
    links = kernel.read_links()
    return Surroundings(
        address=address,
        data=data_dir(),
        site=known.site,
        images=known.images,
        edge=edge,
        edge_error=error,
        links=links,
        on_edge_host=runs_here(address, edge, links, data_dir()),
        now=now,
    )


def ask(client: EdgeClient, now: Callable[[], float]) -> tuple[EdgeSeen, dict[str, str | bytes]]:
    """All that the edge is asked, and the files of its current set."""
    before = now()
    response = client.send("GET", "/v1/healthz")
    ahead = clock_ahead_s(response.headers.get("Date"), before, now())
    specset = response.json().get("specset")
    if specset is None:
        return EdgeSeen(None, (), {}, {}, {}, ahead), {}
    files: dict[str, str | bytes] = {
        name: text for name, text in client.specset().files.items() if name.endswith((".yaml", ".yml"))
    }
    networks = client.networks()
    seen = EdgeSeen(
        specset=specset,
        boot_files=tuple(BootFile.read(item) for item in client.boot_files()),
        servers={n["name"]: ip_address(n["server_address"]) for n in networks if n["server_address"]},
        bmcs={host.name: host.bmc_address for host in client.hosts() if host.bmc_address},
        image_states=_image_states(client, files),
        clock_ahead_s=ahead,
    )
    return seen, files


def _image_states(client: EdgeClient, files: Mapping[str, str | bytes]) -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {}
    for name in resolve(load_files(files)).images:
        try:
            states[name] = client.image_state(name)
        except NotKnown:
            states[name] = {"state": "absent"}
    return states


def url_host(address: IpAddress) -> str:
    """An address as it stands in a URL (RFC 3986 section 3.2.2)."""
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)


def clock_ahead_s(date: str | None, before: float, after: float) -> float | None:
    """How far another's clock is ahead, by its HTTP date (whole seconds, cut off) between two readings."""
    if date is None:
        return None
    try:
        told = parsedate_to_datetime(date)
    except ValueError:
        return None
    theirs = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    # The date may be up to a second old by being cut off: within that no difference can be seen.
    if before - 1.0 <= theirs <= after:
        return 0.0
    return theirs - after if theirs > after else theirs + 1.0 - before


def runs_here(address: EdgeAddress, edge: EdgeSeen | None, links: Mapping[str, Link], data: Path) -> bool:
    """Whether this is the edge's own machine (or its network namespace).

    An address that machines are served at is ours; or, while none is known, its URL leads to this
    machine and its data folder is here. A loopback URL alone is no proof: it may be relayed.
    """
    own = {a.ip for link in links.values() for a in link.addresses}
    if edge is not None and edge.servers:
        return not own.isdisjoint(edge.servers.values())
    host = urlsplit(address.url).hostname or ""
    local = host == "localhost" or host.startswith("127.") or host in {str(ip) for ip in own}
    return local and os.access(data / "edge", os.R_OK)


def edge_state(around: Surroundings) -> tuple[str, str]:
    """Whether the edge answers, in words, and what to do."""
    error = around.edge_error
    if error is None:
        return "", ""
    if isinstance(error, Refused) and not isinstance(error, Unreachable):
        return f"the edge refuses this token: {error.message}", error.hint or "set RACKFLOW_TOKEN_FILE"
    return error.message, error.hint or "is it running? rackflow up, or journalctl -u rackflow-edge"


def today(around: Surroundings) -> datetime:
    """Now, by the injected clock."""
    return datetime.fromtimestamp(around.now(), UTC)
