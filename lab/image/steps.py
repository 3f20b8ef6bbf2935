"""Running the builder's programs: a line per step with the time passed, output in a log, a deadline each."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

BEAT_S = 10.0
"""How often a long step says that it is still at work."""


class BuildError(Exception):
    """The image cannot be built; the message says what failed, where its output is, and what to do."""


@dataclass(slots=True)
class Steps:
    """Where progress goes and how programs are run: lines on ``stderr``, program output in ``log``.

    >>> Steps.start(Path("/tmp")).elapsed() >= 0
    True
    """

    log: Path
    started_s: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Begin the log anew and the clock at zero."""
        log = folder / "build.log"
        log.write_text("")
        return cls(log)

    def elapsed(self) -> float:
        """Give the seconds since the build began."""
        return time.monotonic() - self.started_s

    def say(self, text: str) -> None:
        """Print one progress line."""
        print(f"[image {self.elapsed():6.1f} s] {text}", file=sys.stderr, flush=True)

    def run(self, argv: Sequence[str], *, timeout_s: float, env: Mapping[str, str] | None = None) -> None:
        """Run a program to its end; say every few seconds that it is still at work.

        Raises `BuildError` with the last lines of its output when it fails or the deadline passes.
        """
        with self.log.open("a") as log:
            log.write(f"$ {shlex.join(argv)}\n")
            log.flush()
            start = log.tell()
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=tool_environment() | dict(env or {}),
            )
            try:
                code = self._wait(process, argv[0], timeout_s)
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        if code != 0:
            tail = "\n".join(self.log.read_text(errors="replace")[start:].splitlines()[-12:])
            raise BuildError(
                f"{argv[0]} ended with {code}; its last output (all of it in {self.log}):\n{tail}"
            )

    def _wait(self, process: subprocess.Popen[bytes], name: str, timeout_s: float) -> int:
        """Wait for the end or the deadline."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                return process.wait(timeout=min(BEAT_S, max(0.1, deadline_s - time.monotonic())))
            except subprocess.TimeoutExpired:
                if time.monotonic() >= deadline_s:
                    raise BuildError(
                        f"{name} was not done after {timeout_s:.0f} s; output in {self.log}"
                    ) from None
                self.say(f"  {name} still at work")


def tool_environment() -> dict[str, str]:
    """Give this environment with the system folders on PATH: an ordinary user's often lacks them."""
    path = os.environ.get("PATH", "/usr/bin:/bin")
    return dict(os.environ) | {"PATH": f"{path}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}


def missing_packages(tools: Mapping[str, str]) -> list[str]:
    """Name the Debian packages whose program is not installed, from program -> package."""
    path = tool_environment()["PATH"]
    return sorted({package for tool, package in tools.items() if shutil.which(tool, path=path) is None})
