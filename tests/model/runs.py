"""What a process of `reconcile-host` does, over the real engine: the flow and `held` without Prefect.

The plan is a short one of real steps (wipe, image, file system, phone-home, install record, power cycle); the
spec's planner is not under test here.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import httpx

from metal.edge_client import EdgeClient
from metal.edge_client.wire import EdgeAddress
from metal.engine.around import Memory, Surroundings
from metal.engine.cancel import clear_boot_flag, wind_down
from metal.engine.claim import Claim, LeaseKeeper, cancelled, claim_host
from metal.engine.connect import Address, Openers, Sessions
from metal.engine.observe import observe
from metal.engine.plans import may_run, plan_for_job
from metal.engine.steps import run_step
from metal.engine.verify import await_os
from metal.errors import (
    Cancelled,
    JobWaits,
    LeaseLost,
    RackflowError,
    Refused,
    SpecError,
    Unreachable,
)
from metal.planning.basis import basis_of, contents
from metal.planning.plan import Destroyed, Plan, Step
from metal.protocols import BootFlags, Change, Output, PowerAction
from metal.transport.rf_exec import as_command, failure, step_id
from specs.facts import Observation
from specs.phases import Phase
from specs.records import WorkOrder
from tests.model.clock import Clock
from tests.model.edge import HOST, EdgePart
from tests.model.machine import DISK, GIB, ROOT_UUID, Command, Machine
from tests.model.prefect_double import FlowRun
from tests.model.processes import Process, TransportLost

T = TypeVar("T")
ENDED: Final = frozenset({"done", "failed", "cancelled"})
TARGET: Final = {"identity": DISK, "size_bytes": 8 * GIB}
LOCK_WAIT_S: Final = 120.0


def short_plan(order: WorkOrder, seen: Observation | None, *, reinstall: bool = False) -> Plan:
    """Stands for `make_plan`: the same shape as an installation's."""
    del reinstall
    if seen is None or seen.hardware is None:
        raise SpecError("the disks of this host are not known", host=order.host.name, reason="disks-unread")
    disk = next(disk for disk in seen.hardware.disks if disk.identity == DISK)
    erased = Destroyed(serial=DISK, size_bytes=disk.size_bytes, found="; ".join(disk.found) or "blank")
    content = contents((disk,))
    record = {
        "image_digest": "sha256:" + "0" * 64,
        "specset": order.specset,
        "layout_hash": "l",
        "disks": [DISK],
    }
    image = {
        "image_digest": "sha256:" + "0" * 64,
        "manifest_url": "http://edge/m",
        "manifest_sha256": "0" * 64,
    }
    data = {
        "number": 2,
        "name": "data",
        "filesystem": "ext4",
        "label": "data",
        "mount": "/data",
        "options": [],
    }
    steps = (
        _step(
            "wipe:root", "wipe", {"target": TARGET, "method": "metadata"}, destroys=(erased,), leaves=content
        ),
        _step(
            "write-image",
            "write-image",
            {"target": TARGET, "size_bytes": GIB, **image, "root_uuid": ROOT_UUID},
            restart="repeat",
            leaves=content,
        ),
        _step("mkfs:data", "mkfs", {"target": TARGET, **data}, restart="repeat", leaves=content),
        _step("phone-home", "phone-home", {"url": order.phone_home_url}, destructive=False),
        _step("install-record", "install-record", {**record, "root_uuid": ROOT_UUID}, destructive=False),
        _step("power", "power", {"action": "cycle"}, destructive=False, where="bmc", reboot=True),
    )
    return Plan(
        host=order.host.name,
        host_id=order.host.id,
        specset=order.specset,
        spec=order.host.spec,
        observed_at=seen.at.isoformat(),
        seen_from=seen.seen_from,
        steps=steps,
        basis=basis_of(seen, "hardware"),
    )


def _step(id_: str, kind: Any, args: dict[str, Any], *, destructive: bool = True, **more: Any) -> Step:
    return Step(id=id_, kind=kind, field="image", reason="r", destructive=destructive, args=args, **more)


class EdgeWay(httpx.BaseTransport):
    """The edge as a process reaches it: each request is a call of the process."""

    def __init__(self, process: Process, edge: EdgePart) -> None:
        self.process, self.edge = process, edge

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        plain = httpx.Request(
            request.method, request.url, headers=dict(request.headers), content=request.content
        )
        label = f"{request.method} {request.url.path} {_about(request.content)}".strip()
        answer: httpx.Response = self.process.ask(
            label,
            lambda: self.edge.serve(plain, self.process),
            lost=lambda: httpx.ReadTimeout("the answer was lost"),
        )
        return answer


class AtOnce(httpx.BaseTransport):
    """The edge as the lease keeper's thread reaches it: at once, while its process stands somewhere."""

    def __init__(self, process: Process, edge: EdgePart) -> None:
        self.process, self.edge = process, edge

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        plain = httpx.Request(
            request.method, request.url, headers=dict(request.headers), content=request.content
        )
        return self.edge.serve(plain, self.process)


class MachineShell:
    """`SshShell` and rf-exec on the other side of the wire; drops are followed by the step's ID."""

    def __init__(self, process: Process, machine: Machine, at: Address) -> None:
        self.host, self.writes = at.host, 0
        self._process, self._machine, self._at = process, machine, at
        self._nonce = f"p{process.number}"

    def handshake(self) -> None:
        """Connect: a call too."""
        self._call("ssh", lambda: None)

    def _call(self, label: str, act: Callable[[], Any]) -> Any:
        def reached() -> Any:
            self._machine.tick()
            self._machine.reach(self._at.host_key)
            return act()

        return self._process.ask(label, reached, lost=lambda: TransportLost("dropped"))

    def read(
        self, argv: tuple[str, ...], *, stdin: bytes | None = None, timeout_s: int = 30, limit_bytes: int = 0
    ) -> Output:
        for last in (False, True):
            try:
                said: Output = self._call(f"read {argv[0]}", lambda: self._machine.read(argv, stdin))
            except TransportLost as error:
                if last:
                    raise Unreachable(str(error), host=self.host, reason="unreachable") from error
            else:
                return said
        raise AssertionError

    def read_file(self, path: str, *, limit_bytes: int = 0) -> bytes | None:
        try:
            found: bytes | None = self._call(f"read {path}", lambda: self._machine.read_file(path))
        except TransportLost as error:
            raise Unreachable(str(error), host=self.host, reason="unreachable") from error
        return found

    def change(self, change: Change, *, step: str, epoch: int, **_more: Any) -> Output:
        command = as_command(change)
        name = step_id(step, self._nonce, self.writes)
        self.writes += 1
        deadline = self._process.seconds() + command.timeout_s + LOCK_WAIT_S + 30
        free_by = self._process.seconds() + LOCK_WAIT_S
        while True:
            try:
                under_way = self._call(
                    f"rf-exec {name} {command.argv[0]}",
                    lambda: self._machine.rf_exec(name, epoch, command.argv, command.stdin),
                )
                if isinstance(under_way, Command):
                    if under_way.output is not None:
                        break
                elif under_way == "epoch":
                    raise LeaseLost("rf-exec: epoch refused", host=self.host, reason="lease-lost")
                elif self._process.seconds() > free_by:
                    raise Refused("rf-exec: another step runs", host=self.host, reason="refused")
            except (TransportLost, Unreachable) as error:
                if self._process.seconds() > deadline:
                    raise Unreachable(f"dropped: {error}", host=self.host, reason="unreachable") from error
            self._process.sleep(2.0)
        output = Output(command.argv, under_way.output.status, "", under_way.output.stderr)
        if refused := failure(self.host, output, "rf-exec"):
            raise refused
        return output

    def close(self) -> None:
        return


class MachineBmc:
    """The BMC over the LAN."""

    def __init__(self, process: Process, machine: Machine, host: str) -> None:
        self.host, self._process, self._machine = host, process, machine

    def _call(self, label: str, act: Callable[[], Any]) -> Any:
        lost = Unreachable("the BMC did not answer", host=self.host, reason="unreachable")
        return self._process.ask(f"bmc {label}", act, lost=lambda: lost)

    def power(self) -> Any:
        return self._call("power", lambda: self._machine.power)

    def set_power(self, action: PowerAction) -> None:
        acts = {"on": self._machine.power_on, "off": self._machine.power_off, "soft": self._machine.power_off}
        self._call(action, acts.get(action, self._machine.cycle))

    def boot_flags(self) -> BootFlags:
        flags: BootFlags = self._call("flags", lambda: self._machine.flags)
        return flags

    def set_boot_flags(self, flags: BootFlags) -> None:
        self._call(f"set flags {flags.target}", lambda: setattr(self._machine, "flags", flags))

    def guid(self) -> str | None:
        return None

    def lan_mac(self) -> str | None:
        return None

    def close(self) -> None:
        return


def reconcile(
    process: Process, job: int, edge: EdgePart, machine: Machine, clock: Clock, run: FlowRun
) -> str:
    """One process of a run, from its first line to its end; what it ended with, in a word."""
    return _Run(process, job, edge, machine, clock, run).go()


class _Run:
    """The pieces that a process has."""

    def __init__(
        self, process: Process, job: int, edge: EdgePart, machine: Machine, clock: Clock, run: FlowRun
    ) -> None:
        self.process, self.job_no, self.clock, self.run = process, job, clock, run
        at = EdgeAddress("http://edge", None, edge.token("worker"))
        self.edge = EdgeClient(at, transport=EdgeWay(process, edge), sleep=process.sleep)
        self.keepers_edge = EdgeClient(at, transport=AtOnce(process, edge), sleep=lambda _s: None)
        openers = Openers(
            ssh=lambda to, _key: self._open(machine, to),
            ipmi=lambda host, _credential: MachineBmc(process, machine, host),
        )
        self.around = Surroundings(
            Sessions(openers), Memory(), clock=clock.seconds, sleep=process.sleep, now=clock
        )

    def _open(self, machine: Machine, to: Address) -> Any:
        shell = MachineShell(self.process, machine, to)
        shell.handshake()
        # The model's machine has no BMC in band; its identity is not what is tested here.
        self.around.sessions.note_proof(to)
        return shell

    def go(self) -> str:
        """As `held` does."""
        try:
            job = self.edge.job(HOST, self.job_no)
            if job.state == "waiting-consent":
                if not job.ask_in_ui or job.plan is None or job.run_id != self.process.run_id:
                    return "lease lost: it waits without this run"
                if self.run.input is None:
                    return "suspended"
                yes = self.run.input["answer"] == "consent"
                job = self.edge.answer_form(
                    HOST, job.no, run_id=self.process.run_id, plan=job.plan, consents=yes
                )
            if job.state in ENDED:
                return "cancelled" if job.state == "cancelled" else "lease lost: ended before"
            word = f"process-{self.process.number}"
            claim = claim_host(self.edge, HOST, job=job.no, run_id=self.process.run_id, holder=word)
        except RackflowError as error:
            return f"not claimed: {error.message}"
        self.process.epoch = claim.epoch
        keeper = LeaseKeeper(self.keepers_edge, claim, clock=self.clock.seconds)
        self.process.keeper, self.process.claim = keeper, claim
        self.process.renewed_at = self.clock.seconds()
        try:
            end = self._judged(claim, keeper)
        except RackflowError as error:
            end = f"left without an outcome: {error}"
        finally:
            self.process.keeper = None
        if end == "waits for consent" and job.ask_in_ui:
            # Prefect keeps an answer under its question's key, and each wait is a question of its own.
            self.run.input = None
            return "suspended"
        return end

    def _judged(self, claim: Claim, keeper: LeaseKeeper) -> str:
        try:
            if claim.cancelling:
                raise cancelled(claim)
            return self._held(claim, keeper)
        except JobWaits:
            return "waits"
        except Cancelled as error:
            told = wind_down(self.edge, claim, log=self._log, around=self.around)
            self._finish(claim, result="failed", reason=error.reason, message=told)
            return "cancelled"
        except LeaseLost:
            return "lease lost"
        except RackflowError as error:
            if isinstance(error, Unreachable) and error.host is None:
                raise
            clear_boot_flag(self.edge, claim, log=self._log, around=self.around)
            self._finish(claim, result="failed", reason=error.reason, message=error.message)
            return f"failed {error.reason}: {error.message}"

    def _held(self, claim: Claim, keeper: LeaseKeeper) -> str:
        """As `reconcile_host` does."""
        seen = self._task(lambda: observe(self.edge, HOST, claim, around=self.around, now=self.clock))
        keeper.must_stop()
        plan = self._task(lambda: plan_for_job(self.edge, claim, seen))
        if not self._task(lambda: may_run(self.edge, claim, plan)):
            self._finish(claim, result="waiting-consent", reason="waiting-consent", plan=plan.hash)
            return "waits for consent"
        self.edge.phase(HOST, Phase.PROVISIONING, epoch=claim.epoch)
        for step in plan.steps:
            keeper.must_stop()
            self._task(
                lambda step=step: run_step(self.edge, claim, plan, step.id, log=self._log, around=self.around)
            )
        keeper.must_stop()
        self._task(lambda: await_os(self.edge, claim, plan, log=self._log, around=self.around))
        keeper.must_stop()
        self.edge.phase(HOST, Phase.ACTIVE, epoch=claim.epoch, reason="ok")
        self._finish(claim, result="applied", reason="ok", plan=plan.hash)
        return "applied"

    def _task(self, call: Callable[[], T]) -> T:
        """As a Prefect task with `tasks.retries.RETRY` does: only what did not answer is asked again."""
        for delay_s in (2.0, 5.0, 10.0):
            try:
                return call()
            except Unreachable:
                self.process.sleep(delay_s)
        return call()

    def _finish(self, claim: Claim, **outcome: Any) -> None:
        for delay_s in (2.0, 5.0, 10.0, 20.0, 20.0):
            try:
                self.edge.finish(HOST, claim.job, epoch=claim.epoch, run_id=claim.run_id, **outcome)
            except Unreachable:
                self.process.sleep(delay_s)
            else:
                return
        self.edge.finish(HOST, claim.job, epoch=claim.epoch, run_id=claim.run_id, **outcome)

    def _log(self, text: str) -> None:
        self.process.said.append(text)


def _about(content: bytes) -> str:
    """The words of a request's body that tell it from others."""
    if not content.startswith(b"{"):
        return ""
    body = httpx.Response(200, content=content).json()
    return " ".join(str(body[key]) for key in ("step", "phase", "result", "event") if key in body)


__all__ = ["reconcile", "short_plan"]
