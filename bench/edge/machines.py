"""New machines, as a process of its own: `bench.edge.machines URL FIRST COUNT AT_A_TIME PAUSE_S`.

Each fetches its script and its seed, and then reports in, with the boot OS's own back-off, from an address
of its own. Prints a list of JSON: MAC, time of the first report (seconds since 1970), whether it was heard.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address

from bench.edge.testbed import FIRST_CLIENT
from lab.sim import netboot

SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBenchBenchBenchBenchBenchBenchBenchBench0000"

BOOTS = 5


@dataclass(frozen=True)
class Told:
    """One machine's way to being heard."""

    mac: str
    reported_s: float
    heard: bool


def live(url: str, number: int) -> Told:
    """One machine until it is heard: a boot that the edge calls over begins anew, as the machine would."""
    began = 0.0
    for _ in range(BOOTS):
        told = boot(url, number)
        began = began or told.reported_s
        if told.heard:
            break
    return Told(told.mac, began, heard=told.heard)


def boot(url: str, number: int) -> Told:
    """One boot, from its script to the edge's answer."""
    mac = f"02:be:{number >> 24:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    uuid = f"be000000-0000-4000-8000-{number:012x}"
    address = str(IPv4Address(int(IPv4Address(FIRST_CLIENT)) + number % 60_000))
    while True:
        try:
            seed = netboot.ask(address, url, mac, uuid)
            break
        except OSError:
            time.sleep(1)
    began = time.time()
    if seed is None:
        return Told(mac, began, heard=False)
    body: dict[str, object] = {
        "boot_no": seed.boot_no,
        "mac": mac,
        "uuid": uuid,
        "serial": f"BENCH{number:08}",
        "addresses": [address],
        "ssh_host_key": SSH_KEY,
        "arch": "x86_64",
        "firmware": "uefi",
        "mem_bytes": 64 << 30,
    }
    heard = netboot.until_heard(address, seed.report_in, seed.token, body, time.sleep)
    return Told(mac, began, heard=heard)


def main(url: str, first: str, count: str, at_a_time: str, pause_s: str) -> None:
    """All machines; with a pause each waits for the one before it."""

    def one(number: int) -> Told:
        told = live(url, number)
        time.sleep(float(pause_s))
        return told

    with ThreadPoolExecutor(int(at_a_time)) as pool:
        every = list(pool.map(one, range(int(first), int(first) + int(count))))
    print(json.dumps([asdict(told) for told in every]))


if __name__ == "__main__":
    main(*sys.argv[1:])
