"""The plan: an immutable, serialisable list of steps, hashed over what it says and what it was made from."""

import hashlib
import json
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from specs.erasure import WipeWish
from specs.phases import Phase
from specs.records import NOT_IN_PLAN_HASH

Restart = Literal["observe", "repeat", "ask"]

StepKind = Literal[
    "boot-os",
    "tpm2",
    "luks-open",
    "raid-prepare",
    "raid-create",
    "raid-delete",
    "raid-boot",
    "wipe",
    "write-image",
    "partition",
    "volume-group",
    "mkfs",
    "bootloader",
    "fstab",
    "crypttab",
    "hostname",
    "network",
    "in-mount",
    "users",
    "files",
    "management",
    "fill",
    "host-key",
    "phone-home",
    "install-record",
    "boot-order",
    "power",
    "restart-os",
    "bmc-address",
]


class PlanValue(BaseModel):
    """Base of plan shapes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Destroyed(PlanValue):
    """A disk whose content a step destroys, and what was seen on it."""

    serial: str
    size_bytes: int
    found: str


class Step(PlanValue):
    """One step. `args` is all that the executor needs.

    `restart` says what a new start does with an intent that has no outcome. `blocked_by` is a reason code
    when the step may not run; the plan then is shown, and refused before anything is touched. `leaves` are
    the paths of the basis that this step changes (`hardware.disks.SERIAL.found`): once it has begun, the
    machine may differ from the basis there, and nowhere else. `{raid:NAME}` in a path is the id that the job
    gives the array.
    """

    id: str
    kind: StepKind
    field: str
    old: str | None = None
    new: str | None = None
    reason: str
    destructive: bool = False
    destroys: tuple[Destroyed, ...] = ()
    reboot: bool = False
    minutes: float = 0.0
    blocked_by: str | None = None
    restart: Restart = "observe"
    leaves: tuple[str, ...] = ()
    where: Literal["boot-os", "running-os", "bmc"] = "boot-os"
    args: dict[str, Any] = {}


class Plan(PlanValue):
    """What would be done to one host, from which reading, under which spec set."""

    host: str
    host_id: str
    specset: str | None
    spec: str | None
    observed_at: str | None
    seen_from: str | None
    reinstall: bool = False
    wipe: WipeWish | None = None
    """What is erased and how, in a plan that erases disks and installs nothing."""
    steps: tuple[Step, ...] = ()
    drift: tuple[str, ...] = ()
    """Differences that are reported and not repaired (creation-only fields without consent)."""
    notes: tuple[str, ...] = ()
    basis: dict[str, Any] = {}
    """The fields that the planner read, in canonical form: what must still hold when the plan runs."""
    root_disks: tuple[str, ...] = ()
    """The disks that `rootDevice` came to mean, by serial, else WWN."""
    image_digest: str | None = None
    layout_hash: str | None = None

    @property
    def in_sync(self) -> bool:
        """Whether nothing is to be done and nothing differs."""
        return not self.steps and not self.drift

    @property
    def destructive(self) -> bool:
        """Whether any step destroys data."""
        return any(step.destructive for step in self.steps)

    @property
    def phase(self) -> Phase:
        """The phase in which the host is while its destructive steps are carried out."""
        return Phase.PROVISIONING if self.wipe is None else Phase.WIPING

    @property
    def blocked(self) -> str | None:
        """The first reason why a step may not run."""
        return next((step.blocked_by for step in self.steps if step.blocked_by), None)

    @property
    def hash(self) -> str:
        """sha256 over the canonical JSON of steps and basis; the age of the reading is not part of it.

        Neither is `wipe` of a plan that is none: what an earlier version stored keeps its hash.
        """
        left_out = NOT_IN_PLAN_HASH | ({"wipe"} if self.wipe is None else frozenset())
        body = self.model_dump(mode="json", exclude=set(left_out))
        return hashlib.sha256(canonical(body)).hexdigest()

    def step(self, step_id: str) -> Step:
        """The step with this id; KeyError when the plan has none."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no blanks: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


UNKNOWN: Final = "unknown"
