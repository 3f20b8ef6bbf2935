"""MegaCli and MegaCli64 over emulated MegaRAID controllers.

It never asks: what it does not do without -Force it refuses. Each answer ends with its exit code, which is
the process's too, and for commands that count it is the count.
"""

from collections.abc import Iterable, Sequence

from lab.raid.megacli import changes, lists
from lab.raid.megacli.answers import USAGE, Answer, failed, refused, together
from lab.raid.megacli.forms import ERASER
from lab.raid.megacli.grammar import Line, Unreadable, read
from lab.raid.model import Controller, Drive, Limits, Plug, Refusal
from lab.raid.reply import Reply

FAMILY = "megacli"
LEVELS = ("raid0", "raid1", "raid5", "raid6", "raid10", "raid50", "raid60")
STRIPS = tuple(1024 * 8 * 2**power for power in range(8))
VERSION = (
    "",
    "      MegaCLI SAS RAID Management Tool  Ver 8.07.14 Dec 16, 2013",
    "",
    "    (c)Copyright 2013, LSI Corporation, All Rights Reserved.",
)
ALONE = {"adpcount", "v", "h", "help"}
"""Commands that name no adapter."""
HANDLERS = lists.HANDLERS | changes.HANDLERS


def run(argv: Sequence[str], controllers: Sequence[Controller], stdin: str | None = None) -> Reply:
    """Answer one call of MegaCli."""
    del stdin  # It never reads it.
    own = [one for one in controllers if one.family == FAMILY]
    try:
        line = read(argv[1:])
    except Unreadable as error:
        answer = failed(f"Invalid input at or near token {error}", "")
    else:
        answer = _answer(line, own)
    text = "\n".join(("", ERASER, *answer.lines, "", f"Exit Code: 0x{answer.code:02x}", ""))
    created = any("Configured the Adapter" in one for one in answer.lines)
    return Reply(
        text, status=answer.code & 0xFF, effects=tuple(answer.effects), takes_s=4.0 if created else 1.0
    )


def _answer(line: Line, own: Sequence[Controller]) -> Answer:
    if line.command in ALONE:
        return _alone(line, own)
    handler = HANDLERS.get(line.command)
    if handler is None or "adapters" not in line.values:
        return failed(USAGE)
    numbers = line.numbers("adapters")
    wanted = [str(one) for one in numbers] if numbers is not None else [one.index for one in own]
    known = {one.index: one for one in own}
    if any(index not in known for index in wanted):
        return failed("User specified controller is not present.", "Failed to get CpController object.")
    answers = []
    for index in wanted:
        try:
            answers.append(handler(known[index], line))
        except Refusal as refusal:
            words = failed(USAGE) if refusal.code == "parameters" else refused(known[index], refusal)
            answers.append(words)
    return together(answers)


def _alone(line: Line, own: Sequence[Controller]) -> Answer:
    if line.command == "adpcount":
        return Answer([f"Controller Count: {len(own)}."], len(own))
    return Answer(list(VERSION))


def controller(drives: Iterable[Drive], *, index: str = "0", jbod: bool = True) -> Controller:
    """A PERC H710P with these drives, as the rack has it."""
    limits = Limits(LEVELS, strips=STRIPS[3:] + STRIPS[:3], jbod=jbod)
    return Controller(
        FAMILY, index, "PERC H710P Adapter", f"29F02{index}R", "21.3.5-0002", "0000:03:00.0", limits,
        list(drives), jbod_mode=jbod,
    )  # fmt: skip


def devices(own: Iterable[Controller], names: dict[str, str], plugs: Iterable[Plug]) -> str:
    """What the kernel's SCSI tree says of volumes: PCI address, SCSI address, name and unique id.

    `names` are block device names by the plugs' keys. A volume's SCSI target is its id.
    """
    shown = {one.key for one in plugs}
    lines = [
        f"{one.pci} {host}:2:{volume.id}:0 {names[key]} naa.{volume.wwn}"
        for host, one in enumerate(own)
        for volume in one.volumes
        if (key := f"v{volume.wwn}") in shown and key in names
    ]
    return "".join(f"{line}\n" for line in lines)
