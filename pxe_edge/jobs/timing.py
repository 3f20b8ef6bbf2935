"""The times by which the edge judges runs, and the environment knobs that shorten them for a soak.

One value, read once at the start: a lease must be judged by the same time that its holder was told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

KNOBS: Final = {
    "RACKFLOW_LEASE_TTL_S": "lease_ttl_s",
    "RACKFLOW_RETRY_BASE_S": "retry_base_s",
    "RACKFLOW_SWEEP_S": "sweep_s",
    "RACKFLOW_UNCLAIMED_S": "unclaimed_s",
}
"""Environment variable of the edge -> the time that it sets, in whole seconds."""
_MOST_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Timing:
    """All times of leases, attempts and sweeps (CONTRACTS 2)."""

    lease_ttl_s: int = 90
    """How long a lease lives without renewal; its run renews every 2/9 of it and stops after 2/3 without."""
    retry_base_s: int = 30
    """The first attempt after a lost run comes after this time, each further one after twice the last."""
    sweep_s: int = 15
    """How often Prefect is asked about the runs of open jobs."""
    unclaimed_s: int = 120
    """How long a run may be pending or running at Prefect without claiming its host."""
    fleet_s: int = 30 * 60
    """How long a fleet run may run."""
    consent_s: int = 7 * 24 * 3600
    """How long a consent is good, and how long a job waits for one."""
    wait_s: int = 24 * 3600
    """The longest wait that a run may register; its job's next run looks for itself then."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Timing":
        """Read the knobs. Raises ValueError that names the variable and what it takes."""
        given = {name: environment[name] for name in KNOBS if environment.get(name)}
        return cls(**{KNOBS[name]: _whole_seconds(name, text) for name, text in given.items()})


def _whole_seconds(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= _MOST_S and len(text) <= 6):
        raise ValueError(f"{name}: expected whole seconds from 1 to {_MOST_S}, got {text!r}")
    return int(text)
