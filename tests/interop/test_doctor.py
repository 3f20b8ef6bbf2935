"""`rackflow doctor` against a whole edge in a namespace, one fault planted at a time: found, and named."""

import json
import re

import pytest

from tests.interop.netns import CLI, DIRECT, RELAYED, Edge

pytestmark = pytest.mark.interop
NETWORKS = [DIRECT, RELAYED | {"relays": ["10.88.0.1"]}]
ALWAYS = {"Prefect", "boot OS"}
"""What is amiss on this bench whatever is planted: nobody runs Prefect, and no boot OS is built."""
OTHERS = "network prov, other DHCP servers"
RANGE = "--dhcp-range=10.99.0.200,10.99.0.210,1h"
DNSMASQ = (
    *("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--leasefile-ro"),
    "--interface=c0",
)


def ask(edge, *words, letter=None, before=(), **env):
    """What the doctor says, with the edge's data folder if nothing else is told."""
    told = {"RACKFLOW_DATA": str(edge.data), **env}
    argv = (*before, *CLI, "doctor", "--json", "--listen", "2", *words)
    done = edge.lab.run(letter or edge.letter, *argv, check=False, timeout=90, env=told)
    assert done.stdout, done.stderr
    return Answer(done.returncode, json.loads(done.stdout))


class Answer:
    """What the doctor printed, and its exit code."""

    def __init__(self, code, told):
        self.code, self.told, self.checks = code, told, told["checks"]

    def __getitem__(self, name):
        (found,) = [check for check in self.checks if check["name"] == name]
        return found

    def amiss(self):
        return {check["name"] for check in self.checks if check["status"] in ("failed", "warning")}

    def statuses(self, group):
        return {check["status"] for check in self.checks if check["group"] == group}


@pytest.fixture(scope="module")
def edge(lab):
    """An edge whose site holds strangers back."""
    with lab.edge(name="doctor", discovery="hold", networks=NETWORKS) as edge:
        yield edge


def test_a_sound_site_on_the_edges_machine(edge, lab):
    said = ask(edge)

    assert said.amiss() == ALWAYS
    assert "http://127.0.0.1:4200/api does not answer" in said["Prefect"]["message"]
    assert said.code == 1, "Prefect is down"
    assert said.told["on_edge_host"] is True
    answer = said["network prov, our answer"]["message"]
    assert re.fullmatch(r"10\.99\.0\.1 offers 10\.99\.0\.\d+, router 10\.99\.0\.1, lease 3600 s", answer)
    assert "10.99.0.1 offers 10.88.0." in said["network prov-b, our answer"]["message"]
    assert said["snponly.efi, TFTP at 10.99.0.1"]["status"] == "ok"
    assert said["network prov-b, path to 10.88.0.1"]["message"] == "packets of 1500 octets arrive whole"
    links = {link["ifname"] for link in json.loads(lab.run("S", "ip", "-j", "link").stdout)}
    assert links == {"lo", "br0", "s0", "s1"}, "the probe leaves nothing on the bridge"


def test_a_forgotten_server_on_the_link(edge, lab, need):
    need("dnsmasq")
    forgotten = (*DNSMASQ, RANGE, "--dhcp-boot=evil.efi")
    with lab.running("C", *forgotten, ready="IP range", name="forgotten"):
        said = ask(edge, "--only", "dhcp", "--listen", "10")  # it pings for three seconds before it offers
    mac_of_c0 = lab.mac("C", "c0").hex(":")

    assert (said.code, said.amiss()) == (1, {OTHERS})
    assert re.search(
        rf"on br0, 10\.99\.0\.10 \({mac_of_c0}\) offers 10\.99\.0\.2\d\d, .*boot file evil\.efi",
        said[OTHERS]["message"],
    )
    assert "find its port by that MAC" in said[OTHERS]["next"]


def test_a_forgotten_server_that_answers_firmware_only(edge, lab, need):
    need("dnsmasq")
    forgotten = (*DNSMASQ, "--dhcp-range=10.99.0.0,proxy", "--pxe-service=X86-64_EFI,boot,evil")
    with lab.running("C", *forgotten, ready="proxy on subnet", name="forgotten"):
        said = ask(edge, "--only", "dhcp")
    mac_of_c0 = lab.mac("C", "c0").hex(":")

    assert said.amiss() == {OTHERS}
    assert f"10.99.0.10 ({mac_of_c0}) offers no address" in said[OTHERS]["message"]


def test_a_loader_that_is_not_there(edge):
    loader = edge.data / "boot" / "snponly.efi"
    kept = loader.read_bytes()
    loader.unlink()
    try:
        said = ask(edge, "--only", "boot")
    finally:
        loader.write_bytes(kept)

    named = said["snponly.efi, TFTP at 10.99.0.1"]
    assert named["status"] == "failed"
    assert "machines of architecture 7, 9" in named["message"]
    assert said["undionly.kpxe, TFTP at 10.99.0.1"]["status"] == "ok"


def test_a_relay_without_a_route_back(edge, lab):
    lab.ip("S", "route del 10.88.0.0/24")
    try:
        said = ask(edge, "--only", "routes")
    finally:
        lab.ip("S", "route add 10.88.0.0/24 via 10.99.0.2")

    assert (said.code, said.amiss()) == (1, {"network prov-b, relay 10.88.0.1"})
    assert said["network prov-b, relay 10.88.0.1"]["next"].startswith("ip route add 10.88.0.0/24 via")


def test_a_path_that_drops_large_packets_in_silence(edge, lab):
    lab.ip("R", "link set r1 mtu 1300")
    try:
        said = ask(edge, "--only", "path")
    finally:
        lab.ip("R", "link set r1 mtu 1500")

    path = said["network prov-b, path to 10.88.0.1"]
    assert (said.code, path["status"]) == (1, "failed")
    assert path["message"].startswith("packets of 1500 octets are lost, the largest that arrives has 13")


def test_from_a_laptop_on_the_link(edge):
    said = ask(edge, "--only", "dhcp", "--only", "boot", "--only", "ports", letter="C", **laptop(edge))

    assert said.told["on_edge_host"] is False
    assert said.amiss() == {"boot OS"}
    assert said.statuses("ports") == {"skipped"}
    assert said.statuses("dhcp") == {"ok"}


def test_from_a_laptop_without_rights(edge):
    bare = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

    said = ask(edge, "--only", "dhcp", letter="C", before=bare, **laptop(edge))

    assert said["network prov, other servers"]["message"] == "hearing them needs a raw socket"
    assert "10.99.0.1 offers 10.99.0." in said["network prov, our answer"]["message"]
    assert "10.99.0.1 offers 10.88.0." in said["network prov-b, our answer"]["message"]


def laptop(edge):
    tls, token = edge.data / "edge" / "tls" / "ca.pem", edge.data / "edge" / "tokens" / "admin"
    where = {"RACKFLOW_CA_FILE": tls, "RACKFLOW_TOKEN_FILE": token, "RACKFLOW_DATA": "/nonexistent"}
    return {"RACKFLOW_EDGE_URL": "https://10.99.0.1:8443", **where}


def test_a_port_that_somebody_else_has(lab, need, tmp_path):
    need("dnsmasq")
    down = Edge(lab, "C", tmp_path)
    down.write(networks=[DIRECT | {"interface": "c0"}])
    (down.data / "edge").mkdir(parents=True)
    with lab.running("C", *DNSMASQ, RANGE, ready="IP range", name="holder"):
        said = ask(down, "--only", "edge", "--only", "ports", "--specs", str(down.specs))

    assert said.code == 5, "the edge does not run"
    taken = said["UDP port 67 (DHCP)"]
    assert taken["status"] == "failed"
    assert re.search(r"has dnsmasq \(pid \d+\)", taken["message"])
    assert RANGE in taken["next"]
    assert said["UDP port 69 (TFTP)"]["message"] == "is free for the edge"


def test_a_site_whose_interface_is_not_there(lab):
    networks = [DIRECT | {"interface": "prov0"}]
    with lab.edge(name="no-interface", letter="C", networks=networks) as edge:
        said = ask(edge, "--only", "networks", "--only", "dhcp", "--only", "boot")

    assert said["network prov"]["status"] == "failed"
    assert said["network prov"]["message"] == "interface prov0 is not there; this machine has: c0"
    assert "write interface: c0" in said["network prov"]["next"]
    assert said["boot files"]["message"] == "the edge has no address for machines"
