"""DHCPv6 through relays, and what each stage of a boot is told."""

from dataclasses import replace
from ipaddress import IPv6Network
from uuid import UUID

import pytest

from pxe_edge.policy import dhcp6 as policy
from pxe_edge.policy.dhcp6_requests import eui64_mac, read_request
from pxe_edge.policy.views import HostView, SiteOption
from pxe_edge.wire import dhcp6 as wire
from pxe_edge.wire.dhcp6 import Message
from tests.pxe_edge.policy.bench6 import (
    EUI64,
    FAR,
    HTTP,
    IPXE,
    MAC,
    OWN,
    PROV,
    PXE,
    SERVER,
    Bench,
    address,
    asked,
    given_to,
    ia,
    relay,
    span,
    uuid_duid,
)


@pytest.fixture
def bench():
    return Bench()


def test_the_relay_nearest_to_the_client_names_the_network_and_the_port(bench):
    relays = (
        relay("fd00:77::2", 1, (wire.INTERFACE_ID, b"up")),
        relay("fd00:88::1", 0, (wire.INTERFACE_ID, b"port 7"), (wire.REMOTE_ID, b"\0\0\0\x09sw")),
    )
    reply = bench.bind(relays=relays, source=address("fd00:77::2"), port=1547, multicast=False)
    assert given_to(reply) == ["fd00:88::50"]
    row = reply.rows[0]
    assert (row.network, row.interface_id, row.remote_id) == ("far6", b"port 7", b"\0\0\0\x09sw")
    assert (reply.target, reply.port) == (address("fd00:77::2"), policy.SERVER_PORT)
    assert reply.message.relays == (
        relays[0],
        replace(relays[1], options=((wire.INTERFACE_ID, b"port 7"),)),
    )


def test_a_layer_2_relay_leaves_the_network_to_the_next_one(bench):
    relays = (relay("fd00:88::1", 1), relay("::"))
    assert given_to(bench.bind(relays=relays)) == ["fd00:88::50"]
    assert given_to(bench.bind(relays=(relay("::"),))) == ["fd00:77::50"]
    assert bench.ask(wire.SOLICIT, ia(), relays=(relay("fd00:99::1"),)) == policy.Quiet6("unknown-relay")


def test_the_source_port_of_a_relay_that_says_so(bench):
    outer = relay("fd00:88::1", 0, (wire.RELAY_PORT, b"\0\0"))
    reply = bench.ask(wire.SOLICIT, ia(), relays=(outer,), port=1547)
    assert (reply.port, reply.message.relays) == (1547, (outer,))


def test_option_79_names_the_machine_whatever_its_duid(bench):
    told = (wire.CLIENT_LINK_ADDRESS, b"\0\1" + bytes.fromhex("525400000042"))
    relays = (relay("fd00:88::1", 0, told, peer=address("fe80::9")),)
    reply = bench.bind(relays=relays, duid=uuid_duid(3))
    assert [row.mac for row in reply.rows] == ["52:54:00:00:00:42"]


def test_the_hardware_address_in_a_link_local_one():
    assert eui64_mac(EUI64) == bytes.fromhex("525400ed9e01")
    for other in ("fe80::1", "fd00::5054:ff:feed:9e01", "fe80::5054:ff:fded:9e01", "fe80::5054:fe:feed:9e01"):
        assert eui64_mac(address(other)) is None


@pytest.mark.parametrize(
    ("options", "url", "extra"),
    [
        (PXE, b"tftp://[fd00:77::1]/snponly.efi", None),
        (PXE[1:], b"tftp://[fd00:77::1]/snponly.efi", None),
        (HTTP, b"http://[fd00:77::1]:8080/snponly.efi", b"\0\0\1\x57\0\x0aHTTPClient"),
        (IPXE, b"http://[fd00:77::1]:8080/boot.ipxe?mac=52:54:00:ed:9e:01", None),
        ((), None, None),
        (((wire.CLIENT_ARCH, b"\0\x0a"),), None, None),
    ],
)
def test_what_each_stage_boots(bench, options, url, extra):
    for reply in (bench.ask(wire.SOLICIT, ia(), options=options), bench.bind(options=options)):
        assert reply.message.option(wire.BOOT_FILE_URL) == url
        assert reply.message.option(wire.VENDOR_CLASS) == extra
        assert reply.message.option(wire.BOOT_FILE_PARAMETERS) is None


def test_information_request_of_firmware_gets_its_boot_file(bench):
    reply = bench.ask(wire.INFORMATION_REQUEST, options=PXE)
    assert reply.message.option(wire.BOOT_FILE_URL) == b"tftp://[fd00:77::1]/snponly.efi"


def test_who_is_answered_is_decided_as_in_dhcpv4():
    held = Bench(discovery="hold")
    assert held.ask(wire.SOLICIT, ia(), options=PXE) == policy.Quiet6("awaiting-approval")
    assert Bench(discovery="off").ask(wire.SOLICIT, ia(), options=PXE) == policy.Quiet6("discovery-off")
    assert given_to(held.bind()) == ["fd00:77::50"]  # no boot client
    known = Bench(discovery="hold", host=HostView("h1", "web-01", frozenset({MAC})))
    reply = known.bind(options=PXE)
    assert (given_to(reply), reply.message.option(wire.BOOT_FILE_URL)) == (["fd00:77::50"], None)
    due = Bench(discovery="hold", host=HostView("h1", "web-01", frozenset({MAC}), due="boot-os"))
    assert due.bind(options=PXE).message.option(wire.BOOT_FILE_URL) is not None


def test_an_os_network_gives_addresses_and_boots_nobody():
    reply = Bench(replace(PROV, purpose="os")).bind(options=PXE)
    assert (given_to(reply), reply.message.option(wire.BOOT_FILE_URL)) == (["fd00:77::50"], None)


def test_options_come_in_the_order_of_the_request_and_unasked_they_do_not(bench):
    reply = bench.ask(wire.SOLICIT, ia(), options=(asked(wire.NTP, wire.SNTP, 1234, wire.DNS),))
    assert [code for code, _ in reply.message.options][-3:] == [wire.NTP, wire.SNTP, wire.DNS]
    assert reply.message.option(wire.NTP) == b"\0\1\0\x10" + address("fd00:77::8").packed
    assert reply.message.option(wire.DNS) == address("fd00:77::9").packed
    bare = bench.ask(wire.SOLICIT, ia())
    assert [code for code, _ in bare.message.options][-1] == wire.IA_NA


def test_options_of_the_site_go_to_whom_they_are_for():
    options = (
        SiteOption(wire.BOOT_FILE_PARAMETERS, b"\0\1x"),
        SiteOption(24, b"\3lab\0", arch=7),
        SiteOption(24, b"\3php\0", mac="52:54:00:00:00:09"),
        SiteOption(wire.SERVER_ID, b"forged"),
    )
    bench = Bench(replace(PROV, options=options))
    told = bench.bind(options=(*PXE, asked(24, wire.BOOT_FILE_PARAMETERS, wire.SERVER_ID))).message
    assert (told.option(24), told.option(wire.BOOT_FILE_PARAMETERS)) == (b"\3lab\0", b"\0\1x")
    assert told.every(wire.SERVER_ID) == (OWN,)
    unasked = bench.bind(options=PXE).message
    assert (unasked.option(24), unasked.option(wire.BOOT_FILE_PARAMETERS)) == (None, None)


def test_a_relay_that_a_network_names_speaks_for_that_one_alone():
    named = replace(FAR, name="named", subnet=IPv6Network("fd00:99::/64"), relays=(address("fd00:88::1"),))
    bench = Bench(PROV, FAR, replace(named, pool=span("fd00:99::50", "fd00:99::99")))
    bench.site = replace(bench.site, server_addresses6={"far6": SERVER, "named": SERVER})
    assert given_to(bench.bind(relays=(relay("fd00:88::1"),))) == ["fd00:99::50"]
    assert given_to(bench.bind(relays=(relay("fd00:88::2"),))) == ["fd00:88::50"]
    elsewhere = bench.ask(wire.SOLICIT, ia(), relays=(relay("fd00:99::1"),))
    assert elsewhere == policy.Quiet6("unknown-relay")


def test_the_machines_uuid_in_either_order_of_its_octets():
    machine = UUID("01234567-89ab-cdef-0123-456789abcdef")

    def told(raw, options):
        return read_request(Message(wire.SOLICIT, 1, ((wire.CLIENT_ID, raw), *options)), EUI64).boot.uuid

    assert told(b"\0\4" + machine.bytes_le, PXE) == str(machine)  # EDK2
    assert told(b"\0\4" + machine.bytes, IPXE) == str(machine)
