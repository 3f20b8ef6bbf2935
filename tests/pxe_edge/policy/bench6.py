"""A site with an IPv6 network and one behind relays, and a way to ask it things."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network

from pxe_edge.policy import dhcp6 as policy
from pxe_edge.policy.dhcp6_leases import Lease6Table
from pxe_edge.policy.dhcp6_links import Arrival6
from pxe_edge.policy.dhcp6_requests import read_request
from pxe_edge.policy.dhcp6_views import Network6View, Range6
from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import SiteView
from pxe_edge.wire import dhcp6 as wire
from pxe_edge.wire.dhcp6 import Association, LeasedAddress, Message, Relay

MAC = "52:54:00:ed:9e:01"
EUI64 = IPv6Address("fe80::5054:ff:feed:9e01")
OWN = b"\0\4" + bytes(range(16))
SERVER = IPv6Address("fd00:77::1")


def address(text):
    return IPv6Address(text)


def span(first, last):
    return (Range6(address(first), address(last)),)


PROV = Network6View(
    "prov6",
    "provisioning",
    IPv6Network("fd00:77::/64"),
    interface="prov0",
    pool=span("fd00:77::50", "fd00:77::53"),
    dns=(address("fd00:77::9"),),
    ntp=(address("fd00:77::8"),),
)
FAR = Network6View(
    "far6", "provisioning", IPv6Network("fd00:88::/64"), pool=span("fd00:88::50", "fd00:88::99")
)
LINK = Link("prov0", 2, addresses6=(IPv6Interface("fe80::1/64"), IPv6Interface("fd00:77::1/64")))


def ll(mac=MAC):
    """A DUID of type LL."""
    return b"\0\3\0\1" + bytes.fromhex(mac.replace(":", ""))


def uuid_duid(octet):
    return b"\0\4" + bytes((octet,)) * 16


def ia(iaid=1, *told, kind=wire.IA_NA):
    return Association(iaid, addresses=tuple(LeasedAddress(address(each)) for each in told), kind=kind)


def asked(*codes):
    return wire.OPTION_REQUEST, b"".join(code.to_bytes(2, "big") for code in codes)


class Bench:
    """Sends messages to the policy and applies what comes out, as the server does."""

    def __init__(self, *networks, discovery="register", host=None, order="disk-first"):
        self.site = SiteView(
            "lab", discovery=discovery, networks6=networks or (PROV, FAR), boot_order=order,
            server_addresses6={"far6": SERVER},
        )  # fmt: skip
        self.host = host
        self.table = Lease6Table()
        self.now = 1_000_000.0

    def ask(self, kind, *associations, duid=None, options=(), server=None, **way):
        duid = ll() if duid is None else duid
        head = [(wire.CLIENT_ID, duid)] if duid else []
        if server is not None:
            head.append((wire.SERVER_ID, server))
        head += [wire.write_association(each) for each in associations]
        return self.send(Message(kind, 7, (*head, *options), way.pop("relays", ())), **way)

    def send(self, message, *, source=EUI64, port=546, multicast=True):
        arrival = Arrival6(LINK, source, port, multicast, frozenset({SERVER}))
        server = policy.Server6(OWN, self.site, self.table)
        outcome = policy.answer(read_request(message, source), arrival, self.host, server, self.now)
        for row in outcome.rows:
            self.table.put(row)
        return outcome

    def bind(self, *associations, duid=None, **way):
        """Solicit and Request; the Reply, which gives what was offered."""
        offer = self.ask(wire.SOLICIT, *(associations or (ia(),)), duid=duid, **way)
        got = [wire.read_association(value) for value in offer.message.every(wire.IA_NA)]
        reply = self.ask(wire.REQUEST, *got, duid=duid, server=OWN, **way)
        assert reply.addresses == offer.addresses
        return reply

    def reserve(self, mac, to, **changes):
        network = replace(PROV, reservations={mac: address(to)}, **changes)
        self.site = replace(self.site, networks6=(network, FAR))


def given_to(outcome):
    return [str(each) for each in outcome.addresses]


def associations(outcome):
    return [wire.read_association(value) for value in outcome.message.every(wire.IA_NA)]


def status(outcome):
    return wire.read_status(outcome.message.option(wire.STATUS_CODE)).code


def relay(link="::", hops=0, *options, peer=EUI64):
    return Relay(hops, address(link), peer, options)


def vendor(name):
    return wire.write_vendor_class(343, name)


PXE = (
    vendor(b"PXEClient:Arch:00007:UNDI:003016"),
    (wire.CLIENT_ARCH, b"\0\7"),
    (wire.CLIENT_NII, b"\1\3\x10"),
)
HTTP = (vendor(b"HTTPClient:Arch:00016:UNDI:003000"), (wire.CLIENT_ARCH, b"\0\x10"))
IPXE = ((wire.USER_CLASS, b"\0\4iPXE"),)
