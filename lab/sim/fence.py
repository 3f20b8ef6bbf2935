"""rf-exec of a simulated machine: the same rules as `bootos/rf_exec.py`, with threads instead of processes.

A lower epoch is refused, a higher one ends what lower ones run and waits until it is gone, one step runs at a
time, a step outlives the connection that asked for it, and the same ID is answered with the running or
finished step. The witness hears of every start, end and refusal from here.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lab.sim.system import System
from lab.sim.witness import Witness

Answer = tuple[int, str, str]
EXIT_USAGE, EXIT_UNKNOWN, EXIT_LOST, EXIT_EPOCH = 64, 66, 70, 75
EXIT_OTHER_COMMAND, EXIT_DISK, EXIT_BUSY = 76, 77, 79
FENCE_WAIT_S = 10.0
POLL_S = 0.05


class Ended(Exception):
    """The step was fenced, or the power went."""


class Refused(Exception):
    """Nothing was started; the exit code and what to say."""

    def __init__(self, code: int, error: str, **facts: object) -> None:
        super().__init__(error)
        self.answer = (code, "", json.dumps({"error": error, "exit": code, **facts}, sort_keys=True) + "\n")


@dataclass(frozen=True)
class Request:
    """One call of rf-exec."""

    step: str
    epoch: int
    argv: tuple[str, ...]
    disks: tuple[str, ...]
    disk_open: str
    wait_s: float

    @property
    def command(self) -> str:
        """Program and arguments, for the witness."""
        return " ".join((PurePosixPath(self.argv[0]).name, *self.argv[1:]))[:240]


@dataclass
class Step:
    """One step on its way: what a program may ask of it, and how it ended."""

    request: Request
    system: System
    stdin: bytes = b""
    stop: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    fenced: bool = False
    answer: Answer = (EXIT_LOST, "", "")
    progress: dict[str, object] = field(default_factory=dict)
    wrote: int = 0

    @property
    def identities(self) -> tuple[str, ...]:
        """Disks without the sizes that were asked for."""
        return tuple(split_wish(wish)[0] for wish in self.request.disks)

    def pause(self, seconds: float) -> None:
        """Work for a while; Ended when somebody ends it meanwhile."""
        if self.stop.wait(seconds):
            raise Ended

    @contextmanager
    def change(self) -> Iterator[System]:
        """Change the machine: all of the block or, when the step was ended before, nothing."""
        with self.system.lock:
            if self.stop.is_set() or not self.system.alive:
                raise Ended
            yield self.system


class Fence:
    """The records of one boot."""

    def __init__(self, system: System, witness: Witness, run: Callable[[Step], Answer]) -> None:
        self._system, self._witness, self._run = system, witness, run
        self._gate = threading.Lock()
        self._machine = threading.Lock()
        self._steps: dict[str, Step] = {}

    def call(self, argv: list[str], read_stdin: Callable[[], bytes]) -> Answer:
        """Answer one command line of rf-exec; follows the step to its end."""
        try:
            if argv[:1] == ["--status"]:
                return self._status(argv[1])
            request = parse(argv)
            step = self._begin(request, read_stdin if "--stdin" in argv[: argv.index("--")] else lambda: b"")
        except Refused as refusal:
            return refusal.answer
        step.done.wait()
        status, out, err = step.answer
        if step.fenced:
            err += json.dumps({"exit": status, "fenced": True, "step": request.step}) + "\n"
        return status, out, err

    def cut(self) -> None:
        """The power goes: nothing that runs changes anything any more."""
        for step in list(self._steps.values()):
            step.stop.set()

    @property
    def running(self) -> str | None:
        """The command of the step that runs now."""
        open_steps = (s.request.command for s in list(self._steps.values()) if not s.done.is_set())
        return next(open_steps, None)

    def progress(self, name: str) -> bytes | None:
        """progress.json of a step."""
        step = self._steps.get(name)
        return json.dumps(step.progress).encode() if step and step.progress else None

    def _begin(self, request: Request, read_stdin: Callable[[], bytes]) -> Step:
        with self._gate:
            self._admit(request)
            if known := self._known(request):
                return known
        stdin = read_stdin()
        deadline = time.monotonic() + request.wait_s
        while not self._machine.acquire(timeout=POLL_S):
            if time.monotonic() > deadline or not self._system.alive:
                held = [name for name, step in self._steps.items() if not step.done.is_set()]
                raise Refused(EXIT_BUSY, "the machine was not free in time", held_by=held)
        try:
            with self._gate:
                self._admit(request)
                known = self._known(request)
                if known is None:
                    return self._start(request, stdin)
        except BaseException:
            self._machine.release()
            raise
        self._machine.release()
        return known

    def _admit(self, request: Request) -> None:
        system = self._system
        highest = system.epoch
        if request.epoch < highest:
            self._note(request, "refused", how=f"epoch {highest} was seen")
            raise Refused(EXIT_EPOCH, "epoch refused", epoch=request.epoch, highest=highest)
        if request.epoch > highest:
            system.epoch = request.epoch
        for step in self._steps.values():
            if step.request.epoch < request.epoch and not step.done.is_set():
                step.fenced = True
                step.stop.set()
                if not step.done.wait(FENCE_WAIT_S):
                    raise Refused(EXIT_BUSY, f"step {step.request.step} of a lower epoch does not end")

    def _known(self, request: Request) -> Step | None:
        found = self._steps.get(request.step)
        if found is None:
            return None
        asked, had = request, found.request
        if (asked.argv, asked.disks, asked.disk_open) != (had.argv, had.disks, had.disk_open):
            raise Refused(EXIT_OTHER_COMMAND, "this step ID was used for another command", step=request.step)
        return found

    def _start(self, request: Request, stdin: bytes) -> Step:
        """Verify the disks and start; the machine lock is held to the step's end."""
        for wish in request.disks:
            self._verify(request, wish)
        step = Step(request, self._system, stdin)
        self._steps[request.step] = step
        self._note(request, "start")
        threading.Thread(target=self._supervise, args=(step,), name=request.step, daemon=True).start()
        return step

    def _verify(self, request: Request, wish: str) -> None:
        identity, size_bytes = split_wish(wish)
        with self._system.lock:
            found, used = self._system.device(identity), self._system.users_of(identity)
        problem = "no disk has this identity" if found is None else "the disk is in use" if used else ""
        if found is not None and size_bytes not in (None, found[1]):
            problem = "this is not the disk asked for"
        if problem:
            self._note(request, "refused", how=problem)
            raise Refused(EXIT_DISK, problem, asked=wish, users=used, got_bytes=found[1] if found else None)

    def _supervise(self, step: Step) -> None:
        how = "done"
        try:
            step.answer = self._run(step)
        except Ended:
            how = "fenced" if step.fenced else "cut"
            step.answer = (137, "", "")
        except Exception as error:  # noqa: BLE001 - a simulator's own fault must be seen, not hang a run
            how = f"simulator: {type(error).__name__}: {error}"
            step.answer = (EXIT_LOST, "", f"{how}\n")
        finally:
            ended = step.answer[0] if how != "cut" else None
            self._note(step.request, "end", exit=ended, how=how, wrote=step.wrote)
            self._machine.release()
            step.done.set()

    def _status(self, name: str) -> Answer:
        step = self._steps.get(name)
        if step is None:
            return Refused(EXIT_UNKNOWN, "no such step", step=name).answer
        status = {"exit": step.answer[0]} if step.done.is_set() else {}
        meta = {"step": name, "epoch": step.request.epoch, "argv": step.request.argv}
        told = {"step": name, "running": not step.done.is_set(), "meta": meta, "status": status}
        return 0, json.dumps(told | {"progress": step.progress}) + "\n", ""

    def _note(self, request: Request, event: str, **said: object) -> None:
        self._witness.note(
            self._system.machine.name,
            self._system.boot,
            event,  # type: ignore[arg-type]
            epoch=request.epoch,
            step=request.step,
            command=request.command,
            disks=request.disks,
            **said,
        )


def split_wish(wish: str) -> tuple[str, int | None]:
    """IDENTITY[:SIZE_BYTES]; the colons of an md-uuid belong to it."""
    found = re.fullmatch(r"(md-uuid:[0-9a-fA-F]{8}(?::[0-9a-fA-F]{8}){3}|.+?)(?::(\d+))?", wish)
    if found is None:
        raise Refused(EXIT_DISK, "an empty identity names no disk", asked=wish)
    return found[1], int(found[2]) if found[2] else None


def parse(argv: list[str]) -> Request:
    """A command line as a request."""
    given: dict[str, str] = {}
    disks: list[str] = []
    rest = list(argv)
    while rest and rest[0] != "--":
        option, equals, value = rest.pop(0).partition("=")
        if option != "--stdin" and not equals and rest:
            value = rest.pop(0)
        if option == "--disk":
            disks.append(value)
        else:
            given[option] = value
    if not rest[1:] or not given.get("--epoch", "").isdecimal() or "--step" not in given:
        raise Refused(EXIT_USAGE, "expected --epoch N --step ID -- ARGV")
    wait_s = float(given.get("--wait", "600"))
    mode = given.get("--disk-open", "hold")
    return Request(given["--step"], int(given["--epoch"]), tuple(rest[1:]), tuple(disks), mode, wait_s)
