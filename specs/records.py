"""What the registry says about hosts, jobs, leases, journals: the values that REST carries.

Both sides of the wire speak these: the edge builds them from its tables, the typed client reads
them. `extra="ignore"`, so that an older client reads a newer edge.
"""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from specs.facts import Observation
from specs.model import Host
from specs.phases import Phase

NOT_IN_PLAN_HASH: Final = frozenset({"observed_at", "notes"})
"""Fields of a plan that its hash leaves out: the age of the reading, and remarks."""

Verb = Literal[
    "discover",
    "apply",
    "observe",
    "inspect",
    "power",
    "reinstall",
    "wipe",
    "rescue",
    "unrescue",
    "adopt",
    "convert",
    "bmc-rotate",
    "burn-in",
    "retire",
]
JobState = Literal[
    "wanted",
    "delivered",
    "claimed",
    "waiting",
    "waiting-consent",
    "done",
    "failed",
    "cancelling",
    "cancelled",
]
WaitEvent = Literal["boot-os", "os", "bmc"]
"""What a job may wait for: a report-in, a phone-home, or (by the clock alone) a BMC that comes back."""
Result = Literal["in-sync", "applied", "observed", "waiting-consent", "failed"]
ConditionStatus = Literal["True", "False", "Unknown"]


class Record(BaseModel):
    """Base of REST values."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Finding(Record):
    """One thing wrong with a spec, with where and what to do."""

    file: str
    line: int
    column: int = 1
    path: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        """`file:line:column: path: message (hint)`, which editors can jump to."""
        tail = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.path}: {self.message}{tail}"


class Condition(Record):
    """A facet of a host beside its phase."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    since: datetime


class LeaseRecord(Record):
    """Who may change the host now."""

    epoch: int
    job: int
    run_id: str
    expires: datetime


class BootRecord(Record):
    """One boot of the boot OS or of the deployed system, as the edge saw it."""

    boot_no: int
    kind: Literal["boot-os", "os"]
    address: str | None = None
    ssh_host_key: str | None = None
    reported_at: datetime | None = None
    started_at: datetime


class HostRecord(Record):
    """A host, as `hosts` and `host NAME` show it."""

    id: str
    name: str
    phase: Phase
    reason: str | None = None
    message: str | None = None
    macs: tuple[str, ...] = ()
    uuid: str | None = None
    serial: str | None = None
    spec: str | None = None
    specset: str | None = None
    conditions: tuple[Condition, ...] = ()
    lease: LeaseRecord | None = None
    boot: BootRecord | None = None
    """The newest boot OS report-in that is still believed up; None once the OS phoned home after it."""
    os: BootRecord | None = None
    """The newest phone-home of a deployed system; its key is the installer's."""
    address: str | None = None
    fixed_address: str | None = None
    """What it gets by DHCP, given with `host add --address`."""
    bmc_address: str | None = None
    observation: Observation | None = None
    installed: dict[str, Any] | None = None
    """The registry's copy of the install record, with the serials of the disks under it."""
    last_job: int | None = None
    last_run: str | None = None


class WaitRecord(Record):
    """What a job waits for while no flow run of it lives, and until when at the latest."""

    event: WaitEvent
    since: datetime
    deadline: datetime
    """When the next run starts although the event has not come."""
    message: str
    """What an operator reads: what is waited for, why, until when altogether."""


class JobRecord(Record):
    """One wish for a change, and the flow runs made for it."""

    host: str
    host_id: str
    no: int
    verb: Verb
    args: dict[str, Any] = {}
    state: JobState
    by: str
    created_at: datetime
    run_no: int = 1
    run_id: str | None = None
    result: Result | None = None
    reason: str | None = None
    message: str | None = None
    next_step: str | None = None
    outcome: dict[str, Any] = {}
    """What the run reported at its end: changes, writes, stages [{name, seconds}]."""
    plan: str | None = None
    wait: WaitRecord | None = None
    lost_runs: int = 0
    """Runs lost since the job's last finished step."""
    ask_in_ui: bool = False
    """Whether a run that waits for consent shows the form in Prefect's UI; a Site can switch it off."""
    consent_asked: datetime | None = None
    """Since when the job waits for a consent: which of its questions is open."""


class LeaseGrant(Record):
    """A lease as given or renewed."""

    epoch: int
    ttl_s: int
    cancelling: bool = False


class JournalRow(Record):
    """Intent or outcome of one step."""

    no: int
    job: int
    epoch: int
    step: str
    kind: str
    phase: Literal["intent", "done", "failed"]
    plan: str | None = None
    detail: dict[str, Any] = {}
    at: datetime


class Consent(Record):
    """Leave to destroy what one plan names."""

    host: str
    plan: str
    by: str
    at: datetime
    expires: datetime
    spent_by_job: int | None = None


class BmcCredential(Record):
    """A BMC account in one of its states; only under the worker's or admin's scope, audited."""

    model_config = ConfigDict(hide_input_in_errors=True)

    address: str
    user: str
    password: str
    state: Literal["candidate", "current", "previous", "factory"]
    verified_at: datetime | None = None


class SecretValue(Record):
    """A named secret with its version."""

    model_config = ConfigDict(hide_input_in_errors=True)

    name: str
    version: int
    value: str

    @property
    def ref(self) -> str:
        """How it is written everywhere else."""
        return f"secret:{self.name}@{self.version}"


class ImageRecord(Record):
    """An image in the store, converted to manifest and blob."""

    name: str
    digest: str
    manifest_sha256: str
    manifest_url: str
    size_bytes: int
    blob_bytes: int
    format: str
    info: dict[str, Any] = {}
    """What was found inside at conversion: partition table, root file system, ESP, BIOS boot partition."""


class SpecSetRecord(Record):
    """One immutable, checked set of spec files."""

    id: str
    commit: str | None
    author: str | None
    dirty: bool = False
    created_at: datetime
    current: bool = False
    findings: tuple[Finding, ...] = ()
    files: dict[str, str] = {}


class WorkOrder(Record):
    """All that a run needs to plan one host: spec, set, allocated addresses, image, secrets by reference.

    The edge resolves profiles, addresses and versions, so that planning only reads.
    """

    host: HostRecord
    spec: Host | None = None
    specset: str | None = None
    addresses: dict[str, str] = {}
    """`bmc` and `<interface>/<index>` -> address with prefix, as kept in IPAM."""
    bmc_user: str = "rackflow"
    bmc_netmask: str | None = None
    bmc_gateway: str | None = None
    image: ImageRecord | None = None
    file_sources: dict[str, str] = {}
    """Path of a `source:` file in the set -> its content, base64."""
    secrets: dict[str, int] = {}
    """Secret name -> current version."""
    discovery: Literal["off", "hold", "inspect", "register"] = "hold"
    management_key: str = ""
    """Public half of the site's management key."""
    phone_home_url: str = ""


class TimelineEntry(Record):
    """One line of a host's history."""

    at: datetime
    kind: str
    text: str
    detail: dict[str, Any] = {}
