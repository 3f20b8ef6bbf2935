"""The bench's links in IPv6, and new machines on them."""

import itertools

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
