"""Real firmware on links with IPv6 only: OVMF by PXE and by HTTP boot, then iPXE, up to the boot script."""

import pytest

from tests.interop.machines import EDK2, NO_HANG, PLACES, uefi
from tests.interop.places6 import DIRECT6, RELAYED6, router, with_ipv6
from tests.interop.test_dhcp6 import DHCRELAY6
from tests.interop.wire6 import advertisements, messages

pytestmark = [pytest.mark.interop, pytest.mark.rack, NO_HANG]
SERVER6 = "[fd00:99::1]"
PREFIXES = {"direct": DIRECT6["subnet"], "relayed": RELAYED6["subnet"]}


@pytest.fixture(scope="module")
def edge(lab):
    """The edge on IPv6 alone: whatever boots, boots by it."""
    with_ipv6(lab)
    with lab.edge(name="firmware6", networks=[DIRECT6, RELAYED6]) as running:
        yield running


@pytest.fixture(params=["direct"])
def place(request, lab, need):
    """The edge's link, or the link behind dhcrelay -6 and a router."""
    with_ipv6(lab)
    if request.param == "direct":
        yield PLACES["direct"]
        return
    need("dhcrelay")
    with router(lab), lab.running("R", *DHCRELAY6, ready="Sending on   Socket", name="dhcrelay6"):
        yield PLACES["relayed"]


def of_boots(watch):
    """DHCPv6 requests that tell an architecture, and replies that name a boot file.

    Besides, EDK2 asks for a plain address where an advertisement with flag M comes before it boots.
    """
    seen = messages(watch)
    asked = [m for m in seen if m.kind == "REQUEST" and m.option(61)]
    replies = [m for m in seen if m.kind == "REPLY" and m.option(59)]
    return asked, replies


@pytest.mark.parametrize("place", ["direct", "relayed"], indirect=True)
def test_uefi_pxe_over_ipv6_loads_ipxe_by_tftp_and_then_its_script(edge, machine, place, tmp_path):
    with machine.on(uefi(tmp_path, "IPv4PXESupport"), EDK2) as watch:
        machine.script_at(watch, 200)

    asked, replies = of_boots(watch)
    assert asked[0].option(61) == b"\0\7"  # V1: architecture, and network interface
    assert asked[0].option(62) is not None
    assert replies[0].option(59) == f"tftp://{SERVER6}/snponly.efi".encode()
    assert replies[0].option(60) is None
    assert watch.times(b"\0\x01snponly.efi\0octet\0")
    assert any(m.option(15) == b"\0\4iPXE" for m in asked)
    scripts = [m.option(59) for m in replies if b"boot.ipxe?mac=" in m.option(59)]
    assert scripts[0].startswith(f"http://{SERVER6}:8080/".encode())
    # Firmware and iPXE show two identities and are one machine, with one address.
    assert {m.address for m in messages(watch) if m.kind == "REPLY" and m.address} == {replies[0].address}
    assert [row["address"] for row in edge.leases() if row["mac"] == machine.mac.hex(":")] == [
        replies[0].address
    ]
    told = {(flags & 0x80, *prefixes) for _, flags, prefixes in advertisements(watch)}
    assert told == {(0x80, PREFIXES[place.name])}


def test_uefi_http_boot_over_ipv6_loads_ipxe_by_http(edge, machine, tmp_path):
    with machine.on(uefi(tmp_path, "IPv4PXESupport", "IPv6PXESupport"), EDK2) as watch:
        machine.script_at(watch, 300)

    asked, replies = of_boots(watch)
    assert asked[0].option(61) == b"\0\x10"
    assert replies[0].option(59) == f"http://{SERVER6}:8080/snponly.efi".encode()
    assert replies[0].option(16)[6:] == b"HTTPClient"
    assert watch.times(b"GET /snponly.efi")
