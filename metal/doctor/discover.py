"""DHCP clients of the doctor: a DISCOVER as a machine sends it, and one as a relay passes it on.

Messages and raw socket are pyroute2's, so that our answers are read by somebody else's code. Nothing is
ever requested: an offer that nobody takes frees itself within a minute or two.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Final

from pyroute2.dhcp.dhcp4msg import dhcp4msg
from pyroute2.dhcp.dhcp4socket import AsyncDHCP4Socket
from pyroute2.dhcp.enums import bootp, dhcp
from pyroute2.dhcp.messages import ReceivedDHCPMessage, SentDHCPMessage

from metal.doctor.kernel import Link

PROBE_MAC: Final = "02:72:66:64:6f:63"
"""The doctor's own machine: locally administered, the same at each visit, so that it takes one address."""
_BRIDGE_END_MAC: Final = "fe:72:66:64:6f:63"
"""High, because a bridge takes over the lowest MAC of its ports."""
_WANTED: Final = (1, 3, 6, 51, 54, 60, 66, 67)
_SERVER_PORT: Final = 67
_X64_UEFI: Final = 7


class Message(dhcp4msg):  # type: ignore[misc]  # pyroute2 ships no types
    """pyroute2's message with the options of boot clients (RFC 4578) and relays (RFC 3046)."""

    options = (
        *dhcp4msg.options,
        (dhcp.Option.CLIENT_SYSTEM_ARCHITECTURE_TYPE, "be16"),
        (dhcp.Option.CLIENT_NETWORK_INTERFACE_IDENTIFIER, "array8"),
        (dhcp.Option.PXE_CLIENT_ID, "array8"),
        (dhcp.Option.RELAY_AGENT_INFORMATION, "array8"),
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server offered, and who it is by address and by MAC."""

    server: IPv4Address
    mac: str
    address: IPv4Address
    boot_client: bool
    """Whether it answers a firmware's DISCOVER, not an ordinary client's."""
    router: str = ""
    lease_s: int | None = None
    file: str = ""

    def __str__(self) -> str:
        """What an operator needs to find it."""
        parts = [f"{self.address}" if int(self.address) else "no address"]
        parts += [f"router {self.router}"] if self.router else []
        parts += [f"lease {self.lease_s} s"] if self.lease_s else []
        parts += [f"boot file {self.file}"] if self.file else []
        return ", ".join(parts)


def discover(mac: str, *, boot_client: bool = False, relay: Sequence[int] = ()) -> Message:
    """A DISCOVER with the broadcast flag: answers to an address that nobody has yet come to all."""
    options: dict[str, Any] = {
        "message_type": dhcp.MessageType.DISCOVER,
        "parameter_list": list(_WANTED),
    }
    if boot_client:
        options["vendor_id"] = "PXEClient:Arch:00007:UNDI:003016"
        options["client_system_architecture_type"] = _X64_UEFI
        options["client_network_interface_identifier"] = [1, 3, 16]
    if relay:
        options["relay_agent_information"] = list(relay)
    return Message(
        {
            "op": bootp.MessageType.BOOTREQUEST,
            "flags": bootp.Flag.BROADCAST,
            "chaddr": mac,
            "xid": secrets.randbelow(1 << 31),
            "options": options,
        }
    )


def on_link(interface: str, asked: Sequence[tuple[Message, bool]], listen_s: float) -> list[Offer]:
    """Send messages out of an interface, twice, and collect all offers; needs CAP_NET_RAW."""
    return asyncio.run(_on_link(interface, asked, listen_s))


async def _on_link(interface: str, asked: Sequence[tuple[Message, bool]], listen_s: float) -> list[Offer]:
    logging.getLogger("pyroute2").setLevel(logging.CRITICAL)
    ours = {message["xid"]: boot for message, boot in asked}
    found: dict[tuple[IPv4Address, str, bool], Offer] = {}
    async with AsyncDHCP4Socket(interface) as sock:
        for _ in range(2):
            for message, _boot in asked:
                await sock.put(SentDHCPMessage(dhcp=message))
            deadline = time.monotonic() + listen_s / 2
            while (left := deadline - time.monotonic()) > 0:
                try:
                    received = await asyncio.wait_for(sock.get(), left)
                except TimeoutError:
                    break
                boot = ours.get(received.dhcp["xid"])
                if boot is not None and (offer := read_offer(received, boot_client=boot)) is not None:
                    found[offer.server, offer.mac, boot] = offer
    return list(found.values())


def read_offer(received: ReceivedDHCPMessage, *, boot_client: bool) -> Offer | None:
    """An offer from a received message; None for what is none."""
    message = received.dhcp
    options = message["options"]
    if options.get("message_type") != dhcp.MessageType.OFFER:
        return None
    return Offer(
        server=IPv4Address(options.get("server_id") or received.ip_src),
        mac=str(received.eth_src),
        address=IPv4Address(message["yiaddr"]),
        boot_client=boot_client,
        router=", ".join(options.get("router") or ()),
        lease_s=options.get("lease_time"),
        file=_text(message["file"]) or _text(options.get("bootfile_name", "")),
    )


def _text(value: bytes | str | list[int]) -> str:
    if isinstance(value, str):
        return value.rstrip("\0")
    return bytes(value).split(b"\0", 1)[0].decode(errors="replace")


def as_relay(server: IPv4Address, own: IPv4Address, subnet: bytes, mac: str, listen_s: float) -> Offer | None:
    """Ask as a relay on an own port (RFC 8357), for a subnet by link selection (RFC 3527). It needs no right.

    It reaches the server on any interface, so it asks about subnets where this machine has no interface.
    """
    relay = (19, 2, 0, 0, 5, 4, *subnet)
    message = discover(mac, relay=relay)
    message["giaddr"], message["hops"] = str(own), 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((str(own), 0))
        data = message.encode().buf
        for _ in range(2):
            sock.sendto(data, (str(server), _SERVER_PORT))
            deadline = time.monotonic() + listen_s / 2
            while (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    answer, (source, _port) = sock.recvfrom(65535)
                    told = Message(buf=answer).decode()
                except (TimeoutError, ValueError):
                    continue
                except OSError:  # an ICMP error: nobody listens there
                    break
                received = ReceivedDHCPMessage(dhcp=told, eth_src="", ip_src=source)
                if told["xid"] == message["xid"] and (offer := read_offer(received, boot_client=False)):
                    return offer
    return None


@contextlib.contextmanager
def bridge_port(bridge: Link) -> Iterator[str]:
    """A machine's place on a bridge: a veth pair, one end in the bridge; gives the name of the other.

    What the edge's own interface sends never comes back to it, but a bridge hears its ports. Needs
    CAP_NET_ADMIN; it is gone afterwards. The MTU is the bridge's, which would fall with a smaller one.
    """
    outer, inner = f"rfd{os.getpid() % 10**7}o", f"rfd{os.getpid() % 10**7}i"
    mtu = str(bridge.mtu)
    ip("link", "add", "name", outer, "address", _BRIDGE_END_MAC, "mtu", mtu, "type", "veth",
       "peer", "name", inner, "address", PROBE_MAC, "mtu", mtu)  # fmt: skip
    try:
        for end in (outer, inner):
            ip("link", "set", end, "addrgenmode", "none")
        ip("link", "set", outer, "master", bridge.name)
        for end in (outer, inner):
            ip("link", "set", end, "up")
        yield inner
    finally:
        ip("link", "del", outer)


def ip(*words: str) -> None:
    """One command of iproute2; raises OSError with what it said."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words[:3])}: {done.stderr.strip()}")
