"""Verdicts on this machine: ports and their holders, rights, interfaces, as the kernel shows them."""

import os
import socket
from dataclasses import replace
from ipaddress import IPv4Interface, ip_address

import pytest

from metal.doctor import icmp, kernel
from metal.doctor.kernel import Holder, Link
from metal.doctor.networks import judge_interface
from metal.doctor.ports import Port, judge_port, judge_rights, ports_of
from metal.doctor.surroundings import Surroundings
from tests.metal.doctor.conftest import BR0, SITE

EDGE, DNSMASQ = Holder(7, "python", "python -m pxe_edge"), Holder(8, "dnsmasq", "dnsmasq -k")
DHCP = Port("udp", 67, "DHCP")
PROV = SITE.networks[0]
UDP_TABLE = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  101: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000 0
  102: 0100007F:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000 0
"""


def test_the_holder_of_a_port_is_found_by_its_socket() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))
        port = mine.getsockname()[1]

        (holder,) = kernel.holders(kernel.listening("udp", port))

    assert holder.pid == os.getpid()
    assert kernel.listening("udp", port) == frozenset()


def test_descriptors_that_close_meanwhile_hide_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = os.listdir
    monkeypatch.setattr(kernel.os, "listdir", lambda folder: ["4000000", *listed(folder)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))

        (holder,) = kernel.holders(kernel.listening("udp", mine.getsockname()[1]))

    assert holder.pid == os.getpid()


def test_a_child_that_has_the_socket_for_a_moment_does_not_share_the_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = Holder(9, "python", EDGE.command)
    readings = iter([(EDGE, child), (EDGE,), (EDGE, DNSMASQ), (EDGE, DNSMASQ, child)])
    monkeypatch.setattr(kernel, "holders", lambda _inodes: next(readings))

    assert kernel.lasting_holders("udp", 67) == (EDGE,)
    assert kernel.lasting_holders("udp", 67) == (EDGE, DNSMASQ)


def test_a_tcp_port_counts_when_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert len(kernel.listening("tcp", port)) == 1
            assert kernel.listening("tcp", client.getsockname()[1]) == frozenset()


def test_sockets_are_read_from_the_kernels_table() -> None:
    assert list(kernel.parse_sockets(UDP_TABLE, 67, listen_only=False)) == [4711]
    assert list(kernel.parse_sockets(UDP_TABLE, 68, listen_only=False)) == []


@pytest.mark.parametrize(
    ("found", "answers", "status", "words"),
    [
        ((EDGE,), True, "ok", "the edge has it"),
        ((), False, "ok", "is free for the edge"),
        ((), True, "failed", "nobody listens"),
        ((DNSMASQ,), False, "failed", "has dnsmasq (pid 8)"),
        ((EDGE, DNSMASQ), True, "failed", "is also bound by dnsmasq (pid 8): requests are split"),
        ((Holder(0, ""),), False, "failed", "a process of another user"),
    ],
)
def test_ports(found: tuple[Holder, ...], *, answers: bool, status: str, words: str) -> None:
    verdict = judge_port(DHCP, found, EDGE if EDGE in found else None, answers=answers)

    assert (verdict.status, words in verdict.message) == (status, True)


def test_the_proxy_port_belongs_to_mode_proxy_and_67_to_all_but_off(around: Surroundings) -> None:
    def numbers(mode: str) -> set[int]:
        networks = (PROV.model_copy(update={"mode": mode}),)
        site = SITE.model_copy(update={"networks": networks})
        return {port.number for port in ports_of(replace(around, site=site))}

    assert numbers("full") == {8443, 8080, 69, 67}
    assert numbers("proxy") == {8443, 8080, 69, 67, 4011}
    assert numbers("off") == {8443, 8080, 69}


def test_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "first_open_port", lambda: 1024)

    verdicts = {f.name: f for f in judge_rights(frozenset({"CAP_NET_BIND_SERVICE"}), "the edge")}

    assert [f.status for f in verdicts.values()] == ["ok", "failed", "warning"]
    assert "machines that have no address" in verdicts["CAP_NET_RAW"].message


@pytest.mark.parametrize(
    ("link", "words", "fix"),
    [
        (None, "br0 is not there; this machine has: eth0", "br0"),
        (replace(BR0, up=False), "br0 is down", "ip link set br0 up"),
        (replace(BR0, carrier=False), "no carrier", "cable"),
        (replace(BR0, mtu=1400), None, None),
        (replace(BR0, addresses=()), "has no address, none of it in 10.99.0.0/24", "give br0"),
        (
            replace(BR0, addresses=(IPv4Interface("10.1.1.1/24"),)),
            "has 10.1.1.1/24, none of it in 10.99.0.0/24",
            "give br0",
        ),
    ],
)
def test_interfaces(link: Link | None, words: str | None, fix: str | None) -> None:
    links = {"lo": replace(BR0, name="lo", addresses=()), "eth0": replace(BR0, name="eth0", addresses=())}
    if link is not None:
        links["br0"] = link

    verdict = judge_interface(PROV, links)

    assert verdict.status == ("failed" if words else "ok")
    assert (words or "") in verdict.message
    assert (fix or "") in verdict.next


def test_an_interface_that_carries_less_than_the_site_says() -> None:
    jumbo = PROV.model_copy(update={"mtu": 9000})

    assert (
        "the Site says mtu 9000, interface br0 carries 1500" in judge_interface(jumbo, {"br0": BR0}).message
    )


def test_the_interface_that_was_meant_is_named() -> None:
    verdict = judge_interface(PROV, {"eth1": replace(BR0, name="eth1")})

    assert verdict.next == "an address of 10.99.0.0/24 is on eth1: write interface: eth1 in the Site"


def test_links_as_ip_shows_them() -> None:
    (link,) = kernel.parse_links(
        [
            {
                "ifname": "br0",
                "flags": ["NO-CARRIER", "BROADCAST", "UP"],
                "mtu": 1500,
                "address": "02:00:00:00:00:01",
                "linkinfo": {"info_kind": "bridge"},
                "addr_info": [
                    {"family": "inet", "local": "10.99.0.1", "prefixlen": 24, "scope": "global"},
                    {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
                ],
            }
        ]
    ).values()

    assert link == replace(BR0, carrier=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_ping_of_this_machine(address: str) -> None:
    answered = icmp.echo(ip_address(address), 600)
    if answered is None:
        pytest.skip("neither ping sockets nor raw ones are allowed here")

    assert answered
