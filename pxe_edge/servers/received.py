"""A DHCP message that is looked at: where it came in, and the words for it in log, notes and sightings."""

import socket

from pxe_edge.policy import boot
from pxe_edge.policy.dhcp import Outcome, Quiet, Reply
from pxe_edge.policy.networks import Arrival, Link
from pxe_edge.wire import dhcp
from pxe_edge.wire.options import dotted


class Received:
    """A message that is looked at: where it came in, from whom, and what it says."""

    __slots__ = ("arrival", "mac", "packet", "port", "sock")

    def __init__(
        self, sock: socket.socket, port: int, packet: dhcp.Packet, mac: str, arrival: Arrival
    ) -> None:
        self.sock = sock
        self.port = port
        self.packet = packet
        self.mac = mac
        self.arrival = arrival


Waiting = tuple[Received, Reply]
"""An answer that waits for its rows, or for a probe."""


def describe(outcome: Outcome) -> str:
    """One outcome as key=value pairs, for log and sightings."""
    if isinstance(outcome, Quiet):
        return f"answer=none reason={outcome.reason}"
    kind, network, address = (
        dhcp.MESSAGE_NAMES[outcome.kind],
        outcome.place.network.name,
        dotted(outcome.yiaddr),
    )
    how, what = outcome.target.how, boot.word(outcome.boot)
    return f"answer={kind} network={network} address={address} how={how} boot={what}"


def kind_of(packet: dhcp.Packet) -> str:
    """The name of its type."""
    return dhcp.MESSAGE_NAMES.get(packet.message_type or 0, "none")


def detail_of(packet: dhcp.Packet, link: Link | None) -> str:
    """How it came."""
    through = f" giaddr={dotted(packet.giaddr)}" if packet.giaddr else ""
    return f"interface={link.interface if link is not None else 'none'}{through}"
