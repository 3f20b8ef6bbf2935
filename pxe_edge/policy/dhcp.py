"""DHCP decisions: message + boot request + host + site + leases + now -> reply, or silence with a reason.

Theory of operation (RFC 2131 section 4.3). A DISCOVER reserves an address for a minute and is
answered with an OFFER. A REQUEST is told apart by its fields: another server's 54 -> our offer is
given up; our 54 (SELECTING) -> ACK of what was offered, or NAK; no 54 but 50 (INIT-REBOOT) -> ACK if
it is still the client's, NAK if not or on the wrong network, silence for a stranger; ciaddr alone
(RENEWING unicast, REBINDING broadcast) -> longer lease. Every outcome carries the lease rows that it
rests on: the server applies them at once, and makes the stored ones durable before a reply leaves.

Silence is an outcome with a reason, written to the log like a reply.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Final

from pxe_edge.policy import replies
from pxe_edge.policy.boot import BootAnswer, Silence, decide, held
from pxe_edge.policy.leases import OFFER_S, QUARANTINE_S, LeaseRow, LeaseTable
from pxe_edge.policy.networks import Arrival, Place, find_place
from pxe_edge.policy.replies import Target
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import HostView, SiteView
from pxe_edge.wire import dhcp
from pxe_edge.wire import options as opt
from pxe_edge.wire.dhcp import Packet

_MAX_HOST_NAME_BYTES: Final = 255


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: the packet, where it goes, how large it may be, and the rows that must be stored first."""

    packet: Packet
    target: Target
    max_bytes: int
    place: Place
    boot: BootAnswer
    rows: tuple[LeaseRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Quiet:
    """No answer, why, and the rows that change all the same (DECLINE, RELEASE, another server's REQUEST)."""

    reason: str
    rows: tuple[LeaseRow, ...] = ()
    event: bool = False
    """An operator should hear of it: a declined address, an exhausted pool."""


Outcome = Reply | Quiet


@dataclass(frozen=True, slots=True)
class Case:
    """One message with everything its decision reads."""

    packet: Packet
    arrival: Arrival
    request: BootRequest
    host: HostView | None
    site: SiteView
    table: LeaseTable
    place: Place
    now: float
    avoid: frozenset[IPv4Address]
    """Addresses of the edge itself."""

    @property
    def mac(self) -> str:
        """The key that leases hang on."""
        return self.request.mac

    @property
    def row(self) -> LeaseRow | None:
        """The client's row on this network."""
        return self.table.of(self.place.network.name, self.mac)

    def may_have(self, address: IPv4Address) -> bool:
        """Whether the client may have exactly this address now."""
        return self.table.may_keep(self.place.network, self.mac, address, self.now, self.avoid)


def answer(
    packet: Packet,
    arrival: Arrival,
    request: BootRequest,
    host: HostView | None,
    site: SiteView,
    table: LeaseTable,
    now: float,
) -> Outcome:
    """Decide one message from a client or relay."""
    kind = packet.message_type
    if packet.op != dhcp.BOOTREQUEST or kind is None:
        return Quiet("not-a-dhcp-request")
    place = find_place(packet, arrival, site)
    if isinstance(place, Silence):
        return Quiet(place.reason)
    request = replace(request, network=place.network.name)
    avoid = arrival.own_addresses.union(site.server_addresses.values())
    case = Case(packet, arrival, request, host, site, table, place, now, avoid)
    handler = _HANDLERS.get(kind)
    if handler is None:
        return Quiet("not-for-a-server")
    return _not_served(case, kind) or handler(case)


def _not_served(case: Case, kind: int) -> Quiet | None:
    # What the whole network or the whole machine gets no answer for.
    network = case.place.network
    if network.mode == "proxy":
        return Quiet("proxy-mode")
    if network.mode == "reservations" and case.mac not in network.reservations:
        return Quiet("no-reservation")  # another server's client, not ours to refuse
    if kind in (dhcp.DECLINE, dhcp.RELEASE):
        return None
    silence = held(case.request, case.host, case.site)
    return Quiet(silence.reason) if silence is not None else None


def _discover(case: Case) -> Outcome:
    network = case.place.network
    wish = case.packet.address_option(opt.REQUESTED_ADDRESS)
    address = case.table.choose(network, case.mac, wish, case.now, case.avoid)
    if address is None:
        return (
            Quiet("no-reservation") if network.mode == "reservations" else Quiet("pool-exhausted", event=True)
        )
    row = case.row
    if row is not None and row.address == address and row.state == "bound" and row.expires_at > case.now:
        return _reply(case, dhcp.OFFER, address, ())
    offer = _row(case, address, "offered", OFFER_S)
    return _reply(case, dhcp.OFFER, address, (offer,))


def _request(case: Case) -> Outcome:
    packet = case.packet
    chosen = packet.address_option(opt.SERVER_ID)
    wish = packet.address_option(opt.REQUESTED_ADDRESS)
    if chosen is not None and chosen not in (case.place.server_id, case.place.server):
        row = case.row
        given_up = row is not None and row.state == "offered"
        return Quiet("chose-another-server", (replace(row, state="released"),) if row and given_up else ())
    if int(packet.ciaddr):
        return _extend(case)
    if wish is None:
        return Quiet("no-requested-address")
    return _selecting(case, wish) if chosen is not None else _init_reboot(case, wish)


def _selecting(case: Case, wish: IPv4Address) -> Outcome:
    row = case.row
    if row is not None and row.holds(case.now) and row.address != wish:
        return _nak(case, "that address was not offered")
    # After a restart the offers are gone: what is free and allowed is given all the same.
    if not case.may_have(wish):
        return _nak(case, "address not available")
    return _bind(case, wish)


def _init_reboot(case: Case, wish: IPv4Address) -> Outcome:
    network = case.place.network
    if wish not in network.subnet:
        return _nak(case, "wrong network")
    row = case.row
    known = row is not None and row.state != "offered"
    if not known and network.reservations.get(case.mac) is None:
        return Quiet("unknown-client")
    if known and row is not None and row.address != wish and case.mac not in network.reservations:
        return _nak(case, "that is not your address")
    return _bind(case, wish) if case.may_have(wish) else _nak(case, "address not available")


def _extend(case: Case) -> Outcome:
    # RENEWING is unicast and skips the relay; everything else with ciaddr is REBINDING.
    packet = case.packet
    renewing = case.arrival.unicast and not int(packet.giaddr)
    row = case.row
    if row is not None and row.address == packet.ciaddr and case.may_have(packet.ciaddr):
        return _bind(case, packet.ciaddr)
    return _nak(case, "lease not known") if renewing else Quiet("rebinding-not-ours")


def _decline(case: Case) -> Outcome:
    wish = case.packet.address_option(opt.REQUESTED_ADDRESS)
    if case.packet.address_option(opt.SERVER_ID) not in (case.place.server_id, case.place.server):
        return Quiet("declined-to-another-server")
    row = case.row
    if row is None or wish is None or row.address != wish or row.state == "released":
        return Quiet("declined-not-its-address")
    until = case.now + QUARANTINE_S
    return Quiet("declined", (replace(row, state="declined", expires_at=until),), event=True)


def _release(case: Case) -> Outcome:
    told = case.packet.address_option(opt.SERVER_ID)
    if told is not None and told not in (case.place.server_id, case.place.server):
        return Quiet("released-to-another-server")
    row = case.row
    if row is None or row.address != case.packet.ciaddr or row.state == "released":
        return Quiet("released-not-its-address")
    return Quiet("released", (replace(row, state="released", expires_at=case.now),))


def _inform(case: Case) -> Outcome:
    packet = case.packet
    if not int(packet.ciaddr) and not int(packet.giaddr):
        return Quiet("inform-without-address")
    if int(packet.ciaddr) and packet.ciaddr not in case.place.network.subnet:
        # The answer goes to ciaddr, so whoever may write anything there would have us send anywhere.
        return Quiet("inform-from-elsewhere")
    nothing = replies.BootFile()
    values = replies.network_options(packet, case.place, nothing, case.request, case.host)
    reply = replies.build(packet, case.place, dhcp.ACK, values)
    return _outcome(case, reply, Silence("inform"), ())


def _bind(case: Case, address: IPv4Address) -> Outcome:
    return _reply(case, dhcp.ACK, address, _binding(case, address))


def _binding(case: Case, address: IPv4Address) -> tuple[LeaseRow, ...]:
    row = case.row
    bound = _row(case, address, "bound", case.place.network.lease_s)
    if row is not None and row.address != address:
        # The client moved, say to a reservation: what it had comes free.
        return (replace(row, state="released", expires_at=case.now), bound)
    return (bound,)


def _row(case: Case, address: IPv4Address, state: str, seconds: float) -> LeaseRow:
    packet, relay, old = case.packet, case.place.relay, case.row
    # A unicast renewal carries no option 82: the port that the machine is at stays known.
    keep = old if old is not None and not relay.raw else None
    name = packet.options.get(opt.HOST_NAME, b"")[:_MAX_HOST_NAME_BYTES]
    return LeaseRow(
        address=address,
        mac=case.mac,
        network=case.place.network.name,
        state="bound" if state == "bound" else "offered",
        expires_at=case.now + seconds,
        client_id=packet.options.get(opt.CLIENT_ID, b""),
        circuit_id=keep.circuit_id if keep else relay.circuit_id,
        remote_id=keep.remote_id if keep else relay.remote_id,
        host_name=name.rstrip(b"\0").decode("ascii", "replace"),
    )


def _reply(case: Case, kind: int, address: IPv4Address, rows: tuple[LeaseRow, ...]) -> Outcome:
    network = case.place.network
    boot: BootAnswer = Silence("not-a-provisioning-network")
    if network.purpose == "provisioning":
        boot = decide(case.request, case.host, case.site)
    file = replies.boot_file(boot, case.request, case.place, case.site)
    values = replies.network_options(case.packet, case.place, file, case.request, case.host)
    packet = replies.build(
        case.packet, case.place, kind, values, yiaddr=address, file=file.file, lease_s=network.lease_s
    )
    return _outcome(case, packet, boot, rows)


def _nak(case: Case, reason: str) -> Outcome:
    return _outcome(case, replies.build_nak(case.packet, case.place, reason), Silence("nak"), ())


def _outcome(case: Case, packet: Packet, boot: BootAnswer, rows: tuple[LeaseRow, ...]) -> Reply:
    mtu = min(case.arrival.link.mtu, case.place.network.mtu or case.arrival.link.mtu)
    return Reply(
        packet=packet,
        target=replies.target_of(packet, case.packet, case.arrival, case.place),
        max_bytes=replies.max_reply_bytes(case.packet, mtu),
        place=case.place,
        boot=boot,
        rows=rows,
    )


_HANDLERS: Final[Mapping[int, Callable[[Case], Outcome]]] = {
    dhcp.DISCOVER: _discover,
    dhcp.REQUEST: _request,
    dhcp.DECLINE: _decline,
    dhcp.RELEASE: _release,
    dhcp.INFORM: _inform,
}
