"""The one namespace the whole rack lives in: start it, find it again, run commands in it, end it.

One user + network + mount + pid namespace, made without root. Ending its init ends everything inside,
whatever state the rack was in; that is why `down` needs no list of what was started.
"""

import errno
import json
import os
import select
import sys
from dataclasses import dataclass
from pathlib import Path

from lab import enter, namespace_init
from lab.errors import LabError
from lab.processes import ProcessRecord, end, reap, spawn

START_TIMEOUT_S = 60.0
USERNS_FIX = (
    "sudo sysctl -w user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1"
    " (Ubuntu also: kernel.apparmor_restrict_unprivileged_userns=0)"
)


@dataclass(frozen=True)
class Namespace:
    """The namespace that belongs to a lab directory, running or not."""

    directory: Path

    @property
    def _record_path(self) -> Path:
        return self.directory / "namespace.json"

    def record(self) -> ProcessRecord | None:
        """The init's record if it runs, else None."""
        record = ProcessRecord.load(self._record_path)
        return record if record and record.alive() else None

    def start(self) -> ProcessRecord:
        """Make the namespace; the caller has seen that none runs."""
        if self.directory.is_relative_to("/run") or self.directory.is_relative_to("/var/run"):
            raise LabError(
                f"the lab directory {self.directory} is under /run, which is another one inside the rack",
                "--dir with a directory elsewhere",
            )
        receive, report = os.pipe()
        try:
            argv = [sys.executable, "-S", "-E", namespace_init.__file__]
            parent = spawn(argv, log=self.directory / "namespace.log", pass_fd=report)
        finally:
            os.close(report)
        with os.fdopen(receive, "rb") as stream:
            if not select.select([stream], [], [], START_TIMEOUT_S)[0]:
                raise LabError(f"the rack's namespace was not made within {START_TIMEOUT_S:.0f} s")
            answer = json.loads(stream.readline() or b'{"error": "its first process died"}')
        if "error" in answer:
            reap(parent)
            raise _refused(answer, self.directory / "namespace.log")
        record = ProcessRecord.of(int(answer["pid"]))
        if record is None:
            raise LabError("the rack's namespace ended at once", f"see {self.directory / 'namespace.log'}")
        record.save(self._record_path)
        return record

    def stop(self) -> bool:
        """End the namespace and all in it; whether there was one."""
        record = self.record()
        if record:
            end(record, grace_s=0)
        self._record_path.unlink(missing_ok=True)
        return record is not None

    def command(self, argv: list[str], *, netns: str = "-") -> list[str]:
        """The argv that runs `argv` inside, in the network namespace `netns` ("-": the one of the init)."""
        record = self.record()
        if record is None:
            raise LabError(f"the rack in {self.directory} is not up", "python -m lab up")
        return [sys.executable, "-S", "-E", enter.__file__, str(record.pid), netns, "--", *argv]


def _refused(answer: dict[str, object], log: Path) -> LabError:
    message = f"the rack's namespace could not be made: {answer['error']}"
    if answer.get("errno") in (errno.EPERM, errno.ENOSPC, errno.EINVAL, errno.EACCES):
        if str(answer.get("step", "")).startswith("mount"):
            return LabError(message, "run outside of a container, or with --privileged")
        return LabError(f"{message} (user namespaces are off)", USERNS_FIX)
    return LabError(message, f"see {log}")
