"""Answers of one MegaCli command, adapter by adapter, and the firmware's codes behind them.

Codes are those of the Linux driver's `enum MFI_STAT`; MegaCli prints one at its end and exits with it.
Sentences of 0x01, 0x1e, 0x22, 0x26 and 0x54 are as captured or as in public transcripts; those of the other
codes are from general knowledge.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.raid.megacli.grammar import Line, addresses
from lab.raid.model import Controller, Drive, Effect, Refusal

USAGE = "Fatal error - Command Tool invoked with wrong parameters"
ATTRIBUTES = (
    "The specified physical disk does not have the appropriate attributes to complete \n"
    "the requested command."
)
SPANS = "At least two arrays must be specified to configure spanned VD."
HAS_DATA = " Virtual Disk is associate with Cache Cade. Please Use force option to delete "
PINNED = (
    "  The current operation is not allowed because the controller has data in cache for offline or missing"
    " virtual drives."
)


@dataclass
class Answer:
    """What one adapter has to say; `code` is printed after the last."""

    lines: list[str]
    code: int = 0
    effects: list[Effect] = field(default_factory=list)


Handler = Callable[[Controller, Line], Answer]


def failed(*lines: str, code: int = 1) -> Answer:
    """A refusal."""
    return Answer(list(lines), code)


def firmware_says_no(index: str, text: str, code: int) -> Answer:
    """A refusal with the firmware's own reason."""
    return failed(f"Adapter {index}: Configure Adapter Failed", "", "FW error description:", text, code=code)


def refused(controller: Controller, refusal: Refusal) -> Answer:
    """The model's refusal in MegaCli's words."""
    index, detail = controller.index, refusal.detail
    if refusal.code in ("foreign", "drive-state", "spun-down", "mixed-kinds"):
        return failed(ATTRIBUTES, code=0x26)
    if refusal.code == "preserved-cache":
        return firmware_says_no(index, PINNED, 0x54)
    if refusal.code == "has-data":
        return failed(HAS_DATA)
    if refusal.code == "no-volume":
        return failed(f"Adapter {index}: Virtual Drive {detail} Does not Exist.", code=0x03)
    if refusal.code == "no-drive":
        enclosure, _, slot = detail.rpartition(":")
        where = f"EnclId-{enclosure or 'N/A'} SlotId-{slot}"
        return failed(f"Adapter: {index}: Device at {where} is not found.", code=0x0C)
    text, code = {
        "space": ("  The requested size is larger than the free space of the array.", 0x0D),
        "too-many-volumes": ("  The maximum number of virtual drives is configured already.", 0x1A),
        "level": ("  The RAID level is not supported.", 0x1E),
        "drive-count": ("  The number of drives is wrong for the RAID level.", 0x1E),
        "spans": ("  The number of drives is wrong for the RAID level.", 0x1E),
        "strip": ("  The command contains invalid parameters.", 0x03),
        "drive-twice": ("  The command contains invalid parameters.", 0x03),
    }.get(refusal.code, ("  The command failed.", 0x01))
    return firmware_says_no(index, text, code)


def drives_of(controller: Controller, text: str | None) -> list[Drive]:
    """The drives in brackets. Raises Refusal `no-drive`, `parameters` where brackets hold no addresses."""
    found = addresses(text or "")
    if found is None:
        raise Refusal("parameters")
    return [drive_at(controller, enclosure, slot) for enclosure, slot in found]


def drive_at(controller: Controller, enclosure: int | None, slot: int) -> Drive:
    """The drive in a slot; an enclosure left out means the drives that have none."""
    for drive in controller.drives:
        if (drive.enclosure, drive.slot) == (enclosure, slot) and drive.condition != "missing":
            return drive
    raise Refusal("no-drive", f"{'' if enclosure is None else enclosure}:{slot}")


def where(drive: Drive) -> str:
    """A drive in a sentence."""
    return f"EnclId-{'N/A' if drive.enclosure is None else drive.enclosure} SlotId-{drive.slot}"


def ids_of(controller: Controller, line: Line) -> list[int]:
    """The volumes that -L means."""
    numbers = line.numbers("volumes")
    return [one.id for one in controller.volumes] if numbers is None else numbers


def together(answers: Sequence[Answer]) -> Answer:
    """Answers of several adapters as one; the last code that is none of success counts."""
    lines = [line for one in answers for line in (*one.lines, "")]
    code = next((one.code for one in reversed(answers) if one.code), 0)
    return Answer(lines, code, [effect for one in answers for effect in one.effects])
