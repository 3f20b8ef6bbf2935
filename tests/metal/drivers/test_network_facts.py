"""NICs and addresses from their texts."""

import json

import pytest

from metal.drivers.network.links import parse_nics
from metal.drivers.network.running import parse_addresses
from metal.errors import Unparsable

LINKS = json.dumps(
    [
        {"ifname": "lo", "link_type": "loopback", "address": "00:00:00:00:00:00"},
        {"ifname": "ens4", "address": "52:54:00:00:00:aa", "permaddr": "52:54:00:00:00:02"},
        {"ifname": "ens3", "address": "52:54:00:00:00:aa"},
        {"ifname": "bond0", "address": "52:54:00:00:00:aa"},
        {"ifname": "ens5v0", "address": "52:54:00:00:00:05"},
        {},
    ]
)
SYSFS = """\
ens4 1 e1000e pf - -1 /sys/devices/pci0000:00/0000:00:1c.0/0000:02:00.0
ens3 1 virtio_net pf 1 10000 /sys/devices/pci0000:00/0000:00:03.0/virtio1
ens5v0 1 ixgbevf vf 1 10000 /sys/devices/pci0000:00/0000:05:10.0
ib0 32 mlx5_core pf 1 100000 /sys/devices/pci0000:00/0000:06:00.0
"""


def test_nics_have_their_own_mac_whatever_bond_they_are_in():
    nics = parse_nics(LINKS, SYSFS, "52-54-00-00-00-02")
    assert [(nic.name, nic.mac, nic.booted) for nic in nics] == [
        ("ens3", "52:54:00:00:00:aa", False),
        ("ens4", "52:54:00:00:00:02", True),
    ]
    assert (nics[0].link, nics[0].speed_mbps, nics[0].driver) == (True, 10000, "virtio_net")
    assert (nics[1].link, nics[1].speed_mbps, nics[1].pci_address) == (None, None, "0000:02:00.0")


@pytest.mark.parametrize(("links", "sysfs"), [("", SYSFS), ("{}", SYSFS), (LINKS, "ens3 1\n")])
def test_broken_answers_are_unparsable(links, sysfs):
    with pytest.raises(Unparsable):
        parse_nics(links, sysfs, None)


def test_addresses_are_those_that_somebody_gave():
    told = [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
        {
            "ifname": "bond0",
            "addr_info": [
                {"local": "10.0.0.5", "prefixlen": 24},
                {"local": "fe80::1", "prefixlen": 64},
                {"local": "2001:db8::5", "prefixlen": 64},
            ],
        },
        {"ifname": "ens3", "addr_info": []},
    ]
    assert parse_addresses(json.dumps(told)) == {"bond0": ("10.0.0.5/24", "2001:db8::5/64")}
    with pytest.raises(Unparsable):
        parse_addresses('[{"ifname": "x", "addr_info": [{"local": "?", "prefixlen": 1}]}]')
