"""IPv6 on edges of their own: short leases, and who is answered."""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.interop.clients6 import CLIENTS6, bound
from tests.interop.netns import DIRECT
from tests.interop.places6 import DIRECT6, lease, machine, with_ipv6
from tests.interop.wire6 import messages

pytestmark = pytest.mark.interop


def test_renew_confirm_and_release(lab, need, tmp_path):
    need("dhclient")
    client = CLIENTS6["dhclient"]
    with_ipv6(lab)
    # Renewed after half of it; the rest is for the client to end, confirm what it has, and give it back.
    with lab.edge(name="v6-short", networks=[DIRECT, DIRECT6 | {"lease": "30s"}]) as edge:
        mac = machine(lab, "C")
        with bound(client, lab, "C", tmp_path) as got:
            got.wait_for(r"XMT: Renew(?:.*\n)*.*RCV: Reply", 60)
            first = lease(edge, mac)["address"]
        with bound(client, lab, "C", tmp_path) as got:  # it has a lease, so it begins with Confirm
            assert re.search(r"XMT: (Confirm|Rebind)", got.log.read_text())
            assert got.address == first
        lab.run("C", *client.releasing(tmp_path))
        assert lease(edge, mac)["state"] == "released"
        assert "answer=REPLY" in edge.said()


def test_an_unknown_machine_under_hold_is_silent_with_its_reason(lab, need, tmp_path):
    need("dhclient")
    with_ipv6(lab)
    with lab.edge(name="v6-hold", discovery="hold", networks=[DIRECT, DIRECT6]) as edge:
        mac = machine(lab, "C")
        duid = f"'\\x00\\x03\\x00\\x01' + bytes.fromhex('{mac.replace(':', '')}').decode('latin1')"
        code = (
            "import socket\n"
            f"duid = ({duid}).encode('latin1')\n"
            "o = lambda c, v: c.to_bytes(2, 'big') + len(v).to_bytes(2, 'big') + v\n"
            "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
            "m = b'\\1\\0\\0\\7' + o(1, duid) + o(3, bytes(12)) + o(61, b'\\0\\7')\n"
            "s.sendto(m, ('ff02::1:2', 547, 0, socket.if_nametoindex('c0')))\n"
        )
        lab.run("C", "python3", "-c", code)
        told = edge.why(mac)
    assert "approve" in told, told
    assert (edge.data / "edge" / "dhcp6.duid").exists()


def kill_edges(lab):
    """Kill -9 the processes of the edge in the server's namespace; one may have ended meanwhile."""
    inside = subprocess.run(
        ["ip", "netns", "pids", lab.namespace("S")], check=True, capture_output=True, text=True
    ).stdout.split()
    for pid in inside:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if b"pxe_edge" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(int(pid), signal.SIGKILL)


def test_a_lease_and_the_servers_identifier_survive_kill_9(lab, need, tmp_path):
    need("dhclient")
    with_ipv6(lab)
    with lab.edge(name="v6-kill", networks=[DIRECT, DIRECT6]) as edge:
        mac = machine(lab, "C")
        with lab.watch("S", "br0") as watch:
            with bound(CLIENTS6["dhclient"], lab, "C", tmp_path) as got:
                address = got.address
            kill_edges(lab)
            edge.process.wait(10)
            edge.log = edge.folder / "again.log"  # so that `start` waits for this start
            edge.start()
            assert lease(edge, mac)["address"] == address
            (tmp_path / "dhclient6.leases").unlink()  # it forgets, the edge does not
            with bound(CLIENTS6["dhclient"], lab, "C", tmp_path) as got:
                assert got.address == address
        servers = {m.option(2) for m in messages(watch) if m.kind == "REPLY"}
        assert len(servers) == 1
