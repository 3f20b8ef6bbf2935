"""Real DHCPv6 packets: written back to the octet, and cut anywhere a message or a named error."""

import os
import struct
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from pxe_edge.policy.dhcp6_requests import read_request
from pxe_edge.wire import dhcp6
from pxe_edge.wire.errors import WireError

PUBLIC = Path(
    os.environ.get("RACKFLOW_CAPTURES", Path(__file__).parents[3].parent / "shared" / "captures")
).joinpath("dhcp", "public")
pytestmark = pytest.mark.skipif(
    not PUBLIC.is_dir(), reason=f"no captures at {PUBLIC}; set RACKFLOW_CAPTURES to their folder"
)
_UDP = 17


def messages(name):
    """(source, payload) of the UDP datagrams over IPv6 in a pcap file with Ethernet frames."""
    data = (PUBLIC / name).read_bytes()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    at, found = 24, []
    while at + 16 <= len(data):
        size = struct.unpack_from(f"{order}I", data, at + 8)[0]
        frame, at = data[at + 16 : at + 16 + size], at + 16 + size
        if frame[12:14] == b"\x86\xdd" and frame[20] == _UDP:
            found.append((IPv6Address(frame[22:38]), frame[62:]))
    return found


def seeds():
    return [bytes.fromhex(file.read_text().strip()) for file in sorted(PUBLIC.glob("kea-*6*.hex"))]


def test_a_boot_of_a_real_machine_survives_to_the_octet():
    found = messages("netboot-dhcp6.pcap")
    kinds = [dhcp6.MESSAGE_NAMES[dhcp6.decode(data).kind] for _, data in found]
    assert kinds == ["SOLICIT", "ADVERTISE", "REQUEST", "REPLY"]
    assert [dhcp6.encode(dhcp6.decode(data)) for _, data in found] == [data for _, data in found]
    source, solicit = found[0]
    request = read_request(dhcp6.decode(solicit), source)
    assert request.duid is not None
    assert len(request.duid.uuids) == 2
    assert [one.iaid for one in request.associations] == [0x44857B1D]
    assert request.asked == (23, 24, 23, 24, 1)


def test_seeds_cut_anywhere_do_no_more_than_raise_a_wire_error():
    samples = seeds()
    assert len(samples) >= 4
    for data in samples:
        for start in range(min(len(data), 64)):
            for end in range(start, len(data) + 1, 3):
                try:
                    message = dhcp6.decode(data[start:end])
                    read_request(message, IPv6Address("fe80::1"))
                except WireError:
                    continue
                assert dhcp6.decode(dhcp6.encode(message)) == message
