"""Who gets to boot what: the boot answer, and how DHCP says it (facts P1-P13)."""

from ipaddress import IPv4Address, IPv4Interface

import pytest

from pxe_edge.policy.boot import LocalDisk, Script, Silence, decide
from pxe_edge.policy.dhcp import Quiet, Reply
from pxe_edge.policy.loaders import Loader
from pxe_edge.policy.networks import Arrival, Link
from pxe_edge.policy.proxy import answer_proxy
from pxe_edge.policy.requests import BootRequest, read_boot_request
from pxe_edge.policy.views import SiteOption
from pxe_edge.wire import dhcp
from pxe_edge.wire.options import dotted, packed

MAC = "52:54:00:00:00:01"
GUID = b"\0" + bytes(range(16))
BIOS = {60: b"PXEClient:Arch:00000:UNDI:002001", 93: b"\0\0", 94: b"\1\2\1", 97: GUID}
UEFI = {
    60: b"PXEClient:Arch:00007:UNDI:003016",
    93: b"\0\7",
    94: b"\1\3\x10",
    97: GUID,
    55: bytes((1, 3, 66, 67, 97)),
}
HTTP = {60: b"HTTPClient:Arch:00016:UNDI:003001", 93: b"\0\x10", 97: GUID}
ARM = {60: b"PXEClient:Arch:00011:UNDI:003016", 93: b"\0\x0b", 97: GUID}
IPXE = {
    60: b"PXEClient:Arch:00007:UNDI:003010",
    93: b"\0\7",
    77: b"iPXE",
    97: GUID,
    175: b"\xb1\5\1\x1a\xf4\x10\0",
}


@pytest.mark.parametrize(
    ("client", "arch", "due", "answer"),
    [
        ("pxe", 0, "boot-os", Loader("undionly.kpxe")),
        ("pxe", 7, "boot-os", Loader("snponly.efi")),
        ("pxe", 9, "boot-os", Loader("snponly.efi")),
        ("http", 16, "boot-os", Loader("snponly.efi", http=True)),
        ("pxe", 11, "boot-os", Loader("snponly-arm64.efi")),
        ("http", 19, "boot-os", Loader("snponly-arm64.efi", http=True)),
        ("pxe", 16, "boot-os", Silence("no-loader")),
        ("pxe", 6, "boot-os", Silence("no-loader")),
        ("http", 15, "boot-os", Silence("no-loader")),
        ("pxe", 41, "boot-os", Silence("no-loader")),
        ("pxe", None, "boot-os", Silence("no-loader")),
        ("http", 7, "boot-os", Silence("no-loader")),
        ("ipxe", 0, "boot-os", Script()),
        ("ipxe", None, "boot-os", Script()),
        ("plain", None, "boot-os", Silence("no-boot-client")),
        ("pxe", 0, None, Silence("no-work-due")),
        ("ipxe", 0, None, Silence("no-work-due")),
        ("ipxe", 0, "local-disk", LocalDisk()),
    ],
)
def test_a_known_host(bench, make_host, client, arch, due, answer):
    assert decide(BootRequest(MAC, client, arch), make_host(due), bench.site) == answer


SHIM, SHIM_BY_HTTP = (Loader("shimx64.efi", http=http, then="grubx64.efi") for http in (False, True))
SHIM_ARM = Loader("shimaa64.efi", then="grubaa64.efi")


@pytest.mark.parametrize("site", [{"loader": "grub"}, {"secure_boot": True}])
@pytest.mark.parametrize(
    ("client", "arch", "answer"),
    [
        ("pxe", 0, Loader("undionly.kpxe")),
        ("pxe", 7, SHIM),
        ("pxe", 9, SHIM),
        ("pxe", 11, SHIM_ARM),
        ("http", 16, SHIM_BY_HTTP),
        ("grub", None, Script()),
        ("ipxe", 7, Script()),
    ],
)
def test_secure_boot_gets_what_is_signed(make_bench, make_host, site, client, arch, answer):
    site = make_bench(**site).site
    assert decide(BootRequest(MAC, client, arch), make_host("boot-os"), site) == answer


@pytest.mark.parametrize(
    ("absent", "arch", "answer"),
    [
        ({"snponly-arm64.efi"}, 11, Silence("no-loader")),
        ({"snponly-arm64.efi"}, 7, Loader("snponly.efi")),
        ({"snponly.efi"}, 7, Silence("no-loader")),
        ({"snponly.efi"}, 0, Loader("undionly.kpxe")),
    ],
)
def test_a_loader_that_is_not_there_is_not_named(make_bench, make_host, absent, arch, answer):
    site = make_bench(absent_loaders=frozenset(absent)).site
    assert decide(BootRequest(MAC, "pxe", arch), make_host("boot-os"), site) == answer


def test_shim_without_grub_is_no_loader(make_bench, make_host):
    site = make_bench(secure_boot=True, absent_loaders=frozenset({"grubx64.efi"})).site
    assert decide(BootRequest(MAC, "pxe", 7), make_host("boot-os"), site) == Silence("no-loader")


@pytest.mark.parametrize(
    ("told", "user_class", "answer"),
    [
        ({19: b"\1", 18: b"\1"}, b"iPXE", Script()),
        ({}, b"iPXE", Script()),
        ({0xB1: b"\1\x1a\xf4\x10\0"}, b"iPXE", Script()),
        ({18: b"\1", 21: b"\1"}, b"iPXE", Loader("snponly.efi")),
        ({18: b"\1", 21: b"\1"}, b"rackflow", Silence("ipxe-without-http")),
        ({19: b"\1"}, b"rackflow", Script()),
    ],
)
def test_an_ipxe_without_http_loads_ours_and_ours_never_itself(bench, make_host, told, user_class, answer):
    options = {**IPXE, 77: user_class, 175: b"".join(bytes((code, len(v))) + v for code, v in told.items())}
    packet = dhcp.Packet(op=1, xid=1, chaddr=bytes.fromhex("525400000001"), options={53: b"\1", **options})
    assert decide(read_boot_request(packet), make_host("boot-os"), bench.site) == answer


@pytest.mark.parametrize(
    ("discovery", "answer"),
    [
        ("off", Silence("discovery-off")),
        ("hold", Silence("awaiting-approval")),
        ("inspect", Loader("snponly.efi")),
        ("register", Loader("snponly.efi")),
    ],
)
def test_a_stranger(make_bench, discovery, answer):
    assert decide(BootRequest(MAC, "pxe", 7), None, make_bench(discovery=discovery).site) == answer


def test_network_first_sends_an_idle_host_to_its_disk_aloud(make_bench, make_host):
    bench = make_bench(boot_order="network-first", host=make_host())
    assert decide(BootRequest(MAC, "ipxe", 0), bench.host, bench.site) == LocalDisk("no-work-due")
    assert bench.ask(dhcp.DISCOVER, options=IPXE).packet.file.startswith(b"http://10.77.1.2:8080/boot.ipxe?")
    assert bench.ask(dhcp.DISCOVER, options=UEFI).packet.file == b""


@pytest.mark.parametrize("discovery", ["off", "hold"])
def test_an_unknown_pxe_machine_gets_silence_and_a_plain_client_an_address(make_bench, discovery):
    bench = make_bench(discovery=discovery)
    for options in (BIOS, UEFI, HTTP, IPXE):
        assert isinstance(bench.ask(dhcp.DISCOVER, options=options), Quiet)
        assert isinstance(bench.ask(dhcp.REQUEST, options={**options, 50: bytes((10, 77, 1, 50))}), Quiet)
    assert bench.ask(dhcp.DISCOVER).packet.message_type == dhcp.OFFER


@pytest.mark.parametrize(
    ("options", "file"),
    [
        (BIOS, b"undionly.kpxe"),
        (UEFI, b"snponly.efi"),
        ({**UEFI, 93: b"\x27\x0f\0\x09"}, b"snponly.efi"),
        (HTTP, b"http://10.77.1.2:8080/snponly.efi"),
        (ARM, b"snponly-arm64.efi"),
        ({**ARM, 93: b"\0\x1b"}, b""),
        ({**UEFI, 97: GUID[:-1]}, b""),
        ({k: v for k, v in BIOS.items() if k != 97}, b"undionly.kpxe"),
        ({60: b"PXEClient:Arch:00007:UNDI:003016"}, b"snponly.efi"),
        ({60: b"PXEClient"}, b""),
        ({}, b""),
    ],
)
def test_boot_files_in_an_offer(bench, options, file):
    packet = bench.ask(dhcp.DISCOVER, options=options).packet
    assert packet.file == file
    assert packet.options.get(97) == options.get(97)
    assert dotted(packet.siaddr) == "10.77.1.2"


def test_uefi_offers_have_no_option_60_and_67_ends_with_nul(bench):
    options = bench.ask(dhcp.DISCOVER, options=UEFI).packet.options
    assert not options.keys() & {60, 43, 175}
    assert (options[66], options[67]) == (b"10.77.1.2", b"snponly.efi\0")


def test_http_boot_is_told_that_it_is_spoken_to(bench):
    offer = bench.ask(dhcp.DISCOVER, options=HTTP)
    assert offer.packet.options[60] == b"HTTPClient"
    wish = {50: packed(offer.yiaddr), 54: offer.packet.options[54]}
    assert bench.ask(dhcp.REQUEST, options={**HTTP, **wish}).packet.options[60] == b"HTTPClient"


@pytest.mark.parametrize("user_class", [b"iPXE", b"\x04iPXE"])
def test_ipxe_gets_its_script_and_no_wait_for_a_proxy(bench, user_class):
    packet = bench.ask(dhcp.DISCOVER, options={**IPXE, 77: user_class}).packet
    uuid = "03020100-0504-0706-0809-0a0b0c0d0e0f"
    assert packet.file.decode() == f"http://10.77.1.2:8080/boot.ipxe?mac={MAC}&uuid={uuid}&arch=7"
    assert packet.options[175] == b"\xb0\1\1"


def test_a_host_without_work_gets_an_address_and_no_trace_of_booting(make_bench, make_host):
    bench = make_bench(host=make_host())
    bench.with_network(
        "prov", options=(SiteOption(67, b"x.efi"), SiteOption(43, b"\6\1\x08"), SiteOption(60, b"P"))
    )
    for options in (BIOS, UEFI, HTTP, IPXE):
        packet = bench.ask(dhcp.DISCOVER, options=options).packet
        assert packet.yiaddr
        assert (packet.file, packet.options.keys() & {43, 60, 66, 67}) == (b"", set())


def test_only_provisioning_networks_boot(bench):
    bench.with_network("prov", purpose="bmc")
    assert bench.ask(dhcp.DISCOVER, options=UEFI).packet.file == b""


def test_site_options_are_sent_by_architecture_and_never_replace_the_protocols_own(bench):
    text = b"a" * 400
    given = (SiteOption(66, text, arch=7), SiteOption(66, b"bios", arch=0), SiteOption(54, b"\1\2\3\4"))
    bench.with_network("prov", options=given)
    offer = bench.ask(dhcp.DISCOVER, options={**UEFI, 57: b"\x05\xdc"})
    assert offer.packet.options[66] == text
    assert offer.packet.options[54] == IPv4Address("10.77.1.2").packed
    assert bench.ask(dhcp.DISCOVER, options=BIOS).packet.options[66] == b"bios"


def test_site_options_are_sent_by_class_host_and_mac_and_the_most_specific_counts(make_bench, make_host):
    bench = make_bench(host=make_host())
    given = (
        SiteOption(224, b"all"),
        SiteOption(224, b"class", vendor_class=b"PXEClient:Arch:00007"),
        SiteOption(225, b"user", user_class=b"iPXE"),
        SiteOption(226, b"host", host=make_host().name),
        SiteOption(226, b"other", host="another"),
        SiteOption(227, b"mac", mac=MAC),
        SiteOption(227, b"nobody", mac="52:54:00:ff:ff:ff"),
    )
    bench.with_network("prov", options=given)

    def got(options):
        packet = bench.ask(dhcp.DISCOVER, options=options).packet
        return {code: value for code, value in packet.options.items() if 224 <= code <= 227}

    uefi = {**UEFI, 60: b"PXEClient:Arch:00007:UNDI:003016"}
    assert got(uefi) == {224: b"class", 226: b"host", 227: b"mac"}
    assert got({**IPXE, 77: b"\x04iPXE"})[225] == b"user"
    assert got(BIOS) == {224: b"all", 226: b"host", 227: b"mac"}


def ask_proxy(bench, options, *, on_proxy_port, **fields):
    kind = dhcp.REQUEST if on_proxy_port else dhcp.DISCOVER
    packet = dhcp.Packet(
        op=1, xid=1, chaddr=bytes.fromhex("525400000001"), options={53: bytes((kind,)), **options}, **fields
    )
    arrival = Arrival(bench.link, "10.77.1.90", 1234, unicast=on_proxy_port)
    request = read_boot_request(packet)
    return answer_proxy(packet, arrival, request, None, bench.served, on_proxy_port=on_proxy_port)


@pytest.fixture
def proxy(bench):
    bench.link = Link("prov0", 2, (IPv4Interface("10.77.1.2/24"),))
    bench.with_network("prov", mode="proxy")
    return bench


def test_a_proxy_offers_a_file_and_no_address(proxy):
    bios = ask_proxy(proxy, BIOS, on_proxy_port=False).packet
    assert (bios.yiaddr, bios.file, bios.options[60]) == (0, b"undionly.kpxe", b"PXEClient")
    assert bios.options[43] == bytes.fromhex("060108ff")
    uefi = ask_proxy(proxy, UEFI, on_proxy_port=False)
    assert 43 not in uefi.packet.options
    assert 51 not in uefi.packet.options
    assert 175 not in ask_proxy(proxy, IPXE, on_proxy_port=False).packet.options


def test_uefi_takes_its_file_on_port_4011(proxy):
    reply = ask_proxy(proxy, UEFI, on_proxy_port=True, ciaddr=int(IPv4Address("10.77.1.90")))
    assert isinstance(reply, Reply)
    assert (reply.packet.message_type, reply.packet.file) == (dhcp.ACK, b"snponly.efi")
    assert (dotted(reply.target.address), reply.target.port) == ("10.77.1.90", 1234)


def test_a_proxy_says_nothing_to_plain_clients(proxy):
    assert isinstance(ask_proxy(proxy, {}, on_proxy_port=False), Quiet)
    assert proxy.ask(dhcp.DISCOVER) == Quiet("proxy-mode")
