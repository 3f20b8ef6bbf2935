"""DHCPv6 decisions: message + host + site + leases + now -> answer, or silence with a reason.

Theory of operation (RFC 8415 section 18.3). A Solicit reserves addresses for a minute and gets an
Advertise, or with Rapid Commit at once a Reply with leases. A Request binds; Renew and Rebind lengthen;
Release frees; Decline puts into quarantine; Confirm only says whether addresses fit the link;
Information-request gets options. Each association is answered by itself, with addresses or a status.
What it boots comes from the same `decide` as for DHCPv4.

Which messages must carry which identifiers, and which must be dropped, is one table (section 16).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from typing import Final, Literal

from pxe_edge.policy import dhcp6_bindings as bindings
from pxe_edge.policy import dhcp6_replies as replies
from pxe_edge.policy.boot import BootAnswer, Silence, decide, held
from pxe_edge.policy.dhcp6_bindings import Bound
from pxe_edge.policy.dhcp6_leases import Lease6Row, Lease6Table
from pxe_edge.policy.dhcp6_links import Arrival6, Place6, find_place
from pxe_edge.policy.dhcp6_requests import Request6
from pxe_edge.policy.views import HostView, SiteView
from pxe_edge.wire import dhcp6
from pxe_edge.wire.dhcp6 import Association, Message, Status

CLIENT_PORT: Final = 546
SERVER_PORT: Final = 547


@dataclass(frozen=True, slots=True)
class Reply6:
    """An answer: the message, where it goes, and the rows that must be stored first."""

    message: Message
    target: IPv6Address
    port: int
    place: Place6
    boot: BootAnswer
    rows: tuple[Lease6Row, ...] = ()
    event: str = ""
    """What an operator should hear of beside the answer: an exhausted pool, a declined address."""

    @property
    def addresses(self) -> tuple[IPv6Address, ...]:
        """The addresses that it gives."""
        return tuple(
            each.address
            for value in self.message.every(dhcp6.IA_NA)
            for each in dhcp6.read_association(value).addresses
            if each.valid_s
        )


@dataclass(frozen=True, slots=True)
class Quiet6:
    """No answer, and why."""

    reason: str
    rows: tuple[Lease6Row, ...] = ()
    network: str | None = field(default=None, compare=False)


Outcome6 = Reply6 | Quiet6


@dataclass(frozen=True, slots=True)
class Server6:
    """The server's identifier, and what it decides on."""

    duid: bytes
    site: SiteView
    table: Lease6Table


@dataclass(frozen=True, slots=True)
class Case6:
    """One message with everything its decision reads."""

    request: Request6
    arrival: Arrival6
    host: HostView | None
    server: Server6
    place: Place6
    now: float

    @property
    def desk(self) -> bindings.Desk:
        """The client's side of the lease table."""
        avoid = self.arrival.own_addresses.union(self.server.site.server_addresses6.values())
        network = self.place.network
        return bindings.Desk(self.request, network, self.server.table, self.now, avoid, self.fixed)

    @property
    def fixed(self) -> IPv6Address | None:
        """The address here that is kept for the host that the client is."""
        fixed = self.host.fixed6 if self.host is not None else None
        return fixed if fixed is not None and fixed in self.place.network.subnet else None


ServerId = Literal["none", "ours", "any"]


@dataclass(frozen=True, slots=True)
class _Rule:
    server_id: ServerId
    client_id: bool = True
    multicast_only: bool = False
    """Silence for one sent to our own address; the others are told to use multicast (section 18.4)."""


_RULES: Final[Mapping[int, _Rule]] = {
    dhcp6.SOLICIT: _Rule("none", multicast_only=True),
    dhcp6.REQUEST: _Rule("ours"),
    dhcp6.CONFIRM: _Rule("none", multicast_only=True),
    dhcp6.RENEW: _Rule("ours"),
    dhcp6.REBIND: _Rule("none", multicast_only=True),
    dhcp6.RELEASE: _Rule("ours"),
    dhcp6.DECLINE: _Rule("ours"),
    dhcp6.INFORMATION_REQUEST: _Rule("any", client_id=False, multicast_only=True),
}
"""RFC 8415 section 16, by message type; what is not here is not for a server."""


def answer(
    request: Request6, arrival: Arrival6, host: HostView | None, server: Server6, now: float
) -> Outcome6:
    """Decide one message from a client, however it came."""
    rule = _RULES.get(request.message.kind)
    if rule is None:
        return Quiet6("not-for-a-server")
    place = find_place(request.message, arrival, server.site)
    if isinstance(place, Silence):
        return Quiet6(place.reason)
    boot = replace(request.boot, network=place.network.name)
    case = Case6(replace(request, boot=boot), arrival, host, server, place, now)
    outcome = _misaddressed(case, rule) or _not_served(case) or _HANDLERS[request.message.kind](case)
    return replace(outcome, network=place.network.name) if isinstance(outcome, Quiet6) else outcome


def _misaddressed(case: Case6, rule: _Rule) -> Outcome6 | None:
    request = case.request
    reason = ""
    if rule.client_id and request.duid is None:
        reason = "no-client-id"
    elif request.server_id is None and rule.server_id == "ours":
        reason = "no-server-id"
    elif request.server_id is not None and rule.server_id == "none":
        reason = "server-id-not-allowed"
    elif request.server_id not in (None, case.server.duid):
        return _chose_another(case)
    elif not request.message.relays and not case.arrival.multicast:
        if not rule.multicast_only:
            return _reply(case, dhcp6.REPLY, status=Status(dhcp6.USE_MULTICAST, "send to ff02::1:2"))
        reason = "sent-unicast"
    return Quiet6(reason) if reason else None


def _not_served(case: Case6) -> Quiet6 | None:
    # What the whole network or the whole machine gets no answer for, as in DHCPv4.
    request = case.request
    network = case.place.network
    if network.mode == "reservations" and request.key not in network.reservations and case.fixed is None:
        return Quiet6("no-reservation")  # another server's client, not ours to refuse
    if request.message.kind in (dhcp6.RELEASE, dhcp6.DECLINE):
        return None
    silence = held(request.boot, case.host, case.server.site)
    return Quiet6(silence.reason) if silence is not None else None


def _chose_another(case: Case6) -> Quiet6:
    offered = [row for row in case.desk.rows() if row.state == "offered"]
    given_up = case.request.message.kind == dhcp6.REQUEST
    return Quiet6(
        "chose-another-server", tuple(replace(r, state="released") for r in offered) if given_up else ()
    )


def _solicit(case: Case6) -> Outcome6:
    if not case.request.associations:
        return Quiet6("nothing-asked")
    rapid = case.request.message.option(dhcp6.RAPID_COMMIT) is not None
    bound = bindings.assign(case.desk, commit=rapid)
    kind = dhcp6.REPLY if rapid else dhcp6.ADVERTISE
    return _reply_bound(case, kind, bound, rapid=rapid)


def _request(case: Case6) -> Outcome6:
    return _reply_bound(case, dhcp6.REPLY, bindings.assign(case.desk, commit=True))


def _renew(case: Case6) -> Outcome6:
    return _reply_bound(case, dhcp6.REPLY, bindings.extend(case.desk))


def _rebind(case: Case6) -> Outcome6:
    bound = bindings.extend(case.desk)
    if bound.unknown:
        # Another server may know them; only what is wrong on this link is ours to say (section 18.3.5).
        return Quiet6("rebinding-not-ours")
    return _reply_bound(case, dhcp6.REPLY, bound)


def _confirm(case: Case6) -> Outcome6:
    told = [each.address for one in case.request.associations for each in one.addresses]
    if not told:
        return Quiet6("confirm-without-address")
    fits = all(address in case.place.network.subnet for address in told)
    status = Status(dhcp6.SUCCESS) if fits else Status(dhcp6.NOT_ON_LINK, "not an address of this link")
    return _reply(case, dhcp6.REPLY, status=status)


def _release(case: Case6) -> Outcome6:
    return _give_back(case, bindings.release(case.desk), "")


def _decline(case: Case6) -> Outcome6:
    bound = bindings.decline(case.desk)
    return _give_back(case, bound, "declined" if bound.rows else "")


def _give_back(case: Case6, bound: Bound, event: str) -> Outcome6:
    return _reply(
        case, dhcp6.REPLY, bound.associations, rows=bound.rows, status=Status(dhcp6.SUCCESS), event=event
    )


def _information(case: Case6) -> Outcome6:
    if case.request.associations:
        return Quiet6("information-request-with-association")
    return _reply(case, dhcp6.REPLY, boots=True)


def _reply_bound(case: Case6, kind: int, bound: Bound, *, rapid: bool = False) -> Outcome6:
    return _reply(
        case,
        kind,
        bound.associations,
        rows=bound.rows,
        rapid=rapid,
        boots=True,
        event="pool-exhausted" if bound.exhausted else "",
    )


def _reply(
    case: Case6,
    kind: int,
    associations: tuple[Association, ...] = (),
    *,
    rows: tuple[Lease6Row, ...] = (),
    status: Status | None = None,
    rapid: bool = False,
    boots: bool = False,
    event: str = "",
) -> Reply6:
    request, place, site = case.request, case.place, case.server.site
    boot: BootAnswer = Silence("not-asked")
    options: list[tuple[int, bytes]] = []
    if boots:
        boot = Silence("not-a-provisioning-network")
        if place.network.purpose == "provisioning":
            boot = decide(request.boot, case.host, site)
        url = replies.boot_url(boot, request.boot, place, site)
        options = replies.network_options(request, place, url, case.host)
    message = replies.build(
        request,
        case.server.duid,
        kind,
        associations=associations,
        options=options,
        status=status,
        rapid=rapid,
    )
    port = CLIENT_PORT
    if request.message.relays:
        # RFC 8357: a relay that sends option 135 is answered on the port that it sent from.
        outer = request.message.relays[0]
        port = case.arrival.source_port if outer.option(dhcp6.RELAY_PORT) is not None else SERVER_PORT
    return Reply6(message, case.arrival.source, port, place, boot, rows, event)


_HANDLERS: Final[Mapping[int, Callable[[Case6], Outcome6]]] = {
    dhcp6.SOLICIT: _solicit,
    dhcp6.REQUEST: _request,
    dhcp6.CONFIRM: _confirm,
    dhcp6.RENEW: _renew,
    dhcp6.REBIND: _rebind,
    dhcp6.RELEASE: _release,
    dhcp6.DECLINE: _decline,
    dhcp6.INFORMATION_REQUEST: _information,
}
