"""What a machine says to the boot plane: the script as iPXE asks for it, seed, report-in, phone-home.

DHCP is left out: addresses are fixed, and the same decision is asked by HTTP. Loader, kernel and
initramfs are not fetched; that is the rack's part.
"""

import json
import re
from collections.abc import Callable

from bootos.bring_up import BACKOFF_S, RETRIED_CLIENT_ERRORS, Seed, parse_seed
from lab.definition import MachineDefinition
from lab.sim import web
from lab.sim.root import HOST_KEY, TOKEN
from lab.sim.system import System

SEED_PATH = b"overlay/etc/rackflow/seed.json\0"
HEADER_BYTES = 110
PHONE_RETRY_S = 0.5
Pause = Callable[[float], None]


def ask(address: str, edge_url: str, mac: str, uuid: str) -> Seed | None:
    """The boot's seed; None when the edge gives nothing to boot. Raises OSError when it does not answer."""
    status, script = web.get(address, f"{edge_url}/boot.ipxe?mac={mac}&uuid={uuid}&arch=7")
    if status != 200:
        raise OSError(f"the boot script answers {status}")
    found = re.search(r"^initrd --name seed\.cpio (\S+)", script.decode(), re.MULTILINE)
    if found is None:
        return None
    status, archive = web.get(address, found[1])
    if status != 200:
        raise OSError(f"the seed answers {status}")
    return parse_seed(seed_text(archive))


def seed_text(archive: bytes) -> str:
    """The seed's JSON out of its newc archive (fields of eight hexadecimal digits; names and data padded)."""
    at = archive.index(SEED_PATH) - HEADER_BYTES
    size = int(archive[at + 54 : at + 62], 16)
    start = at + HEADER_BYTES + len(SEED_PATH)
    start += -start % 4
    return archive[start : start + size].decode()


def report(definition: MachineDefinition, seed: Seed, address: str, host_key: str) -> dict[str, object]:
    """The body of a report-in."""
    return {
        "boot_no": seed.boot_no,
        "mac": definition.nics[0].mac,
        "uuid": str(definition.smbios.uuid),
        "serial": definition.smbios.serial,
        "addresses": [address],
        "ssh_host_key": host_key,
        "arch": "x86_64",
        "firmware": definition.firmware,
        "mem_bytes": definition.memory_mib << 20,
    }


def until_heard(address: str, url: str, token: str, body: dict[str, object], pause: Pause) -> bool:
    """Report until the edge takes it or refuses it; whether it took it."""
    attempt = 0
    while True:
        try:
            status = web.post(address, url, token, body)
        except OSError:
            status = 0
        if 200 <= status < 300:
            return True
        if 400 <= status < 500 and status not in RETRIED_CLIENT_ERRORS:
            return False
        pause(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
        attempt += 1


def phone_home(system: System, host_key: str, pause: Pause) -> None:
    """Tell the edge once, as the installed unit does; without its token there is nothing to tell."""
    root = system.root
    settings = root.text("/etc/rackflow/phone-home.json") if root else None
    if root is None or settings is None:
        return
    told = json.loads(settings)
    url = f"http://{told['name']}:{told['port']}{told['path']}"
    key = " ".join((root.text(f"{HOST_KEY}.pub") or host_key).split()[:2])
    body: dict[str, object] = {"host": told["host"], "boot_id": system.boot_id, "ssh_host_key": key}
    while token := (root.text(TOKEN) or "").strip():
        try:
            status = web.post(system.address, url, token, body)
        except OSError:
            status = 0
        if 200 <= status < 300 or status in (401, 403, 409, 410):
            with system.lock:
                root.files.pop(TOKEN, None)
            return
        pause(PHONE_RETRY_S)
