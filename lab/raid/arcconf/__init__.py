"""arcconf over emulated SmartRAID controllers.

What changes something asks first unless `noprompt` stands in the line, and hangs where nobody answers. The
status is 0, 1 for a failure, 2 for an answer that was no, 3 for a line that makes no command.
"""

from collections.abc import Callable, Iterable, Sequence

from lab.raid import model
from lab.raid.arcconf import commands, forms
from lab.raid.arcconf.commands import REFUSALS, SURE, Done, Usage
from lab.raid.model import Controller, Drive, Limits, Refusal
from lab.raid.reply import Reply

FAMILY = "arcconf"
LEVELS = ("raid0", "raid1", "raid1adm", "raid5", "raid6", "raid10", "raid10adm", "raid50", "raid60")
STRIPS = tuple(1024 * 16 * 2**power for power in range(7))
LOST = "All data will be lost."
Change = Callable[[Controller, Sequence[str]], Done]
CHANGES: dict[tuple[str, ...], tuple[Change, str | None]] = {
    # The words around the controller's number; the question where it asks.
    ("create", "logicaldrive"): (
        commands.create_volume, "Do you want to add a logical device to the configuration?",
    ),
    ("create", "jbod"): (commands.create_jbod, SURE),
    ("create", "raidzeroarray"): (commands.each_a_volume, SURE),
    ("delete", "logicaldrive"): (commands.delete_volume, f"{LOST}\n{SURE}"),
    ("delete", "array"): (commands.delete_array, f"{LOST}\n{SURE}"),
    ("delete", "jbod"): (commands.delete_jbod, SURE),
    ("task", "start", "device"): (commands.task, SURE),
    ("setstate", "device"): (commands.set_state, SURE),
    ("setboot", "logicaldrive"): (commands.boot, None),
    ("setname", "logicaldrive"): (commands.set_name, None),
    ("setcache", "logicaldrive"): (commands.set_cache, SURE),
    ("setcontrollermode",): (commands.set_mode, SURE),
}  # fmt: skip
QUIET = {"rescan", "identify", "savesupportarchive"}
"""Commands that say nothing but that they are done."""
ASKED = "Press y, then ENTER to continue or press ENTER to abort: "


def run(argv: Sequence[str], controllers: Sequence[Controller], stdin: str | None = None) -> Reply:
    """Answer one call of arcconf."""
    own = [one for one in controllers if one.family == FAMILY]
    spoken = [word for word in argv[1:] if word.lower() != "nologs"]
    words = [word for word in spoken if word.lower() != "noprompt"]
    answer = stdin if len(words) == len(spoken) else "y"
    head = [f"Controllers found: {len(own)}"]
    try:
        return _answer(head, words, own, answer)
    except Usage:
        return _failed(head, ["Invalid arguments. Type ARCCONF HELP for the commands that there are."], 3)
    except Refusal as refusal:
        return _failed(head, [REFUSALS.get(refusal.code, f"The command failed: {refusal.code}.")], 1)


def _answer(head: list[str], words: Sequence[str], own: Sequence[Controller], answer: str | None) -> Reply:
    """Find out what is meant and do it. Raises Usage, Refusal."""
    verb = words[0].lower() if words else ""
    if verb in ("list", "getversion"):
        return _completed(head, _all_controllers(verb, own))
    lead, controller, rest = _addressed(words, own)
    if verb == "getconfig":
        return _completed(head, _config(controller, rest))
    if verb == "getstatus":
        return _completed(head, ["Logical device Task:", "   Current operation              : None"])
    if verb in QUIET:
        return _completed(head, [])
    return _change(head, lead, controller, rest, answer)


def _completed(head: Sequence[str], lines: Iterable[str]) -> Reply:
    return Reply("\n".join((*head, *lines, "", "Command completed successfully.", "")), takes_s=1.5)


def _failed(head: Sequence[str], lines: Iterable[str], status: int) -> Reply:
    return Reply("\n".join((*head, "", *lines, "", "Command aborted.", "")), status=status)


def _addressed(
    words: Sequence[str], own: Sequence[Controller]
) -> tuple[tuple[str, ...], Controller, list[str]]:
    """The words before the controller's number, the controller, and the words behind. Raises Usage."""
    place = next((number for number, word in enumerate(words[:3]) if word.isdecimal()), None)
    if place is None or place == 0:
        raise Usage
    controller = next((one for one in own if one.index == str(int(words[place]))), None)
    if controller is None:
        raise Usage
    return tuple(word.lower() for word in words[:place]), controller, list(words[place + 1 :])


def _change(
    head: list[str],
    lead: tuple[str, ...],
    controller: Controller,
    rest: Sequence[str],
    answer: str | None,
) -> Reply:
    """Find the command by its words around the number, ask, and do it."""
    for words, (change, question) in CHANGES.items():
        object_words = words[len(lead) :]
        if (
            words[: len(lead)] != lead
            or tuple(word.lower() for word in rest[: len(object_words)]) != object_words
        ):
            continue
        if question is not None and answer is None:
            return Reply("\n".join((*head, "", question, ASKED)), asks=True)
        if question is not None and answer is not None and not answer.lstrip().lower().startswith("y"):
            return _failed([*head, "", question, ASKED], [], 2)
        done = change(controller, rest[len(object_words) :])
        reply = _completed(head, ["", *done.lines] if done.lines else [])
        return Reply(reply.stdout, effects=tuple(done.effects), takes_s=3.0)
    raise Usage


def _all_controllers(verb: str, own: Sequence[Controller]) -> list[str]:
    """LIST, and GETVERSION."""
    if verb == "list":
        rule = "-" * 70
        lines = [rule, "Controller information", rule]
        lines += ["   Controller ID             : Status, Slot, Mode, Name, SerialNumber, WWN", rule]
        return [
            *lines,
            *(
                f"   Controller {one.index}:             : Optimal, Slot {one.index}, {forms.mode(one)}, "
                f"{one.model}, {one.serial}, 50000D1{one.made:09X}"
                for one in own
            ),
        ]
    found = []
    for one in own:
        fields = (("Firmware", one.firmware), ("Driver", "1.1.4-130"))
        found += [f"Controller #{one.index}", "=" * 13, *forms.pairs(0, fields)]
    return found


def _config(controller: Controller, words: Sequence[str]) -> list[str]:
    """GETCONFIG, whole or a part. Raises Usage, Refusal."""
    what, rest = (words[0].lower() if words else "al"), words[1:]
    present = [one for one in controller.drives if one.condition != "missing"]
    volumes = controller.volumes
    if what == "ld" and rest:
        if not rest[0].isdecimal():
            raise Usage
        volumes = [model.volume_of(controller, int(rest[0]))]
    if what == "pd" and rest:
        present = commands.devices_of(controller, rest)
    parts: dict[str, Callable[[], list[str]]] = {
        "ad": lambda: forms.controller_lines(controller),
        "ar": lambda: forms.array_lines(controller),
        "ld": lambda: forms.volume_lines(controller, volumes),
        "pd": lambda: forms.drive_lines(controller, present),
        "mc": lambda: [*forms.title("maxCache information"), "   No maxCache Array found"],
    }
    if what == "al":
        return [line for part in parts.values() for line in part()]
    if what not in parts:
        raise Usage
    return parts[what]()


def controller(drives: Iterable[Drive], *, index: str = "1", jbod: bool = True) -> Controller:
    """A SmartRAID 3154 with these drives, as the rack has it: in Mixed mode, or one that hides drives."""
    limits = Limits(LEVELS, strips=STRIPS[4:] + STRIPS[:4], jbod=jbod)
    return Controller(
        FAMILY, index, "Adaptec SmartRAID 3154-16i", f"1A17G3003F{index}", "4.11", "0000:41:00.0", limits,
        list(drives), jbod_mode=jbod,
    )  # fmt: skip
