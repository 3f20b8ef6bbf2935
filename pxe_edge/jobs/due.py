"""Which host is due for the boot OS at its next PXE request.

A PXE request means that the machine has just started, so whatever boot OS ran before is gone. A job
that still needs one gets the machine again; a machine without due work gets an address and no boot
file, and goes on to its disk.
"""

from dataclasses import dataclass
from typing import Literal

from pxe_edge.jobs.rules import OPEN, Job
from specs.phases import Phase

BootWish = Literal["none", "boot-os"]


@dataclass(frozen=True, slots=True)
class BootState:
    """What decides over a host's next boot; `installed_by` is the job of the newest install record."""

    phase: Phase
    wish: BootWish
    job: Job | None
    installed_by: int | None = None


def boot_os_due(state: BootState) -> bool:
    """Whether the boot OS is due: by wish, for a machine without facts, or for an open job that needs it."""
    if state.phase is Phase.RETIRED:
        return False
    if state.wish == "boot-os":
        return True
    if state.phase in (Phase.REGISTERED, Phase.INSPECTING, Phase.INSPECT_FAILED):
        return True
    job = state.job
    if job is None or job.state not in OPEN or job.verb == "power":
        return False
    if state.phase in (Phase.READY, Phase.PROVISION_FAILED, Phase.WIPING, Phase.WIPE_FAILED):
        return True
    return state.phase is Phase.PROVISIONING and state.installed_by != job.no
