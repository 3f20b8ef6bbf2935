"""Filters in the kernel for packet sockets (classic BPF, linux/filter.h): what they drop costs nothing."""

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import Final

KIND_OF_PACKET: Final = 0xFFFFF004
"""SKF_AD_OFF + SKF_AD_PKTTYPE: where a program finds how a frame came in."""
TO_US: Final = 0
OUTGOING: Final = 4
_SO_ATTACH_FILTER: Final = 26
_INSTRUCTION: Final = struct.Struct("=HBBI")
_PROGRAM: Final = struct.Struct("@HP")

Program = Sequence[tuple[int, int, int, int]]
"""Instructions: code, jump if true, jump if false, operand."""


def attach(sock: socket.socket, program: Program) -> None:
    """Give a socket its filter; before `bind`, so that nothing unfiltered is queued. Raises OSError."""
    code = b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    told = _PROGRAM.pack(len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, told)


def listen(interface: str, ethertype: int, program: Program) -> socket.socket:
    """A filtered, non-blocking packet socket on one link; raises OSError, PermissionError without rights."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        sock.setblocking(False)
        attach(sock, program)
        sock.bind((interface, ethertype))
    except OSError:
        sock.close()
        raise
    return sock
