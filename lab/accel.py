"""Which accelerator machines run under: KVM only when guests were seen to network-boot under it, else TCG.

Opening /dev/kvm proves nothing: hosts were met on which it opens and the first guest dies at once, and others
on which SeaBIOS speaks and iPXE dies in its return to real mode ("KVM internal error"), as some clouds nest
it. So a guest of each firmware must fetch a script over the network and print its word, as a machine does
that boots. Asked once per boot of the host; a good KVM answers in seconds, a bad one mostly at once.
"""

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lab.machine import ACCELERATOR_ARGS, OVMF_CODE, OVMF_VARS, QEMU
from lab.processes import boot_id, write_atomically

PROBE_S: Final = 30.0
"""For one guest; under a sound KVM it takes a few seconds, of which iPXE waits two for a key."""
KVM: Final = Path("/dev/kvm")
WORD: Final = "rackflow-probe"
SCRIPT: Final = "probe.ipxe"
DIED: Final = b"KVM internal error"
_KEPT_BYTES: Final = 65536


def guest_says(argv: list[str], word: str, timeout_s: float = PROBE_S, cwd: Path | None = None) -> bool:
    """Whether a program prints the word in time, before its end and before KVM's; it is killed either way."""
    ends_at = time.monotonic() + timeout_s
    said = b""
    with subprocess.Popen(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as guest:
        try:
            assert guest.stdout is not None
            while DIED not in said:
                if word.encode() in said:
                    return True
                left_s = max(ends_at - time.monotonic(), 0.0)
                readable, _, _ = select.select([guest.stdout], [], [], left_s)
                more = os.read(guest.stdout.fileno(), 4096) if readable else b""
                if not more:
                    return False
                said = (said + more)[-_KEPT_BYTES:]
            return False
        finally:
            guest.kill()


def probes(folder: Path, accelerator: str = "kvm") -> Iterator[list[str]]:
    """QEMU's argv for each installed firmware: its iPXE takes the script in `folder` from QEMU's own TFTP."""
    (folder / SCRIPT).write_text(f"#!ipxe\necho {WORD}\npoweroff\n")
    argv = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,graphics=off"]
    argv += [*ACCELERATOR_ARGS[accelerator], "-m", "256", "-serial", "stdio", "-no-reboot", "-boot", "n"]
    argv += ["-netdev", f"user,id=n,tftp={folder},bootfile={SCRIPT}", "-device", "virtio-net-pci,netdev=n"]
    yield argv
    if OVMF_CODE.exists() and OVMF_VARS.exists():
        nvram = folder / "nvram.fd"
        shutil.copyfile(OVMF_VARS, nvram)
        pflash = "if=pflash,format=raw"
        yield [
            *argv,
            *("-drive", f"{pflash},unit=0,readonly=on,file={OVMF_CODE}"),
            *("-drive", f"{pflash},unit=1,file={nvram}"),
        ]


def guests_boot() -> bool:
    """Whether a guest of each firmware boots under KVM."""
    with tempfile.TemporaryDirectory(prefix="rackflow-kvm-") as folder:
        return all(guest_says(argv, WORD) for argv in probes(Path(folder)))


def accelerator(cache: Path, kvm: Path = KVM) -> str:
    """The accelerator, kvm or tcg; the answer is kept in `cache` until the host boots again."""
    try:
        known = json.loads(cache.read_text())
        if known["boot_id"] == boot_id() and known["accelerator"] in ACCELERATOR_ARGS:
            return str(known["accelerator"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    usable = os.access(kvm, os.R_OK | os.W_OK) and guests_boot()
    answer = "kvm" if usable else "tcg"
    write_atomically(cache, json.dumps({"boot_id": boot_id(), "accelerator": answer}))
    return answer
