"""Make the machine's BMC ours: set in band from the boot OS, proven over the LAN (DESIGN 5.9).

A password is stored at the edge as candidate before it is set, so that a crash leaves no BMC with a
password that nobody knows. It becomes the current one only after a login over the LAN, to the same BMC and
with a value written in band read back; the current one stays until then. So at each moment the BMC has a
password that is stored, and the next run finds it:

- It tries one stored credential, the likelier one: a candidate that was not refused yet (a run that dies
  between storing and promoting has most often set it), else the current one. One that was refused is not.
- What does not log in is replaced in band by a fresh candidate. A password that is stored already is never
  sent in band again: an earlier run may have set it in the host, and this machine may be another.
- Each login is a line at the edge before and after it. What was refused, or twice begun without an answer,
  is held back until the BMC's lockout window is over; a start makes two wrong logins at most.

A spec's own password (`passwordFrom: {secret}`) is set only after the proof under a generated one.
"""

import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Final, Literal

from metal.drivers.bmc.in_band import QUERIES, BmcSetup, parse_bmc, read_setup
from metal.drivers.bmc.setup import (
    ASK,
    BmcWish,
    not_taken,
    password_answer,
    password_question,
    setup_changes,
)
from metal.drivers.bundle import read_bundle
from metal.edge_client.runs import RunCalls
from metal.engine import proof
from metal.engine.claim import Claim, check
from metal.engine.connect import (
    SESSIONS,
    BmcLock,
    LockedBmc,
    Sessions,
    bmc_lock,
    boot_os,
)
from metal.errors import Refused, Unreachable
from metal.protocols import Bmc, Command, Output, Shell
from specs.facts import BmcFacts
from specs.model import SecretRef
from specs.records import BmcCredential, HostRecord, WorkOrder

ANSWER_DEADLINE_S: Final = 45.0
"""How long a BMC may take to answer at a new address; a reset of its network stack takes that long."""
RETRY_S: Final = 0.5
TAKE_OVER_S: Final = 10.0
"""How long a BMC may take to show in band what was set."""
PASSWORD_CHARS: Final = 16
"""What IPMI 1.5 firmware stores; the alphabet needs no quoting and has no look-alikes."""
ALPHABET: Final = "".join(c for c in string.ascii_letters + string.digits if c not in "lIO01")


@dataclass(frozen=True, slots=True)
class BmcOutcome:
    """How the set-up ended; `proven` says that a value written in band was read over the LAN in this run."""

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
    record: HostRecord
    shell: Shell
    seen: BmcFacts
    wish: BmcWish
    lock: BmcLock
    owner: str
    sessions: Sessions
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    writes: int = 0
    proven: bool = False

    def change(self, command: Command) -> Output:
        """Send one command in band, under the lock and the claim's epoch."""
        self.lock.must_hold()
        self.writes += 1
        return self.shell.change(command, step=f"{self.claim.job}-bmc-{self.writes}", epoch=self.claim.epoch)

    def send(self, command: Command) -> None:
        """Change the BMC in band. Raises Refused (bmc-unverified)."""
        said = self.change(command)
        if said.status not in command.ok_statuses:
            raise self.unverified(f"could not {command.says}: {(said.stderr or said.stdout).strip()[-400:]}")

    def note(
        self,
        credential: BmcCredential,
        result: Literal["trying", "refused", "silent", "accepted"],
        *,
        fresh: bool,
    ) -> None:
        """Tell the edge of a login."""
        self.edge.bmc_login(self.claim.host, credential, result, owner=self.owner, fresh=fresh)

    def unverified(self, message: str, hint: str | None = None) -> Refused:
        """The error that says so."""
        return Refused(message, host=self.claim.host, reason="bmc-unverified", hint=hint)


def setup_bmc(
    edge: RunCalls,
    claim: Claim,
    *,
    sessions: Sessions = SESSIONS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> BmcOutcome:
    """Set the host's BMC up and prove it; nothing is written where that has been done.

    Raises Refused: bmc-unverified, bmc-mismatch, identity-unproven.
    """
    check(edge, claim)
    order = edge.order(claim.host)
    if order.discovery == "inspect" and order.spec is None:
        told = "the site only inspects machines that no spec claims: their BMC is left as it is"
        return BmcOutcome("none", None, 0, proven=False, message=told)
    record = edge.host(claim.host)
    shell = sessions.shell(edge, boot_os(record))
    seen = _in_band(shell)
    if seen is None:
        edge.put_condition(
            claim.host, "BmcVerified", status="Unknown", reason="ok", message="the machine has no BMC"
        )
        return BmcOutcome("none", None, 0, proven=False, message="no BMC in the machine")
    wish = _wish(order, claim.host)
    owner = f"{claim.run_id}:bmc-setup"
    with bmc_lock(edge, claim.host, owner=owner, epoch=claim.epoch, clock=clock, sleep=sleep) as lock:
        return _converge(
            _Setup(
                edge, claim, order, record, shell, seen, wish, lock, owner, sessions, clock=clock, sleep=sleep
            )
        )


def _converge(setup: _Setup) -> BmcOutcome:
    """Find the credential that is set, else set one; then the spec's own password, once that may be sent."""
    there = _stored(setup)
    if there is None:
        there = _set_and_prove(setup, "".join(secrets.choice(ALPHABET) for _ in range(PASSWORD_CHARS)))
    own = _own_password(setup)
    if own is not None and own != there.password:
        _require_proof(setup, there)
        there = _set_and_prove(setup, own)
    wish = setup.wish
    if not setup.writes:
        message = f"{wish.user}@{wish.address} was set up before"
    else:
        told = "" if setup.proven else " (no proof by value)"
        message = f"{wish.user}@{wish.address} answers on the LAN{told}"
    return BmcOutcome("verified", wish.address, setup.writes, proven=setup.proven, message=message)


def _stored(setup: _Setup) -> BmcCredential | None:
    """Give the stored credential that the BMC takes; at most one is tried.

    Where the host's BMC takes one, and the BMC in the machine is not set up like that, the machine may be
    another: it is proven before anything is set. Raises Refused (bmc-mismatch, identity-unproven).
    """
    wish, known = setup.wish, setup.lock.credentials
    in_place = setup.seen.address == wish.address
    fits = [c for c in known if in_place and (c.user, c.address) == (wish.user, wish.address)]
    begun = next((c for c in fits if c.state == "candidate"), None)
    likely = begun or next((c for c in known if c.state in ("current", "factory")), None)
    session = _try(setup, likely) if likely else None
    if likely is None or session is None:
        return None
    try:
        _same_bmc(setup, session)
        if likely is begun:
            _take_over(setup, likely, session)
        elif likely not in fits:
            _prove(setup, session)
            return None
    finally:
        session.close()
    return likely


def _try(setup: _Setup, credential: BmcCredential) -> Bmc | None:
    """Log in once with a stored credential."""
    try:
        return _log_in(setup, credential, fresh=False, deadline_s=0)
    except (Refused, Unreachable):
        return None


def _take_over(setup: _Setup, candidate: BmcCredential, session: Bmc) -> None:
    """Finish what a run began that set this candidate and died: other settings, proof, promotion."""
    for command in setup_changes(_read(setup), setup.wish, setup.claim.host):
        setup.send(command)
    _prove(setup, session)
    # Stored once more, so that it is the newest: promotion takes that one.
    _store(setup, candidate.password)
    setup.edge.bmc_promote(setup.claim.host, epoch=setup.claim.epoch, user=candidate.user)


def _set_and_prove(setup: _Setup, password: str) -> BmcCredential:
    """Store the candidate, set it in band, read back, log in over the LAN, compare, promote: in order."""
    wish = setup.wish
    candidate = _store(setup, password)
    full = BmcWish(wish.user, wish.address, wish.netmask, wish.gateway, candidate.password)
    for command in setup_changes(_read(setup), full, setup.claim.host):
        setup.send(command)
    _read_back(setup, full)
    session = _log_in_fresh(setup, candidate)
    try:
        _same_bmc(setup, session)
        _prove(setup, session)
    finally:
        session.close()
    setup.edge.bmc_promote(setup.claim.host, epoch=setup.claim.epoch, user=wish.user)
    return candidate


def _store(setup: _Setup, password: str) -> BmcCredential:
    return setup.edge.bmc_candidate(
        setup.claim.host,
        epoch=setup.claim.epoch,
        address=setup.wish.address,
        user=setup.wish.user,
        password=password,
    )


def _read(setup: _Setup) -> BmcSetup:
    return read_setup(setup.shell, setup.seen.channel or 1)


def _read_back(setup: _Setup, full: BmcWish) -> None:
    """Compare what the BMC shows in band, until it has taken it; ask it for the password without the LAN.

    Raises Refused (bmc-unverified): a login with a password that was not taken would count as a wrong one.
    """
    deadline = setup.clock() + TAKE_OVER_S
    while True:
        now = _read(setup)
        lacking = list(not_taken(now, full))
        question = password_question(now, full)
        if question is not None:
            said = setup.shell.read(ASK, stdin=question, timeout_s=30)
            if password_answer(said) is False:
                lacking.append(f"the password of {full.user} is not the one that was set")
        if not lacking:
            return
        if setup.clock() > deadline:
            raise setup.unverified(
                f"the BMC did not take what was set in band: {'; '.join(lacking)}",
                "does it have a password policy, or a locked user table?",
            )
        setup.sleep(RETRY_S)


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


def _own_password(setup: _Setup) -> str | None:
    """Give the password that the spec names; None where it leaves the choice to us."""
    chosen = setup.order.spec.bmc.password_from if setup.order.spec else "generated"
    return setup.edge.secret(chosen.secret).value if isinstance(chosen, SecretRef) else None


def _log_in(setup: _Setup, credential: BmcCredential, *, fresh: bool, deadline_s: float) -> Bmc:
    """Log in, again only while the BMC does not answer; the attempt stands at the edge before it is made."""
    setup.note(credential, "trying", fresh=fresh)
    deadline = setup.clock() + deadline_s
    while True:
        try:
            session = setup.sessions.openers.ipmi(setup.claim.host, credential)
        except Refused:
            setup.note(credential, "refused", fresh=fresh)
            raise
        except Unreachable:
            if setup.clock() >= deadline:
                setup.note(credential, "silent", fresh=fresh)
                raise
        else:
            setup.note(credential, "accepted", fresh=fresh)
            return session
        setup.sleep(RETRY_S)


def _log_in_fresh(setup: _Setup, credential: BmcCredential) -> Bmc:
    """Log in with what was just set, once the BMC has taken it over. Raises Refused (bmc-unverified)."""
    try:
        return _log_in(setup, credential, fresh=True, deadline_s=ANSWER_DEADLINE_S)
    except (Refused, Unreachable) as error:
        raise setup.unverified(
            f"{credential.user}@{credential.address} was set in band and does not log in over the LAN: "
            f"{error.message}",
            "is the BMC network routed to the edge, and is the address another BMC's?",
        ) from error


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
                hint=f"give one of the two BMCs another address, then rackflow inspect {setup.claim.host}",
            )


def _prove(setup: _Setup, session: Bmc) -> None:
    """Prove by value; a BMC without a place for one is promoted without, and gets no other secret by it.

    Raises Refused (identity-unproven) when the LAN shows another value.
    """
    found = proof.compare(setup.change, LockedBmc(session, setup.lock))
    if found.result == "no-place":
        return
    proof.settle(setup.edge, setup.claim, setup.record, boot_os(setup.record), found, setup.sessions)
    setup.proven = True


def _require_proof(setup: _Setup, current: BmcCredential) -> None:
    """Let the spec's own password go out only to a proven machine."""
    at = boot_os(setup.record)
    if setup.sessions.is_proven(at):
        return
    session = _log_in(setup, current, fresh=False, deadline_s=0)
    try:
        found = proof.compare(setup.change, LockedBmc(session, setup.lock))
    finally:
        session.close()
    proof.settle(setup.edge, setup.claim, setup.record, at, found, setup.sessions)
    setup.proven = found.result == "proven"
