"""Prints what the packet path makes of many packets, a line each: run compiled and interpreted, and compared.

`python packet_answers.py SEED COUNT`: sound DISCOVERs, REQUESTs and the others of a few hundred clients,
direct and relayed, and one in four damaged.
"""

import random
import sys
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from pxe_edge import compiled

told = compiled.use()

from pxe_edge.policy.dhcp import Quiet, answer  # noqa: E402 - what was built must come first
from pxe_edge.policy.leases import LeaseTable  # noqa: E402
from pxe_edge.policy.networks import Arrival, Link, serve_site  # noqa: E402
from pxe_edge.policy.requests import read_boot_request  # noqa: E402
from pxe_edge.policy.views import AddressRange, HostView, NetworkView, SiteOption, SiteView  # noqa: E402
from pxe_edge.wire import dhcp  # noqa: E402
from pxe_edge.wire.errors import WireError  # noqa: E402

LINK = Link("prov0", 2, (IPv4Interface("10.77.0.2/24"),), bytes.fromhex("525400aaaaaa"), 1500)
SERVER = IPv4Address("10.77.0.2").packed
CLASSES = (
    b"PXEClient:Arch:00007:UNDI:003016",
    b"PXEClient:Arch:00000",
    b"HTTPClient:Arch:00016",
    b"udhcp 1.36",
)
LISTS = (bytes((1, 3, 6, 15, 26, 42, 51, 54, 58, 59, 60, 66, 67, 93, 97, 150)), b"\x01\x03\x06", b"")
CLIENTS = 300


def site() -> SiteView:
    """A network with a pool that is too small, and one behind a relay."""
    pool = (AddressRange(IPv4Address("10.77.0.16"), IPv4Address("10.77.0.199")),)
    far = (AddressRange(IPv4Address("10.78.0.16"), IPv4Address("10.78.3.199")),)
    here = NetworkView(
        "prov", "provisioning", IPv4Network("10.77.0.0/24"), interface="prov0", pool=pool,
        gateway=IPv4Address("10.77.0.1"), dns=(IPv4Address("10.77.0.2"),),
        reservations={"52:54:00:00:00:05": IPv4Address("10.77.0.201")},
    )  # fmt: skip
    there = NetworkView(
        "far", "provisioning", IPv4Network("10.78.0.0/22"), relays=(IPv4Address("10.78.0.1"),),
        pool=far, options=(SiteOption(code=224, value=b"x" * 300),),
    )  # fmt: skip
    return SiteView("answers", discovery="register", networks=(here, there))


def packet(rng: random.Random, offered: dict[bytes, int]) -> bytes:
    """One message of one of the clients."""
    number = rng.randrange(CLIENTS)
    chaddr = b"\x52\x54\0\0" + number.to_bytes(2, "big")
    kind = rng.choice((1, 1, 3, 3, 3, 4, 7, 8, 13))
    options = {53: bytes((kind,)), 60: CLASSES[number % 4], 55: LISTS[number % 3]}
    if number % 4 != 3:
        options |= {93: (7 if number % 4 == 0 else 16 * (number % 2)).to_bytes(2, "big")}
        options |= {97: b"\0" + number.to_bytes(16, "big"), 57: rng.choice((b"\x05\xc0", b"\xff\0", b"\x02"))}
    if number % 5 == 0:
        options |= {61: b"\x01" + chaddr, 77: b"iPXE", 175: b"\x13\x01\x01"}
    mine = offered.get(chaddr, 0)
    ciaddr = 0
    if kind == 3 and rng.random() < 0.8:
        options |= {50: mine.to_bytes(4, "big"), 54: SERVER}
    elif kind in (3, 7, 8):
        ciaddr = mine
    elif kind == 4:
        options |= {50: mine.to_bytes(4, "big"), 54: SERVER}
    giaddr = int(IPv4Address("10.78.0.1")) if number % 2 else 0
    if giaddr and rng.random() < 0.7:
        options[82] = b"\x01\x04eth0\x02\x06" + chaddr
    made = dhcp.Packet(
        op=1, xid=rng.getrandbits(32), chaddr=chaddr, flags=rng.choice((0, 0x8000)), ciaddr=ciaddr,
        giaddr=giaddr, hops=int(bool(giaddr)), options=options,
    )  # fmt: skip
    return dhcp.encode(made).data


def damaged(rng: random.Random, data: bytes) -> bytes:
    """One octet changed, or the end gone."""
    at = rng.randrange(len(data))
    return data[:at] if rng.random() < 0.3 else data[:at] + bytes((rng.randrange(256),)) + data[at + 1 :]


def say(*parts: object) -> None:
    """One line."""
    sys.stdout.write(" ".join(map(str, parts)) + "\n")


def main(seed: int, count: int) -> None:
    """Print the lines."""
    rng, served, table = random.Random(seed), serve_site(site()), LeaseTable()
    offered: dict[bytes, int] = {}
    say(told)
    for number in range(count):
        data = packet(rng, offered)
        data = damaged(rng, data) if rng.random() < 0.25 else data
        try:
            read = dhcp.decode(data)
        except WireError as error:
            say(number, "damaged", error)
            continue
        request = read_boot_request(read)
        host = HostView("h-5", "five", due="boot-os") if request.mac.endswith(":05") else None
        arrival = Arrival(LINK, "10.77.0.9", 68, unicast=rng.random() < 0.3)
        outcome = answer(read, arrival, request, host, served, table, 1e6 + number)
        for row in outcome.rows:
            table.put(row)
        if isinstance(outcome, Quiet):
            say(number, read, request, outcome)
            continue
        offered[read.chaddr] = outcome.yiaddr
        say(number, read, outcome.kind, outcome.data.hex(), outcome.target, outcome.rows, outcome.dropped)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
