"""First process of the rack: makes the user, network, mount and pid namespace, then stays as its init.

Run as a script (stdlib only, `python -S`): it must be single-threaded for unshare(CLONE_NEWUSER). The outer
half stays as the parent, for only fork() tells the id that the init has *outside*; it reports on descriptor
3, once, `{"pid": N}` or `{"error": text, "errno": N, "step": text}`. The init reaps whatever is orphaned
inside and ends with its parent; when it ends, the kernel ends everything else in the pid namespace.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_NOSUID_NODEV_NOEXEC = 2 | 4 | 8
MS_REC_PRIVATE = 0x4000 | (1 << 18)
PR_SET_PDEATHSIG = 1
REPORT_FD = 3

LIBC = ctypes.CDLL(None, use_errno=True)


class StepFailed(Exception):
    """A system call of the set-up was refused."""

    def __init__(self, step: str, errno: int) -> None:
        super().__init__(f"{step}: {os.strerror(errno)}")
        self.step = step
        self.errno = errno


def _check(result: int, step: str) -> None:
    if result != 0:
        raise StepFailed(step, ctypes.get_errno())


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    filesystem = None if kind is None else kind.encode()
    _check(LIBC.mount(source.encode(), target.encode(), filesystem, flags, None), f"mount {target}")


def make_user_namespace() -> None:
    """A single-id map, root inside: what an ordinary user may have.

    setgroups must be denied before the group map is written (user_namespaces(7)).
    """
    uid, gid = os.geteuid(), os.getegid()
    _check(LIBC.unshare(CLONE_NEWUSER), "unshare user namespace")
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as error:
        raise StepFailed("map user ids", error.errno or 0) from error


def furnish() -> None:
    """Mounts of the inside: /proc of the new pid namespace, and a /run of its own for `ip netns`."""
    _mount("none", "/", None, MS_REC_PRIVATE)
    _mount("proc", "/proc", "proc", MS_NOSUID_NODEV_NOEXEC)
    _mount("run", "/run", "tmpfs", 2 | 4)
    for name in ("netns", "lock"):
        Path("/run", name).mkdir()


def reap_forever() -> None:
    """What an init is for: collect the orphans."""
    while True:
        signal.sigwait({signal.SIGCHLD})
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _report(value: dict[str, object]) -> None:
    os.write(REPORT_FD, json.dumps(value).encode() + b"\n")


def _init(ready_fd: int) -> None:
    _check(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    furnish()
    os.close(REPORT_FD)
    os.write(ready_fd, b"1")
    os.close(ready_fd)
    reap_forever()


def main() -> int:
    """Make the namespaces, report, and wait for the init's end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    os.chdir("/")
    try:
        make_user_namespace()
        _check(
            LIBC.unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID), "unshare net, mount and pid namespace"
        )
        ready, ready_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            _init(ready_write)
        os.close(ready_write)
        if os.read(ready, 1):
            _report({"pid": pid})
    except StepFailed as failure:
        _report({"error": str(failure), "errno": failure.errno, "step": failure.step})
        return 1
    os.close(REPORT_FD)
    os.waitpid(pid, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
