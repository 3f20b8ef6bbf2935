"""What a machine has written to its disks, by QEMU's block counters: a witness that asks nobody inside.

QEMU counts from its own start, so counts of ended QEMUs are summed with those of the running one. The file
says which QEMU the last sample is of: a BMC that restarts under a running machine must not count it twice.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.processes import write_atomically


@dataclass(frozen=True)
class Counts:
    """Requests of one disk that changed it, and those that failed to."""

    bytes_written: int = 0
    writes: int = 0
    bytes_discarded: int = 0
    discards: int = 0
    failed_writes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        pairs = zip(asdict(self).items(), asdict(other).values(), strict=True)
        return Counts(**{name: mine + theirs for (name, mine), theirs in pairs})

    def __sub__(self, other: "Counts") -> "Counts":
        pairs = zip(asdict(self).items(), asdict(other).values(), strict=True)
        return Counts(**{name: mine - theirs for (name, mine), theirs in pairs})


def from_blockstats(rows: Sequence[Mapping[str, Any]]) -> dict[str, Counts]:
    """Counts per disk ("disk0") of an answer to query-blockstats; other block devices are left out."""
    found = {}
    for row in rows:
        parts = str(row.get("qdev", "")).split("/")
        name = next((part for part in parts if part.startswith("disk")), None)
        if name is not None:
            stats = row["stats"]
            found[name] = Counts(
                stats["wr_bytes"],
                stats["wr_operations"],
                stats.get("unmap_bytes", 0),
                stats.get("unmap_operations", 0),
                stats["failed_wr_operations"] + stats.get("failed_unmap_operations", 0),
            )
    return found


@dataclass
class Counters:
    """The sums of one machine, kept in a file."""

    path: Path
    disks: tuple[str, ...]
    qemu: str = ""
    before: dict[str, Counts] = field(default_factory=dict)
    now: dict[str, Counts] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, disks: int) -> "Counters":
        """As the file has them; zero when there is none."""
        names = tuple(f"disk{index}" for index in range(disks))
        try:
            raw = json.loads(path.read_text())
            sums = {key: {name: Counts(**row) for name, row in raw[key].items()} for key in ("before", "now")}
            return cls(path, names, str(raw["qemu"]), **sums)
        except (OSError, ValueError, KeyError, TypeError):
            return cls(path, names)

    def running(self, qemu: str) -> None:
        """A QEMU runs; the sample of another one belongs to the past."""
        if qemu != self.qemu:
            self.before, self.now, self.qemu = self.totals(), {}, qemu
            self._save()

    def sample(self, counts: dict[str, Counts]) -> None:
        """The running QEMU's counts. An unplugged disk keeps its own; plugged again it begins anew."""
        for name, before in self.now.items():
            if counts.get(name, before).writes < before.writes:
                self.before[name] = self.before.get(name, Counts()) + before
        known = self.now | counts
        if known != self.now:
            self.now = known
            self._save()

    def totals(self) -> dict[str, Counts]:
        """Sums over all QEMUs of this machine's life."""
        names = dict.fromkeys((*self.disks, *self.before, *self.now))
        return {name: self.before.get(name, Counts()) + self.now.get(name, Counts()) for name in names}

    def forget(self) -> None:
        """A new life: blank disks."""
        self.before, self.now = {}, {}

    def _save(self) -> None:
        sums = {
            key: {name: asdict(counts) for name, counts in rows.items()}
            for key, rows in (("before", self.before), ("now", self.now))
        }
        write_atomically(self.path, json.dumps({"qemu": self.qemu, **sums}))
