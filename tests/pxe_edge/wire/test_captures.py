"""Real packets of real clients: decoded, told apart, and written back without loss."""

import os
import struct
from pathlib import Path

import pytest

from pxe_edge.policy.requests import read_boot_request
from pxe_edge.wire import dhcp
from pxe_edge.wire.errors import WireError
from pxe_edge.wire.frames import decode_frame

CAPTURES = Path(
    os.environ.get("RACKFLOW_CAPTURES", Path(__file__).parents[3].parent / "shared" / "captures")
).joinpath("dhcp")
pytestmark = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason=f"no captures at {CAPTURES}; set RACKFLOW_CAPTURES to their folder"
)


def messages(name):
    """The DHCP payloads of a pcap file with Ethernet frames, either byte order."""
    data = (CAPTURES / name).read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at, found = 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from(f"{order}I", data, at + 8)[0]
        frame, at = data[at + 16 : at + 16 + size], at + 16 + size
        try:
            udp = decode_frame(frame)
        except WireError:
            continue
        if {udp.source_port, udp.target_port} & {67, 68, 4011}:
            found.append(udp.payload)
    return found


PCAPS = [
    "own/ovmf-60-no43.pcap",
    "own/bios-ipxe-rom.pcap",
    "own/bios-e1000.pcap",
    "own/bios-ipxe-rom-ra.pcap",
    "own/relay-isc-client-side.pcap",
    "own/relay-dnsmasq-client-side.pcap",
    "public/netboot-dhcp4.pcap",
    "public/zeek-dhcp_inform.pcap",
    "public/tcpdump-dhcp-rfc3004.pcap",
    "public/suricata-dhcp-eve-extended.pcap",
]


@pytest.mark.parametrize("name", PCAPS)
def test_every_message_survives_decode_encode_decode(name):
    found = messages(name)
    assert found
    for data in found:
        packet = dhcp.decode(data)
        assert dhcp.decode(dhcp.encode(packet, 65000).data) == packet


@pytest.mark.parametrize(
    ("name", "client", "arch"),
    [
        ("own/ovmf-60-no43.pcap", "pxe", 7),
        ("own/bios-ipxe-rom.pcap", "ipxe", 0),
        ("own/bios-e1000.pcap", "ipxe", 0),
        ("public/netboot-dhcp4.pcap", "pxe", 0),
        ("own/relay-isc-client-side.pcap", "plain", None),
    ],
)
def test_clients_are_told_apart(name, client, arch):
    packets = [dhcp.decode(data) for data in messages(name)]
    first = next(p for p in packets if p.op == dhcp.BOOTREQUEST and p.message_type == dhcp.DISCOVER)
    request = read_boot_request(first)
    assert (request.client, request.arch) == (client, arch)


def test_kea_fuzz_seeds_never_do_more_than_raise_a_wire_error():
    for file in sorted((CAPTURES / "public").glob("kea-*.hex")):
        data = bytes.fromhex(file.read_text().strip())
        for offset in range(min(len(data), 64)):
            try:
                dhcp.decode(data[offset:])
            except WireError:
                continue
