"""A machine's TPM 2.0: swtpm, beside each QEMU of a machine that has one.

It lives as long as its QEMU: it ends when that lets go of it, also by SIGKILL. What the TPM remembers is
written to the machine's folder when it changes, before the command is answered, and is there again after a
power cut. A new one bears as many wrong tries as those on mainboards: each power cut while it was used counts
as one (TPM 2.0 library, part 1, "Dictionary Attack Protection").
"""

import contextlib
import os
import socket
import struct
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
MADE: Final = "tpm.new"
TRIES: Final = (32, 600, 86_400)
"""Wrong tries until it locks itself, seconds until it forgets one, and until its owner may try again: what
Windows sets, and so most mainboards' have. swtpm's own bear three."""
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
    state = directory / STATE
    state.mkdir(exist_ok=True)
    if not any(state.iterdir()):
        _make(directory)
    started = _spawn(directory, SOCKET, "--ctrl", f"type=unixio,path={directory / SOCKET}")
    started.save(directory / RECORD)


def _spawn(directory: Path, port: str, *more: str) -> ProcessRecord:
    """Start the program on what the folder remembers; it listens when this is back."""
    (directory / port).unlink(missing_ok=True)
    argv = [str(program()), "socket", "--tpm2", "--tpmstate", f"dir={directory / STATE}", "--terminate"]
    unpacked = {"LD_LIBRARY_PATH": f"{LIBRARIES}:{LIBRARIES / 'swtpm'}"}
    environment = {**os.environ, **(unpacked if UNPACKED in program().parents else {})}
    started = ProcessRecord.of(spawn([*argv, *more], log=directory / LOG, env=environment))
    deadline = time.monotonic() + START_S
    while started is not None and not (directory / port).exists():
        if not started.alive() or time.monotonic() > deadline:
            started = None
            break
        time.sleep(0.02)
    if started is None:
        raise LabError("the machine's TPM did not start", f"see {(directory / LOG).absolute()}")
    return started


def _make(directory: Path) -> None:
    """Have a new one bear TRIES; it remembers nothing else."""
    server = ("--server", f"type=unixio,path={directory / MADE}")
    made = _spawn(directory, MADE, *server, "--flags", "not-need-init,startup-clear")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as line:
        line.settimeout(START_S)
        line.connect(str(directory / MADE))
        # TPM2_DictionaryAttackParameters by the lockout's empty password, and TPM2_Shutdown.
        _ask(line, 0x8002, 0x13A, struct.pack(">IIIHBHIII", 0x4000000A, 9, 0x40000009, 0, 1, 0, *TRIES))
        _ask(line, 0x8001, 0x145, struct.pack(">H", 0))
    end(made, grace_s=END_S)


def _ask(line: socket.socket, tag: int, command: int, body: bytes) -> None:
    """Send one command, as part 3 of the TPM 2.0 library has it, and see it done."""
    line.sendall(struct.pack(">HII", tag, 10 + len(body), command) + body)
    answer = line.recv(4096)
    code = struct.unpack(">I", answer[6:10])[0] if len(answer) >= 10 else -1
    if code:
        raise LabError(f"the machine's TPM answered command {command:#x} with {code:#x}", "see its swtpm.log")
