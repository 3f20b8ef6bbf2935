"""A machine's TPM 2.0: swtpm, beside each QEMU of a machine that has one.

It lives as long as its QEMU: it ends when that lets go of it, also by SIGKILL. What the TPM remembers is
written to the machine's folder when it changes, before the command is answered, and is there again after a
power cut.
"""

import os
import time
from pathlib import Path
from typing import Final

from lab.errors import LabError
from lab.processes import ProcessRecord, end, spawn

CLONE: Final = Path(__file__).resolve().parent.parent
UNPACKED: Final = CLONE / "build" / "tools" / "root"
"""Where scripts/setup unpacks it: its package would add a user and a service to this machine."""
LIBRARIES: Final = UNPACKED / "usr" / "lib" / "x86_64-linux-gnu"
STATE: Final = "tpm"
"""The folder of what it remembers, in the machine's."""
SOCKET: Final = "tpm.sock"
RECORD: Final = "swtpm.json"
LOG: Final = "swtpm.log"
START_S: Final = 5.0
END_S: Final = 2.0


def program() -> Path:
    """The unpacked program, else an installed one."""
    unpacked = UNPACKED / "usr" / "bin" / "swtpm"
    return unpacked if unpacked.exists() else Path("/usr/bin/swtpm")


def device() -> list[str]:
    """QEMU's arguments for it."""
    return [
        *("-chardev", f"socket,id=tpm,path={SOCKET}", "-tpmdev", "emulator,id=tpm0,chardev=tpm"),
        *("-device", "tpm-tis,tpmdev=tpm0"),
    ]


def start(directory: Path) -> None:
    """Have one listen in this machine's folder, for one QEMU; one that an earlier QEMU had is ended first."""
    record = ProcessRecord.load(directory / RECORD)
    if record is not None:
        end(record, grace_s=END_S)
    state, port = directory / STATE, directory / SOCKET
    state.mkdir(exist_ok=True)
    port.unlink(missing_ok=True)
    argv = [str(program()), "socket", "--tpm2", "--tpmstate", f"dir={state}", "--terminate"]
    argv += ["--ctrl", f"type=unixio,path={port}"]
    unpacked = {"LD_LIBRARY_PATH": f"{LIBRARIES}:{LIBRARIES / 'swtpm'}"}
    more = unpacked if UNPACKED in program().parents else {}
    pid = spawn(argv, log=directory / LOG, env={**os.environ, **more})
    started = ProcessRecord.of(pid)
    if started is not None:
        started.save(directory / RECORD)
    deadline = time.monotonic() + START_S
    while not port.exists():
        if started is None or not started.alive() or time.monotonic() > deadline:
            raise LabError("the machine's TPM did not start", f"see {(directory / LOG).absolute()}")
        time.sleep(0.02)
