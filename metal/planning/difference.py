"""One difference between a spec and a reading."""

from dataclasses import dataclass

from metal.planning.plan import StepKind


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: what was asked, what was seen, and the step kind that repairs it (None: creation-only)."""

    field: str
    wished: str
    seen: str
    repair: StepKind | None = None
    unknown: bool = False
    told: str | None = None
    """The whole of it in words, where "is this, wished that" would be no sentence."""

    def __str__(self) -> str:
        """One line of drift."""
        if self.told:
            return f"{self.field}: {self.told}"
        if self.unknown:
            return f"{self.field}: unknown ({self.seen}), wished {self.wished}"
        return f"{self.field}: is {self.seen}, wished {self.wished}"
