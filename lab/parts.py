"""The processes of a running site, found from outside: what fault scenarios kill.

Parts are told by their command line and by the data folder in their environment, so that another site on
the same machine is never hit.
"""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "edge": ("-m", "pxe_edge"),
    "prefect": ("-m", "prefect", "server", "start"),
    "worker": ("-m", "prefect", "worker", "start"),
    "run": ("-m", "prefect.engine"),
    "console": ("-m", "metal.console"),
}
"""Part -> consecutive words of its command line."""
GONE_S: Final = 10.0


def pids(data: Path, part: str) -> list[int]:
    """Process ids of one part of the site with this data folder, oldest first."""
    found = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    return sorted(pid for pid in found if _is(pid, PARTS[part], str(data)))


def kill(data: Path, *parts: str) -> list[int]:
    """Kill -9 all processes of these parts at one stroke, and wait until they are gone; their ids."""
    targets = [pid for part in parts for pid in pids(data, part)]
    for pid in targets:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + GONE_S
    while any(map(_alive, targets)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{parts} of {data} do not end: {targets}")
        time.sleep(0.02)
    return targets


def _is(pid: int, words: tuple[str, ...], data: str) -> bool:
    try:
        argv = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it has ended, or is not ours to look at
    if not any(tuple(argv[at : at + len(words)]) == tuple(map(str.encode, words)) for at in range(len(argv))):
        return False
    values = [one.partition(b"=")[2].decode(errors="replace") for one in environment]
    return any(value == data or value.startswith(f"{data}/") for value in values)


def _alive(pid: int) -> bool:
    try:
        state = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
