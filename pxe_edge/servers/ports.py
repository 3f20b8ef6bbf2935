"""What the packet plane asks of the registry: four small protocols.

Reads are from memory and never wait. Calls marked as blocking run in an executor's thread; they may
use a database. `pxe_edge.servers.memory` is a whole implementation for tests and trials.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Protocol

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

    def commit(self, rows: Iterable[LeaseRow]) -> None:
        """Make these rows durable before returning: the ACKs leave after it (blocking, one at a time).

        A row replaces the stored one of its address, and any other of its (network, mac).
        """


class Boot(Protocol):
    """Boots of the boot OS, and what booted machines say (all blocking)."""

    def boot_begin(
        self, mac: str, uuid: str | None, arch: int | None, address: IPv4Address
    ) -> BootPlan | None:
        """Begin a boot of the boot OS: number, token, seed nonce; None: the registry refuses it now."""

    def seed(self, nonce: str, peer: IPv4Address, *, peek: bool) -> bytes | None:
        """The seed's bytes; `peek` (HEAD) counts no start. None: unknown, expired, taken, not this peer's."""

    def seed_done(self, nonce: str) -> None:
        """One transfer of the seed was whole: nobody gets it again."""

    def report_in(self, token: str, body: Mapping[str, Any], peer: IPv4Address) -> tuple[int, Problem | None]:
        """A boot OS reports in; returns the HTTP status, with a problem for all but 204."""

    def phone_home(
        self, token: str, body: Mapping[str, Any], peer: IPv4Address
    ) -> tuple[int, Problem | None]:
        """A deployed system phones home; as `report_in`."""
