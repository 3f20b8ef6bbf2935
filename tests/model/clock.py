"""One clock for edge, machine, Prefect and runs; it stands still until it is moved."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Simulated time."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        """The same as a monotonic clock shows it."""
        return (self.now - START).total_seconds()

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
