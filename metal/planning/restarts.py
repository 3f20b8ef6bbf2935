"""What a new start does with a step that was begun and has no outcome (DESIGN 4 "Journal").

One table per kind of step: the planner writes its word into each step, `run_step` obeys it, and
`docs/journal.md` shows it. A step whose `done` stands in the journal is never begun again, whatever its kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from metal.planning.plan import Restart, Step, StepKind

ASKING_METHODS: Final = frozenset({"overwrite", "sanitize"})
"""Ways to wipe that take hours and leave nothing to read: only a person says whether to begin anew."""


@dataclass(frozen=True, slots=True)
class RestartRule:
    """One row of the table: the word, and in a sentence what a new start does."""

    kind: StepKind
    restart: Restart
    does: str
    destroys: bool = False
    """Whether the kind may change what lies on a disk: once begun, its machine serves nobody any more."""


_ROWS: Final = (
    RestartRule(
        "boot-os",
        "observe",
        "A boot OS that reported in since is gone on with; else power is read and the machine started again.",
    ),
    RestartRule("tpm2", "repeat", "The TPM is tried again, with a header in memory: nothing is changed."),
    RestartRule(
        "luks-open",
        "repeat",
        "It is opened and closed again; a half-made slot of the TPM goes, a missing one is added.",
    ),
    RestartRule(
        "raid-delete",
        "observe",
        "Superblocks that are still on its members are cleared; an array that is still assembled is stopped.",
        destroys=True,
    ),
    RestartRule(
        "raid-prepare",
        "observe",
        "Drives that are still foreign, passed through or spares are freed; what is free is left.",
        destroys=True,
    ),
    RestartRule(
        "raid-boot", "repeat", "The controller is told again: what it starts from can't always be read."
    ),
    RestartRule(
        "raid-create",
        "observe",
        "An array of this job is assembled by its id and kept; a half-made one is cleared and made anew.",
        destroys=True,
    ),
    RestartRule(
        "wipe",
        "observe",
        "Signatures still found are erased; an overwrite and a sanitize ask a person, and then go on.",
        destroys=True,
    ),
    RestartRule(
        "write-image",
        "repeat",
        "The same image goes to the same disk: chunks noted there as written are read, and kept if whole.",
        destroys=True,
    ),
    RestartRule(
        "partition",
        "observe",
        "A table that is not as planned is written again; the root is checked and grown to its partition.",
        destroys=True,
    ),
    RestartRule(
        "volume-group",
        "observe",
        "Physical volumes, group and logical volumes that are missing are made; what stands is kept.",
        destroys=True,
    ),
    RestartRule(
        "mkfs",
        "repeat",
        "It is made again, unless it is there under this job's id and whole, as its check or its mark says.",
        destroys=True,
    ),
    RestartRule("bootloader", "observe", "Files that are not as wished are written."),
    RestartRule("fstab", "observe", "The file is written unless it is as wished."),
    RestartRule("crypttab", "observe", "The file and the keys are written unless they are as wished."),
    RestartRule("hostname", "repeat", "Its files are written again, each beside its place and renamed."),
    RestartRule("network", "repeat", "Files that differ are written, the service is enabled again."),
    RestartRule("users", "observe", "Accounts that are not as wished are set."),
    RestartRule("files", "observe", "Files that are not as wished are written."),
    RestartRule(
        "management", "repeat", "Account, rule and rf-exec are set again: a reading shows the key only."
    ),
    RestartRule("in-mount", "repeat", "It is mounted again; accounts and files are set again, to the same."),
    RestartRule("fill", "repeat", "The same folders are copied again, into the same new file system."),
    RestartRule(
        "host-key", "repeat", "Another key is made: the system has not started yet, nobody knows one."
    ),
    RestartRule("phone-home", "repeat", "Another one-time token is written; the earlier one is void."),
    RestartRule(
        "install-record", "repeat", "The record is written unless it is there; the registry's copy again."
    ),
    RestartRule("boot-order", "observe", "The BMC's override is read, and set unless it is as wished."),
    RestartRule(
        "power",
        "observe",
        "Power is read; a cycle is sent again only if the system from before it still answers.",
    ),
    RestartRule(
        "restart-os",
        "observe",
        "The restart is sent again only if the system from before it still answers.",
    ),
    RestartRule("bmc-address", "observe", "Address and account are read, and set unless they are as wished."),
)

ENTER: Final = """A newer report-in is gone on with; a machine that is off is switched on.
One that is on is waited for, and cycled only where its disks were begun to be erased, by this job or by one
that failed before, or nothing could boot."""
"""What the way into the boot OS does, which is no step of a plan."""

RESTARTS: Final[Mapping[StepKind, RestartRule]] = {row.kind: row for row in _ROWS}
DESTROYING: Final = frozenset(row.kind for row in _ROWS if row.destroys)


def restart_of(kind: StepKind, args: Mapping[str, Any]) -> Restart:
    """What a new start does with a step of this kind and these arguments."""
    if kind == "wipe" and args.get("method") in ASKING_METHODS:
        return "ask"
    return RESTARTS[kind].restart


def declared(step: Step) -> Step:
    """The step with its word from the table."""
    return step.model_copy(update={"restart": restart_of(step.kind, step.args)})
