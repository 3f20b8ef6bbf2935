"""BMC credentials and lock, named secrets, the management key. Each value handed out is a line of history."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from pxe_edge.api import bodies as b
from pxe_edge.api.access import Admin, Broker, Reg, Worker, require
from pxe_edge.registry import credentials, hosts, leases, timeline, tokens
from pxe_edge.registry.errors import ForbiddenError
from specs.records import BmcCredential, ConditionStatus, SecretValue
from specs.shapes import Name

router = APIRouter(tags=["secrets"])
ConsoleOnly = Annotated[tokens.Scope, Depends(require("console"))]


class LoginBody(b.Body):
    """A login at a BMC, whose, and what came of it."""

    owner: Annotated[str, Field(min_length=1, max_length=200)]
    address: str
    user: str
    state: Literal["candidate", "current", "previous", "factory"]
    result: Literal["trying", "refused", "silent", "accepted"]
    fresh: bool = False


class ProofBody(b.Body):
    """What came of the proof of identity, and of which boot."""

    epoch: int
    boot_no: int | None = None
    result: Literal["proven", "differs", "no-place"]
    message: Annotated[str, Field(max_length=1000)]


@router.post("/v1/hosts/{name}/bmc-lock")
def bmc_lock(name: str, body: b.BmcLockBody, registry: Reg, scope: Worker) -> dict[str, Any]:
    """Take or prolong the host's BMC lock; answers the credentials in the order to try them."""
    now = registry.now()
    with registry.db.write() as session:
        host = hosts.get(session, name)
        if body.epoch is not None:
            leases.require_epoch(session, host, body.epoch)
        expires = credentials.lock(session, now, host, owner=body.owner, ttl_s=body.ttl_s)
        found = credentials.to_try(session, now, registry.seal, host)
        timeline.add(
            session, now, "secret", f"BMC lock and {len(found)} credentials to {body.owner}", host_id=host.id,
            detail={"scope": scope},
        )  # fmt: skip
    return {"expires": expires.isoformat(), "credentials": [c.model_dump(mode="json") for c in found]}


@router.delete("/v1/hosts/{name}/bmc-lock", status_code=204)
def bmc_unlock(name: str, owner: str, registry: Reg, _: Worker) -> None:
    """Give the BMC lock back."""
    with registry.db.write() as session:
        credentials.unlock(session, hosts.get(session, name), owner=owner)


@router.get("/v1/hosts/{name}/credentials")
def list_credentials(
    name: str, registry: Reg, scope: ConsoleOnly, purpose: Annotated[str | None, Query(alias="for")] = None
) -> b.Page[BmcCredential]:
    """The BMC's credentials without the lock: for an operator, and for the console broker."""
    if scope != "admin" and purpose != "console":
        raise ForbiddenError(
            f"scope {scope} gets credentials for=console only", hint="take the BMC lock", host=name
        )
    with registry.db.write() as session:
        host = hosts.get(session, name)
        if scope == "admin":
            found = credentials.of_host(session, registry.seal, host)
        else:
            found = credentials.to_try(session, registry.now(), registry.seal, host)
        if found:
            timeline.add(
                session, registry.now(), "secret", f"BMC credentials shown for {purpose or 'an operator'}",
                host_id=host.id, detail={"scope": scope},
            )  # fmt: skip
    return b.Page(items=found)


@router.post("/v1/hosts/{name}/bmc-credential")
def bmc_candidate(name: str, body: b.BmcCandidate, registry: Reg, _: Worker) -> BmcCredential:
    """Store a candidate before it is set; without a password the edge makes one."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        leases.require_epoch(session, host, body.epoch)
        return credentials.candidate(
            session, registry.now(), registry.seal, host,
            address=body.address, user=body.user, password=body.password,
        )  # fmt: skip


@router.post("/v1/hosts/{name}/bmc-credential/promote")
def bmc_promote(name: str, body: b.BmcPromotion, registry: Reg, _: Worker) -> BmcCredential:
    """The candidate was proven over the LAN: it is current now."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        leases.require_epoch(session, host, body.epoch)
        return credentials.promote(session, registry.now(), registry.seal, host, user=body.user)


@router.post("/v1/hosts/{name}/bmc-credential/login", status_code=204)
def bmc_login(name: str, body: LoginBody, registry: Reg, _: Broker) -> None:
    """A login at the BMC, before it is made and after: what was refused is held back for a while."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        credentials.note_login(session, registry.now(), host, **body.model_dump())


@router.post("/v1/hosts/{name}/proof")
def proof(name: str, body: ProofBody, registry: Reg, _: Worker) -> dict[str, Any]:
    """What a run saw when the machine was to prove that it is this host; answers whether it is trusted."""
    now = registry.now()
    with registry.db.write() as session:
        host = hosts.get(session, name)
        leases.require_epoch(session, host, body.epoch)
        trust = registry.current.site.trust if registry.current else "proof"
        trusted = body.result == "proven" or (body.result == "no-place" and trust == "lan")
        if body.result != "no-place":
            status: ConditionStatus = "True" if body.result == "proven" else "False"
            reason = "ok" if body.result == "proven" else "identity-unproven"
            hosts.set_condition(
                session, now, host.id, "BmcVerified", status, reason=reason, message=body.message
            )
        verdict = "may get secrets" if trusted else "gets no secret"
        timeline.add(
            session, now, "proof", f"boot {body.boot_no} {verdict}: {body.message}",
            host_id=host.id, detail={"result": body.result, "trust": trust},
        )  # fmt: skip
    return {"may_send_secrets": trusted, "because": body.result if trust == "proof" else f"trust: {trust}"}


@router.get("/v1/secrets")
def list_secrets(registry: Reg, _: Worker) -> b.Page[dict[str, Any]]:
    """Names and versions, never values."""
    with registry.db.read() as session:
        versions = credentials.secret_versions(session)
    return b.Page(items=[{"name": name, "version": versions[name]} for name in sorted(versions)])


@router.put("/v1/secrets/{name}")
def put_secret(name: Name, body: b.SecretBody, registry: Reg, _: Admin) -> dict[str, Any]:
    """Set a named secret; the same value keeps its version."""
    with registry.db.write() as session:
        version = credentials.set_secret(session, registry.now(), registry.seal, name, body.value)
    return {"name": name, "version": version}


@router.post("/v1/secrets/management-key")
def management_key(registry: Reg, scope: Worker) -> dict[str, str]:
    """The site's SSH key pair, for a worker's memory."""
    now = registry.now()
    with registry.db.write() as session:
        row = credentials.management_key(session, now, registry.seal)
        timeline.add(session, now, "secret", "management key read", detail={"scope": scope})
        return {"private_key": credentials.management_private(row, registry.seal), "public_key": row.public}


@router.post("/v1/secrets/{name}/value")
def read_secret(name: Name, registry: Reg, scope: Worker, version: int | None = None) -> SecretValue:
    """A named secret's value."""
    with registry.db.write() as session:
        value = credentials.read_secret(session, registry.seal, name, version)
        timeline.add(session, registry.now(), "secret", f"{value.ref} read", detail={"scope": scope})
        return value
