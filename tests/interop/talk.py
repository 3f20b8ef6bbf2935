"""One client's talk with a server: messages as the test writes them, on the wire, and what comes back.

Clients and relays are frames on R's interface r1. Silence is an answer too: it is silence when a later
message of another client has been answered.
"""

import contextlib
import socket
import time
from dataclasses import replace
from ipaddress import IPv4Address

from tests.interop import wire
from tests.interop.netns import SERVER
from tests.interop.wire import Message, encode, frame

QUIET_S = 0.5
"""No answer by then, and none before that of a later message: silence."""
RELAY, OUTSIDE = "10.88.0.1", "192.0.2.7"
THROUGH_RELAY = {"giaddr": RELAY, "hops": 1}
PARAMETERS = bytes((1, 3, 6, 42, 51, 54, 58, 59))
PXE_PARAMETERS = bytes((1, 3, 6, 42, 43, 51, 54, 58, 59, 60, 66, 67, 97))


def packed(address):
    """Four octets."""
    return IPv4Address(address).packed


def pxe(arch, *more, kind="PXEClient", uuid=True):
    """The options of boot firmware."""
    told = {60: f"{kind}:Arch:{arch:05}:UNDI:003016".encode(), 93: arch.to_bytes(2, "big"), 94: b"\1\3\x10"}
    told[93] += b"".join(code.to_bytes(2, "big") for code in more)
    return told | ({97: b"\0" + bytes(range(16))} if uuid else {}) | {55: PXE_PARAMETERS}


class Talk:
    """A fresh client of the server in S, whose interface is given."""

    def __init__(self, lab, watch, number, interface="br0"):
        self.lab, self.watch = lab, watch
        self.mac = (0x020000100000 + number).to_bytes(6, "big")
        self.xid = 0x51000000 + number * 64
        self.server_mac = lab.mac("S", interface)
        self.relay_mac = lab.mac("R", "r1")
        self.witness = b"\x02\xff" + self.mac[2:]
        """Another client, who is asked whether the server still answers."""
        self.address = None
        self.addresses = contextlib.ExitStack()

    @property
    def name(self):
        """The MAC as text."""
        return self.mac.hex(":")

    def close(self):
        """Take back what the client had."""
        self.addresses.close()

    # -- what is sent

    def message(self, kind, options=None, **fields):
        """A message with the usual options first; `fields` are those of the header."""
        told = {} if kind is None else {53: bytes((kind,))}
        told |= {55: PARAMETERS} | (options or {})
        told = {code: value for code, value in told.items() if value is not None}
        self.xid += 1
        return Message(xid=self.xid, mac=self.mac, options=told, **fields)

    def send(self, message, *, unicast=False, source=None, ports=None, change=lambda data: data):
        """Put a message on the wire: broadcast, unicast to the server, or as its relay does."""
        data = change(encode(message))
        if message.giaddr != wire.NOBODY:
            how = {"source": source or "10.99.0.2", "target": SERVER, "ports": ports or (67, 67)}
            how |= {"source_mac": self.relay_mac, "target_mac": self.server_mac}
        elif unicast:
            self.has(message.ciaddr)
            how = {"source": source or message.ciaddr, "target": SERVER, "ports": ports or (68, 67)}
            how |= {"source_mac": self.relay_mac, "target_mac": self.server_mac}
        else:
            how = {"source": message.ciaddr, "target": wire.EVERYBODY, "ports": (68, 67)}
            how |= {"source_mac": self.mac}
            if message.ciaddr != wire.NOBODY:
                self.has(message.ciaddr)
        self.lab.send("R", "r1", data, **how)

    def send_all(self, messages):
        """Put many broadcast messages on the wire, as fast as one socket takes them."""
        how = {"source": wire.NOBODY, "target": wire.EVERYBODY, "ports": (68, 67)}
        with self.lab.socket("R", socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            for message in messages:
                sock.sendto(frame(encode(message), source_mac=message.mac, **how), ("r1", 0x0800))

    def has(self, address):
        """Let the bench answer ARP for an address from now on."""
        if address not in (wire.NOBODY, RELAY):
            with contextlib.suppress(OSError):
                self.addresses.enter_context(self.lab.has_address("R", address))

    # -- what comes back

    def ask(self, message, **how):
        """Send, and wait for the answer; None is silence."""
        self.send(message, **how)
        return self.hear(message.xid)

    def hear(self, xid, quiet_s=QUIET_S):
        """The answer to a transaction, or None after a decent time."""
        mark = time.monotonic()
        mine = self._answer_to(xid, quiet_s)
        if mine is None:
            # A busy computer is not a silent server: what is sent later must have been answered.
            probe = Message(xid=xid ^ 0x20000000, mac=self.witness, flags=0x8000)
            probe = replace(probe, options={53: bytes((wire.DISCOVER,))})
            how = {"source": wire.NOBODY, "target": wire.EVERYBODY, "ports": (68, 67)}
            self.lab.send("R", "r1", encode(probe), source_mac=probe.mac, **how)
            if self._answer_to(probe.xid, 20) is None:
                raise AssertionError(f"the server answers nobody for {time.monotonic() - mark:.0f} s")
            mine = self._answer_to(xid, 0)
        return mine

    def _answer_to(self, xid, timeout):
        with contextlib.suppress(AssertionError):
            return self.watch.wait(lambda m: m.op == 2 and m.xid == xid and m.source == SERVER, timeout)
        return None

    # -- what most talks begin with

    def lease(self, options=None, **fields):
        """DISCOVER and REQUEST; the client is bound then."""
        offer = self._must(self.message(wire.DISCOVER, options, **fields))
        chosen = {50: packed(offer.yiaddr), 54: offer.options[54]} | (options or {})
        ack = self._must(self.message(wire.REQUEST, chosen, **fields))
        self.address = ack.yiaddr
        return ack

    def _must(self, message):
        self.send(message)
        answer = self._answer_to(message.xid, 20)
        assert answer is not None, f"no answer to a plain {message.kind}"
        return answer
