"""What clients and relays say: talks in every state of RFC 2131, and messages in unusual forms.

Each function is one talk of a fresh client; what it asks by `step` is compared between the servers.
"""

import os
import struct
from pathlib import Path

from tests.interop import wire
from tests.interop.talk import OUTSIDE, PARAMETERS, PXE_PARAMETERS, RELAY, THROUGH_RELAY, packed, pxe
from tests.interop.wire import ACK, DECLINE, DISCOVER, INFORM, RELEASE, REQUEST, datagram, decode

TALKS = {}
FREE = "10.99.0.222"
PORT_AND_MACHINE = bytes.fromhex("0108657468302f3030310206000102030405")


def talk(function):
    """Register a talk under its name."""
    TALKS[function.__name__.replace("_", "-")] = function
    return function


def each(cases):
    """Register one DISCOVER per case: name -> options, or a pair of options and header fields."""

    def register(function):
        for name, case in cases.items():
            TALKS[f"{function.__name__.replace('_', '-')}-{name}"] = lambda t, case=case: function(t, case)
        return function

    return register


def infiniband(data):
    """RFC 4390: htype 32, no hardware address, broadcast flag; a client identifier must follow."""
    return data[:1] + b"\x20\x00" + data[3:10] + b"\x80\x00" + data[12:28] + bytes(16) + data[44:-1]


def in_file(data, options):
    """RFC 2132 section 9.3: options in the file field, and option 52 that says so."""
    return data[:108] + options.ljust(128, b"\0") + data[236:-1] + b"\x34\x01\x01\xff"


@each(
    {
        "plain": {},
        "client-identifier": {61: b"\1\2\0\0\x20\0\1"},
        "duid": {61: bytes.fromhex("ff00000001000100012b3f5c7d020000200001")},
        "long-client-identifier": {61: b"\0" + b"i" * 254},
        "wish-free": {50: packed(FREE)},
        "wish-outside": {50: packed(OUTSIDE)},
        "router-before-mask": {55: bytes((3, 1, 51, 54))},
        "no-parameter-list": {55: None},
        "unknown-options": {55: bytes((1, 3, 200, 201, 251)), 200: b"x", 251: b"y" * 40},
        "large-maximum": {57: (65280).to_bytes(2, "big")},
        "small-maximum": {57: (300).to_bytes(2, "big")},
        "host-name": {12: b"node-7"},
        "full-name": {81: b"\0\0\0node-7"},
        "rapid-commit": {80: b""},
        "short-wish": {50: b"\x0a\x63"},
    }
)
def discover(t, options):
    t.step("discover", t.message(DISCOVER, options))


@each(
    {
        "broadcast-flag": {"flags": 0x8000},
        "reserved-flags": {"flags": 0x0001},
        "seconds": {"secs": 61},
        "hops-without-relay": {"hops": 3},
        "with-ciaddr": {"ciaddr": FREE},
    }
)
def header(t, fields):
    t.step("discover", t.message(DISCOVER, **fields))


@each(
    {
        "padded": lambda data: data[:-1] + b"\0\0\0\xff" + bytes(60),
        "without-end": lambda data: data[:-1],
        "pad-inside": lambda data: data[:240] + b"\0\0" + data[240:],
        "behind-end": lambda data: data + b"\x35\x01\x07\xff",
        "past-the-end": lambda data: data[:-1] + b"\x0c\x40node",
        "split-in-two": lambda data: data[:-1] + b"\x3d\x04\x01\x02\x00\x00\x3d\x03\x20\x00\x09\xff",
        "wrong-cookie": lambda data: data[:236] + b"\x63\x82\x53\x64" + data[240:],
        "a-reply": lambda data: b"\2" + data[1:],
        "long-hardware-address": lambda data: data[:2] + b"\x11" + data[3:],
        "infiniband": lambda data: (
            data[:1]
            + b"\x20\x00"
            + data[3:10]
            + b"\x80\x00"
            + data[12:28]
            + bytes(16)
            + data[44:-1]
            + b"\x3d\x0d\xff\0\0\0\1\0\3\0\1\2\0\x20\x01\xff"
        ),
        "cut-in-the-header": lambda data: data[:200],
        "no-options": lambda data: data[:240] + b"\xff" + bytes(59),
        "kind-99": lambda data: data[:242] + b"\x63" + data[243:],
        "kind-of-two-octets": lambda data: data[:240] + b"\x35\x02\x01\x01" + data[243:],
        "a-server-s-kind": lambda data: data[:242] + bytes((ACK,)) + data[243:],
        "options-in-file": lambda data: (
            data[:108]
            + (b"\x0c\x04node\x3d\x07\1\2\0\0\x20\0\5\xff" + bytes(128))[:128]
            + data[236:-1]
            + b"\x34\x01\x01\xff"
        ),
    }
)
def form(t, change):
    t.step("discover", t.message(DISCOVER), change=change)


@each(
    {
        "bios": pxe(0),
        "bios-without-97": pxe(0, uuid=False),
        "efi-7": pxe(7),
        "efi-9": pxe(9),
        "http-16": pxe(16, kind="HTTPClient"),
        "risc-v": pxe(27),
        "two-architectures": pxe(27, 7),
        "malformed-97": pxe(7) | {97: b"\1\2\3"},
        "ipxe": pxe(7) | {77: b"iPXE", 175: bytes.fromhex("b10601001af41000")},
        "ipxe-class-as-rfc-3004": pxe(0) | {77: b"\4iPXE", 175: bytes.fromhex("b10601001af41000")},
        "175-only-asked-for": pxe(7) | {55: PXE_PARAMETERS + b"\xaf"},
    }
)
def boot(t, options):
    t.step("offer", t.message(DISCOVER, options))


@talk
def boot_ack(t):
    offer = t.step("offer", t.message(DISCOVER, pxe(7)))
    t.address = offer.yiaddr
    t.step("ack", t.message(REQUEST, pxe(7) | {50: packed(offer.yiaddr), 54: offer.options[54]}))


@talk
def boot_http_ack(t):
    told = pxe(16, kind="HTTPClient")
    offer = t.step("offer", t.message(DISCOVER, told))
    t.address = offer.yiaddr
    t.step("ack", t.message(REQUEST, told | {50: packed(offer.yiaddr), 54: offer.options[54]}))


# -- relays


@each(
    {
        "bare": ({}, {}),
        "option-82": ({82: PORT_AND_MACHINE}, {}),
        "option-82-first": ({82: PORT_AND_MACHINE, 55: PARAMETERS, 12: b"node"}, {}),
        "damaged-82": ({82: b"\1\4port\2\x09short"}, {}),
        "reversed-82": ({82: b"\2\2ab\1\2cd\x97\1x\1\2ef"}, {}),
        "large-82": ({82: b"\1\xc8" + b"c" * 200, 57: (576).to_bytes(2, "big")}, {}),
        "broadcast-flag": ({}, {"flags": 0x8000}),
        "hops-16": ({}, {"hops": 16}),
        "hops-17": ({}, {"hops": 17}),
        "unknown-giaddr": ({}, {"giaddr": "10.66.0.1"}),
        "link-selection": ({82: b"\5\4" + packed("10.77.0.0")}, {}),
        "unknown-link-selection": ({82: b"\5\4" + packed(OUTSIDE)}, {}),
        "subnet-selection": ({118: packed("10.77.0.0")}, {}),
        "link-before-subnet-selection": ({82: b"\5\4" + packed("10.77.0.0"), 118: packed("10.99.0.0")}, {}),
    }
)
def relay(t, case):
    options, fields = case
    t.step("discover", t.message(DISCOVER, options, **(THROUGH_RELAY | fields)))


@talk
def relay_ack(t):
    told = {82: PORT_AND_MACHINE}
    offer = t.step("offer", t.message(DISCOVER, told, **THROUGH_RELAY))
    t.address = offer.yiaddr
    told |= {50: packed(offer.yiaddr), 54: offer.options[54]}
    t.step("ack", t.message(REQUEST, told, **THROUGH_RELAY))


@talk
def relay_server_id_override(t):
    told = {82: b"\x0b\4" + packed(RELAY)}
    offer = t.step("offer", t.message(DISCOVER, told, **THROUGH_RELAY))
    t.address = offer.yiaddr
    t.step("ack", t.message(REQUEST, told | {50: packed(offer.yiaddr), 54: packed(RELAY)}, **THROUGH_RELAY))


@talk
def relay_source_port(t):
    t.step("discover", t.message(DISCOVER, {82: b"\1\1a\x13\0"}, **THROUGH_RELAY), ports=(1067, 67))


@talk
def relay_82_without_giaddr(t):
    t.step("discover", t.message(DISCOVER, {82: PORT_AND_MACHINE}))


@talk
def relay_nak(t):
    t.step("init-reboot", t.message(REQUEST, {50: packed(OUTSIDE), 82: PORT_AND_MACHINE}, **THROUGH_RELAY))


@talk
def relay_nak_with_client_identifier(t):
    told = {50: packed(OUTSIDE), 61: b"\1\2\0\0\x20\0\1"}
    t.step("init-reboot", t.message(REQUEST, told, **THROUGH_RELAY))


# -- REQUEST in its states


@talk
def selecting(t):
    offer = t.step("offer", t.message(DISCOVER))
    t.address = offer.yiaddr
    t.step("ack", t.message(REQUEST, {50: packed(offer.yiaddr), 54: offer.options[54]}))
    t.step("ack-again", t.message(REQUEST, {50: packed(offer.yiaddr), 54: offer.options[54]}))


@talk
def selecting_another_server(t):
    offer = t.step("offer", t.message(DISCOVER))
    t.step("request", t.message(REQUEST, {50: packed(offer.yiaddr), 54: packed("10.99.0.9")}))


@talk
def selecting_another_address(t):
    offer = t.step("offer", t.message(DISCOVER))
    t.step("request", t.message(REQUEST, {50: packed("10.99.0.221"), 54: offer.options[54]}))


@talk
def selecting_outside(t):
    offer = t.step("offer", t.message(DISCOVER))
    t.step("request", t.message(REQUEST, {50: packed(OUTSIDE), 54: offer.options[54]}))


@talk
def selecting_without_a_wish(t):
    offer = t.step("offer", t.message(DISCOVER))
    t.step("request", t.message(REQUEST, {54: offer.options[54]}))


@talk
def init_reboot(t):
    ack = t.lease()
    t.step("right", t.message(REQUEST, {50: packed(ack.yiaddr)}))
    t.step("another", t.message(REQUEST, {50: packed("10.99.0.220")}))
    t.step("outside", t.message(REQUEST, {50: packed(OUTSIDE)}))


@talk
def init_reboot_relayed(t):
    ack = t.lease(**THROUGH_RELAY)
    t.step("right", t.message(REQUEST, {50: packed(ack.yiaddr)}, **THROUGH_RELAY))
    t.step("another", t.message(REQUEST, {50: packed("10.88.0.220")}, **THROUGH_RELAY))
    t.step("moved-away", t.message(REQUEST, {50: packed(ack.yiaddr)}))


@talk
def init_reboot_of_a_stranger(t):
    t.step("inside", t.message(REQUEST, {50: packed("10.99.0.219")}))
    t.step("outside", t.message(REQUEST, {50: packed(OUTSIDE)}))


@talk
def renewing(t):
    ack = t.lease()
    t.step("right", t.message(REQUEST, ciaddr=ack.yiaddr), unicast=True)
    t.step("broadcast-flag", t.message(REQUEST, ciaddr=ack.yiaddr, flags=0x8000), unicast=True)


@talk
def renewing_what_it_has_not(t):
    t.lease()
    t.step("another", t.message(REQUEST, ciaddr="10.99.0.218"), unicast=True)
    t.step("outside", t.message(REQUEST, ciaddr=OUTSIDE), unicast=True)


@talk
def renewing_of_a_stranger(t):
    t.step("request", t.message(REQUEST, ciaddr="10.99.0.217"), unicast=True)


@talk
def renewing_past_the_relay(t):
    ack = t.lease({82: PORT_AND_MACHINE}, **THROUGH_RELAY)
    t.step("right", t.message(REQUEST, ciaddr=ack.yiaddr), unicast=True)


@talk
def rebinding(t):
    ack = t.lease()
    t.step("right", t.message(REQUEST, ciaddr=ack.yiaddr))
    t.step("another", t.message(REQUEST, ciaddr="10.99.0.216"))


@talk
def rebinding_of_a_stranger(t):
    t.step("inside", t.message(REQUEST, ciaddr="10.99.0.215"))
    t.step("outside", t.message(REQUEST, ciaddr=OUTSIDE))


@talk
def rebinding_relayed(t):
    ack = t.lease(**THROUGH_RELAY)
    t.step("right", t.message(REQUEST, ciaddr=ack.yiaddr, **THROUGH_RELAY))


# -- DECLINE, RELEASE, INFORM


@talk
def decline(t):
    ack = t.lease()
    t.step("decline", t.message(DECLINE, {50: packed(ack.yiaddr), 54: ack.options[54]}))
    t.step("discover-again", t.message(DISCOVER))


@talk
def decline_of_what_it_has_not(t):
    ack = t.lease()
    t.step("decline", t.message(DECLINE, {50: packed("10.99.0.214"), 54: ack.options[54]}))
    t.step("discover-again", t.message(DISCOVER))


@talk
def release(t):
    ack = t.lease()
    t.step("release", t.message(RELEASE, {54: ack.options[54]}, ciaddr=ack.yiaddr), unicast=True)
    t.step("discover-again", t.message(DISCOVER))


@talk
def inform(t):
    t.step("inform", t.message(INFORM, ciaddr="10.99.0.30"))
    t.step("unicast", t.message(INFORM, ciaddr="10.99.0.30"), unicast=True)
    t.step("without-address", t.message(INFORM))


@talk
def inform_relayed(t):
    t.step("inform", t.message(INFORM, ciaddr="10.88.0.30", **THROUGH_RELAY))


@talk
def inform_of_firmware(t):
    t.step("inform", t.message(INFORM, pxe(7), ciaddr="10.99.0.31"))


# -- one machine, three identities


@talk
def another_identity(t):
    ack = t.lease({61: b"\1firmware"})
    t.step("as-another", t.message(DISCOVER, {61: b"\xff\0\0\0\1\0\3\0\1abcdef"}))
    t.step("without", t.message(DISCOVER))
    assert ack.yiaddr != wire.NOBODY


# -- real clients, where captures of them are at hand

CAPTURES = Path(
    os.environ.get("RACKFLOW_CAPTURES", Path(__file__).parents[2].parent / "shared" / "captures")
).joinpath("dhcp")
PCAPS = (
    "own/ovmf-60-no43",
    "own/bios-ipxe-rom",
    "own/bios-e1000",
    "own/relay-isc-client-side",
    "own/relay-dnsmasq-client-side",
    "public/netboot-dhcp4",
    "public/zeek-dhcp_inform",
    "public/tcpdump-dhcp-rfc3004",
    "public/suricata-dhcp-eve-extended",
)


def requests(name):
    """The different DHCP messages that clients sent in a capture of Ethernet frames."""
    data = (CAPTURES / f"{name}.pcap").read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at, seen = 24, {}
    while at + 16 <= len(data):
        size = struct.unpack_from(f"{order}I", data, at + 8)[0]
        parts, at = datagram(data[at + 16 : at + 16 + size]), at + 16 + size
        if parts is not None and 67 in parts[3] and parts[4][:1] == b"\1":
            # Without transaction, seconds, and which relay it came through.
            payload = parts[4]
            seen.setdefault((payload[:4], payload[12:24], payload[28:]), payload)
    return list(seen.values())


def replay(t, payload):
    """What a real client sent, in a transaction of our own, through the relay if it came through one."""
    t.xid += 1
    relayed = payload[24:28] != bytes(4)
    data = payload[:4] + t.xid.to_bytes(4, "big") + payload[8:]
    data = data[:24] + (packed(RELAY) if relayed else bytes(4)) + data[28:]
    message = decode(data)
    t.mac = message.mac
    t.step(message.kind.lower(), message, change=lambda _: data)


if CAPTURES.is_dir():
    for pcap in PCAPS:
        for number, sent in enumerate(requests(pcap), 1):
            name = f"capture-{pcap.rpartition('/')[2]}-{number}"
            TALKS[name] = lambda t, sent=sent: replay(t, sent)
