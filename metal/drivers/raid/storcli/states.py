"""The state, level and task words of storcli and its relatives, one table each.

storcli and perccli print abbreviations and explain them under each table ("UGood=Unconfigured Good|…");
the words here are those of the legends of 1.x, 007.x and, for storcli2 and perccli2, 008.x. What is in
no table is an unknown state: None, with the tool's own word kept beside it.
"""

import re
from collections.abc import Mapping
from typing import Final, TypeVar, get_args

from metal.drivers.raid.listing import ControllerState, DriveState, Level, VolumeState

State = TypeVar("State")

DRIVE_STATES: Final[Mapping[str, DriveState]] = {
    # storcli, perccli: legend below PD LIST
    "onln": "online",
    "offln": "offline",
    "rbld": "rebuilding",
    "ugood": "unconfigured",
    "ugunsp": "unconfigured",
    "ugshld": "unconfigured",  # shielded: diagnosed by the firmware, its place in the array is kept
    "cfshld": "online",
    "hspshld": "spare",
    "cbshld": "copyback",
    "ubad": "failed",
    "ubunsp": "failed",
    "dhs": "spare",
    "ghs": "spare",
    "jbod": "jbod",
    "cpybck": "copyback",
    "sntze": "erasing",
    "msng": "missing",
    "missing": "missing",
    "failed": "failed",
    "frgn": "foreign",
    "frgn-bad": "foreign",
    "foreign": "foreign",
    # storcli2, perccli2: state column; what a drive in use does stands in the status column
    "conf": "online",
    "confshld": "online",
    "confdgrd": "online",
    "confsntz": "erasing",
    "uconf": "unconfigured",
    "uconfunsp": "unconfigured",
    "uconfshld": "unconfigured",
    "uconfdgrd": "unconfigured",
    "uconfsntz": "erasing",
    "unusbl": "failed",
    "ghsshld": "spare",
    "ghsdgrd": "spare",
    "ghssntz": "erasing",
    "dhsshld": "spare",
    "dhsdgrd": "spare",
    "dhssntz": "erasing",
    "shld": "jbod",
    "jbodshld": "jbod",
    "jboddgrd": "jbod",
    "jbodsntz": "erasing",
}
"""Lower case; a drive in a foreign drive group is `foreign` whatever its word is."""

DRIVE_STATUSES: Final[Mapping[str, DriveState]] = {
    "offline": "offline",
    "failed": "failed",
    "bad": "failed",
    "unusable": "failed",
    "missing": "missing",
    "rebuild": "rebuilding",
    "rebuilding": "rebuilding",
    "replace": "copyback",
    "replacing": "copyback",
    "copyback": "copyback",
    "foreign": "foreign",
    "sanitize": "erasing",
    "erase": "erasing",
}
"""storcli2's status column where it says more than the state column; Online and Good do not."""

VOLUME_STATES: Final[Mapping[str, VolumeState]] = {
    "optl": "optimal",
    "optimal": "optimal",
    "dgrd": "degraded",
    "dgd": "degraded",
    "degraded": "degraded",
    "pdgd": "partially-degraded",
    "partially degraded": "partially-degraded",
    "ofln": "offline",
    "offln": "offline",
    "offline": "offline",
    "rec": "rebuilding",  # "Rec=Recovery"
    "recovery": "rebuilding",
    "failed": "failed",
    "fld": "failed",
}

CONTROLLER_STATES: Final[Mapping[str, ControllerState]] = {
    "optimal": "optimal",
    "opt": "optimal",
    "ok": "optimal",
    "needs attention": "needs-attention",
    "need attention": "needs-attention",
    "ndatn": "needs-attention",
    "degraded": "needs-attention",
    "dgd": "needs-attention",
    "safe": "needs-attention",
    "safe-mode boot": "needs-attention",
    "failed": "failed",
    "fld": "failed",
    "fault": "failed",
    "error": "failed",
}

DRIVE_TASKS: Final[Mapping[str, DriveState]] = {
    "rebuild": "rebuilding",
    "copyback": "copyback",
    "replace": "copyback",
    "erase": "erasing",
    "sanitize": "erasing",
    "clear": "erasing",
    "initialization": "erasing",
    "init": "erasing",
}
"""What `show rebuild` and its like are about: initialising a drive writes zeros over it."""

VOLUME_TASKS: Final[Mapping[str, VolumeState]] = {
    "background init": "initialising",
    "foreground init": "initialising",
    "initialization": "initialising",
    "init": "initialising",
    "bgi": "initialising",
    "fgi": "initialising",
    "reconstruction": "migrating",
    "reconstruct": "migrating",
    "migrate": "migrating",
    "migration": "migrating",
    "expansion": "migrating",
    "oce": "migrating",
    "rlm": "migrating",
    "rebuild": "rebuilding",
}
"""A volume's running task; a consistency check (CC) is none, the volume stays what it is."""

_LEVEL_WORDS: Final = frozenset(get_args(Level))
_LEVEL = re.compile(r"raid[- ]?(1e|00|10|50|60|0|1|5|6)(?!\d)", re.IGNORECASE)
_SPANNED: Final[Mapping[Level, Level]] = {
    "raid0": "raid00",
    "raid1": "raid10",
    "raid5": "raid50",
    "raid6": "raid60",
}


def drive_state(
    word: str | None, status: str | None = None, *, foreign: bool = False, passed: bool = False
) -> DriveState | None:
    """What a drive is: `status` is storcli2's second column, `passed` a drive that is passed through."""
    if foreign:
        return "foreign"
    state = DRIVE_STATUSES.get((status or "").lower()) or DRIVE_STATES.get((word or "").lower())
    return "jbod" if passed and state in ("online", "unconfigured") else state


def volume_state(word: str | None) -> VolumeState | None:
    """A volume's own word."""
    return VOLUME_STATES.get((word or "").lower())


def controller_state(word: str | None) -> ControllerState | None:
    """A controller's own word."""
    return CONTROLLER_STATES.get((word or "").lower())


def task_state(tasks: Mapping[str, State], text: str) -> State | None:
    """The state that a task means, by the first word of its table that the text holds."""
    plain = text.lower()
    return next((state for word, state in tasks.items() if re.search(rf"\b{word}", plain)), None)


def level_of(word: str | None, spans: int | None = None) -> Level | None:
    """`RAID5`, `JBOD`; over more than one span a plain level is the spanned one (RAID1 → raid10)."""
    plain = (word or "").strip().lower()
    if plain in ("jbod", "concat"):
        return plain  # type: ignore[return-value]  # the two are levels
    found = _LEVEL.fullmatch(plain)
    level = next(iter(levels_in(plain)), None) if found else None
    return _SPANNED.get(level, level) if level and spans and spans > 1 else level


def levels_in(text: str | None) -> tuple[Level, ...]:
    """All levels of a list such as `RAID0, RAID1(2 or more drives), RAID10RAID60`, each once."""
    named = (f"raid{match[1].lower()}" for match in _LEVEL.finditer(text or ""))
    return tuple(dict.fromkeys(level for level in named if level in _LEVEL_WORDS))  # type: ignore[misc]
