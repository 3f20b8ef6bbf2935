"""Three servers with the same site, each in namespaces of its own: the edge, Kea, dnsmasq.

    S: s0 10.99.0.1 --- r1 10.99.0.2 : R, also 10.88.0.1 (a relay's far side) and 10.77.0.1

All clients and relays are frames that the test writes on r1. Kea is asked on raw sockets and in one
thread, dnsmasq without ping: both are quickest so, and their answers are the same.
"""

import contextlib
import json
import os

from tests.interop.netns import REPOSITORY, SERVER, Lab

LAYOUT = """
S link add s0 type veth peer name r1 netns @R
S link set s0 up
S addr add 10.99.0.1/24 dev s0
R link set r1 up
R addr add 10.99.0.2/24 dev r1
R addr add 10.88.0.1/32 dev lo
R addr add 10.77.0.1/32 dev lo
S route add 10.88.0.0/24 via 10.99.0.2
S route add 10.77.0.0/24 via 10.99.0.2
"""
NETWORKS = {"prov": "10.99.0", "prov-b": "10.88.0", "prov-c": "10.77.0"}
LEASE_S = 3600
DNS, NTP = "10.99.0.3", "10.99.0.4"
SCRIPT = f"http://{SERVER}:8080/boot.ipxe"
KEA = REPOSITORY / "build" / "tools" / "peers" / "kea-dhcp4-server"


class Bench(Lab):
    """The two namespaces of one server."""

    def __init__(self, folder, name):
        super().__init__(folder)
        self.prefix = f"rf{os.getpid()}{name[0]}"

    def up(self):
        super().up("SR", LAYOUT)

    def down(self):
        super().down("SR")


@contextlib.contextmanager
def rackflow(lab):
    """The edge."""
    networks = [
        {
            "name": name,
            "purpose": "provisioning",
            "subnet": f"{net}.0/24",
            "gateway": f"{net}.1",
            "pool": [f"{net}.50-{net}.240"],
            "dns": [DNS],
            "ntp": [NTP],
            "lease": "1h",
        }
        | ({"interface": "s0"} if name == "prov" else {})
        for name, net in NETWORKS.items()
    ]
    with lab.edge(name="rackflow", networks=networks, discovery="register"):
        yield


@contextlib.contextmanager
def kea(lab):
    """Kea 2.2 with a memory file and boot classes."""
    classes = [
        ("ipxe", "option[175].exists", {"boot-file-name": SCRIPT}),
        (
            "http",
            "substring(option[60].hex,0,10) == 'HTTPClient'",
            {"boot-file-name": f"http://{SERVER}:8080/snponly.efi"},
        ),
        ("efi64", "option[93].hex == 0x0007 or option[93].hex == 0x0009", {"boot-file-name": "snponly.efi"}),
        ("bios", "option[93].hex == 0x0000", {"boot-file-name": "undionly.kpxe"}),
    ]
    no = "not member('ipxe') and "
    told = [
        {"name": name, "test": test if name == "ipxe" else f"{no}({test})", "next-server": SERVER, **boot}
        for name, test, boot in classes
    ]
    told[1]["option-data"] = [{"name": "vendor-class-identifier", "data": "HTTPClient"}]
    subnets = [
        {
            "id": number,
            "subnet": f"{net}.0/24",
            "pools": [{"pool": f"{net}.50-{net}.240"}],
            "option-data": [{"name": "routers", "data": f"{net}.1"}],
            **({"interface": "s0"} if name == "prov" else {}),
        }
        for number, (name, net) in enumerate(NETWORKS.items(), 1)
    ]
    config = {
        "interfaces-config": {"interfaces": ["s0"], "dhcp-socket-type": "raw"},
        "lease-database": {"type": "memfile", "persist": False},
        "multi-threading": {"enable-multi-threading": False},
        "valid-lifetime": LEASE_S,
        "next-server": SERVER,
        "calculate-tee-times": True,
        "t1-percent": 0.5,
        "t2-percent": 0.875,
        "control-socket": {"socket-type": "unix", "socket-name": str(lab.folder / "kea.sock")},
        "option-data": [
            {"name": "domain-name-servers", "data": DNS},
            {"name": "ntp-servers", "data": NTP},
        ],
        "client-classes": told,
        "subnet4": subnets,
        "loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}],
    }
    file = lab.folder / "kea.json"
    file.write_text(json.dumps({"Dhcp4": config}))
    env = {
        "LD_LIBRARY_PATH": f"{KEA}/usr/lib/x86_64-linux-gnu",
        "KEA_LOCKFILE_DIR": str(lab.folder),
        "KEA_PIDFILE_DIR": str(lab.folder),
    }
    told = [f"{name}={value}" for name, value in env.items()]
    argv = ("env", *told, str(KEA / "usr/sbin/kea-dhcp4"), "-c", str(file))
    with lab.running("S", *argv, ready="DHCP4_STARTED", name="kea"):
        yield


@contextlib.contextmanager
def dnsmasq(lab):
    """Dnsmasq 2.90 with a lease file."""
    argv = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--no-ping"]
    argv += ["--interface=s0", f"--dhcp-leasefile={lab.folder / 'dnsmasq.leases'}", "--dhcp-lease-max=10000"]
    for net in NETWORKS.values():
        tag = net.replace(".", "-")
        argv += [f"--dhcp-range=set:{tag},{net}.50,{net}.240,255.255.255.0,{LEASE_S}s"]
        argv += [f"--dhcp-option=tag:{tag},3,{net}.1"]
    argv += [f"--dhcp-option=6,{DNS}", f"--dhcp-option=42,{NTP}"]
    argv += ["--dhcp-match=set:efi64,93,7", "--dhcp-match=set:efi64,93,9", "--dhcp-match=set:bios,93,0"]
    argv += ["--dhcp-match=set:ipxe,175", "--dhcp-vendorclass=set:http,HTTPClient"]
    argv += [f"--dhcp-boot=tag:!ipxe,tag:!http,tag:efi64,snponly.efi,,{SERVER}"]
    argv += [f"--dhcp-boot=tag:!ipxe,tag:bios,undionly.kpxe,,{SERVER}"]
    argv += [f"--dhcp-boot=tag:!ipxe,tag:http,http://{SERVER}:8080/snponly.efi,,{SERVER}"]
    argv += [f"--dhcp-boot=tag:ipxe,{SCRIPT},,{SERVER}", "--dhcp-option-force=tag:http,60,HTTPClient"]
    argv += ["--dhcp-option-force=tag:ipxe,175,b0:01:01"]
    with lab.running("S", *argv, ready="DHCP, IP range", name="dnsmasq"):
        yield


SERVERS = {"rackflow": rackflow, "kea": kea, "dnsmasq": dnsmasq}
