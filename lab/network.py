"""The rack's cables: bridges, a router, the edge's and the BMCs' network namespaces.

    sw      br-prov, br-prov-b, br-bmc and the machines' taps; QEMU runs here
    edge    prov0 10.77.1.2/24: where the provisioning edge runs
    rtr     router and DHCP relay: 10.77.1.1 (prov), 10.77.2.1 (prov-b), 10.77.9.1 (bmc)
    bmc-M   eth0 of the BMC of machine M, without an address until somebody sets one in band

`python -m lab.network RACKFILE` builds it, inside the rack's namespace.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.definition import RackDefinition, load
from lab.errors import LabError

EDGE_ADDRESS = "10.77.1.2"
ROUTER = {"prov": "10.77.1.1", "prov-b": "10.77.2.1", "bmc": "10.77.9.1"}
ROUTER_LINK = {"prov": "prov0", "prov-b": "provb0", "bmc": "bmc0"}
ROUTER_V6_PROV_B = "fd77:2::1/64"
EDGE_MAC = "02:77:00:01:00:02"
SWITCH = "sw"
EDGE_PORT_OF_SWITCH = "v-edge"


@dataclass(frozen=True)
class Batch:
    """Lines for `ip -batch`, in one network namespace (None: the rack's first one)."""

    netns: str | None
    lines: tuple[str, ...]


def tap(machine: str, index: int) -> str:
    """Name of the tap of a machine's NIC."""
    return f"{machine}n{index}"


def bmc_netns(machine: str) -> str:
    """Name of the network namespace of a machine's BMC."""
    return f"bmc-{machine}"


def _switch(rack: RackDefinition) -> Batch:
    lines = ["link set lo up"]
    for network in ROUTER:
        lines += [
            f"link add br-{network} type bridge forward_delay 0 mcast_snooping 0",
            f"link set br-{network} up",
        ]
    legs = [(EDGE_PORT_OF_SWITCH, "prov0", "edge", "prov")]
    legs += [(f"v-rtr-{network}", ROUTER_LINK[network], "rtr", network) for network in ROUTER]
    legs += [(f"v-{machine.name}-bmc", "eth0", bmc_netns(machine.name), "bmc") for machine in rack.machines]
    for outer, inner, netns, network in legs:
        lines.append(f"link add {outer} type veth peer name {inner} netns {netns}")
        lines.append(f"link set {outer} master br-{network} up")
    for machine in rack.machines:
        for index, nic in enumerate(machine.nics):
            lines.append(f"tuntap add {tap(machine.name, index)} mode tap")
            lines.append(f"link set {tap(machine.name, index)} master br-{nic.network} up")
    return Batch(SWITCH, tuple(lines))


def _router() -> Batch:
    lines = ["link set lo up"]
    for number, (network, address) in enumerate(ROUTER.items()):
        link = ROUTER_LINK[network]
        lines += [f"link set {link} address 02:77:00:0{number + 1}:00:01", f"link set {link} up"]
        lines.append(f"addr add {address}/24 dev {link}")
    # A router advertisement saves iPXE 10 s of waiting for one; on prov the edge sends it.
    lines.append(f"addr add {ROUTER_V6_PROV_B} dev {ROUTER_LINK['prov-b']} nodad")
    return Batch("rtr", tuple(lines))


def batches(rack: RackDefinition) -> list[Batch]:
    """Everything `ip` has to do, in order."""
    bmcs = [(bmc_netns(machine.name), machine.bmc.mac) for machine in rack.machines]
    names = ["sw", "edge", "rtr", *(netns for netns, _ in bmcs)]
    edge = (
        "link set lo up",
        f"link set prov0 address {EDGE_MAC}",
        "link set prov0 up",
        f"addr add {EDGE_ADDRESS}/24 dev prov0",
        f"route add default via {ROUTER['prov']}",
    )
    return [
        Batch(None, ("link set lo up", *(f"netns add {name}" for name in names))),
        _switch(rack),
        Batch("edge", edge),
        _router(),
        *(
            Batch(netns, ("link set lo up", f"link set eth0 address {mac}", "link set eth0 up"))
            for netns, mac in bmcs
        ),
    ]


def relay_command(pid_file: Path) -> list[str]:
    """The DHCP relay of prov-b and bmc, and the router advertisement of prov-b: a real dnsmasq.

    `--no-daemon`: it would change its group otherwise, which a single-id user namespace denies.
    """
    argv = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--log-facility=-", "--log-dhcp"]
    argv += [f"--dhcp-relay={ROUTER[network]},{EDGE_ADDRESS}" for network in ("prov-b", "bmc")]
    return [*argv, "--enable-ra", "--dhcp-range=fd77:2::,ra-only", f"--pid-file={pid_file}"]


def _set_sysctl(netns: str, name: str, value: str) -> None:
    """Write through tee(1): /proc/sys/net shows the network namespace of whoever looks."""
    path = "/proc/sys/" + name.replace(".", "/")
    subprocess.run(
        ["ip", "netns", "exec", netns, "tee", path], input=value, text=True, check=True, capture_output=True
    )


def build(rack: RackDefinition) -> None:
    """Make all of it; runs inside the rack's namespace."""
    for batch in batches(rack):
        where = [] if batch.netns is None else ["-n", batch.netns]
        done = subprocess.run(
            ["ip", *where, "-batch", "-"],
            input="\n".join(batch.lines) + "\n",
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise LabError(
                f"the rack's network could not be built in {batch.netns or 'init'}: {done.stderr.strip()}"
            )
    _set_sysctl("rtr", "net.ipv4.ip_forward", "1")


if __name__ == "__main__":
    try:
        build(load(Path(sys.argv[1])))
    except LabError as failure:
        sys.exit(str(failure))
