"""The error families. Which one is raised decides what happens next, so each names its reaction.

Unreachable is worth a retry, nothing else is: repeating a refused or unsafe action makes it worse.
"""

from dataclasses import dataclass
from datetime import datetime

from specs.records import Finding, WaitEvent


@dataclass
class RackflowError(Exception):
    """Base: what went wrong, on which host, why by code, and what to do next."""

    message: str
    host: str | None = None
    reason: str = "step-failed"
    hint: str | None = None

    def __str__(self) -> str:
        """One line with host, message and the next step."""
        where = f"{self.host}: " if self.host else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class SpecError(RackflowError):
    """The spec has to be edited."""


class InvalidSpecs(SpecError):
    """The edge refused a spec set; `findings` says where."""

    findings: tuple[Finding, ...] = ()


class Unreachable(RackflowError):
    """Nothing answered; the same call may work later."""


class Refused(RackflowError):
    """The machine, the BMC or the edge said no; the same call gives the same answer."""


class Unparsable(RackflowError):
    """A tool said something that we cannot read: our gap."""


class UnsafeChange(RackflowError):
    """The change would destroy something that nobody consented to destroy."""


class LeaseLost(RackflowError):
    """Another run holds the host, or the lease could not be renewed in time."""


class Cancelled(RackflowError):
    """The job was cancelled; the run stops between steps."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a job waits for, as it stands at the edge: plain data, so that tasks can give it back."""

    host: str
    event: WaitEvent
    since: datetime
    deadline: datetime
    message: str


@dataclass
class JobWaits(Exception):
    """The wait is registered at the edge, which starts the job's next run; this run ends.

    No RackflowError: nothing failed, and no step has an outcome yet.
    """

    wait: Wait

    def __str__(self) -> str:
        """Say what is waited for."""
        return f"{self.wait.host}: {self.wait.message}"
