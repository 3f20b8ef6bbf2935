"""Seeds: samples of our own for every target, and the published captures where their folder is."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from pxe_edge.wire.errors import WireError
from pxe_edge.wire.frames import decode_frame

CAPTURES = Path(
    os.environ.get("RACKFLOW_CAPTURES", Path(__file__).parents[2].parent / "shared" / "captures")
).joinpath("dhcp")
HEAD = bytes.fromhex("01010600" + "3903f326" + "00008000" + "00" * 16 + "525400000001" + "00" * 10) + bytes(
    192
)
COOKIE = bytes.fromhex("63825363")
PXE = bytes((60, 9)) + b"PXEClient" + bytes((93, 2, 0, 7, 94, 3, 1, 3, 16, 97, 17, *range(17), 57, 2, 5, 192))


def dhcp_message(options: bytes, *, giaddr: str = "00000000", ciaddr: str = "00000000") -> bytes:
    """A client's message."""
    head = HEAD[:12] + bytes.fromhex(ciaddr) + HEAD[16:24] + bytes.fromhex(giaddr) + HEAD[28:]
    return head + COOKIE + options + b"\xff"


DHCP = (
    dhcp_message(bytes((53, 1, 1)) + PXE),
    dhcp_message(bytes((53, 1, 1, 77, 4)) + b"iPXE" + bytes((175, 3, 0xB0, 1, 1))),
    dhcp_message(bytes((53, 1, 1, 82, 6, 1, 4)) + b"eth0", giaddr="0a010001"),
    dhcp_message(bytes((53, 1, 1, 82, 8, 5, 4, 10, 1, 0, 0, 19, 0)), giaddr="0a010001"),
    dhcp_message(bytes((53, 1, 3, 54, 4, 10, 0, 0, 1, 50, 4, 10, 0, 0, 50))),
    dhcp_message(bytes((53, 1, 3)), ciaddr="0a000032"),
    dhcp_message(bytes((53, 1, 4, 54, 4, 10, 0, 0, 1, 50, 4, 10, 0, 0, 50))),
    dhcp_message(bytes((53, 1, 7, 54, 4, 10, 0, 0, 1)), ciaddr="0a000032"),
    dhcp_message(bytes((53, 1, 8, 55, 3, 1, 3, 6)), ciaddr="0a000032"),
    dhcp_message(bytes((53, 1, 8)), ciaddr="c0000207"),
    dhcp_message(bytes((53, 1, 1)), ciaddr="c0000207"),
    dhcp_message(bytes((53, 1, 1, 52, 1, 3, 12, 255)) + b"a" * 255 + bytes((12, 1)) + b"b"),
)
IA = struct.pack("!HHIII", 3, 12, 1, 0, 0)
CLIENT_ID = struct.pack("!HHHHI", 1, 14, 1, 1, 0) + bytes.fromhex("525400000001")
SERVER_ID = struct.pack("!HH", 2, 18) + bytes.fromhex("0004000102030405060708090a0b0c0d0e0f")
ARCH6 = struct.pack("!HHH", 61, 2, 7)
ADDRESS = bytes.fromhex("fd000000000000000000000000000100") + struct.pack("!II", 1800, 3600)
STATUS = struct.pack("!HHH", 13, 4, 0) + b"ok"
IA_WITH_ADDRESS = struct.pack("!HHIIIHH", 3, 48, 1, 0, 0, 5, 24) + ADDRESS + STATUS
VENDOR_CLASS = struct.pack("!HHIH", 16, 15, 343, 9) + b"PXEClient"
USER_CLASS = struct.pack("!HHH", 15, 6, 4) + b"iPXE"
RELAYED = struct.pack("!HHIHHHHH", 18, 4, 7, 135, 2, 0, 9, 22) + b"\x03\0\0\1" + CLIENT_ID
DHCP6 = (
    b"\x01\0\0\1" + CLIENT_ID + IA + ARCH6 + struct.pack("!HHHHH", 6, 6, 59, 60, 23),
    b"\x03\0\0\1"
    + CLIENT_ID
    + struct.pack("!HH", 2, 18)
    + bytes.fromhex("0004000102030405060708090a0b0c0d0e0f")
    + IA,
    b"\x0c\0" + bytes(15) + b"\1" + bytes(15) + b"\2" + struct.pack("!HH", 9, 22) + b"\x01\0\0\1" + CLIENT_ID,
    b"\x0b\0\0\1" + ARCH6,
    b"\x05\0\0\1" + CLIENT_ID + SERVER_ID + IA_WITH_ADDRESS + VENDOR_CLASS + USER_CLASS,
    b"\x0c\0" + bytes(15) + b"\1" + bytes(15) + b"\2" + RELAYED,
)
TFTP = (
    b"\0\1snponly.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0",
    b"\0\1undionly.kpxe\0netascii\0",
    b"\0\2a\0octet\0",
    b"\0\3\0\1data",
    b"\0\4\0\1",
    b"\0\5\0\x08User aborted\0",
    b"\0\6blksize\x00512\0",
)
TRANSFERS = (
    b"\x04\0\x20\0" + b"".join(b"\0\0\4" + n.to_bytes(2, "big") for n in range(8)),
    b"\x00\0\x02\0\0\0\4\0\0\xff\0\0\0\0\0\0\4\0\1",
)
HTTP = (
    b"GET /boot.ipxe?mac=52:54:00:00:00:01 HTTP/1.1\r\nHost: a\r\n\r\n",
    b'GET //a/../snponly.efi HTTP/1.0\r\nRange: bytes=0-99\r\nIf-Range: "e"\r\n\r\n',
    b'HEAD http://a/images/%61 HTTP/1.1\r\nHost: a\r\nRange: bytes=-5\r\nIf-None-Match: W/"e"\r\n\r\n',
    b"POST /v1/report-in HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nAuthorization: Bearer t\r\n\r\n",
)
REPORT = {
    "boot_no": 7,
    "mac": "52:54:00:00:00:01",
    "uuid": "11111111-2222-4333-8444-666666666666",
    "serial": "S2",
    "addresses": ["10.0.0.7/24"],
    "ssh_host_key": "ssh-ed25519 AAAA",
    "arch": "x86_64",
    "firmware": "uefi",
    "mem_bytes": 8 << 30,
}
REPORTS = (
    json.dumps(REPORT).encode(),
    json.dumps(REPORT | {"mem_bytes": 1 << 70}).encode(),
    json.dumps(REPORT | {"mac": "52-54-00-00-00-01", "uuid": None, "addresses": []}).encode(),
    b'{"boot_no": "7", "a": [[[{}]]], "serial": "\\ud800"}',
)


def frame_of(payload: bytes) -> bytes:
    """A broadcast frame with a DHCP payload; checksums are left out."""
    udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    return b"\xff" * 6 + bytes.fromhex("525400000001") + b"\x08\0" + ip + udp


def captured() -> Iterator[tuple[bytes, bytes | None]]:
    """Frames of the published captures, and the UDP payload where it is DHCP."""
    if not CAPTURES.is_dir():
        return
    for file in sorted(CAPTURES.rglob("*.pcap")):
        data = file.read_bytes()
        order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        at = 24
        while at + 16 <= len(data):
            size = struct.unpack_from(f"{order}I", data, at + 8)[0]
            frame, at = data[at + 16 : at + 16 + size], at + 16 + size
            try:
                udp = decode_frame(frame)
            except WireError:
                yield frame, None
                continue
            wanted = {udp.source_port, udp.target_port} & {67, 68, 4011}
            yield frame, udp.payload if wanted else None
    for file in sorted(CAPTURES.rglob("*.hex")):
        data = bytes.fromhex(file.read_text().strip())
        yield data, data


def seeds(target: str) -> list[bytes]:
    """The first inputs of a target, each once."""
    found: list[bytes] = []
    match target:
        case "dhcp-codec" | "dhcp-answer":
            found = [*DHCP, *(payload for _, payload in captured() if payload is not None)]
        case "dhcp6-codec" | "dhcp6-answer":
            found = list(DHCP6)
        case "frames":
            found = [*(frame_of(payload) for payload in DHCP), *(frame for frame, _ in captured())]
        case "tftp-request":
            found = list(TFTP)
        case "tftp-transfer":
            found = list(TRANSFERS)
        case "http-head":
            found = list(HTTP)
        case "report-in":
            found = list(REPORTS)
    return list(dict.fromkeys(found))
