"""The bench's links in IPv6, the router of the far one, and new machines on them."""

import contextlib
import itertools
import socket
import struct
import threading
from ipaddress import IPv6Network

DIRECT6 = {
    "name": "prov6",
    "purpose": "provisioning",
    "subnet": "fd00:99::/64",
    "interface": "br0",
    "pool": ["fd00:99::1000-fd00:99::1fff"],
    "dns": ["fd00:99::53"],
    "lease": "1h",
}
RELAYED6 = {
    "name": "far6",
    "purpose": "provisioning",
    "subnet": "fd00:88::/64",
    "pool": ["fd00:88::1000-fd00:88::1fff"],
}
RESERVED = "52:54:00:06:00:99"
ADDRESSES = """
S addr replace fd00:99::1/64 dev br0 nodad
R addr replace fd00:99::2/64 dev r1 nodad
R addr replace fd00:88::1/64 dev br1 nodad
S route replace fd00:88::/64 via fd00:99::2
"""
NUMBER = itertools.count(1)


def with_ipv6(lab):
    """Give the bench IPv6 addresses, once."""
    for line in filter(None, ADDRESSES.split("\n")):
        lab.ip(line[0], line[2:])


@contextlib.contextmanager
def router(lab):
    """R as a site's router on the link behind it: it forwards, and advertises itself and DHCPv6 (flag M).

    DHCPv6 has no option that names a router, so without this nobody there finds the way to the edge.
    """
    lab.run("R", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    prefix = IPv6Network(RELAYED6["subnet"])
    # RFC 4861 sections 4.2, 4.6.2: a router for half an hour; the prefix is on the link, no addresses of it.
    told = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0x80, 1800, 0, 0)
    told += (
        struct.pack("!BBBBIII", 3, 4, prefix.prefixlen, 0x80, 1800, 1800, 0) + prefix.network_address.packed
    )
    ended = threading.Event()
    with lab.socket("R", socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"br1")
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)

        def advertise():
            while not ended.wait(1):
                sock.sendto(told, ("ff02::1", 0))

        thread = threading.Thread(target=advertise)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def machine(lab, letter, mac=None):
    """A new machine at the client's place: its hardware address, with a link-local address made of it."""
    mac = mac or (0x52540006_0000 + next(NUMBER)).to_bytes(6, "big").hex(":")
    lab.ip(letter, "addr flush dev c0 scope global")
    lab.ip(letter, "link set c0 down")
    lab.ip(letter, f"link set c0 address {mac}")
    lab.ip(letter, "addr flush dev c0 scope link")
    # dhcpcd leaves the interface without a link-local address; this gives it one again.
    lab.run(letter, "sysctl", "-qw", "net.ipv6.conf.c0.accept_dad=0", "net.ipv6.conf.c0.addr_gen_mode=0")
    lab.ip(letter, "link set c0 up")
    return mac


def lease(edge, mac):
    """The one lease of a machine."""
    (found,) = [row for row in edge.leases() if row["mac"] == mac and ":" in row["address"]]
    return found
