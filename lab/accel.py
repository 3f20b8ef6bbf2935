"""Which accelerator machines run under: KVM only when a guest was seen to speak under it, else TCG.

Opening /dev/kvm proves nothing: hosts were met on which it opens and the first guest dies at once or hangs.
So a guest (SeaBIOS alone) is run for at most 5 s and must put bytes on its serial console. Asked once per
boot of the host.
"""

import json
import os
import select
import subprocess
from pathlib import Path

from lab.machine import ACCELERATOR_ARGS, QEMU
from lab.processes import boot_id, write_atomically

PROBE_S = 5.0
KVM = Path("/dev/kvm")


def guest_speaks(argv: list[str], timeout_s: float = PROBE_S) -> bool:
    """Whether a program writes a byte to stdout in time; it is killed either way."""
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as guest:
        try:
            assert guest.stdout is not None
            readable, _, _ = select.select([guest.stdout], [], [], timeout_s)
            return bool(readable) and bool(os.read(guest.stdout.fileno(), 1))
        finally:
            guest.kill()


def probe_command() -> list[str]:
    """SeaBIOS under KVM with the CPU model machines would get."""
    argv = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,graphics=off"]
    return [*argv, *ACCELERATOR_ARGS["kvm"], "-m", "64", "-serial", "stdio"]


def accelerator(cache: Path, kvm: Path = KVM) -> str:
    """The accelerator, kvm or tcg; the answer is kept in `cache` until the host boots again."""
    try:
        known = json.loads(cache.read_text())
        if known["boot_id"] == boot_id() and known["accelerator"] in ACCELERATOR_ARGS:
            return str(known["accelerator"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    usable = os.access(kvm, os.R_OK | os.W_OK) and guest_speaks(probe_command())
    answer = "kvm" if usable else "tcg"
    write_atomically(cache, json.dumps({"boot_id": boot_id(), "accelerator": answer}))
    return answer
