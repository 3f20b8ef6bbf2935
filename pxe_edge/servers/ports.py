"""What packet plane and registry ask of each other: five small protocols.

Reads are from memory and never wait. Calls marked as blocking run in an executor's thread; they may
use a database. `pxe_edge.servers.memory` is a whole implementation for tests and trials.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol

from pxe_edge.policy.dhcp6_leases import Lease6Row
from pxe_edge.policy.leases import LeaseRow
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import BootPlan, HostView, SiteView


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a machine's call was refused: the fields of problem+json."""

    code: str
    detail: str
    hint: str = ""
    host: str | None = None


class View(Protocol):
    """The registry as packets see it; every method answers from memory."""

    def site(self) -> SiteView:
        """The site as it is now: one immutable value, swapped as a whole."""

    def host_by_mac(self, mac: str) -> HostView | None:
        """The registered host that has this MAC."""

    def host_by_uuid(self, uuid: str) -> HostView | None:
        """The registered host that has this system UUID."""

    def sighting(self, request: BootRequest, outcome: str) -> None:
        """Note that a machine asked, and what it got; bounded, never waits, called on every boot request."""


class LeaseStore(Protocol):
    """Stable storage of leases."""

    def load(self) -> Sequence[LeaseRow]:
        """All stored rows, at start (blocking)."""

    def commit(self, rows: Iterable[LeaseRow]) -> frozenset[int]:
        """Make these rows durable before returning: the ACKs leave after it (blocking, one at a time).

        A row replaces the stored one of its address. Returned are the addresses that were refused,
        because the storage knows another holder of them: no ACK may leave for those.
        """


@dataclass(frozen=True, slots=True)
class Unanswered:
    """One reason for which a machine got no answer; times are seconds since the epoch."""

    mac: str
    """As leases have it: `aa:bb:cc:dd:ee:ff` for Ethernet."""
    reason: str
    """A code of `pxe_edge.policy.silences.SILENCES`, which has its sentence and next step."""
    count: int
    first_at: float
    last_at: float
    network: str | None = None
    """Network of the Site, when one was found."""
    detail: str = ""
    """What the reason is about, in pairs: `giaddr=10.9.9.9`, `server=10.77.1.3`, `address=10.77.1.50`."""


@dataclass(frozen=True, slots=True)
class ForeignServer:
    """A DHCP server on a link of ours that is not ours."""

    address: str
    """Its server identifier (option 54)."""
    mac: str | None
    """None when a client named it and it was not heard itself."""
    interface: str
    network: str | None
    expected: bool
    """The network is in mode `proxy`: there must be one."""
    seen_as: str
    """`OFFER`, `ACK` or `NAK` of its own; `REQUEST` of a client that chose it."""
    count: int
    first_at: float
    last_at: float


class PacketNotes(Protocol):
    """What the packet plane noticed, for `why` and `doctor`: bounded, in memory, read from any thread.

    `Registry.notes` has it; `pxe_edge.servers.notes.Notes` is the implementation.
    """

    def unanswered(self, mac: str) -> Sequence[Unanswered]:
        """Why this machine got no answer, the newest reason first; empty: nothing is known of it."""

    def newest_unanswered(self, limit: int) -> Sequence[Unanswered]:
        """The newest reason of each machine, newest first."""

    def foreign_servers(self) -> Sequence[ForeignServer]:
        """Other DHCP servers, the one seen last first."""

    def counts(self) -> Mapping[str, int]:
        """Packets since start by what became of them: message types received and sent, reasons of silence."""


class Lease6Store(Protocol):
    """Stable storage of IPv6 leases; the rules of `LeaseStore`."""

    def load(self) -> Sequence[Lease6Row]:
        """All stored rows, at start (blocking)."""

    def commit(self, rows: Iterable[Lease6Row], /) -> frozenset[IPv6Address]:
        """Make these rows durable before returning (blocking); says which addresses it refused.

        Refused is an address that the storage knows another holder of: no Reply may leave for it.
        """


class Boot(Protocol):
    """Boots of the boot OS, and what booted machines say (all blocking)."""

    def boot_begin(
        self, mac: str, uuid: str | None, arch: int | None, address: IPv4Address | IPv6Address
    ) -> BootPlan | None:
        """Begin a boot of the boot OS: number, token, seed nonce; None: the registry refuses it now."""

    def seed(self, nonce: str, peer: IPv4Address | IPv6Address, *, peek: bool) -> bytes | None:
        """The seed's bytes; `peek` (HEAD) counts no start. None: unknown, expired, taken, not this peer's."""

    def seed_done(self, nonce: str) -> None:
        """One transfer of the seed was whole: nobody gets it again."""

    def report_in(
        self, token: str, body: Mapping[str, Any], peer: IPv4Address | IPv6Address
    ) -> tuple[int, Problem | None]:
        """A boot OS reports in; returns the HTTP status, with a problem for all but 204."""

    def phone_home(
        self, token: str, body: Mapping[str, Any], peer: IPv4Address | IPv6Address
    ) -> tuple[int, Problem | None]:
        """A deployed system phones home; as `report_in`."""
