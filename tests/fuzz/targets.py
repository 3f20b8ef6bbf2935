"""Fuzz targets: functions of bytes that raise when the edge breaks a promise towards a hostile network.

The promises: any bytes become a value or a named error; an answer is never larger than its protocol and
the client's own word allow, and goes nowhere but to the networks of the site; nothing grows without bound.
Hypothesis calls them with made-up bytes (`test_targets.py`), `run.py` with libFuzzer's.
"""

import contextlib
import json
from collections.abc import Callable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)

from pydantic import ValidationError

from pxe_edge.discovery.identify import Boot, KnownHost, discover
from pxe_edge.policy import dhcp6 as policy6
from pxe_edge.policy import leases
from pxe_edge.policy.dhcp import Reply, answer
from pxe_edge.policy.dhcp6_leases import Lease6Table
from pxe_edge.policy.dhcp6_links import Arrival6
from pxe_edge.policy.dhcp6_requests import read_request
from pxe_edge.policy.dhcp6_views import Network6View, Range6
from pxe_edge.policy.networks import Arrival, Link, serve_site
from pxe_edge.policy.proxy import answer_proxy
from pxe_edge.policy.replies import LIMITED_BROADCAST, MANDATORY
from pxe_edge.policy.requests import read_boot_request
from pxe_edge.policy.transfer import MAX_TRIES, Transfer, negotiate
from pxe_edge.policy.views import AddressRange, NetworkView, SiteView
from pxe_edge.servers.boot_plane import read_json_object
from pxe_edge.servers.http_wire import BadRequest, byte_range, parse_head, unchanged
from pxe_edge.servers.ports import Problem
from pxe_edge.wire import dhcp, dhcp6, duid, icmpv6, tftp
from pxe_edge.wire.errors import WireError
from pxe_edge.wire.frames import decode_frame
from specs.facts import ReportIn

MTU = 1500
UDP_HEADERS = 28
LEAST_LIMIT = 576
SERVER, SERVER6 = IPv4Address("10.0.0.1"), IPv6Address("fd00::1")
NETWORKS = (
    NetworkView(
        "prov",
        "provisioning",
        IPv4Network("10.0.0.0/24"),
        "prov0",
        gateway=SERVER,
        pool=(AddressRange(IPv4Address("10.0.0.50"), IPv4Address("10.0.0.99")),),
        dns=(SERVER,),
    ),
    NetworkView(
        "racks",
        "provisioning",
        IPv4Network("10.1.0.0/24"),
        pool=(AddressRange(IPv4Address("10.1.0.50"), IPv4Address("10.1.0.99")),),
    ),
    NetworkView("beside", "provisioning", IPv4Network("10.2.0.0/24"), mode="proxy"),
)
NETWORK6 = Network6View(
    "prov6",
    "provisioning",
    IPv6Network("fd00::/64"),
    "prov0",
    pool=(Range6(IPv6Address("fd00::100"), IPv6Address("fd00::1ff")),),
)
SITE = SiteView(
    "fuzz",
    discovery="register",
    networks=NETWORKS,
    server_addresses={network.name: SERVER for network in NETWORKS},
    networks6=(NETWORK6,),
    server_addresses6={"prov6": SERVER6},
)
SERVED = serve_site(SITE, frozenset({int(SERVER)}))
LINK = Link("prov0", 2, (IPv4Interface("10.0.0.1/24"),), b"\2\0\0\0\0\1", MTU)
ARRIVAL = Arrival(LINK, "10.0.0.7", 68)
ARRIVAL6 = Arrival6(
    Link("prov0", 2, (IPv6Interface("fd00::1/64"),), b"\2\0\0\0\0\1", MTU), IPv6Address("fe80::7"), 546
)
DUID = bytes.fromhex("0004000102030405060708090a0b0c0d0e0f")
BOOT = Boot(7, "52:54:00:00:00:01", None)
KNOWN = KnownHost(
    "id-1", "web-01", "11111111-2222-4333-8444-555555555555", "S1", frozenset({"52:54:00:00:00:02"})
)
READERS6: dict[int, tuple[Callable[[bytes], object], ...]] = {
    dhcp6.CLIENT_ID: (duid.read,),
    dhcp6.SERVER_ID: (duid.read,),
    dhcp6.IA_NA: (dhcp6.read_association,),
    dhcp6.IA_TA: (lambda value: dhcp6.read_association(value, dhcp6.IA_TA),),
    dhcp6.STATUS_CODE: (dhcp6.read_status,),
    dhcp6.VENDOR_CLASS: (dhcp6.classes,),
    dhcp6.USER_CLASS: (dhcp6.classes,),
}
"""What is read inside of options."""
POOL_ROWS = 2 * 50
ROUNDS = 2000
"""Packets that one lease table lives through; with more, a failing input would not be found again alone."""


class State:
    """Lease tables that live from packet to packet, for a while."""

    def __init__(self) -> None:
        self.table, self.table6, self.seen = leases.LeaseTable(), Lease6Table(), 0

    def turn(self) -> float:
        """Count a packet; the time, three seconds on."""
        self.seen += 1
        if self.seen > ROUNDS:
            self.__init__()  # type: ignore[misc]
        return 1_000_000.0 + 3.0 * self.seen


STATE = State()


def dhcp_codec(data: bytes) -> None:
    """What is read is written and read again to the same value, within any limit."""
    try:
        packet = dhcp.decode(data)
    except WireError:
        return
    if len(packet.sname) > 63 or len(packet.file) > 127:
        return  # full to the last octet, without NUL: we never write such a field, and no reply echoes one
    assert dhcp.decode(dhcp.encode(packet, 65000).data) == packet
    for limit in (548, 1472):
        assert len(dhcp.encode(packet, limit, MANDATORY).data) <= limit


def dhcp_answer(data: bytes) -> None:
    """One answer at most, as large as the client may get, to where the site is."""
    now = STATE.turn()
    try:
        packet = dhcp.decode(data)
    except WireError:
        return
    request = read_boot_request(packet)
    outcomes = [
        answer(packet, ARRIVAL, request, None, SERVED, STATE.table, now),
        answer_proxy(packet, ARRIVAL, request, None, SERVED, on_proxy_port=False),
        answer_proxy(packet, ARRIVAL, request, None, SERVED, on_proxy_port=True),
    ]
    for outcome in outcomes:
        for row in outcome.rows:
            STATE.table.put(row)
            assert len(row.client_id) + len(row.circuit_id) + len(row.remote_id) <= len(data)
            assert len(row.host_name) <= 255
        if isinstance(outcome, Reply):
            _fits(packet, outcome)
    assert len(STATE.table.rows()) <= POOL_ROWS


def _fits(request: dhcp.Packet, reply: Reply) -> None:
    told = request.options.get(57, b"")
    limit = max(LEAST_LIMIT, int.from_bytes(told, "big") if len(told) == 2 else 0)
    written = reply.data
    assert len(written) + UDP_HEADERS <= min(limit, MTU)
    back = dhcp.decode(written)
    assert (back.op, back.xid, back.chaddr) == (dhcp.BOOTREPLY, request.xid, request.chaddr)
    target = IPv4Address(reply.target.address)
    known = any(target in network.subnet for network in NETWORKS)
    assert known or reply.target.address == LIMITED_BROADCAST or str(target) == ARRIVAL.source, reply.target


def dhcp6_codec(data: bytes) -> None:
    """What is read is written and read again to the same value."""
    try:
        message = dhcp6.decode(data)
    except WireError:
        return
    assert dhcp6.decode(dhcp6.encode(message)) == message
    for code, value in message.options:
        for read in READERS6.get(code, ()):
            with contextlib.suppress(WireError):
                read(value)


def dhcp6_answer(data: bytes) -> None:
    """One answer at most; what it grows by does not depend on the client."""
    now = STATE.turn()
    try:
        message = dhcp6.decode(data)
        request = read_request(message, ARRIVAL6.source)
    except WireError:
        return
    outcome = policy6.answer(request, ARRIVAL6, None, policy6.Server6(DUID, SITE, STATE.table6), now)
    for row in outcome.rows:
        STATE.table6.put(row)
    if isinstance(outcome, policy6.Reply6):
        written = dhcp6.encode(outcome.message)
        assert len(written) <= 2 * len(data) + 512
        assert len(dhcp6.decode(written).relays) == len(message.relays)
    assert len(STATE.table6.rows()) <= 3 * 256


def frames(data: bytes) -> None:
    """Ethernet, IP and UDP headers, and router solicitations."""
    icmpv6.is_router_solicitation(data)
    try:
        frame = decode_frame(data)
    except WireError:
        return
    assert len(frame.payload) <= len(data)


def tftp_request(data: bytes) -> None:
    """A forged request brings little: one block, or its own options back, six times at most."""
    try:
        packet = tftp.decode(data)
    except WireError:
        return
    assert isinstance(tftp.encode(packet), bytes)
    if not isinstance(packet, tftp.ReadRequest):
        return
    terms = negotiate(packet.options, 1 << 20, MTU - 32)
    transfer = Transfer(1 << 20, terms)
    transfer.begin()
    if terms.accepted is None:
        first = 4 + terms.block_bytes * (transfer.sent - transfer.acked)
        assert first <= 4 + 512
    else:
        first = len(tftp.encode(tftp.OptionAck(transfer.oack)))
        assert first <= len(data) + 16
    sent = 1
    while transfer.expire():
        sent += 1
    assert sent <= MAX_TRIES


def tftp_transfer(data: bytes) -> None:
    """Whatever a client answers: never more out than the window, never behind the file's end."""
    window, size = 1 + data[0] % 64 if data else 1, int.from_bytes(data[1:4], "big")
    terms = negotiate({"blksize": "512", "windowsize": str(window)}, size, 1468)
    transfer = Transfer(size, terms)
    transfer.begin()
    blocks = 0
    for at in range(4, len(data), 5):
        if transfer.outcome:
            return
        piece = data[at : at + 5]
        out = transfer.expire() if piece[:1] == b"\xff" else transfer.receive(piece[1:])
        if out:
            blocks += transfer.sent - transfer.acked
        assert transfer.acked <= transfer.sent <= transfer.last
        assert transfer.sent - transfer.acked <= window
    assert blocks <= window * (len(data) // 5 + 1)


def http_head(data: bytes) -> None:
    """A head, or a refusal with a status; a range lies inside of the file."""
    try:
        head = parse_head(data)
    except BadRequest:
        return
    assert head.path.startswith("/")
    assert not head.path.startswith("//")
    assert ".." not in head.path.split("/")
    unchanged(head, '"e"')
    part = byte_range(head, 1000, '"e"')
    if part is not None and part.status == 206:
        assert 0 <= part.first < 1000
        assert 0 < part.count <= 1000 - part.first


def report_in(data: bytes) -> None:
    """A body becomes a discovery or a named refusal; what is stored of it can be stored."""
    body = read_json_object(data)
    if isinstance(body, Problem):
        assert len(body.detail) < 400
        return
    try:
        report = ReportIn.model_validate(body)
    except ValidationError:
        return
    for boot in (BOOT, Boot(report.boot_no, report.mac.lower(), None)):
        found = discover(report, boot, "10.0.0.7", (KNOWN,))
        told = json.dumps(found.model_dump(mode="json") if hasattr(found, "model_dump") else found.message)
        told.encode()
        if hasattr(found, "address"):
            ip_address(found.address)
            assert abs(found.memory_bytes) < 1 << 63


TARGETS: dict[str, Callable[[bytes], None]] = {
    "dhcp-codec": dhcp_codec,
    "dhcp-answer": dhcp_answer,
    "dhcp6-codec": dhcp6_codec,
    "dhcp6-answer": dhcp6_answer,
    "frames": frames,
    "tftp-request": tftp_request,
    "tftp-transfer": tftp_transfer,
    "http-head": http_head,
    "report-in": report_in,
}
