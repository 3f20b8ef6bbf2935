"""A reply's options, encoded once, with blanks for what differs from client to client.

A storm of equal machines asks the same list of the same network: all that differs in the options is
what is echoed (61, 97) and the boot file's name when it is a URL of that machine. So the option area is
made once per kind of client and kept as pieces; an answer fills the blanks and joins them. Option 82 is
no part of a form: it is the last thing that is added (RFC 3046 section 2.2).
"""

from collections.abc import Mapping
from typing import Final

from pxe_edge.wire.dhcp import (
    BOOTREPLY,
    COOKIE,
    END,
    MINIMUM_REPLY_BYTES,
    OPTIONS_AT,
    RELAY_AGENT,
    Packet,
    reply_header,
    tlv,
)

_END: Final = bytes((END,))
_BOOT_FILE: Final = 67
_SNAME_BYTES: Final = 64
_FILE_BYTES: Final = 128


class Form:
    """What an answer to one kind of client says; `fill` makes it one client's."""

    __slots__ = ("_blanks", "_bytes", "_name", "_order", "_pieces", "_siaddr")

    def __init__(self, order: Mapping[int, bytes | None], siaddr: int, name: bytes | None) -> None:
        """Take the options in their order, None for a blank, and the file, None if that is one too."""
        self._order = dict(order)
        self._siaddr = siaddr
        self._name = None if name is None else _fields(name)
        self._pieces: list[bytes] = [b""]
        self._blanks: list[tuple[int, int]] = []
        for code, value in order.items():
            if value is None:
                self._blanks.append((code, len(self._pieces)))
                self._pieces += [b"", b""]
            else:
                self._pieces[-1] += tlv(code, value)
        self._bytes = OPTIONS_AT + 1 + sum(map(len, self._pieces))

    def fill(
        self, request: Packet, flags: int, ciaddr: int, yiaddr: int, name: bytes, max_bytes: int
    ) -> bytes | None:
        """Write the answer; None when it does not fit into `max_bytes` as it is, see `packet`.

        Blanks are what the request says itself, and the name of the boot file where every client has
        one of its own.
        """
        pieces, size, options = self._pieces, self._bytes, request.options
        for code, at in self._blanks:
            value = name + b"\0" if code == _BOOT_FILE else options.get(code)
            if value is None:
                pieces[at] = b""
            else:
                part = bytes((code, len(value))) + value if len(value) <= 255 else tlv(code, value)
                pieces[at] = part
                size += len(part)
        raw = options.get(RELAY_AGENT)
        relay = b"" if raw is None else tlv(RELAY_AGENT, raw)
        size += len(relay)
        if size > max_bytes:
            return None
        head = reply_header(request, flags, ciaddr, yiaddr, self._siaddr)
        data = b"".join((head, self._name or _fields(name), *pieces, relay, _END))
        return data if size >= MINIMUM_REPLY_BYTES else data.ljust(MINIMUM_REPLY_BYTES, b"\0")

    def packet(self, request: Packet, flags: int, ciaddr: int, yiaddr: int, name: bytes) -> Packet:
        """The same answer as a value, for the general encoder, which overloads and drops what must go."""
        options: dict[int, bytes] = {}
        for code, value in self._order.items():
            if value is not None:
                options[code] = value
            elif code == _BOOT_FILE:
                options[code] = name + b"\0"
            elif code in request.options:
                options[code] = request.options[code]
        if RELAY_AGENT in request.options:
            options[RELAY_AGENT] = request.options[RELAY_AGENT]
        file = (self._name or _fields(name))[_SNAME_BYTES : -len(COOKIE)].rstrip(b"\0")
        return Packet(
            op=BOOTREPLY,
            xid=request.xid,
            chaddr=request.chaddr,
            htype=request.htype,
            flags=flags,
            ciaddr=ciaddr,
            yiaddr=yiaddr,
            siaddr=self._siaddr,
            giaddr=request.giaddr,
            file=file,
            options=options,
        )


def _fields(name: bytes) -> bytes:
    # sname, file and the cookie; a name that is too long stands in option 67 only.
    file = name if len(name) < _FILE_BYTES else b""
    return bytes(_SNAME_BYTES) + file.ljust(_FILE_BYTES, b"\0") + COOKIE
