"""Proof that the machine in the boot OS is the host, before it gets a secret or a wipe erases it (DESIGN 4).

PXE has no authentication, and UUID, serial and MAC are what a machine says of itself: who can send frames
on the provisioning LAN can boot under another's name. What it has not got is the other's BMC. So the run
writes a random value through the in-band BMC interface and reads it over the LAN, from the host's BMC
address, with the stored credential. Equal: machine and BMC are one. Unequal: nothing secret is sent, and
nothing is erased.

A machine without a BMC, or with one that has no place that both sides see, proves nothing; the edge then
says whether the Site trusts the LAN (`trust: lan`). A deployed system needs no proof: it is reached by the
host key that the installer made, which no other machine has.
"""

import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from metal.drivers.bmc.setup import EVENT_BYTES, PROOF_LENGTH, event_change, proof_change
from metal.edge_client.runs import RunCalls
from metal.engine.claim import Claim
from metal.engine.connect import SESSIONS, Address, LockedBmc, Sessions, bmc_lock, boot_os, log_in
from metal.engine.work import Work
from metal.errors import Refused
from metal.planning.plan import Plan, Step
from metal.protocols import Command, Output
from specs.records import BootRecord, HostRecord

Result = Literal["proven", "differs", "no-place"]
Send = Callable[[Command], Output]
"""Sends one command in band, under the claim's epoch."""

REASON: Final = "identity-unproven"
ALWAYS_SECRET: Final = frozenset({"host-key", "phone-home", "luks-open", "crypttab"})
"""Steps that send a private key, a token or the key of a disk, whatever the spec says."""
EVENT_TURNS: Final = 3
_LETTERS: Final = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Proof:
    """What was seen when the value was read, in words for the timeline."""

    result: Result
    message: str


def guard(work: Work) -> None:
    """Hold a step back until the machine is proven, if it sends a secret, erases for one, or is of a wipe.

    Erasing comes first in an installation; a machine that will be refused its secrets must not lose its
    disks before. A wipe sends none, and another machine's reports would attest disks that nobody erased.
    What is proven is the boot that the step itself works in: meanwhile another one may have reported in, the
    host's own after an impostor's. Raises Refused (identity-unproven).
    """
    if not needs_proof(work.plan, work.step):
        return
    work.writes += require(
        work.edge,
        work.claim,
        work.record(),
        where=work.step.where,
        sessions=work.sessions,
        clock=work.clock,
        sleep=work.sleep,
    )


def needs_proof(plan: Plan, step: Step) -> bool:
    """Whether a step waits for a proof: it sends a secret, or destroys in a wipe or a plan that sends one."""
    if step.where != "boot-os":
        return False
    if sends_secret(step):
        return True
    return step.destructive and (plan.wipe is not None or any(map(sends_secret, plan.steps)))


def sends_secret(step: Step) -> bool:
    """Whether a step sends something to the machine that another machine must not have."""
    if step.kind in ALWAYS_SECRET:
        return True
    if step.kind in ("mkfs", "fill"):
        return "luks" in step.args
    if step.kind == "in-mount":
        return "luks" in step.args or any(file.get("secret") for file in step.args["files"])
    if step.kind == "users":
        return any(user.get("password") is not None for user in step.args.get("users", ()))
    return step.kind == "files" and any(file.get("secret") for file in step.args.get("files", ()))


def require(
    edge: RunCalls,
    claim: Claim,
    record: HostRecord | None = None,
    *,
    where: Literal["boot-os", "running-os", "bmc"] = "boot-os",
    sessions: Sessions = SESSIONS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Make sure that secrets may go to the machine; gives how many commands changed something.

    `record` is the host as the caller reaches it; read anew by default.
    Remembered per process and boot: another boot OS reports in with another host key, and is proven anew.
    Raises Refused (identity-unproven), and what connections raise; then nothing secret may be sent.
    """
    if where != "boot-os":
        return 0
    record = record or edge.host(claim.host)
    at = boot_os(record)
    if sessions.is_proven(at):
        return 0
    sent: list[Command] = []
    shell = sessions.shell(edge, at)

    def send(command: Command) -> Output:
        sent.append(command)
        return shell.change(command, step=f"{claim.job}-proof", epoch=claim.epoch)

    found = _found(edge, claim, record, send, sessions, clock, sleep)
    settle(edge, claim, record, at, found, sessions)
    return len(sent)


def settle(
    edge: RunCalls, claim: Claim, record: HostRecord, at: Address, proof: Proof, sessions: Sessions
) -> None:
    """Tell the edge what was seen, and remember its leave. Raises Refused (identity-unproven)."""
    if not may_send(edge, claim, record.boot, proof):
        raise Refused(proof.message, host=claim.host, reason=REASON, hint=_hint(claim.host, proof.result))
    sessions.note_proof(at)


def may_send(edge: RunCalls, claim: Claim, boot: BootRecord | None, proof: Proof) -> bool:
    """Report the proof; the edge writes it into the timeline and says whether secrets may go out."""
    body = {
        "epoch": claim.epoch,
        "boot_no": boot.boot_no if boot else None,
        "result": proof.result,
        "message": proof.message,
    }
    answer = edge.json("POST", f"/v1/hosts/{claim.host}/proof", json=body)
    return bool(answer["may_send_secrets"])


def compare(send: Send, session: LockedBmc) -> Proof:
    """Write a value in band and read it over the LAN."""
    value = "".join(secrets.choice(_LETTERS) for _ in range(PROOF_LENGTH))
    if session.read_proof() is None:
        return _compare_events(send, session)
    said = send(proof_change(value))
    seen = session.read_proof()
    if seen == value:
        return Proof("proven", "a value written in band was read over the LAN")
    if not said.ok:
        told = (said.stderr or said.stdout).strip()[-200:]
        return Proof("no-place", f"the BMC in the machine takes no value that both sides would see: {told}")
    return Proof("differs", "a value written in band is not what the host's BMC shows on the LAN")


def _compare_events(send: Send, session: LockedBmc) -> Proof:
    """The same by the event log, for a BMC without system info; an event in between costs a turn."""
    for _ in range(EVENT_TURNS):
        value = secrets.token_bytes(EVENT_BYTES)
        if not send(event_change(value)).ok:
            break
        seen = session.last_event()
        if seen is None:
            break
        if seen[-EVENT_BYTES:] == value:
            return Proof("proven", "a value written in band was read over the LAN, in the event log")
    else:
        return Proof("differs", "what was written in band is not in the event log of the host's BMC")
    return Proof("no-place", "the BMC has no place for a value that both sides see")


def _found(
    edge: RunCalls,
    claim: Claim,
    record: HostRecord,
    send: Send,
    sessions: Sessions,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Proof:
    owner = f"{claim.run_id}:proof"
    with bmc_lock(edge, claim.host, owner=owner, epoch=claim.epoch, clock=clock, sleep=sleep) as lock:
        if not lock.credentials and record.bmc_address is None:
            return Proof("no-place", "no BMC of this host is known")
        session = log_in(edge, claim.host, lock.credentials, sessions.openers, owner=owner)
        try:
            return compare(send, LockedBmc(session, lock))
        finally:
            session.close()


def _hint(host: str, result: Result) -> str:
    if result == "differs":
        return (
            f"another machine may have booted under the name of {host}: look which one is on its switch port"
        )
    return "set trust: lan in the Site if every machine on the provisioning LAN is trusted"
