#!/usr/bin/python3 -IS
"""Bring-up of the boot OS: read the boot seed, bring up the NIC that PXE-booted, start sshd, report in.

Runs under busybox init (/etc/inittab) as /usr/lib/rackflow/bring-up; stdlib only. It decides nothing:
who may log in, where to report and which address to use stand in the seed (/etc/rackflow/seed.json,
DESIGN section 4). What it does is said on the serial console, one line per step with the uptime, because
that line is all there is to see when it fails. It never gives up by itself: DHCP and the report are
tried until they succeed or the edge refuses.
"""

import json
import os
import re
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

SEED = Path("/etc/rackflow/seed.json")
RUN = Path("/run/rackflow")
LEASE = RUN / "lease"
HOST_KEY = Path("/etc/ssh/ssh_host_ed25519_key")
NET = Path("/sys/class/net")
DMI = Path("/sys/class/dmi/id")
NIC_WAIT_S = 60.0
SETTLE_S = 60
REPLY_BYTES_MAX = 65536
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
RETRIED_CLIENT_ERRORS = (408, 429)


class SeedError(Exception):
    """The boot seed is absent or is not what the edge writes."""


class ReportError(Exception):
    """A report did not reach the edge, or the answer was no HTTP."""


@dataclass(frozen=True)
class StaticNetwork:
    """An address given by the seed instead of by DHCP."""

    address: str
    gateway: str | None
    dns: tuple[str, ...]


@dataclass(frozen=True)
class Seed:
    """What one boot is told by the edge."""

    boot_no: int
    token: str
    report_in: str
    authorized_key: str
    time_s: int
    epoch_floor: int
    network: StaticNetwork | None


def parse_seed(text: str) -> Seed:
    """The seed's JSON as a value; anything else is a SeedError that names the field."""
    try:
        raw = json.loads(text)
        if raw["version"] != 1:
            raise SeedError(f"version: expected 1, got {raw['version']!r}")
        network = raw.get("network")
        return Seed(
            boot_no=int(raw["boot_no"]),
            token=str(raw["token"]),
            report_in=str(raw["report_in"]),
            authorized_key=str(raw["authorized_key"]),
            time_s=int(raw["time"]),
            epoch_floor=int(raw["epoch_floor"]),
            network=None
            if network is None
            else StaticNetwork(
                str(network["address"]), network.get("gateway"), tuple(network.get("dns", ()))
            ),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise SeedError(f"not a seed: {error}") from error
    except KeyError as error:
        raise SeedError(f"field {error} is missing") from error


def boot_mac(command_line: str) -> str | None:
    """The hardware address in BOOTIF=01-aa-bb-.. (PXELINUX's form; 01 is the ARP type of Ethernet)."""
    found = re.search(r"(?:^|\s)BOOTIF=01-([0-9a-fA-F]{2}(?:-[0-9a-fA-F]{2}){5})(?:\s|$)", command_line)
    return found.group(1).lower().replace("-", ":") if found else None


def say(text: str) -> None:
    """One line on the serial console, with the uptime."""
    uptime = Path("/proc/uptime").read_text().split()[0]
    with open("/dev/console", "w") as console:  # noqa: PTH123 - a console is not seekable, Path.write_text is for files
        console.write(f"bootos: {uptime} {text}\n")


def call(*argv: str) -> int:
    """Run a tool whose failure is seen in what follows."""
    return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


def read_line(path: Path) -> str:
    """A value of sysfs; "" when the machine does not have it."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def find_nic(mac: str | None) -> str | None:
    """The Ethernet interface with this permanent address; without an address, the first one with a link."""
    for folder in sorted(NET.iterdir()):
        if read_line(folder / "type") != "1" or not (folder / "device").exists():
            continue
        if mac is None:
            call("ip", "link", "set", folder.name, "up")
        if read_line(folder / "address") == mac or (mac is None and read_line(folder / "carrier") == "1"):
            return folder.name
    return None


def wait_for_nic(mac: str | None) -> str:
    """Drivers take seconds to probe; say so when it takes long, and go on waiting."""
    told = time.monotonic()
    while True:
        nic = find_nic(mac)
        if nic is not None:
            return nic
        if time.monotonic() - told > NIC_WAIT_S:
            seen = {folder.name: read_line(folder / "address") for folder in sorted(NET.iterdir())}
            say(f"still no NIC with address {mac or 'and link'}; seen {seen}")
            told = time.monotonic()
        time.sleep(0.05)


def start_network(nic: str, network: StaticNetwork | None) -> None:
    """Give the NIC its address; DHCP is asked until it answers and then kept renewed."""
    call("ip", "link", "set", "lo", "up")
    call("ip", "link", "set", nic, "up")
    if network is not None:
        call("ip", "addr", "replace", network.address, "dev", nic)
        if network.gateway:
            call("ip", "route", "replace", "default", "via", network.gateway, "dev", nic)
        Path("/etc/resolv.conf").write_text("".join(f"nameserver {server}\n" for server in network.dns))
        say(f"static {network.address} on {nic}")
        return
    script = "/usr/lib/rackflow/udhcpc"
    LEASE.unlink(missing_ok=True)
    # one DISCOVER per second, for ever: a switch port may need 30-50 s of spanning tree before it forwards
    client = subprocess.Popen(
        ["udhcpc", "-f", "-i", nic, "-t", "5", "-T", "1", "-A", "1", "-s", script],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    asked = told = time.monotonic()
    while not LEASE.exists():
        time.sleep(0.03)
        if client.poll() is not None:
            raise RuntimeError(f"udhcpc ended with {client.returncode} on {nic}")
        if time.monotonic() - told > 15:
            told = time.monotonic()
            carrier = read_line(NET / nic / "carrier")
            say(f"no DHCP answer on {nic} for {told - asked:.0f} s (carrier {carrier or '?'}); asking on")
    say(f"dhcp {LEASE.read_text().strip()} on {nic}")


def other_links_up(boot_nic: str) -> None:
    """Links of the other NICs up, without address: their state and neighbours are facts."""
    for folder in sorted(NET.iterdir()):
        if folder.name != boot_nic and (folder / "device").exists():
            call("ip", "link", "set", folder.name, "up")


def finish_coldplug() -> None:
    """Wait until all found devices are set up, then load the BMC's interface (harmless without a BMC)."""
    call("udevadm", "settle", "-t", str(SETTLE_S))
    call("modprobe", "-aq", "ipmi_si", "ipmi_devintf")


def addresses() -> list[str]:
    """IPv4 addresses of all NICs."""
    shown = subprocess.run(["ip", "-j", "-4", "addr"], capture_output=True, text=True, check=True).stdout
    return [
        entry["local"]
        for link in json.loads(shown)
        for entry in link["addr_info"]
        if entry["scope"] == "global"
    ]


def report(seed: Seed, nic: str) -> dict[str, object]:
    """The body of the report-in; built once, because the edge takes the same body again but no other."""
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    kind, key = HOST_KEY.with_suffix(".pub").read_text().split()[:2]
    return {
        "boot_no": seed.boot_no,
        "mac": read_line(NET / nic / "address"),
        "uuid": read_line(DMI / "product_uuid").lower(),
        "serial": read_line(DMI / "product_serial"),
        "addresses": addresses(),
        "ssh_host_key": f"{kind} {key}",
        "arch": os.uname().machine,
        "firmware": "uefi" if Path("/sys/firmware/efi").is_dir() else "bios",
        "mem_bytes": int(memory.group(1)) * 1024 if memory else 0,
    }


def split_url(url: str) -> tuple[str, int, str]:
    """Host, port and path of a plain http URL; an IPv6 host stands in brackets."""
    found = re.fullmatch(r"http://(\[[0-9a-fA-F:.]+\]|[^/:\[\]]+)(?::(\d{1,5}))?(/.*)?", url)
    if not found:
        raise SeedError(f"report_in: expected http://HOST[:PORT]/PATH, got {url!r}")
    return found.group(1).strip("[]"), int(found.group(2) or 80), found.group(3) or "/"


def post(url: str, token: str, body: bytes, *, timeout_s: float = 10.0) -> int:
    """POST and the status code of the answer.

    HTTP/1.0 by hand (RFC 1945 section 5.1): importing http.client takes half a second on an emulated CPU.
    """
    host, port, path = split_url(url)
    head = (
        f"POST {path} HTTP/1.0\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(head.encode() + body)
            reply = b""
            while b"\r\n" not in reply and len(reply) < REPLY_BYTES_MAX and (part := connection.recv(4096)):
                reply += part
    except OSError as error:
        raise ReportError(f"{host}:{port}: {error}") from error
    found = re.match(rb"HTTP/1\.[01] (\d{3})\b", reply)
    if not found:
        raise ReportError(f"{host}:{port}: expected an HTTP answer, got {reply[:40]!r}")
    return int(found.group(1))


def report_in(seed: Seed, body: bytes) -> None:
    """Report until the edge takes it; a refusal is final and is said, since asking again changes nothing."""
    attempt = 0
    while True:
        try:
            status = post(seed.report_in, seed.token, body)
        except ReportError as error:
            problem = str(error)
        else:
            if 200 <= status < 300:
                say(f"reported in to {seed.report_in} ({status})")
                return
            problem = f"{seed.report_in} answered {status}"
            if 400 <= status < 500 and status not in RETRIED_CLIENT_ERRORS:
                say(f"report-in refused: {problem}; see `rackflow why` for the reason, then power-cycle")
                return
        delay_s = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
        say(f"report-in failed: {problem}; again in {delay_s:g} s")
        time.sleep(delay_s)
        attempt += 1


def allow_key(seed: Seed) -> None:
    """The one key that may log in."""
    folder = Path("/root/.ssh")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / "authorized_keys"
    target.write_text(seed.authorized_key.strip() + "\n")
    target.chmod(0o600)


def raise_epoch(floor: int) -> None:
    """The lowest epoch that rf-exec takes; kept when it is higher already, should bring-up start twice."""
    path = RUN / "epoch"
    known = read_line(path)
    if not known.isdigit() or int(known) < floor:
        path.write_text(f"{floor}\n")


def start(seed: Seed) -> None:
    """All steps in the order that wastes no waiting."""
    if abs(time.time() - seed.time_s) > 2:
        time.clock_settime(time.CLOCK_REALTIME, seed.time_s)
    RUN.mkdir(mode=0o755, exist_ok=True)
    raise_epoch(seed.epoch_floor)
    allow_key(seed)
    make_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bootos", "-f", str(HOST_KEY)]
    keygen = None if HOST_KEY.exists() else subprocess.Popen(make_key)
    coldplug = threading.Thread(target=finish_coldplug, daemon=True)
    coldplug.start()
    nic = wait_for_nic(boot_mac(Path("/proc/cmdline").read_text()))
    say(f"boot interface {nic} {read_line(NET / nic / 'address')}")
    start_network(nic, seed.network)
    if keygen is not None and keygen.wait():
        raise RuntimeError(f"ssh-keygen ended with {keygen.returncode}")
    if call("/usr/sbin/sshd"):
        raise RuntimeError("sshd did not start")
    say("sshd up")
    coldplug.join()
    other_links_up(nic)
    say("devices found")
    report_in(seed, json.dumps(report(seed, nic)).encode())


def main() -> None:
    """Start once, then stay: init would start an ended bring-up again."""
    say("bring-up")
    try:
        seed = parse_seed(SEED.read_text())
    except FileNotFoundError:
        say(f"no boot seed ({SEED}): nobody may log in and there is nobody to report to; waiting")
    except SeedError as error:
        say(f"boot seed refused: {error}; waiting")
    else:
        try:
            start(seed)
        except (OSError, RuntimeError, SeedError, subprocess.SubprocessError) as error:
            say(f"bring-up failed: {error}; again in 10 s")
            call("pkill", "-x", "udhcpc")
            time.sleep(10)
            return
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
