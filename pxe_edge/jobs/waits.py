"""What a job waits for while no run of it lives: whether it has come, and when to look.

The event is a report-in or a phone-home at or after `since`, so it makes no difference whether it came
before the wait was registered or after; a BMC that comes back tells nobody and is looked for by the
clock alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from specs.records import WaitEvent

EVENT_OF_BOOT: Final[dict[str, WaitEvent]] = {"boot-os": "boot-os", "os": "os"}
"""Kind of a boot that reported in -> the event that this is."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One wait as its run registers it."""

    event: WaitEvent
    since: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Heard:
    """A boot that reported in or phoned home."""

    event: WaitEvent
    at: datetime


def seen(wait: Wait, heard: Iterable[Heard]) -> bool:
    """Whether the event has come already."""
    return any(one.event == wait.event and one.at >= wait.since for one in heard)


def bounded(wait: Wait, now: datetime, most_s: float) -> Wait:
    """The wait with a deadline that is not too far away, so that no mistake makes a job wait for ever."""
    return Wait(wait.event, wait.since, min(wait.deadline, now + timedelta(seconds=most_s)))


def over(deadline: datetime, now: datetime) -> bool:
    """Whether the job's next run is due although the event has not come."""
    return now >= deadline
