"""Shapes of request bodies: closed, because a misspelt key that is ignored does the wrong thing."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from pxe_edge.api.storable import storable
from specs.identity import Mac, Uuid
from specs.phases import Phase
from specs.records import ConditionStatus, Result, Verb, WaitEvent
from specs.shapes import IpAddress, Name

Item = TypeVar("Item")


class Body(BaseModel):
    """Base of request bodies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, given: Any) -> Any:
        return storable(given)


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next` is given as `after` for the page behind it."""

    items: list[Item]
    next: str | None = None


class BmcAccount(Body):
    """An account that the BMC has already."""

    address: str
    user: str
    password: str = Field(repr=False)


class NewHost(Body):
    """A host to be registered before it is seen; without a name it gets one until more is known of it."""

    name: Name | None = None
    mac: Mac | None = None
    uuid: Uuid | None = None
    serial: str | None = None
    bmc: BmcAccount | None = None
    address: IpAddress | None = None
    """What it gets by DHCP on its provisioning network."""


class Approval(Body):
    """A MAC or a host's name; `host` says which host the machine with this MAC is, or what it is called."""

    what: str
    host: Name | None = None


class HostChange(Body):
    """What an operator changes of a host."""

    name: Name


class ConditionBody(Body):
    """A condition's new state."""

    status: ConditionStatus
    reason: str = "ok"
    message: str = ""


class JobWish(Body):
    """A wish for a change."""

    verb: Verb
    args: dict[str, Any] = {}
    by: str | None = None


class JobClaim(Body):
    """A flow run that was started by hand."""

    run_id: str
    verb: Verb
    args: dict[str, Any] = {}


class Finish(Body):
    """A run's outcome."""

    epoch: int
    run_id: str
    result: Result
    reason: str | None = None
    message: str | None = None
    next_step: str | None = None
    outcome: dict[str, Any] = {}
    plan: str | None = None


class WaitBody(Body):
    """What a run waits for before it ends."""

    epoch: int
    run_id: str
    event: WaitEvent
    since: AwareDatetime
    deadline: AwareDatetime
    message: Annotated[str, Field(min_length=1, max_length=1000)]


class Seen(Body):
    """Whether the event has come already, so that the run goes on."""

    seen: bool


class FormBody(Body):
    """What a person answered in the form of Prefect's UI."""

    run_id: str
    plan: str
    consents: bool


class ReleaseBody(Body):
    """Who takes the host from the run that holds it."""

    by: Annotated[str, Field(min_length=1, max_length=200)]


class LeaseClaim(Body):
    """A process of a run that wants the host; `holder` is the process's own random word."""

    job: int
    run_id: Annotated[str, Field(min_length=1, max_length=200)]
    holder: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class LeaseRenewal(Body):
    """The holder's proof."""

    epoch: int
    run_id: str


class PhaseChange(Body):
    """A phase, under the lease's epoch."""

    epoch: int
    phase: Phase
    reason: str | None = None
    message: str | None = None


class JournalBody(Body):
    """Intent or outcome of a step."""

    epoch: int
    job: int
    step: str
    kind: str
    phase: Literal["intent", "done", "failed"]
    plan: str | None = None
    detail: dict[str, Any] = {}


class BmcLockBody(Body):
    """Who wants the BMC, and for how long; a run says its lease's epoch."""

    owner: Annotated[str, Field(min_length=1, max_length=200)]
    ttl_s: Annotated[int, Field(ge=1, le=3600)] = 60
    epoch: int | None = None


class BmcCandidate(Body):
    """A candidate credential; without a password the edge makes one."""

    epoch: int
    state: Literal["candidate"] = "candidate"
    address: str
    user: str
    password: str | None = Field(default=None, repr=False)


class BmcPromotion(Body):
    """The user whose candidate was proven."""

    epoch: int
    user: str


class InstallTokenBody(Body):
    """The job that installs."""

    epoch: int
    job: int


class InstallRecordBody(Body):
    """The registry's copy of the install record."""

    epoch: int
    record: dict[str, Any]


class BootWishBody(Body):
    """What the next PXE request gets."""

    epoch: int
    wish: Literal["boot-os", "none"]


class ExpectOsBody(Body):
    """The deployed system is about to be started."""

    epoch: int


class ConsentBody(Body):
    """Leave to carry out a plan."""

    host: str
    plan: str | None = None
    by: Annotated[str, Field(min_length=1, max_length=200)]


class SpecSetBody(Body):
    """A set to be checked and stored."""

    commit: str | None = None
    author: str | None = None
    dirty: bool = False
    files: dict[str, str | dict[str, str]]
    expected_current: str | None = None
    force: bool = False


class CurrentBody(Body):
    """The set that becomes current."""

    id: str
    expected_current: str | None = None


class ImageBody(Body):
    """An image to be declared."""

    name: Name


class SecretBody(Body):
    """A named secret's value."""

    value: Annotated[str, Field(min_length=1, max_length=65536, repr=False)]


class ConsoleRelease(Body):
    """How long another client may have the console."""

    minutes: Annotated[int, Field(ge=1, le=120)] = 10


class FleetBody(Body):
    """What a fleet run did."""

    run_id: str
    planned: int
    posted: list[str] = []
