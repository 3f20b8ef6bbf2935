"""A machine with power, a BMC and an edge that hears its boots; and a run that can be killed at any point."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from metal.drivers.guest.document import PYTHON
from metal.engine.around import Memory, Surroundings
from metal.engine.claim import Claim
from metal.engine.connect import Address, Openers, Sessions
from metal.engine.enter import BOOT_ID
from metal.engine.steps import run_step
from metal.errors import JobWaits, Unreachable
from metal.planning.plan import Plan
from metal.protocols import BootFlags, Output
from specs.phases import Phase
from specs.records import BootRecord

BOOT_S = 40.0
ERASERS = ("mdadm --create", "mdadm --zero-superblock", "sgdisk", "sfdisk", "mkfs", "wipefs", "rf-wipe",
           "blkdiscard", "rf-write", "create type=ld", "delete forced", "lvm pvcreate", "lvm vgcreate",
           "lvm lvcreate", "lvm lvextend", "lvm lvremove",
           " add vd ", " delete force ", "/fall delete", "preservedcache", "set good", "set uconf",
           "-CfgLdAdd", "-CfgSpanAdd", "-CfgLdDel", "-CfgForeign -Clear", "-DiscardPreservedCache",
           " CREATE ", "DELETEVOLUME", " create -o vd", " delete -o vd", " DELETE ",
           "INITIALIZE")  # fmt: skip

REPEATED = ("/usr/lib/rackflow/rf-write", "blkdiscard")
"""An image writer finds what it wrote; zeros may be written twice as long as the step is not done."""


class Killed(BaseException):
    """The run is gone; nothing of it is cleaned up."""


@dataclass
class Event:
    """One moment at which a run may die: (step, what it was about to do or had just done)."""

    step: str
    what: str


class Link:
    """A connection to one boot of the machine; it ends with it."""

    host = "web-01"

    def __init__(self, world: "World", boot: int) -> None:
        self.world, self.boot = world, boot

    def _alive(self) -> None:
        if self.world.running is None or self.world.boot != self.boot:
            raise Unreachable("the connection dropped", host=self.host, reason="unreachable")

    def read(self, argv: tuple[str, ...], **more: Any) -> Output:
        self._alive()
        return self.world.machine.read(argv, **more)

    def read_file(self, path: str, **_more: Any) -> bytes | None:
        self._alive()
        if path == BOOT_ID:
            return f"boot-{self.boot}\n".encode()
        return self.world.machine.read_file(path)

    def change(self, change: Any, *, step: str, epoch: int, **_more: Any) -> Output:
        self._alive()
        name = step.partition("-")[2].removesuffix("-leave")
        self.world.event(name, f"before {change.argv[0]}")
        self._alive()
        self.world.half = lambda: self.world.machine.change(change, step=step, epoch=epoch)
        self.world.event(name, f"in {change.argv[0]}")
        self._alive()
        self.world.note_eraser(name, change)
        said = self.world.machine.change(change, step=step, epoch=epoch)
        self.world.event(name, f"after {change.argv[0]}")
        self._alive()
        return said


@dataclass
class World:
    """Edge, machine and BMC of a rig, and what happens to them."""

    rig: Any
    plan: Plan
    running: str | None = "boot-os"
    boot: int = 1
    os_boots: int = 0
    runs: int = 0
    events: list[Event] = field(default_factory=list)
    die_at: int | None = None
    how: Callable[[], None] = lambda: None
    half: Callable[[], Any] = lambda: None
    phase: Phase = Phase.PROVISIONING
    repeated: tuple[str, ...] = REPEATED
    """What may be sent again although it had its effect, as long as its step is not done."""
    late: list[str] = field(default_factory=list)
    """Destructive commands that were sent after their step was done, or again although they had ended."""
    ended: set[tuple[str, str]] = field(default_factory=set)
    _next: str = "boot-os"
    _ready: Any = None

    def __post_init__(self) -> None:
        edge, bmc = self.rig.edge, self.rig.bmc
        self.machine = self.rig.machine
        self._plain = {"journal": edge.journal, "flags": bmc.set_boot_flags, "host": edge.host}
        edge.journal, edge.host = self._journal, self._host
        bmc.set_power, bmc.set_boot_flags = self._set_power, self._set_flags
        edge.record = edge.record.model_copy(update={"phase": self.phase})
        self._report()

    # --- the run -------------------------------------------------------------------------------------------

    def drive(self, most_runs: int = 8) -> None:
        """Start runs of the job until the plan is carried out, as the edge would."""
        for _ in range(most_runs):
            self.runs += 1
            with self._edge_clock():
                self._run()
                return
        raise AssertionError(f"not done after {most_runs} runs: {self.rig.said}")

    def begin(self) -> tuple[Claim, Surroundings]:
        """A new process of the job, with nothing remembered."""
        edge = self.rig.edge
        edge.epoch = 3 + self.runs
        claim = Claim("web-01", 7, f"run-{self.runs}", edge.epoch)
        sessions = Sessions(Openers(ssh=self._ssh, ipmi=self.rig.bmc.log_in))
        sessions.is_proven = lambda _at: True  # the proof of identity has tests of its own
        return claim, Surroundings(
            sessions, Memory(), self.rig.around.clock, self.rig.around.sleep, lambda: edge.now
        )

    def _run(self) -> None:
        claim, around = self.begin()
        for step in self.plan.steps:
            run_step(self.rig.edge, claim, self.plan, step.id, log=self.rig.said.append, around=around)

    @contextmanager
    def _edge_clock(self) -> Iterator[None]:
        """What ends a run without an outcome leads to the next one, at the event or at the deadline."""
        try:
            yield
        except Killed:
            self.rig.edge.now += timedelta(seconds=30)
        except JobWaits as waits:
            due = [waits.wait.deadline, *([self._ready] if self._ready else [])]
            self.rig.edge.now = max(self.rig.edge.now, min(due))

    def event(self, step: str, what: str) -> None:
        """Count one moment; die there if it is the chosen one."""
        self.events.append(Event(step, what))
        if self.die_at == len(self.events) - 1:
            self.how()

    def kill(self) -> None:
        """The run dies; what it had sent to the machine has half of its effect, or all, or none."""
        self._half_done()
        raise Killed

    def _half_done(self) -> None:
        if self.events and self.events[-1].what.startswith("in "):
            self.machine.tear = True
            self.half()
            self.machine.tear = False

    def hang(self) -> None:
        """The machine stays on and answers nothing."""
        self.machine.restart()
        self.running, self._ready = None, None

    def cut_power(self) -> None:
        """The machine loses its power and stays off."""
        self._half_done()
        self.machine.restart()
        self.running, self._ready, self.rig.bmc.state = None, None, "off"

    def cut_power_and_kill(self) -> None:
        """Both at once."""
        self.cut_power()
        raise Killed

    # --- seams ---------------------------------------------------------------------------------------------

    def note_eraser(self, step: str, change: Any) -> None:
        """Note a destructive command that comes too late or is sent again after it had its effect."""
        asked = json.loads(change.stdin) if change.argv[: len(PYTHON)] == PYTHON else {}
        made = [" ".join(argv) for argv in asked.get("make", ())]
        line = " ".join([*change.argv, *(guard.identity for guard in change.disks), *made])
        if change.argv[:2] == ("lvm", "lvremove"):
            self._forget_pool(step, change.argv[-1].partition("/")[2])
        if not any(one in line for one in ERASERS):
            return
        done = any(row.step == step and row.phase == "done" for row in self.rig.edge.rows)
        again = (step, line) in self.ended and not line.startswith(self.repeated)
        if done or again:
            self.late.append(f"{step}: {line}")
        self.ended.add((step, line))

    def _forget_pool(self, step: str, pool: str) -> None:
        """What was removed again, with all that is in it, may be made again."""
        gone = (f" --name {pool} ", f" --thinpool {pool} ")
        self.ended = {one for one in self.ended if one[0] != step or not any(word in one[1] for word in gone)}

    def _journal(self, host: str, **row: Any) -> Any:
        if row["phase"] == "done":
            self.event(row["step"], "before the outcome")
        written = self._plain["journal"](host, **row)
        if row["phase"] == "intent":
            self.event(row["step"], "after the note" if row["detail"].get("sent") else "after the intent")
        return written

    def _host(self, name: str) -> Any:
        if self._ready is not None and self.rig.edge.now >= self._ready:
            self.running, self._ready = self._next, None
            self._report()
        return self._plain["host"](name)

    def _report(self) -> None:
        edge = self.rig.edge
        kind = "boot-os" if self.running == "boot-os" else "os"
        key = f"ssh-ed25519 BOOT{self.boot}" if kind == "boot-os" else "ssh-ed25519 INSTALLED"
        record = BootRecord(
            boot_no=self.boot, kind=kind, address="10.77.1.50", ssh_host_key=key, reported_at=edge.now,
            started_at=edge.now,
        )  # fmt: skip
        self.os_boots += kind == "os"
        update = {"boot": record} if kind == "boot-os" else {"boot": None, "os": record}
        edge.record = edge.record.model_copy(update=update)

    def _ssh(self, at: Address, _key: str) -> Any:
        shown = f"ssh-ed25519 BOOT{self.boot}" if self.running == "boot-os" else "ssh-ed25519 INSTALLED"
        if self.running != ("boot-os" if at.where == "boot-os" else "os") or at.host_key != shown:
            raise Unreachable("no answer", host="web-01", reason="unreachable")
        return Link(self, self.boot)

    def _set_power(self, action: str) -> None:
        bmc = self.rig.bmc
        self.event(self._step(), f"before power {action}")
        bmc.sent.append(action)
        bmc.state = "off" if action in ("off", "soft") else "on"
        self.machine.restart()
        self.running, self._ready = None, None
        if bmc.state == "on":
            self._next = "boot-os" if bmc.flags.target == "pxe" else "os"
            self.boot += 1
            self._ready = self.rig.edge.now + timedelta(seconds=BOOT_S)
            if not bmc.flags.persistent:
                bmc.flags = BootFlags("none", persistent=False, efi=False)
        self.event(self._step(), f"after power {action}")

    def _set_flags(self, flags: BootFlags) -> None:
        self.event(self._step(), "before boot flags")
        self._plain["flags"](flags)
        self.event(self._step(), "after boot flags")

    def _step(self) -> str:
        return str(self.rig.edge.rows[-1].step)

    # --- what must hold ------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What is on the machine, in its BMC and in the registry, without what is drawn by lot."""
        edge, guest = self.rig.edge, self.machine.guest
        drawn = ("/etc/ssh/", "/etc/rackflow/phone-home", "/etc/sudoers.d/rackflow")
        return {
            "disks": {
                serial: {
                    "parts": disk["parts"],
                    "member": disk.get("member"),
                    "signature": disk.get("signature"),
                }
                for serial, disk in self.machine.disks.items()
            },
            "torn": sorted(self.machine.torn),
            "groups": self.machine.lvm.groups,
            "filled": self.machine.filled,
            "controllers": self.machine.arrangement(),
            "files": {path: one for path, one in guest["files"].items() if not path.startswith(drawn)},
            "users": {name: {**one, "shadow": None} for name, one in guest["users"].items()},
            "key": guest["host_key"] is not None,
            "record": {**edge.put.get("install", {}), "ssh_host_key": None},
            "flags": self.rig.bmc.flags,
            "next": self._next,
            "done": sorted(
                row.step for row in edge.rows if row.phase == "done" and row.step != "enter-boot-os"
            ),
        }
