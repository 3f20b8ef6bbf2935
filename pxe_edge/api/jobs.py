"""Jobs, leases, journal, plans and consents: what a run and an operator say to each other."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from pxe_edge.api import bodies as b
from pxe_edge.api.access import Admin, Anybody, Reg, Worker
from pxe_edge.api.answers import JsonText
from pxe_edge.api.storable import AnyJson
from pxe_edge.jobs import waits as rules
from pxe_edge.jobs.leases import Claimant
from pxe_edge.jobs.rules import leads_on
from pxe_edge.registry import boots, consents, hosts, jobs, journal, leases, records, waits
from pxe_edge.registry.tables import JobRow
from specs.phases import DEADLINE_S, Phase
from specs.records import Consent, HostRecord, JobRecord, JournalRow, LeaseGrant

router = APIRouter(tags=["jobs"])
PAGE = 1000


@router.post("/v1/hosts/{name}/jobs", status_code=201)
def post_job(
    name: str,
    body: b.JobWish,
    registry: Reg,
    scope: Worker,
    response: Response,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> JobRecord:
    """Wish for a change: 201 with the new job, 200 with the one that is open already."""
    by = "fleet" if scope == "worker" else body.by or "operator"
    with registry.db.write() as session:
        host = hosts.get(session, name)
        job, created = jobs.post(
            session, registry.now(), host, body.verb, args=body.args, by=by, idempotency_key=idempotency_key
        )
        response.status_code = 201 if created else 200
        return registry.job_record(job, host)


@router.get("/v1/hosts/{name}/jobs")
def list_jobs(name: str, registry: Reg, _: Anybody) -> b.Page[JobRecord]:
    """The newest jobs of a host, newest first."""
    with registry.db.read() as session:
        host = hosts.get(session, name)
        numbers = range(host.last_job, max(0, host.last_job - PAGE), -1)
        rows = [session.get(JobRow, (host.id, no)) for no in numbers]
        return b.Page(items=[registry.job_record(row, host) for row in rows if row is not None])


@router.get("/v1/hosts/{name}/jobs/{no}")
def get_job(name: str, no: int, registry: Reg, _: Anybody) -> JobRecord:
    """One job."""
    with registry.db.read() as session:
        host = hosts.get(session, name)
        return registry.job_record(jobs.get(session, host, no), host)


@router.post("/v1/hosts/{name}/jobs/claim")
def claim_job(name: str, body: b.JobClaim, registry: Reg, _: Worker) -> JobRecord:
    """A job for a run that somebody started in Prefect's UI."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        job = jobs.claim_by_hand(
            session, registry.now(), host, run_id=body.run_id, verb=body.verb, args=body.args
        )
        return registry.job_record(job, host)


@router.post("/v1/hosts/{name}/jobs/{no}/cancel")
def cancel_job(name: str, no: int, registry: Reg, _: Admin) -> JobRecord:
    """Ask a job to stop between two steps."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        return registry.job_record(jobs.cancel(session, registry.now(), host, no), host)


@router.post("/v1/hosts/{name}/jobs/{no}/finish")
def finish_job(name: str, no: int, body: b.Finish, registry: Reg, _: Worker) -> JobRecord:
    """A run's outcome; frees the lease. The same run saying it again is answered like the first time."""
    now = registry.now()
    with registry.db.write() as session:
        host = hosts.get(session, name)
        job = jobs.get(session, host, no)
        if jobs.said_already(job, run_id=body.run_id, epoch=body.epoch, result=body.result, plan=body.plan):
            return registry.job_record(job, host)
        leases.require_run(session, host, epoch=body.epoch, job=no, run_id=body.run_id)
        jobs.finish(
            session, now, host, job, result=body.result, reason=body.reason, message=body.message,
            next_step=body.next_step, outcome=body.outcome, plan=body.plan,
        )  # fmt: skip
        if host.phase == Phase.READY and job.state == "done" and leads_on(jobs.as_rule(job).verb):
            registry.host_ready(session, host)
        return registry.job_record(job, host)


@router.put("/v1/hosts/{name}/jobs/{no}/wait")
def register_wait(name: str, no: int, body: b.WaitBody, registry: Reg, _: Worker) -> b.Seen:
    """Have the job wait without a run: its next one starts on the event or at the deadline.

    `seen` says that the event has come already: nothing is registered and the run goes on.
    """
    now = registry.now()
    wait = rules.bounded(rules.Wait(body.event, body.since, body.deadline), now, registry.timing.wait_s)
    with registry.db.write() as session:
        host = hosts.get(session, name)
        job = jobs.get(session, host, no)
        if waits.said_already(job, wait, run_id=body.run_id, epoch=body.epoch):
            return b.Seen(seen=False)
        leases.require_run(session, host, epoch=body.epoch, job=no, run_id=body.run_id)
        return b.Seen(seen=waits.register(session, now, host, job, wait, message=body.message))


@router.post("/v1/hosts/{name}/jobs/{no}/form")
def answer_form(name: str, no: int, body: b.FormBody, registry: Reg, _: Worker) -> JobRecord:
    """What a person answered in Prefect's UI to the plan that this job waits with."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        job = jobs.get(session, host, no)
        consents.answer_form(
            session, registry.now(), host, job, run_id=body.run_id, plan=body.plan, yes=body.consents,
            allowed=registry.consent_form,
        )  # fmt: skip
        return registry.job_record(job, host)


@router.post("/v1/hosts/{name}/release", response_model=HostRecord)
def release_host(name: str, body: b.ReleaseBody, registry: Reg, _: Admin) -> JsonText:
    """Take the host from its run: the lease is freed, and an open job fails as released."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        jobs.release(session, registry.now(), host, by=body.by)
        return JsonText(registry.host_text(session, host))


@router.post("/v1/hosts/{name}/lease")
def claim_lease(name: str, body: b.LeaseClaim, registry: Reg, _: Worker) -> LeaseGrant:
    """The host, for this process of the job's present run; 409 names the holder."""
    now = registry.now()
    with registry.db.write() as session:
        host = hosts.get(session, name)
        job = jobs.get(session, host, body.job)
        jobs.require_claimable(session, now, host, job, body.run_id)
        by = Claimant(body.job, body.run_id, body.holder)
        grant = leases.claim(session, now, host, by, ttl_s=registry.timing.lease_ttl_s)
        jobs.claimed(session, now, host, job, run_id=body.run_id, epoch=grant.epoch)
        return grant


@router.put("/v1/hosts/{name}/lease")
def renew_lease(name: str, body: b.LeaseRenewal, registry: Reg, _: Worker) -> LeaseGrant:
    """Prolong the lease, and learn whether the job is being cancelled."""
    with registry.db.write() as session:
        return leases.renew(
            session, registry.now(), hosts.get(session, name), epoch=body.epoch, run_id=body.run_id,
            ttl_s=registry.timing.lease_ttl_s,
        )  # fmt: skip


@router.delete("/v1/hosts/{name}/lease", status_code=204)
def release_lease(name: str, epoch: int, run_id: str, registry: Reg, _: Worker) -> None:
    """Give the lease back; without an outcome or a wait before it, the run counts as lost."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        jobs.give_up(session, registry.now(), host, epoch=epoch, run_id=run_id, timing=registry.timing)


@router.post("/v1/hosts/{name}/journal", status_code=201)
def append_journal(name: str, body: b.JournalBody, registry: Reg, _: Worker) -> JournalRow:
    """Intent or outcome of one step, under the lease's epoch."""
    with registry.db.write() as session:
        row = journal.append(
            session, registry.now(), hosts.get(session, name), epoch=body.epoch, job=body.job, step=body.step,
            kind=body.kind, phase=body.phase, plan=body.plan, detail=body.detail,
        )  # fmt: skip
        return records.journal(row)


@router.get("/v1/hosts/{name}/journal")
def read_journal(
    name: str, registry: Reg, _: Anybody, job: int | None = None, kind: str | None = None, after: int = 0
) -> b.Page[JournalRow]:
    """Journal rows, of one job or one kind of step, oldest first."""
    with registry.db.read() as session:
        rows = journal.read(session, hosts.get(session, name), job=job, kind=kind, after=after, limit=PAGE)
        return b.Page(
            items=[records.journal(row) for row in rows], next=str(rows[-1].no) if len(rows) == PAGE else None
        )


@router.post("/v1/hosts/{name}/install-token")
def install_token(name: str, body: b.InstallTokenBody, registry: Reg, _: Worker) -> dict[str, str]:
    """A one-time token for the phone-home of the system that this job installs."""
    now = registry.now()
    with registry.db.write() as session:
        host = hosts.get(session, name)
        leases.require_epoch(session, host, body.epoch)
        deadline = now + timedelta(seconds=DEADLINE_S[Phase.PROVISIONING])
        token = boots.install_token(session, now, host, job=body.job, deadline=deadline)
    return {
        "token": token,
        "phone_home": f"{registry.boot_url}/v1/phone-home",
        "deadline": deadline.isoformat(),
    }


@router.put("/v1/hosts/{name}/install-record", status_code=204)
def install_record(name: str, body: b.InstallRecordBody, registry: Reg, _: Worker) -> None:
    """The registry's copy of the install record, with the disks' serials and the host key."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        leases.require_epoch(session, host, body.epoch)
        host.installed = body.record


@router.put("/v1/hosts/{name}/boot-wish", status_code=204)
def boot_wish(name: str, body: b.BootWishBody, registry: Reg, _: Worker) -> None:
    """What the machine's next PXE request gets."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        leases.require_epoch(session, host, body.epoch)
        host.boot_wish = body.wish


@router.post("/v1/hosts/{name}/boots", status_code=201)
def expect_os(name: str, body: b.ExpectOsBody, registry: Reg, _: Worker) -> dict[str, int]:
    """Number the boot of the deployed system that is about to start; its serial log bears that number."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        leases.require_epoch(session, host, body.epoch)
        return {"boot_no": boots.expect_os(session, registry.now(), host.id).no}


@router.put("/v1/plans/{plan_hash}", status_code=204)
def put_plan(plan_hash: str, body: AnyJson, registry: Reg, _: Worker) -> None:
    """Store a plan under its hash; immutable."""
    with registry.db.write() as session:
        consents.put_plan(session, registry.now(), plan_hash, body)


@router.get("/v1/plans/{plan_hash}")
def get_plan(plan_hash: str, registry: Reg, _: Anybody) -> dict[str, Any]:
    """A stored plan."""
    with registry.db.read() as session:
        return consents.get_plan(session, plan_hash)


@router.post("/v1/consents", status_code=201)
def give_consent(body: b.ConsentBody, registry: Reg, _: Admin) -> Consent:
    """Consent to a plan, by default the waiting job's, and let that job go on."""
    with registry.db.write() as session:
        host = hosts.get(session, body.host)
        row = consents.give(
            session, registry.now(), host, plan=body.plan, by=body.by, suspended=registry.consent_form
        )
        return records.consent(row, host.name)


@router.get("/v1/consents")
def list_consents(
    host: str,
    registry: Reg,
    _: Worker,
    plan: str | None = None,
    job: Annotated[int | None, Query(description="spend free ones for this job")] = None,
) -> b.Page[Consent]:
    """The consents that count now."""
    with registry.db.write() as session:
        row = hosts.get(session, host)
        found = consents.valid(session, registry.now(), row, plan=plan, job=job)
        return b.Page(items=[records.consent(consent, row.name) for consent in found])
