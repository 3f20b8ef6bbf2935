"""Steps of a build: tools run with a deadline, and one line per step with the seconds since the start."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

_TICK_TERMINAL_S = 0.5
_TICK_PIPE_S = 10.0


class BuildError(Exception):
    """The boot OS cannot be built; the message says what is missing and how to get it."""


class Progress:
    """Prints to stderr, so that stdout stays for results."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._out = out
        self._start = time.monotonic()
        self._terminal = out.isatty()

    def say(self, text: str) -> None:
        """A line with the seconds since the build began."""
        lead = "\r\033[K" if self._terminal else ""
        print(f"{lead}bootos: {time.monotonic() - self._start:6.1f} s  {text}", file=self._out, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show that something long is running, and say how long it took."""
        begun = time.monotonic()
        over = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(text, begun, over), daemon=True)
        ticker.start()
        try:
            yield
        finally:
            over.set()
            ticker.join()
        self.say(f"{text}: done in {time.monotonic() - begun:.1f} s")

    def _tick(self, text: str, begun: float, over: threading.Event) -> None:
        while not over.wait(_TICK_TERMINAL_S if self._terminal else _TICK_PIPE_S):
            elapsed = time.monotonic() - begun
            if self._terminal:
                bar = "#" * (1 + int(elapsed) % 20)
                print(f"\r\033[K{text} [{bar:<20}] {elapsed:.0f} s", end="", file=self._out, flush=True)
            else:
                self.say(f"{text}: {elapsed:.0f} s so far")


def run(
    argv: Sequence[str], *, timeout_s: float, stdin: str | None = None, env: dict[str, str] | None = None
) -> str:
    """Run a build tool to its end; a failure carries the end of what it printed."""
    try:
        done = subprocess.run(
            argv, input=stdin, env=env, capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except FileNotFoundError as error:
        raise BuildError(f"{argv[0]} is not installed on this host; `make demo` installs it") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{argv[0]} did not end within {timeout_s:.0f} s") from error
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise BuildError(f"{argv[0]} ended with {done.returncode}:\n{tail}")
    return done.stdout
