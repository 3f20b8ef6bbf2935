"""Real firmware boots through the site's own DHCP server, whose configuration the edge prints."""

import contextlib

import pytest

from tests.interop.machines import EDK2, NO_HANG, uefi
from tests.interop.netns import DIRECT, RELAYED
from tests.interop.own_servers import OWN, SERVERS, own_server

pytestmark = [pytest.mark.interop, pytest.mark.rack, NO_HANG]
NETWORKS = [one | {"mode": "off"} for one in (DIRECT, RELAYED)]
WAYS = {
    "bios": lambda _: ((), "virtio-net-pci"),
    "uefi-pxe": lambda folder: (uefi(folder, "IPv6PXESupport"), EDK2),
    "uefi-http": lambda folder: (uefi(folder, "IPv4PXESupport", "IPv6PXESupport"), EDK2),
}


@pytest.mark.parametrize("place", ["direct"], indirect=True)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("server", SERVERS)
def test_firmware_boots_through_the_sites_own_server(lab, machine, tmp_path, server, way):
    with contextlib.ExitStack() as stack:
        edge = lab.serve("own-server", networks=NETWORKS)
        stack.enter_context(own_server(lab, edge, server))
        watch = stack.enter_context(machine.on(*WAYS[way](tmp_path)))
        machine.script_at(watch, timeout=150)

    answers = machine.messages(watch, "OFFER") + machine.messages(watch, "ACK")
    assert {message.source for message in answers} == {OWN}
    if way == "uefi-pxe":
        assert watch.times(b"\0\x01snponly.efi\0octet\0")
    if way == "uefi-http":
        assert watch.times(b"GET /snponly.efi")
