"""Make the machine's BMC ours: set in band from the boot OS, proven over the LAN (DESIGN 5.9).

Order, and why. The candidate credential is stored at the edge before anything is set, so that a crash
leaves no BMC with a password that nobody knows. It becomes the current one only after a login over the
LAN, on which the same BMC answered: a twin with the address would else get our commands. The current
one stays valid until then. A BMC that takes the current credential and is where it should be is left
alone: no write.
"""

import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Final, Literal

from metal.drivers.bmc.in_band import QUERIES, parse_bmc, read_setup
from metal.drivers.bmc.setup import PROOF_LENGTH, BmcWish, proof_change, setup_changes
from metal.drivers.bundle import read_bundle
from metal.edge_client.runs import RunCalls
from metal.engine.claim import Claim, check
from metal.engine.connect import SESSIONS, Sessions, boot_os_shell, lock_bmc
from metal.errors import RackflowError, Refused, Unreachable
from metal.protocols import Bmc, Command, Shell
from specs.facts import BmcFacts
from specs.model import SecretRef
from specs.records import BmcCredential, WorkOrder

LOCK_S: Final = 180
ANSWER_DEADLINE_S: Final = 45.0
"""How long a BMC may take to answer at a new address; a reset of its network stack takes that long."""
RETRY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class BmcOutcome:
    """How the set-up ended."""

    state: Literal["none", "verified"]
    address: str | None
    writes: int
    proven: bool
    message: str


@dataclass(slots=True)
class _Setup:
    """One set-up under way."""

    edge: RunCalls
    claim: Claim
    order: WorkOrder
    shell: Shell
    seen: BmcFacts
    sessions: Sessions
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    writes: int = 0

    def send(self, command: Command) -> None:
        """Change the BMC in band."""
        self.writes += 1
        said = self.shell.change(command, step=f"{self.claim.job}-bmc-{self.writes}", epoch=self.claim.epoch)
        if said.status not in command.ok_statuses:
            raise Refused(
                f"could not {command.says}: {(said.stderr or said.stdout).strip()[-400:]}",
                host=self.claim.host,
                reason="bmc-unverified",
            )


def setup_bmc(
    edge: RunCalls,
    claim: Claim,
    *,
    sessions: Sessions = SESSIONS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> BmcOutcome:
    """Set the host's BMC up and prove it; nothing is written where that has been done.

    Raises Refused: bmc-unverified, bmc-mismatch.
    """
    check(edge, claim)
    order = edge.order(claim.host)
    if order.discovery == "inspect" and order.spec is None:
        told = "the site only inspects machines that no spec claims: their BMC is left as it is"
        return BmcOutcome("none", None, 0, proven=False, message=told)
    shell = boot_os_shell(edge, claim.host, sessions)
    seen = _in_band(shell)
    if seen is None:
        edge.put_condition(
            claim.host, "BmcVerified", status="Unknown", reason="ok", message="the machine has no BMC"
        )
        return BmcOutcome("none", None, 0, proven=False, message="no BMC in the machine")
    setup = _Setup(edge, claim, order, shell, seen, sessions, clock, sleep)
    owner = f"{claim.run_id}:bmc-setup"
    known = lock_bmc(edge, claim.host, owner=owner, ttl_s=LOCK_S, clock=clock, sleep=sleep)
    try:
        return _converge(setup, _wish(order, claim.host), known)
    finally:
        edge.bmc_unlock(claim.host, owner=owner)


def _converge(setup: _Setup, wish: BmcWish, known: list[BmcCredential]) -> BmcOutcome:
    if setup.seen.address == wish.address:
        for credential in known:
            fits = (credential.user, credential.address) == (wish.user, wish.address)
            if fits and credential.state in ("current", "candidate") and _answers(setup, credential):
                if credential.state == "candidate":
                    setup.edge.bmc_promote(setup.claim.host, epoch=setup.claim.epoch, user=wish.user)
                message = f"{wish.user}@{wish.address} was set up before"
                return BmcOutcome("verified", wish.address, 0, proven=True, message=message)
    return _set_and_prove(setup, wish)


def _set_and_prove(setup: _Setup, wish: BmcWish) -> BmcOutcome:
    """Store the candidate, set it in band, log in over the LAN, compare, promote: in this order."""
    edge, claim = setup.edge, setup.claim
    candidate = edge.bmc_candidate(
        claim.host,
        epoch=claim.epoch,
        address=wish.address,
        user=wish.user,
        password=_chosen_password(edge, setup.order),
    )
    full = BmcWish(wish.user, wish.address, wish.netmask, wish.gateway, candidate.password)
    current = read_setup(setup.shell, setup.seen.channel or 1)
    for command in setup_changes(current, full, claim.host):
        setup.send(command)
    session = _log_in(setup, candidate)
    try:
        _same_bmc(setup, session)
        proven = _prove(setup, session)
    finally:
        session.close()
    edge.bmc_promote(claim.host, epoch=claim.epoch, user=wish.user)
    message = f"{wish.user}@{wish.address} answers on the LAN" + ("" if proven else " (no proof by value)")
    return BmcOutcome("verified", wish.address, setup.writes, proven=proven, message=message)


def _in_band(shell: Shell) -> BmcFacts | None:
    """Read the BMC in band; None where the machine has none."""
    answers = read_bundle(shell, QUERIES)
    said = answers[QUERIES[0].name]
    if not said.ok and "could not open device" in f"{said.stdout}{said.stderr}".lower():
        return None
    return parse_bmc(answers)


def _wish(order: WorkOrder, host: str) -> BmcWish:
    """Give user and address as the edge keeps them for this host."""
    kept = order.addresses.get("bmc")
    if kept is None:
        raise Refused(
            "no BMC address is kept for this host",
            host=host,
            reason="bmc-unverified",
            hint="give the Site a network with purpose bmc, or the host a bmc.address",
        )
    address = ip_interface(kept)
    netmask = order.bmc_netmask or str(address.network.netmask)
    return BmcWish(order.bmc_user, str(address.ip), netmask, order.bmc_gateway)


def _chosen_password(edge: RunCalls, order: WorkOrder) -> str | None:
    """Give the spec's own password; None lets the edge make one."""
    chosen = order.spec.bmc.password_from if order.spec else "generated"
    return edge.secret(chosen.secret).value if isinstance(chosen, SecretRef) else None


def _answers(setup: _Setup, credential: BmcCredential) -> bool:
    """Whether this credential logs in to this very BMC. Raises Refused (bmc-mismatch) on a twin."""
    try:
        session = setup.sessions.openers.ipmi(setup.claim.host, credential)
    except (Refused, Unreachable):
        return False
    try:
        _same_bmc(setup, session)
    finally:
        session.close()
    return True


def _log_in(setup: _Setup, credential: BmcCredential) -> Bmc:
    """Log in, again until the BMC has taken over what was set."""
    deadline = setup.clock() + ANSWER_DEADLINE_S
    while True:
        try:
            return setup.sessions.openers.ipmi(setup.claim.host, credential)
        except (Refused, Unreachable) as error:
            if setup.clock() > deadline:
                raise Refused(
                    f"{credential.user}@{credential.address} was set in band and does not log in over the "
                    f"LAN: {error.message}",
                    host=setup.claim.host,
                    reason="bmc-unverified",
                    hint="is the BMC network routed to the edge?",
                ) from error
        setup.sleep(RETRY_S)


def _same_bmc(setup: _Setup, session: Bmc) -> None:
    """Compare GUID and MAC with those read in band."""
    pairs = {
        "GUID": (setup.seen.guid, session.guid()),
        "MAC": (setup.seen.mac, session.lan_mac()),
    }
    for what, (inside, outside) in pairs.items():
        if inside is not None and outside is not None and inside.lower() != outside.lower():
            raise Refused(
                f"another BMC answers: {what} in band {inside}, over the LAN {outside}",
                host=setup.claim.host,
                reason="bmc-mismatch",
                hint="two BMCs may have one address",
            )


def _prove(setup: _Setup, session: Bmc) -> bool:
    """Write a value in band and read it over the LAN; False where the BMC has no place for one."""
    read_proof = getattr(session, "read_proof", None)
    if read_proof is None:
        return False
    letters = string.ascii_letters + string.digits
    value = "".join(secrets.choice(letters) for _ in range(PROOF_LENGTH))
    try:
        setup.send(proof_change(value))
        outside = read_proof()
    except RackflowError as error:
        if error.reason == "lease-lost":
            raise
        return False
    if outside is not None and outside != value:
        raise Refused(
            "a value written in band is not what the BMC on the LAN shows",
            host=setup.claim.host,
            reason="bmc-mismatch",
            hint="two BMCs may have one address",
        )
    return bool(outside == value)
