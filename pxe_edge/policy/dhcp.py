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
from dataclasses import dataclass
from typing import Final, Literal

from pxe_edge.policy import replies
from pxe_edge.policy.boot import BootAnswer, Silence, decide, held
from pxe_edge.policy.leases import OFFER_S, QUARANTINE_S, LeaseRow, LeaseTable
from pxe_edge.policy.loaders import Loader
from pxe_edge.policy.networks import NO_RELAY, Arrival, Place, ServedNetwork, ServedSite, find_place
from pxe_edge.policy.replies import BootFile, Target
from pxe_edge.policy.requests import BootRequest, ClientKind, client_kind
from pxe_edge.policy.views import HostView
from pxe_edge.wire import dhcp
from pxe_edge.wire import options as opt
from pxe_edge.wire.dhcp import Packet
from pxe_edge.wire.forms import Form

_MAX_HOST_NAME_BYTES: Final = 255


@dataclass(slots=True, init=False)
class Reply:
    """An answer: its octets, where it goes, and the rows that must be stored before it leaves."""

    kind: int
    data: bytes
    target: Target
    place: Place
    boot: BootAnswer
    yiaddr: int
    rows: tuple[LeaseRow, ...]
    dropped: tuple[int, ...]
    """Options that found no room."""

    def __init__(
        self,
        kind: int,
        data: bytes,
        target: Target,
        place: Place,
        boot: BootAnswer,
        yiaddr: int = 0,
        rows: tuple[LeaseRow, ...] = (),
        dropped: tuple[int, ...] = (),
    ) -> None:
        self.kind = kind
        self.data = data
        self.target = target
        self.place = place
        self.boot = boot
        self.yiaddr = yiaddr
        self.rows = rows
        self.dropped = dropped

    @property
    def packet(self) -> Packet:
        """The answer as a value; nothing in the packet path asks for it."""
        return dhcp.decode(self.data)


@dataclass(frozen=True, slots=True)
class Quiet:
    """No answer, why, and the rows that change all the same (DECLINE, RELEASE, another server's REQUEST)."""

    reason: str
    rows: tuple[LeaseRow, ...] = ()
    event: bool = False
    """An operator should hear of it: a declined address, an exhausted pool."""
    detail: str = ""
    """What it is about, in pairs, for log and `why`."""


Outcome = Reply | Quiet


@dataclass(slots=True, init=False)
class Case:
    """One message with everything its decision reads."""

    packet: Packet
    arrival: Arrival
    request: BootRequest
    kind: ClientKind
    host: HostView | None
    site: ServedSite
    table: LeaseTable
    place: Place
    now: float
    binding: LeaseRow | None
    """The client's lease on this network, present or past."""
    offer: LeaseRow | None
    """What the client was offered here and may still request."""

    def __init__(  # noqa: PLR0917 - one value for each field
        self,
        packet: Packet,
        arrival: Arrival,
        request: BootRequest,
        kind: ClientKind,
        host: HostView | None,
        site: ServedSite,
        table: LeaseTable,
        place: Place,
        now: float,
        binding: LeaseRow | None,
        offer: LeaseRow | None,
    ) -> None:
        self.packet = packet
        self.arrival = arrival
        self.request = request
        self.kind = kind
        self.host = host
        self.site = site
        self.table = table
        self.place = place
        self.now = now
        self.binding = binding
        self.offer = offer

    @property
    def mac(self) -> str:
        """The key that leases hang on."""
        return self.request.mac

    @property
    def network(self) -> ServedNetwork:
        """The network that the message is about."""
        return self.place.network

    @property
    def fixed(self) -> int | None:
        """The address here that is kept for the host that the client is, by whichever of its NICs."""
        fixed = self.host.fixed if self.host is not None else None
        return fixed if fixed is not None and fixed in self.place.network else None

    @property
    def is_reserved(self) -> bool:
        """Whether an address is kept for the client here."""
        return self.request.mac in self.place.network.reservations or self.fixed is not None

    def may_have(self, address: int) -> bool:
        """Whether the client may have exactly this address now."""
        return self.table.may_keep(self.place.network, self.request.mac, address, self.now, self.fixed)


def answer(
    packet: Packet,
    arrival: Arrival,
    request: BootRequest,
    host: HostView | None,
    site: ServedSite,
    table: LeaseTable,
    now: float,
    kind: ClientKind | None = None,
) -> Outcome:
    """Decide one message from a client or relay."""
    message = packet.options.get(opt.MESSAGE_TYPE)
    if packet.op != dhcp.BOOTREQUEST or message is None or len(message) != 1:
        return Quiet("not-a-dhcp-request")
    place = find_place(packet, arrival, site)
    if isinstance(place, Silence):
        return Quiet(place.reason)
    request.network = place.network.name
    handler = _HANDLERS.get(message[0])
    if handler is None:
        return Quiet("not-for-a-server")
    holders = table.of(place.network.name)
    offer = holders.offers.get(request.mac)
    if offer is not None and offer.expires_at <= now:
        offer = None
    binding = holders.bindings.get(request.mac)
    kind = kind or client_kind(packet)
    case = Case(packet, arrival, request, kind, host, site, table, place, now, binding, offer)
    return _not_served(case, message[0]) or handler(case)


def _not_served(case: Case, message: int) -> Quiet | None:
    # What the whole network or the whole machine gets no answer for.
    network = case.place.network
    mode = network.view.mode
    if mode == "proxy":
        return Quiet("proxy-mode")
    if mode == "reservations" and not case.is_reserved:
        return Quiet("no-reservation")  # another server's client, not ours to refuse
    if message in (dhcp.DECLINE, dhcp.RELEASE):
        return None
    silence = held(case.request, case.host, case.site.view)
    return Quiet(silence.reason) if silence is not None else None


def _discover(case: Case) -> Outcome:
    wish = case.packet.address_option(opt.REQUESTED_ADDRESS)
    address = case.table.choose(case.network, case.mac, wish, case.now, case.fixed)
    if address is None:
        return _nothing_free(case)
    binding = case.binding
    if (
        binding is not None
        and binding.address == address
        and binding.state == "bound"
        and binding.holds(case.now)
    ):
        return _reply(case, dhcp.OFFER, address, ())
    return _reply(case, dhcp.OFFER, address, (_row(case, address, "offered", OFFER_S),))


def _nothing_free(case: Case) -> Quiet:
    if case.network.view.mode == "reservations":
        return Quiet("no-reservation")
    if case.table.is_crowded(case.now):
        return Quiet("too-many-offers", event=True)
    return Quiet("pool-exhausted", event=True)


def _request(case: Case) -> Outcome:
    packet = case.packet
    chosen = packet.address_option(opt.SERVER_ID)
    wish = packet.address_option(opt.REQUESTED_ADDRESS)
    if chosen is not None and not case.place.is_me(chosen):
        offer = case.offer
        given_up = () if offer is None else (offer._replace(expires_at=case.now),)
        return Quiet("chose-another-server", given_up, detail=f"server={opt.dotted(chosen)}")
    if packet.ciaddr:
        return _extend(case)
    if wish is None:
        return Quiet("no-requested-address")
    return _selecting(case, wish) if chosen is not None else _init_reboot(case, wish)


def _selecting(case: Case, wish: int) -> Outcome:
    offer, binding = case.offer, case.binding
    held_now = offer or (binding if binding is not None and binding.holds(case.now) else None)
    if held_now is not None and held_now.address != wish:
        return _nak(case, "that address was not offered")
    # After a restart the offers are gone: what is free and allowed is given all the same.
    if not case.may_have(wish):
        return _nak(case, "address not available")
    return _bind(case, wish)


def _init_reboot(case: Case, wish: int) -> Outcome:
    network = case.network
    if wish not in network:
        return _nak(case, "wrong network")
    binding = case.binding
    reserved = case.is_reserved
    if binding is None and not reserved:
        return Quiet("unknown-client")
    if binding is not None and binding.address != wish and not reserved:
        return _nak(case, "that is not your address")
    return _bind(case, wish) if case.may_have(wish) else _nak(case, "address not available")


def _extend(case: Case) -> Outcome:
    # RENEWING is unicast and skips the relay; everything else with ciaddr is REBINDING.
    packet = case.packet
    renewing = case.arrival.unicast and not packet.giaddr
    binding = case.binding
    if binding is not None and binding.address == packet.ciaddr and case.may_have(packet.ciaddr):
        return _bind(case, packet.ciaddr)
    return _nak(case, "lease not known") if renewing else Quiet("rebinding-not-ours")


def _decline(case: Case) -> Outcome:
    wish = case.packet.address_option(opt.REQUESTED_ADDRESS)
    if not case.place.is_me(case.packet.address_option(opt.SERVER_ID)):
        return Quiet("declined-to-another-server")
    row = next((r for r in (case.offer, case.binding) if r is not None and r.address == wish), None)
    if row is None or row.state == "released":
        return Quiet("declined-not-its-address")
    until = case.now + QUARANTINE_S
    rows = (row._replace(state="declined", expires_at=until),)
    return Quiet("declined", rows, event=True, detail=f"address={opt.dotted(row.address)}")


def _release(case: Case) -> Outcome:
    told = case.packet.address_option(opt.SERVER_ID)
    if told is not None and not case.place.is_me(told):
        return Quiet("released-to-another-server")
    row = case.binding
    if row is None or row.address != case.packet.ciaddr or row.state == "released":
        return Quiet("released-not-its-address")
    rows = (row._replace(state="released", expires_at=case.now),)
    return Quiet("released", rows, detail=f"address={opt.dotted(row.address)}")


def _inform(case: Case) -> Outcome:
    packet = case.packet
    if not packet.ciaddr and not packet.giaddr:
        return Quiet("inform-without-address")
    if packet.ciaddr and packet.ciaddr not in case.network:
        # The answer goes to ciaddr, so whoever may write anything there would have us send anywhere.
        return Quiet("inform-from-elsewhere")
    return _reply(case, dhcp.ACK, 0, ())


def _bind(case: Case, address: int) -> Outcome:
    binding = case.binding
    bound = _row(case, address, "bound", case.network.view.lease_s)
    if binding is not None and binding.address != address and binding.state != "released":
        # The client moved, say to a reservation: what it had comes free.
        released = binding._replace(state="released", expires_at=case.now)
        return _reply(case, dhcp.ACK, address, (released, bound))
    return _reply(case, dhcp.ACK, address, (bound,))


def _row(case: Case, address: int, state: Literal["bound", "offered"], seconds: float) -> LeaseRow:
    relay, options = case.place.relay, case.packet.options
    circuit_id, remote_id = relay.circuit_id, relay.remote_id
    if relay is NO_RELAY and (old := case.binding) is not None:
        # A unicast renewal carries no option 82: the port that the machine is at stays known.
        circuit_id, remote_id = old.circuit_id, old.remote_id
    name = options.get(opt.HOST_NAME)
    return LeaseRow(
        address,
        case.request.mac,
        case.place.network.name,
        state,
        case.now + seconds,
        options.get(opt.CLIENT_ID, b""),
        circuit_id,
        remote_id,
        "" if name is None else name[:_MAX_HOST_NAME_BYTES].rstrip(b"\0").decode("ascii", "replace"),
    )


def _reply(case: Case, kind: int, address: int, rows: tuple[LeaseRow, ...]) -> Outcome:
    # An ACK without address is INFORM's: no lease time, no boot file (4.3.5).
    packet, network = case.packet, case.place.network
    boot: BootAnswer = _NOT_HERE
    if not address:
        boot = _INFORMED
    elif network.view.purpose == "provisioning":
        boot = decide(case.request, case.host, case.site.view)
    form, name = _form(case, kind, boot, network.view.lease_s if address else None)
    ciaddr = packet.ciaddr if kind == dhcp.ACK else 0
    limit = replies.max_reply_bytes(packet, _mtu(case))
    dropped: tuple[int, ...] = ()
    data = form.fill(packet, packet.flags, ciaddr, address, name, limit)
    if data is None:
        value = form.packet(packet, packet.flags, ciaddr, address, name)
        encoded = dhcp.encode(value, limit, replies.MANDATORY)
        data, dropped = encoded.data, encoded.dropped
    target = replies.target_of(packet, kind, address, network, _source_port(case))
    return Reply(kind, data, target, case.place, boot, address, rows, dropped)


def _form(case: Case, kind: int, boot: BootAnswer, lease_s: int | None) -> tuple[Form, bytes]:
    # What an answer depends on is the key; who is told the same shares a form.
    place, packet = case.place, case.packet
    network, site = place.network, case.site.view
    told: object = None
    file = _NO_FILE
    own_file = False
    if isinstance(boot, Loader):
        told = (boot.file, boot.http)
    elif boot is not _INFORMED and (case.kind.client == "ipxe" or not isinstance(boot, Silence)):
        file = replies.boot_file(boot, case.request, place, site)
        own_file = bool(file.file)
        told = (own_file, len(file.file) > replies.FILE_FIELD_BYTES)
    host = case.host.name if case.host is not None and network.by_host else None
    mac = case.mac if network.by_mac else None
    key = (
        kind, lease_s, case.kind, packet.options.get(opt.PARAMETER_LIST), told, place.server, place.server_id,
        host, mac,
    )  # fmt: skip
    form = network.forms.get(key)
    if form is None:
        if isinstance(boot, Loader):
            file = replies.boot_file(boot, case.request, place, site)
        who = (case.request, case.host)
        form = replies.form_for(packet, place, kind, who, file, own_file=own_file, lease_s=lease_s)
        if len(network.forms) >= replies.MAX_FORMS:
            network.forms.clear()
        network.forms[key] = form
    return form, file.file.encode()


def _nak(case: Case, reason: str) -> Outcome:
    packet = replies.build_nak(case.packet, case.place, reason)
    limit = replies.max_reply_bytes(case.packet, _mtu(case))
    encoded = dhcp.encode(packet, limit, replies.MANDATORY)
    target = replies.target_of(case.packet, dhcp.NAK, 0, case.network, _source_port(case))
    return Reply(dhcp.NAK, encoded.data, target, case.place, _REFUSED, dropped=encoded.dropped)


def _mtu(case: Case) -> int:
    mtu, told = case.arrival.link.mtu, case.place.network.view.mtu
    return mtu if told is None or mtu < told else told


def _source_port(case: Case) -> int | None:
    # RFC 8357: a relay that has sub-option 19 is answered on the port that it sent from.
    return case.arrival.source_port if case.place.relay.source_port else None


_NOT_HERE: Final = Silence("not-a-provisioning-network")
_INFORMED: Final = Silence("inform")
_REFUSED: Final = Silence("nak")
_NO_FILE: Final = BootFile()
_HANDLERS: Final[Mapping[int, Callable[[Case], Outcome]]] = {
    dhcp.DISCOVER: _discover,
    dhcp.REQUEST: _request,
    dhcp.DECLINE: _decline,
    dhcp.RELEASE: _release,
    dhcp.INFORM: _inform,
}
