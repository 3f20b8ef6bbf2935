"""The site's own DHCP server, in C on the edge's link, under configuration that the edge prints.

For each server: what checks its file, what runs it, and what it says when it serves.
"""

import contextlib
import time
from typing import Final

from tests.interop.netns import RELAY, REPOSITORY

OWN: Final = "10.99.0.10"
"""Its address: C's."""
PEERS: Final = REPOSITORY / "build" / "tools" / "peers"


def _dnsmasq(config):
    leases = f"--dhcp-leasefile={config.with_suffix('.leases')}"
    told = ["dnsmasq", f"--conf-file={config}", "--port=0", leases]
    return (
        [*told, "--test"],
        [*told, "--no-daemon", "--no-ping", "--bind-interfaces", "--interface=c0"],
        "IP range",
    )


def _kea(config):
    root = PEERS / "kea-dhcp4-server"
    folder = config.with_suffix(".state")
    folder.mkdir(exist_ok=True)
    text = config.read_text().replace('"persist": true', f'"persist": true, "name": "{folder}/leases.csv"')
    config.write_text(text)
    env = [f"LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu", f"KEA_LFC_EXECUTABLE={root}/usr/sbin/kea-lfc"]
    env += [f"KEA_{what}_DIR={folder}" for what in ("LOCKFILE", "PIDFILE")]
    told = ["env", *env, str(root / "usr/sbin/kea-dhcp4")]
    return [*told, "-t", str(config)], [*told, "-c", str(config)], "DHCP4_STARTED"


def _isc(config):
    root, leases = PEERS / "isc-dhcp-server", config.with_suffix(".leases")
    leases.touch()
    told = [str(root / "usr/sbin/dhcpd"), "-4", "-cf", str(config), "-lf", str(leases)]
    pid = ["-pf", str(config.with_suffix(".pid"))]
    return [*told, "-t"], [*told, *pid, "-d", "-f", "c0"], "Sending on   Socket/fallback"


SERVERS: Final = {"dnsmasq": _dnsmasq, "kea": _kea, "isc": _isc}


@contextlib.contextmanager
def own_server(lab, edge, name):
    """Run one with what `rackflow site snippet` prints, once the server's own check has read it."""
    config = lab.folder / f"snippet-{name}-{time.monotonic_ns()}.conf"
    config.write_text(edge.cli("site", "snippet", name).stdout)
    check, run, ready = SERVERS[name](config)
    lab.run("C", *check)
    lab.ip("C", f"route replace 10.88.0.0/24 via {RELAY}")
    try:
        with lab.running("C", *run, ready=ready, name=name):
            yield
    finally:
        lab.ip("C", "route del 10.88.0.0/24")
