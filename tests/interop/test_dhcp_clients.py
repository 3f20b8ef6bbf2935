"""Real DHCP clients and a real relay against the packet plane."""

import re
import subprocess

import pytest

pytestmark = pytest.mark.interop


LEASE = re.compile(r"lease of (\S+) obtained from 10\.99\.0\.1, lease time 3600")
UDHCPC = ("udhcpc", "-i", "c0", "-n", "-f", "-t", "3", "-T", "2", "-A", "1")


def udhcpc(lab, letter, *more):
    said = lab.run(letter, *UDHCPC, "-q", "-s", "/bin/true", *more).stderr
    return LEASE.findall(said)[-1]


def dhclient(lab, letter, leases):
    argv = ["-4", "-1", "-d", "-v", "-lf", str(leases), "-pf", str(leases.with_suffix(".pid"))]
    # -d keeps it in the foreground after the lease: it is ended as soon as it says that it is bound.
    argv = lab.inside(letter, "dhclient", *argv, "-sf", "/bin/true", "c0")
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if "bound to" in line or "No DHCPOFFERS" in line:
                break
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()
    return "".join(said)


@pytest.fixture
def relay(lab, edge, need):
    need("dhcrelay")
    argv = ("dhcrelay", "-4", "-d", "-a", "-m", "append", "-id", "r0", "-iu", "r1", "10.99.0.1")
    log = lab.folder / "relay.log"
    process = lab.start("R", *argv, log=log)
    lab.wait_for(log, r"Sending on   Socket/fallback", process)
    yield log
    lab.end(process)


def test_udhcpc_gets_and_releases_an_address(lab, edge, need, tmp_path):
    need("udhcpc")
    script, said = tmp_path / "bound", tmp_path / "udhcpc.log"
    script.write_text('#!/bin/sh\ntest "$1" != bound || ip addr add "$ip/24" dev "$interface"\n')
    script.chmod(0o755)
    client = lab.start("C", *UDHCPC, "-R", "-s", str(script), log=said)
    address = LEASE.search(lab.wait_for(said, LEASE.pattern, client))[1]
    lab.end(client)
    lab.ip("C", f"addr del {address}/24 dev c0")
    lab.wait_for(edge, r"dhcp=RELEASE .*answer=none reason=released")
    acknowledged = rf"dhcp=REQUEST .*answer=ACK network=prov address={re.escape(address)} how=layer2"
    assert re.search(acknowledged, edge.read_text())


def test_udhcpc_declines_a_taken_address_and_gets_another(lab, edge, need):
    need("udhcpc")
    taken = udhcpc(lab, "C")
    lab.ip("R", f"addr add {taken}/24 dev r1")
    try:
        other = udhcpc(lab, "C", "-a500")
    finally:
        lab.ip("R", f"addr del {taken}/24 dev r1")
    assert other != taken
    lab.wait_for(edge, r"dhcp=DECLINE .*answer=none reason=declined")


def test_dhclient_gets_an_address_and_is_told_when_it_moved_here(lab, edge, need, tmp_path):
    need("dhclient")
    leases = tmp_path / "c.leases"
    leases.touch()
    assert re.search(r"bound to 10\.99\.0\.\d+", dhclient(lab, "C", leases))
    moved = leases.read_text().replace("10.99.0.", "10.44.0.")
    leases.write_text(moved)
    said = dhclient(lab, "C", leases)
    assert "DHCPNAK from 10.99.0.1" in said
    assert re.search(r"bound to 10\.99\.0\.\d+", said)


def test_clients_behind_a_real_relay(lab, edge, relay, need, tmp_path):
    need("udhcpc")
    assert udhcpc(lab, "D").startswith("10.88.0.")
    need("dhclient")
    leases = tmp_path / "d.leases"
    leases.touch()
    assert re.search(r"bound to 10\.88\.0\.\d+", dhclient(lab, "D", leases))
    assert re.search(r"giaddr=10\.88\.0\.1 answer=ACK network=prov-b .*how=unicast", edge.read_text())


def test_a_second_server_is_refused_in_one_sentence(lab, edge):
    done = lab.run("S", *lab.edge_argv(lab.folder / "site.json"), check=False)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("UDP port 67 is in use by another program. See")
