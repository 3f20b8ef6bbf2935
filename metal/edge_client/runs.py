"""What a flow run asks of the edge: lease, journal, observation, credentials, outcome."""

from datetime import datetime
from typing import Any, Literal

from metal.edge_client.wire import EdgeWire
from specs.facts import Observation, WipeReport
from specs.phases import Phase
from specs.records import (
    BmcCredential,
    Consent,
    HostRecord,
    JobRecord,
    JournalRow,
    LeaseGrant,
    Result,
    SecretValue,
    WaitEvent,
    WorkOrder,
)


class RunCalls(EdgeWire):
    """The worker's half of the API. Every write carries the lease's epoch; a lower one raises LeaseLost."""

    def hosts(self) -> list[HostRecord]:
        """All hosts of the site."""
        return [HostRecord.model_validate(item) for item in self.items("/v1/hosts")]

    def host(self, name: str) -> HostRecord:
        """One host by name or id."""
        return HostRecord.model_validate(self.json("GET", f"/v1/hosts/{name}"))

    def order(self, name: str) -> WorkOrder:
        """Host, its resolved spec, kept addresses, image and secret versions."""
        return WorkOrder.model_validate(self.json("GET", f"/v1/hosts/{name}/order"))

    def put_observation(self, name: str, observation: Observation, *, epoch: int | None = None) -> HostRecord:
        """Store one reading; parts that it lacks keep their newest value."""
        body = {"epoch": epoch, "observation": observation.model_dump(mode="json")}
        return HostRecord.model_validate(self.json("PUT", f"/v1/hosts/{name}/observation", json=body))

    def put_condition(
        self,
        name: str,
        type_: str,
        *,
        status: Literal["True", "False", "Unknown"],
        reason: str,
        message: str,
    ) -> None:
        """Set one condition."""
        body = {"status": status, "reason": reason, "message": message}
        self.json("PUT", f"/v1/hosts/{name}/conditions/{type_}", json=body)

    def job(self, name: str, number: int) -> JobRecord:
        """One job."""
        return JobRecord.model_validate(self.json("GET", f"/v1/hosts/{name}/jobs/{number}"))

    def claim_job(self, name: str, *, run_id: str, verb: str, args: dict[str, Any]) -> JobRecord:
        """Make a job for a run that a person started in the Prefect UI."""
        body = {"run_id": run_id, "verb": verb, "args": args}
        return JobRecord.model_validate(self.json("POST", f"/v1/hosts/{name}/jobs/claim", json=body))

    def post_job(
        self, name: str, verb: str, args: dict[str, Any] | None = None, *, by: str | None = None
    ) -> JobRecord:
        """Wish for a change; an open job of the same verb is returned instead of a second one."""
        body = {"verb": verb, "args": args or {}} | ({"by": by} if by else {})
        return JobRecord.model_validate(self.json("POST", f"/v1/hosts/{name}/jobs", json=body))

    def lease(self, name: str, *, job: int, run_id: str, holder: str = "") -> LeaseGrant:
        """Claim the host for this process of a run; raises LeaseLost naming who holds it.

        `holder` is the process's own random word: Prefect may start one run a second time (a retry from
        its UI, a resumed run), and the earlier process may live on; the later one gets a higher epoch.
        """
        body = {"job": job, "run_id": run_id} | ({"holder": holder} if holder else {})
        return LeaseGrant.model_validate(self.json("POST", f"/v1/hosts/{name}/lease", json=body))

    def renew(self, name: str, *, epoch: int, run_id: str) -> LeaseGrant:
        """Renew the lease, and learn whether the job is being cancelled."""
        body = {"epoch": epoch, "run_id": run_id}
        return LeaseGrant.model_validate(self.json("PUT", f"/v1/hosts/{name}/lease", json=body))

    def wait(
        self,
        name: str,
        number: int,
        *,
        epoch: int,
        run_id: str,
        event: WaitEvent,
        since: datetime,
        deadline: datetime,
        message: str,
    ) -> bool:
        """Register what the job waits for and give the lease into the edge's keeping: True when it has come.

        After True nothing is registered and the run goes on; after False the run ends, and the edge starts
        the job's next run on the event or at the deadline.
        """
        body = {
            "epoch": epoch,
            "run_id": run_id,
            "event": event,
            "since": since.isoformat(),
            "deadline": deadline.isoformat(),
            "message": message,
        }
        return bool(self.json("PUT", f"/v1/hosts/{name}/jobs/{number}/wait", json=body)["seen"])

    def answer_form(self, name: str, number: int, *, run_id: str, plan: str, consents: bool) -> JobRecord:
        """Hand on what a person answered in the form of Prefect's UI for the plan that this job waits with.

        Raises Refused when the job does not wait with this plan, or the Site has switched the form off.
        """
        body = {"run_id": run_id, "plan": plan, "consents": consents}
        return JobRecord.model_validate(self.json("POST", f"/v1/hosts/{name}/jobs/{number}/form", json=body))

    def release(self, name: str, *, epoch: int, run_id: str) -> None:
        """Give the lease back."""
        self.json("DELETE", f"/v1/hosts/{name}/lease", params={"epoch": epoch, "run_id": run_id})

    def phase(
        self,
        name: str,
        phase: Phase,
        *,
        epoch: int,
        reason: str | None = None,
        message: str | None = None,
    ) -> HostRecord:
        """Move the host to a phase."""
        body = {"epoch": epoch, "phase": phase.value, "reason": reason, "message": message}
        return HostRecord.model_validate(self.json("POST", f"/v1/hosts/{name}/phase", json=body))

    def journal(
        self,
        name: str,
        *,
        epoch: int,
        job: int,
        step: str,
        kind: str,
        phase: Literal["intent", "done", "failed"],
        plan: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> JournalRow:
        """Write intent or outcome of a step."""
        body = {
            "epoch": epoch,
            "job": job,
            "step": step,
            "kind": kind,
            "phase": phase,
            "plan": plan,
            "detail": detail or {},
        }
        return JournalRow.model_validate(self.json("POST", f"/v1/hosts/{name}/journal", json=body))

    def journal_rows(self, name: str, *, job: int | None = None) -> list[JournalRow]:
        """The journal, oldest first."""
        return [JournalRow.model_validate(r) for r in self.items(f"/v1/hosts/{name}/journal", job=job)]

    def wipes(self, name: str, *, job: int | None = None) -> list[WipeReport]:
        """The newest report of an erasing by disk, as the journal keeps them, oldest first."""
        found: dict[str, WipeReport] = {}
        for row in self.items(f"/v1/hosts/{name}/journal", kind="wipe", job=job):
            told = JournalRow.model_validate(row).detail.get("wipe")
            if told is not None:
                report = WipeReport.model_validate(told)
                found.pop(report.identity, None)
                found[report.identity] = report
        return list(found.values())

    def finish(
        self,
        name: str,
        number: int,
        *,
        epoch: int,
        run_id: str,
        result: Result,
        reason: str | None = None,
        message: str | None = None,
        next_step: str | None = None,
        outcome: dict[str, Any] | None = None,
        plan: str | None = None,
    ) -> JobRecord:
        """Say how the job ended; the edge releases the lease and moves the phase."""
        body = {
            "epoch": epoch,
            "run_id": run_id,
            "result": result,
            "reason": reason,
            "message": message,
            "next_step": next_step,
            "outcome": outcome or {},
            "plan": plan,
        }
        return JobRecord.model_validate(
            self.json("POST", f"/v1/hosts/{name}/jobs/{number}/finish", json=body)
        )

    def bmc_lock(
        self, name: str, *, owner: str, ttl_s: int = 60, epoch: int | None = None
    ) -> list[BmcCredential]:
        """Take the host's BMC lock and its credentials: current, candidate, previous.

        With an epoch the edge refuses a run that has lost the host.
        """
        body = {"owner": owner, "ttl_s": ttl_s} | ({} if epoch is None else {"epoch": epoch})
        answer = self.json("POST", f"/v1/hosts/{name}/bmc-lock", json=body)
        return [BmcCredential.model_validate(c) for c in answer["credentials"]]

    def bmc_unlock(self, name: str, *, owner: str) -> None:
        """Give the BMC lock back."""
        self.json("DELETE", f"/v1/hosts/{name}/bmc-lock", params={"owner": owner})

    def credentials(self, name: str, *, purpose: str | None = None) -> list[BmcCredential]:
        """The BMC's credentials without the lock (admin, or the console broker)."""
        return [
            BmcCredential.model_validate(c)
            for c in self.items(f"/v1/hosts/{name}/credentials", **{"for": purpose})
        ]

    def bmc_candidate(
        self, name: str, *, epoch: int, address: str, user: str, password: str | None = None
    ) -> BmcCredential:
        """Store a candidate credential before it is set; None lets the edge make the password."""
        body = {"epoch": epoch, "state": "candidate", "address": address, "user": user, "password": password}
        return BmcCredential.model_validate(self.json("POST", f"/v1/hosts/{name}/bmc-credential", json=body))

    def bmc_login(
        self,
        name: str,
        credential: BmcCredential,
        result: Literal["trying", "refused", "silent", "accepted"],
        *,
        owner: str,
        fresh: bool = False,
    ) -> None:
        """Tell of a login, so that nobody repeats a wrong one within the BMC's lockout window.

        `fresh` says that the password was just set in band: its refusal means another BMC, or a lock.
        """
        body = {
            "owner": owner,
            "address": credential.address,
            "user": credential.user,
            "state": credential.state,
            "result": result,
            "fresh": fresh,
        }
        self.json("POST", f"/v1/hosts/{name}/bmc-credential/login", json=body)

    def bmc_promote(self, name: str, *, epoch: int, user: str) -> None:
        """Make the proven candidate current."""
        self.json("POST", f"/v1/hosts/{name}/bmc-credential/promote", json={"epoch": epoch, "user": user})

    def install_token(self, name: str, *, epoch: int, job: int) -> dict[str, Any]:
        """One-time token for the deployed system's phone-home: {token, phone_home, deadline}."""
        answer: dict[str, Any] = self.json(
            "POST", f"/v1/hosts/{name}/install-token", json={"epoch": epoch, "job": job}
        )
        return answer

    def put_install_record(self, name: str, record: dict[str, Any], *, epoch: int) -> None:
        """Store the registry's half of the install record: record, disk_serials, ssh_host_key, address."""
        self.json("PUT", f"/v1/hosts/{name}/install-record", json={"epoch": epoch, "record": record})

    def boot_wish(self, name: str, wish: Literal["boot-os", "none"], *, epoch: int) -> None:
        """Say what the machine's next boot request gets."""
        self.json("PUT", f"/v1/hosts/{name}/boot-wish", json={"epoch": epoch, "wish": wish})

    def expect_os(self, name: str, *, epoch: int) -> int:
        """Say that the deployed system is about to start; returns the number that its serial log bears."""
        return int(self.json("POST", f"/v1/hosts/{name}/boots", json={"epoch": epoch})["boot_no"])

    def put_plan(self, plan_hash: str, plan: dict[str, Any]) -> None:
        """Store a plan under its hash; plans are immutable."""
        self.json("PUT", f"/v1/plans/{plan_hash}", json=plan)

    def plan(self, plan_hash: str) -> dict[str, Any]:
        """A stored plan."""
        answer: dict[str, Any] = self.json("GET", f"/v1/plans/{plan_hash}")
        return answer

    def consents(self, host: str, plan_hash: str, *, job: int | None = None) -> list[Consent]:
        """Valid consents for a plan; with `job`, the first free one is spent by it."""
        return [
            Consent.model_validate(c) for c in self.items("/v1/consents", host=host, plan=plan_hash, job=job)
        ]

    def secret(self, name: str) -> SecretValue:
        """A named secret's newest value (audited)."""
        return SecretValue.model_validate(self.json("POST", f"/v1/secrets/{name}/value"))

    def management_key(self) -> str:
        """The private half of the site's management key, for memory only."""
        return str(self.json("POST", "/v1/secrets/management-key")["private_key"])

    def report_fleet(self, *, run_id: str, planned: int, posted: list[str]) -> None:
        """Record what a fleet run did."""
        self.json("POST", "/v1/fleet", json={"run_id": run_id, "planned": planned, "posted": posted})

    def consoles(self) -> list[dict[str, Any]]:
        """Hosts whose consoles the broker should read."""
        return self.items("/v1/console")

    def put_console(self, name: str, boot_no: int, offset: int, data: bytes) -> None:
        """Append console bytes at an offset."""
        self.send("PUT", f"/v1/hosts/{name}/boots/{boot_no}/console", params={"offset": offset}, content=data)

    def console(self, name: str, boot_no: int, *, offset: int = 0, limit_bytes: int = 1 << 20) -> bytes:
        """Console bytes of one boot."""
        params = {"offset": offset, "limit": limit_bytes}
        return self.send("GET", f"/v1/hosts/{name}/boots/{boot_no}/console", params=params).content

    def boots(self, name: str) -> list[dict[str, Any]]:
        """The host's boots, newest last: boot_no, kind, started_at, console_bytes."""
        return self.items(f"/v1/hosts/{name}/boots")
