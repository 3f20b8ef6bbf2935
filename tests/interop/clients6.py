"""Real DHCPv6 clients, each with what it takes to run it once in a namespace and to learn what it got.

As in `clients`: a context manager that is bound when the block begins. dhcpcd and networkd ask only where
a router advertisement has told them to (the M flag), dhclient asks in any case.
"""

import contextlib
import re
from pathlib import Path

from tests.interop.clients import Got
from tests.interop.netns import wait_for

NETWORKD = """
mount --make-rprivate /
mount -o remount,bind,ro /sys
mount -t tmpfs -o mode=755 t /run
mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases
chown -R systemd-network: /run/systemd/netif
printf '[Match]\\nName=c0\\n[Network]\\nDHCP=ipv6\\nIPv6AcceptRA=yes\\n' > /run/systemd/network/c0.network
exec env SYSTEMD_LOG_LEVEL=debug /lib/systemd/systemd-networkd
"""


class Dhclient6:
    """ISC's; a DUID of type LLT, kept beside the leases."""

    program = "dhclient"
    bound = re.compile(r"IAADDR (\S+)\n(?:.*\n)*.*PRC: Bound to lease")

    def argv(self, folder):
        """Ask once and stay; the lease file must be there."""
        leases = Path(folder) / "dhclient6.leases"
        leases.touch()
        files = ["-lf", str(leases), "-pf", str(leases.with_suffix(".pid"))]
        return ["dhclient", "-6", "-1", "-d", "-v", *files, "-sf", "/bin/true", "c0"]

    def releasing(self, folder):
        """Give the lease back."""
        leases = Path(folder) / "dhclient6.leases"
        files = ["-lf", str(leases), "-pf", str(leases.with_suffix(".pid"))]
        return ["dhclient", "-6", "-r", "-v", *files, "-sf", "/bin/true", "c0"]


class Dhcpcd6:
    """Roy Marples'; a DUID kept under /var/lib, Rapid Commit, and Confirm when it has a lease."""

    program = "dhcpcd"
    bound = re.compile(r"REPLY6 received from (?:.*\n)*?.*adding address (\S+)/128")

    def argv(self, folder):
        """On the one interface, without touching the machine."""
        kept = Path(folder) / "dhcpcd6"
        kept.mkdir(exist_ok=True)
        ask = "dhcpcd -6 -1 -d -B -c /bin/true -f /dev/null c0"
        quiet = f"mount --bind {kept} /var/lib/dhcpcd && mount -t tmpfs t /run && exec {ask}"
        return ["unshare", "-m", "sh", "-c", quiet]


class Networkd6:
    """systemd's, of servers and cloud images; a vendor's DUID, no hardware address in it."""

    program = "/lib/systemd/systemd-networkd"
    bound = re.compile(r"DHCPv6 address (\S+)/\d+ \(valid")

    def argv(self, folder):
        """Under a /run of its own."""
        del folder
        return ["unshare", "-m", "sh", "-c", NETWORKD]


CLIENTS6 = {"dhclient": Dhclient6(), "dhcpcd": Dhcpcd6(), "networkd": Networkd6()}


@contextlib.contextmanager
def bound(client, lab, letter, folder):
    """Run a client; the block begins when it has its address."""
    log = Path(folder) / f"{client.program.rpartition('/')[2]}6.log"
    log.write_text("")
    process = lab.start(letter, *client.argv(folder), log=log)
    try:
        said = wait_for(log, client.bound.pattern, process, 25)
        yield Got(client.bound.search(said)[1], process, log)
    finally:
        lab.end(process)
