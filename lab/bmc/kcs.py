"""Codec of the VM protocol between QEMU's ipmi-bmc-extern and a BMC: the guest's KCS messages as bytes.

Source: QEMU hw/ipmi/ipmi_bmc_extern.c and OpenIPMI's README.vm. A message ends with 0xA0 and carries a
checksum; a control command ends with 0xA1; these two and the escape 0xAA itself are sent as 0xAA and the byte
with bit 4 set.
"""

from dataclasses import dataclass

MESSAGE_END = 0xA0
COMMAND_END = 0xA1
ESCAPE = 0xAA
ESCAPE_BIT = 0x10
VERSION_COMMAND = 0xFF
NO_ATTENTION = 0x00
MAX_FRAME_BYTES = 1024


@dataclass(frozen=True)
class KcsRequest:
    """What the guest asked, with the sequence number that the answer repeats."""

    sequence: int
    netfn: int
    lun: int
    command: int
    data: bytes


@dataclass(frozen=True)
class HardwareCommand:
    """QEMU itself speaks: version, reset and the like."""

    code: int


def checksum(data: bytes) -> int:
    """The byte that makes the sum of all bytes 0 (IPMI 2.0 section 13.8)."""
    return -sum(data) & 0xFF


def frame(data: bytes, end: int) -> bytes:
    """Escape and terminate."""
    out = bytearray()
    for byte in data:
        out += (
            bytes((ESCAPE, byte | ESCAPE_BIT))
            if byte in (MESSAGE_END, COMMAND_END, ESCAPE)
            else bytes((byte,))
        )
    return bytes(out) + bytes((end,))


def answer(request: KcsRequest, completion: int, data: bytes) -> bytes:
    """The framed answer to a request."""
    head = bytes((request.sequence, (request.netfn | 1) << 2 | request.lun, request.command, completion))
    return frame(head + data + bytes((checksum(head + data),)), MESSAGE_END)


def request(sequence: int, netfn: int, command: int, data: bytes) -> bytes:
    """A framed request: what QEMU sends; for clients of a BMC that have no guest."""
    body = bytes((sequence, netfn << 2, command)) + data
    return frame(body + bytes((checksum(body),)), MESSAGE_END)


class Decoder:
    """Bytes in, frames out.

    Anything damaged is dropped, as on a real wire; the guest's driver asks again.
    """

    def __init__(self) -> None:
        self._frame = bytearray()
        self._escaped = False

    def feed(self, data: bytes) -> list[KcsRequest | HardwareCommand]:
        """All frames that these bytes complete."""
        out: list[KcsRequest | HardwareCommand] = []
        for byte in data:
            if byte in (MESSAGE_END, COMMAND_END):
                complete, self._frame, self._escaped = bytes(self._frame), bytearray(), False
                if byte == MESSAGE_END:
                    out += _message(complete)
                elif complete:
                    out.append(HardwareCommand(complete[0]))
            elif byte == ESCAPE:
                self._escaped = True
            elif len(self._frame) < MAX_FRAME_BYTES:
                self._frame.append(byte & ~ESCAPE_BIT if self._escaped else byte)
                self._escaped = False
        return out


def _message(data: bytes) -> list[KcsRequest | HardwareCommand]:
    if len(data) < 4 or sum(data) & 0xFF:
        return []
    return [KcsRequest(data[0], data[1] >> 2, data[1] & 3, data[2], data[3:-1])]
