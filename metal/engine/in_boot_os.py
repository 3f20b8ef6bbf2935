"""Work in the boot OS that is no step of a plan: its machine may lose power here as well as anywhere."""

from collections.abc import Callable
from typing import Final, TypeVar

from metal.edge_client.runs import RunCalls
from metal.engine.around import REAL, Log, Surroundings
from metal.engine.claim import Claim, check
from metal.engine.enter import Entry
from metal.engine.waits import until_reached
from metal.errors import Refused, Unreachable

MOST_LOSSES: Final = 3
BLIP_S: Final = 15.0
"""How long a boot OS may be silent before its machine counts as gone: a cable that was touched is no loss."""

T = TypeVar("T")


def in_boot_os(
    edge: RunCalls, claim: Claim, act: Callable[[], T], *, log: Log, around: Surroundings = REAL
) -> T:
    """Act, in a newer boot OS once more where the one at hand went away.

    `act` observes before it changes anything, so that it may be called again. Raises JobWaits while the
    machine boots; Refused (boot-os-lost, boot-os-timeout); what `act` raises while the boot OS answers.
    """
    entry = Entry(edge, claim, around, log)
    for _ in range(MOST_LOSSES):
        _enter(entry)
        try:
            return act()
        except (Unreachable, Refused) as error:
            # Refused too: a machine that has started anew shows another host key before it reports in.
            if error.host is None or not entry.is_lost():
                raise
            log(f"{claim.host}: the boot OS went away: {error.message}")
    return act()


def _enter(entry: Entry) -> None:
    """Go on in the boot OS at hand unless it stays silent for longer than a blip."""
    check(entry.edge, entry.claim)
    record = entry.edge.host(entry.host)

    def reach() -> None:
        if not entry.answers(record):
            raise Unreachable("the boot OS does not answer", host=entry.host, reason="unreachable")

    if record.boot is not None:
        try:
            clock, sleep = entry.around.clock, entry.around.sleep
            until_reached(reach, deadline_s=BLIP_S, clock=clock, sleep=sleep)
        except (Unreachable, Refused):
            entry.log(f"{entry.host}: the boot OS of boot {record.boot.boot_no} is gone")
    entry.ensure(trusted=False)
