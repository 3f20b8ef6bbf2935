"""When a boot seed is given out: under its nonce, to one address, until one transfer was whole.

Five starts at most, because firmware retries; a HEAD or a refused request is no start. Who can spoof
a MAC on the provisioning LAN gets a seed: so it holds a short-lived token and no other secret.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

MAX_STARTS: Final = 5
SEED_S: Final = 900


@dataclass(frozen=True, slots=True)
class SeedTicket:
    """The right to fetch one seed."""

    nonce: str
    address: IPv4Address | IPv6Address | None
    """None until the first start binds it."""
    expires_at: float
    starts: int = 0
    whole: bool = False


SeedRefusal = Literal["expired", "already-taken", "another-address", "too-many-starts"]


def start_transfer(
    ticket: SeedTicket, peer: IPv4Address | IPv6Address, now: float
) -> SeedTicket | SeedRefusal:
    """The ticket after one more start, or why there is none."""
    if now >= ticket.expires_at:
        return "expired"
    if ticket.whole:
        return "already-taken"
    if ticket.address is not None and ticket.address != peer:
        return "another-address"
    if ticket.starts >= MAX_STARTS:
        return "too-many-starts"
    return replace(ticket, starts=ticket.starts + 1, address=peer)


def finish_transfer(ticket: SeedTicket) -> SeedTicket:
    """The ticket after a whole transfer: nobody gets the seed again."""
    return replace(ticket, whole=True)
