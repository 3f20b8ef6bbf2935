"""Real DHCP clients, each with what it takes to run it once in a namespace and to learn what it got.

A client is a context manager: it is bound when the block begins, and ended when the block ends. All of
them ask on interface c0 and leave the rest of the machine alone: lease files and /run are their own.
"""

import contextlib
import re
import signal
from pathlib import Path

from tests.interop.netns import wait_for

CONFIGURE = """#!/bin/sh
case "$1" in
bound) ip addr replace "$ip/$mask" dev "$interface"
    test -z "$router" || ip route replace default via "$router" dev "$interface";;
deconfig) test -z "$ip" || ip addr del "$ip/24" dev "$interface";;
esac
exit 0
"""
NETWORKD = """
mount --make-rprivate /
mount -o remount,bind,ro /sys
mount -t tmpfs -o mode=755 t /run
mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases
chown -R systemd-network: /run/systemd/netif
printf '[Match]\\nName=c0\\n[Network]\\nDHCP=ipv4\\nLinkLocalAddressing=no\\nIPv6AcceptRA=no\\n' \\
    > /run/systemd/network/c0.network
exec /lib/systemd/systemd-networkd
"""


class Udhcpc:
    """BusyBox's, the client of boot OS and installers."""

    program = "udhcpc"
    bound = re.compile(r"lease of (\S+) obtained from (\S+),")
    releases = True

    @contextlib.contextmanager
    def run(self, lab, letter, folder, *more, release=True):
        script = Path(folder) / "udhcpc.sh"
        script.write_text(CONFIGURE)
        script.chmod(0o755)
        argv = ["udhcpc", "-i", "c0", "-n", "-f", "-t", "4", "-T", "2", "-A", "1", "-s", str(script), *more]
        argv += ["-R"] if release else []
        with _until_bound(self, lab, letter, folder, argv) as got:
            yield got

    @staticmethod
    def renew(process):
        """Ask for a longer lease now."""
        process.send_signal(signal.SIGUSR1)


class Dhclient:
    """ISC's, what Debian installs by default; keeps leases and begins with INIT-REBOOT."""

    program = "dhclient"
    bound = re.compile(r"bound to (\S+) --")
    releases = False

    @contextlib.contextmanager
    def run(self, lab, letter, folder):
        leases = Path(folder) / "dhclient.leases"
        leases.touch()
        argv = [
            "dhclient",
            "-4",
            "-1",
            "-d",
            "-v",
            "-lf",
            str(leases),
            "-pf",
            str(leases.with_suffix(".pid")),
        ]
        with _until_bound(self, lab, letter, folder, [*argv, "-sf", "/bin/true", "c0"]) as got:
            yield got

    @staticmethod
    def move(folder, address, foreign):
        """Let its kept lease be one of another network."""
        leases = Path(folder) / "dhclient.leases"
        leases.write_text(leases.read_text().replace(address, foreign))


class Dhcpcd:
    """Roy Marples', of Raspberry Pi OS and Gentoo: client identifier a DUID, keeps the last ACK."""

    program = "dhcpcd"
    bound = re.compile(r"leased (\S+) for")
    releases = False

    @contextlib.contextmanager
    def run(self, lab, letter, folder):
        kept = Path(folder) / "dhcpcd"
        kept.mkdir(exist_ok=True)
        ask = "dhcpcd -4 -1 -d -B --noarp -c /bin/true -f /dev/null -L c0"
        quiet = f"mount --bind {kept} /var/lib/dhcpcd && mount -t tmpfs t /run && exec {ask}"
        argv = ("unshare", "-m", "sh", "-c", quiet)
        with _until_bound(self, lab, letter, folder, argv) as got:
            yield got

    @staticmethod
    def move(folder, address, foreign):
        """The kept lease is the ACK as it came."""
        lease = Path(folder) / "dhcpcd" / "c0.lease"
        as_octets = [bytes(int(part) for part in text.split(".")) for text in (address, foreign)]
        lease.write_bytes(lease.read_bytes().replace(*as_octets))


class Networkd:
    """systemd's, of servers and cloud images: no broadcast flag, DUID, RELEASE at its end."""

    program = "/lib/systemd/systemd-networkd"
    bound = re.compile(r"DHCPv4 address (\S+)/\d+, gateway \S+ acquired from (\S+)")
    releases = True

    @contextlib.contextmanager
    def run(self, lab, letter, folder):
        argv = ("unshare", "-m", "sh", "-c", NETWORKD)
        with _until_bound(self, lab, letter, folder, argv) as got:
            yield got


CLIENTS = {"udhcpc": Udhcpc(), "dhclient": Dhclient(), "dhcpcd": Dhcpcd(), "networkd": Networkd()}


class Got:
    """What a client says it got, and the running client."""

    def __init__(self, address, process, log):
        self.address, self.process, self.log = address, process, log

    def wait_for(self, text, timeout=15.0):
        """Wait until it says something."""
        return wait_for(self.log, text, self.process, timeout)


@contextlib.contextmanager
def _until_bound(client, lab, letter, folder, argv):
    log = Path(folder) / f"{client.program.rpartition('/')[2]}.log"
    log.write_text("")
    process = lab.start(letter, *argv, log=log)
    try:
        said = wait_for(log, client.bound.pattern, process, 20)
        yield Got(client.bound.search(said)[1], process, log)
    finally:
        lab.end(process)
