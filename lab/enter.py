"""Run a command inside the rack: `enter.py PID NETNS -- COMMAND...`, or be imported to join it.

nsenter(1) does the same but is deaf: it neither hands signals on to the command nor ends it when it is ended
itself, so that a supervisor's SIGTERM would leave the command behind. This one stays as the parent, passes
signals on, returns the command's exit code, and its death is the command's death. Stdlib only; run with
`python -S`.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

CLONE_FLAGS = {"user": 0x10000000, "mnt": 0x00020000, "net": 0x40000000, "pid": 0x20000000}
PR_SET_PDEATHSIG = 1
FORWARDED = {
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
NETNS_DIR = Path("/run/netns")

LIBC = ctypes.CDLL(None, use_errno=True)


def _setns(descriptor: int, kind: str) -> None:
    if LIBC.setns(descriptor, CLONE_FLAGS[kind]) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"{kind} namespace")


def join(pid: int, kinds: Sequence[str]) -> None:
    """Join namespaces of a process, "user" first; the caller must have one thread only (setns(2)).

    Joining "pid" takes effect for children only.
    """
    descriptors = [(kind, os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)) for kind in kinds]
    for kind, descriptor in descriptors:
        _setns(descriptor, kind)
        os.close(descriptor)


def join_netns(name: str) -> None:
    """Join a network namespace by the name `ip netns` knows it under; needs the rack's mount namespace."""
    descriptor = os.open(NETNS_DIR / name, os.O_RDONLY | os.O_CLOEXEC)
    _setns(descriptor, "net")
    os.close(descriptor)


def _supervise(child: int) -> int:
    """Hand signals on until the child ends; its exit code, or 128 + signal.

    A signal that the terminal made (si_code > 0: from the kernel) has reached the child already, for both are
    in one process group; a second SIGINT would turn its graceful stop into a hard one.
    """
    while True:
        info = signal.sigwaitinfo(FORWARDED | {signal.SIGCHLD})
        if info.si_signo != signal.SIGCHLD:
            if info.si_code <= 0:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, info.si_signo)
            continue
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def main(argv: Sequence[str]) -> int:
    """Join, fork, exec; see the module's text."""
    pid, netns, dashes, *command = argv
    if dashes != "--" or not command:
        print("usage: enter.py PID NETNS -- COMMAND...", file=sys.stderr)
        return 2
    here = Path.cwd()
    try:
        join(int(pid), ("user", "pid", "net", "mnt"))
    except OSError as error:
        print(f"cannot enter the rack's namespace (process {pid}): {error}; is it up?", file=sys.stderr)
        return 1
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    child = os.fork()
    if child:
        return _supervise(child)
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.chdir(here)
    full = command if netns == "-" else ["ip", "netns", "exec", netns, *command]
    try:
        os.execvp(full[0], full)  # noqa: S606 -- replacing ourselves by the command is the purpose
    except OSError as error:
        print(f"cannot run {full[0]} in the rack: {error.strerror}", file=sys.stderr)
        os._exit(127)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
