"""DHCP servers to measure against, set up to answer as ours does.

A lease lasts an hour, and the boot file goes by the architecture. Their logs are as quiet as they can be
made, but for Kea's, which is measured both as Debian configures it (a line per lease) and quiet. None of
them pings an address before it is given.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.edge import ours
from bench.edge.testbed import (
    NETMASK,
    POOL,
    PREFIX,
    SERVER,
    SERVER_LINK,
    SUBNET,
    MissingError,
    Subject,
    Testbed,
    program,
)

LEASE_S = 3600
LOADER = "snponly.efi"
DNSMASQ = Path("/usr/sbin/dnsmasq")
DHCPD_LAST = "10.64.64.255"
"""dhcpd's work for a new lease grows with its pool (0.15 ms at 4,096 addresses, 4 at 65,000, 30 at half a
million), so it is given 16,384: enough for one run."""


@dataclass(frozen=True)
class Command:
    """How a peer is started."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


def kea(folder: Path, *, quiet: bool) -> Command:
    """Kea with its leases in memory and in a CSV file (which it never syncs), multi-threaded."""
    binary, env = program("kea-dhcp4-server", "usr/sbin/kea-dhcp4")
    config = {
        "Dhcp4": {
            "interfaces-config": {"interfaces": [SERVER_LINK], "dhcp-socket-type": "udp"},
            "multi-threading": {"enable-multi-threading": True},
            "lease-database": {"type": "memfile", "persist": True, "name": str(folder / "leases.csv")},
            "valid-lifetime": LEASE_S,
            "client-classes": [
                {
                    "name": "efi64",
                    "test": "option[93].hex == 0x0007",
                    "boot-file-name": LOADER,
                    "next-server": SERVER,
                }
            ],
            "subnet4": [
                {
                    "subnet": f"{SUBNET}/{PREFIX}",
                    "interface": SERVER_LINK,
                    "pools": [{"pool": "-".join(POOL)}],
                    "option-data": [
                        {"name": "routers", "data": SERVER},
                        {"name": "domain-name-servers", "data": SERVER},
                    ],
                }
            ],
            "loggers": [
                {
                    "name": "kea-dhcp4",
                    "output_options": [{"output": "stderr" if quiet else str(folder / "kea.log")}],
                    "severity": "WARN" if quiet else "INFO",
                }
            ],
        }
    }
    file = folder / "kea.json"
    file.write_text(json.dumps(config))
    cleaner, _ = program("kea-dhcp4-server", "usr/sbin/kea-lfc")
    folders = {f"KEA_{what}_DIR": str(folder) for what in ("PIDFILE", "LOCKFILE")}
    return Command((binary, "-c", str(file)), {**env, **folders, "KEA_LFC_EXECUTABLE": cleaner})


def dnsmasq(folder: Path, *, lease_file: bool) -> Command:
    """dnsmasq; without a lease file it keeps its leases in memory only."""
    if not DNSMASQ.exists():
        raise MissingError("dnsmasq-base is not installed: scripts/setup")
    leases = folder / "dnsmasq.leases"
    argv = [
        *(
            str(DNSMASQ),
            "--no-daemon",
            "--conf-file=/dev/null",
            "--port=0",
        ),
        *(f"--interface={SERVER_LINK}", "--bind-interfaces", "--no-ping", "--quiet-dhcp", "--no-hosts"),
        *("--dhcp-authoritative", "--dhcp-lease-max=1000000", "--pid-file=", "--no-resolv"),
        f"--dhcp-range={POOL[0]},{POOL[1]},{NETMASK},{LEASE_S}",
        *(f"--dhcp-option=3,{SERVER}", f"--dhcp-option=6,{SERVER}"),
        *("--dhcp-match=set:efi64,93,7", f"--dhcp-boot=tag:efi64,{LOADER},,{SERVER}"),
        f"--dhcp-leasefile={leases}" if lease_file else "--leasefile-ro",
    ]
    return Command(argv)


def dhcpd(folder: Path) -> Command:
    """ISC dhcpd, which syncs its lease file before each ACK."""
    binary, env = program("isc-dhcp-server", "usr/sbin/dhcpd")
    config, leases = folder / "dhcpd.conf", folder / "dhcpd.leases"
    leases.write_text("")
    config.write_text(
        f"""
authoritative; ping-check false; default-lease-time {LEASE_S}; max-lease-time {LEASE_S};
option arch code 93 = unsigned integer 16;
if option arch = 7 {{ filename "{LOADER}"; next-server {SERVER}; }}
subnet {SUBNET} netmask {NETMASK} {{
    range {POOL[0]} {DHCPD_LAST};
    option routers {SERVER}; option domain-name-servers {SERVER};
}}
"""
    )
    own = ("-4", "-f", "-q", "-cf", str(config), "-lf", str(leases), "-pf", str(folder / "dhcpd.pid"))
    return Command((binary, *own, SERVER_LINK), env)


PEERS: Mapping[str, Callable[[Path], Command]] = {
    "Kea": lambda folder: kea(folder, quiet=False),
    "Kea, quiet": lambda folder: kea(folder, quiet=True),
    "dnsmasq -ro": lambda folder: dnsmasq(folder, lease_file=False),
    "dnsmasq": lambda folder: dnsmasq(folder, lease_file=True),
    "ISC dhcpd": dhcpd,
}
"""Peers by the name that the table shows."""


@contextmanager
def server(testbed: Testbed, name: str) -> Iterator[Subject]:
    """A peer, or ours, with no leases yet."""
    if name == ours.NAME:
        with ours.edge(testbed) as subject:
            yield subject
        return
    folder = testbed.folder / name.replace(" ", "-")
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    command = PEERS[name](folder)
    with testbed.subject(
        name, command.argv, lambda started: started.listens("udp", 67), env=command.env
    ) as subject:
        yield subject
