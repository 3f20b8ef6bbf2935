"""Which RAID controllers a machine has: what tools list, and PCI devices whose tool is missing.

The tool's own listing is what counts. The PCI bus is asked as well, because a controller whose tool is
not in the boot OS would otherwise be a machine without disks, and a spec with `raid` a plain refusal.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from metal.drivers.bundle import Query, read_bundle
from metal.drivers.raid.family import PciRule, RaidFamily
from metal.drivers.raid.listing import Controller
from metal.errors import Unparsable
from metal.protocols import Output, Shell

PCI_STORAGE: Final = Query(
    "pci-storage",
    (
        "sh",
        "-c",
        r"""for d in /sys/bus/pci/devices/*; do read -r c <"$d/class" || continue
case $c in 0x01*) ;; *) continue ;; esac
read -r v <"$d/vendor"; read -r i <"$d/device"
read -r s <"$d/subsystem_vendor"; read -r t <"$d/subsystem_device"
k=$(readlink "$d/driver"); echo "${d##*/} $c $v $i $s $t ${k##*/}"; done; :""",
    ),
)
"""Mass storage controllers of the PCI bus: address, class, ids and kernel driver, one a line."""

_ROW = re.compile(
    r"^(?P<address>[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) 0x(?P<class>[0-9a-f]{6}) "
    r"0x(?P<vendor>[0-9a-f]{4}) 0x(?P<device>[0-9a-f]{4}) 0x(?P<sub_vendor>[0-9a-f]{4}) "
    r"0x(?P<sub_device>[0-9a-f]{4}) ?(?P<driver>\S*)$"
)


@dataclass(frozen=True, slots=True)
class PciStorage:
    """A mass storage controller on the PCI bus."""

    address: str
    vendor: str
    device: str
    driver: str | None

    @property
    def ids(self) -> str:
        """Vendor and device, as lspci -n writes them."""
        return f"{self.vendor}:{self.device}"

    def fits(self, rule: PciRule) -> bool:
        """Whether a family's rule means this device."""
        return (
            (rule.driver is None or rule.driver == self.driver)
            and (rule.vendor is None or rule.vendor == self.vendor)
            and (not rule.devices or self.device in rule.devices)
        )


@dataclass(frozen=True, slots=True)
class Detected:
    """A family with the tool that answers, and the controllers that it lists."""

    family: RaidFamily
    tool: str
    controllers: tuple[Controller, ...]


@dataclass(frozen=True, slots=True)
class Blind:
    """A controller that can't be worked with, and why."""

    family: RaidFamily
    device: PciStorage
    problem: str


@dataclass(frozen=True, slots=True)
class Detection:
    """All RAID controllers of a machine, and by family what could not be read."""

    found: tuple[Detected, ...] = ()
    blind: tuple[Blind, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)


def which(families: Sequence[RaidFamily]) -> Query:
    """Ask which of the families' tools there are."""
    names = sorted({tool for family in families for tool in family.tools})
    return Query("raid-tools", ("sh", "-c", 'for t do command -v "$t"; done; :', "rf-which", *names))


def first_questions(families: Sequence[RaidFamily]) -> tuple[Query, ...]:
    """What the bus shows, and which tools there are."""
    return (PCI_STORAGE, which(families)) if families else ()


def _present(family: RaidFamily, answers: Mapping[str, Output]) -> list[str]:
    """The family's tools that are there, the one to prefer first."""
    said = answers.get("raid-tools")
    there = {line.rpartition("/")[2] for line in said.stdout.split()} if said else set()
    return [one for one in family.tools if one in there]


def _tools(families: Sequence[RaidFamily], answers: Mapping[str, Output]) -> dict[str, str]:
    """Family -> the tool that has answered, else the best that is there."""
    found = {}
    for family in families:
        present = _present(family, answers)
        asked = [tool for tool in present if _has_answered(family, tool, answers)]
        if present:
            found[family.name] = (asked or present)[0]
    return found


def _has_answered(family: RaidFamily, tool: str, answers: Mapping[str, Output]) -> bool:
    """Whether the answers to the family's questions are this tool's."""
    return all(
        query.name in answers and answers[query.name].argv == query.argv for query in family.queries(tool)
    )


def detect(shell: Shell, families: Sequence[RaidFamily], among: Collection[str] | None = None) -> Detection:
    """Ask the bus and every tool there is, or those of some families only. Raises Unreachable only."""
    first = read_bundle(shell, first_questions(families))
    asked = [one for one in families if among is None or one.name in among]
    return detected(asked, ask(shell, asked, first))


def ask(shell: Shell, families: Sequence[RaidFamily], first: Mapping[str, Output]) -> dict[str, Output]:
    """The first answers, and those of the tools; a tool that lists nothing leaves it to the next of its kind.

    Relatives with one grammar know other controllers: mnv_cli those of NVMe cards, hpacucli those that
    ssacli has given up.
    """
    answers = dict(first)
    further = questions(families, answers)
    while further:
        answers |= read_bundle(shell, further)
        further = _next_tools(families, answers)
    return answers


def _next_tools(families: Sequence[RaidFamily], answers: Mapping[str, Output]) -> tuple[Query, ...]:
    """What to ask of relatives of tools that list nothing, though the bus shows what may be theirs."""
    asked = _tools(families, answers)
    present = {family.name: _present(family, answers) for family in families if family.name in asked}
    if all(tools[-1] == asked[name] for name, tools in present.items()):
        return ()
    unlisted = {blind.device for blind in detected(families, answers).blind}
    queries: list[Query] = []
    for family in (one for one in families if one.name in asked):
        tools = present[family.name]
        rest = tools[tools.index(asked[family.name]) + 1 :]
        mine = any(device.fits(rule) for device in unlisted for rule in family.pci)
        if rest and mine and not _lists(family, asked[family.name], answers):
            queries += family.queries(rest[0])
    return tuple(queries)


def _lists(family: RaidFamily, tool: str, answers: Mapping[str, Output]) -> bool:
    """Whether a tool lists a controller, or says what is not understood."""
    try:
        return bool(family.controllers({query.name: answers[query.name] for query in family.queries(tool)}))
    except Unparsable:
        return True


def parse_pci(text: str) -> tuple[PciStorage, ...]:
    """Read what `PCI_STORAGE` printed; lines of another shape are passed over."""
    rows = (_ROW.match(line.strip()) for line in text.splitlines())
    return tuple(
        PciStorage(row["address"], row["vendor"], row["device"], row["driver"] or None) for row in rows if row
    )


def questions(families: Sequence[RaidFamily], answers: Mapping[str, Output]) -> tuple[Query, ...]:
    """What to ask further, of the tools that answered `which`."""
    tools = _tools(families, answers)
    return tuple(q for family in families if family.name in tools for q in family.queries(tools[family.name]))


def detected(families: Sequence[RaidFamily], answers: Mapping[str, Output]) -> Detection:
    """All controllers, from the answers to `PCI_STORAGE`, `which` and `questions`."""
    tools = _tools(families, answers)
    bus = answers.get(PCI_STORAGE.name)
    devices = parse_pci(bus.stdout) if bus else ()
    found: list[Detected] = []
    unknown: dict[str, str] = {}
    for family in families:
        tool = tools.get(family.name)
        if tool is None:
            continue
        own = {query.name: answers[query.name] for query in family.queries(tool)}
        try:
            controllers = family.controllers(own)
        except Unparsable as error:
            unknown[f"controllers.{family.name}"] = error.message
            continue
        placed = _placed(controllers, [one for one in devices if any(one.fits(rule) for rule in family.pci)])
        own_alone = tuple(one for one in placed if not _is_listed(one, found))
        if own_alone:
            found.append(Detected(family, tool, own_alone))
    listed = {one.pci for detected in found for one in detected.controllers if one.pci}
    blind = []
    for device in devices:
        meant = [family for family in families if any(device.fits(rule) for rule in family.pci)]
        if not meant or device.address in listed or _answered(meant, found):
            continue
        blind.append(Blind(meant[0], device, _problem(meant, tools, unknown)))
    unknown = {
        path: why
        for path, why in unknown.items()
        if not _is_spare_tool(path.removeprefix("controllers."), families, devices, listed)
    }
    return Detection(tuple(found), tuple(blind), unknown)


def _placed(controllers: tuple[Controller, ...], devices: Sequence[PciStorage]) -> tuple[Controller, ...]:
    """The controllers, one whose tool does not say where it is at the only place where it can be."""
    if len(controllers) != 1 or len(devices) != 1 or controllers[0].pci is not None:
        return controllers
    return (replace(controllers[0], pci=devices[0].address),)


def _is_listed(controller: Controller, found: Sequence[Detected]) -> bool:
    """Whether a tool that is preferred lists this controller: by PCI address, serial, or a drive of it.

    Where both tools tell the address it alone counts: two adapters on one shelf see the same drives.
    """
    drives = _identities(controller)
    for other in (one for detected in found for one in detected.controllers):
        if controller.pci and other.pci:
            if controller.pci == other.pci:
                return True
        elif (controller.serial and controller.serial == other.serial) or drives & _identities(other):
            return True
    return False


def _identities(controller: Controller) -> set[str]:
    return {name for drive in controller.drives for name in (drive.serial, drive.wwn) if name}


def _is_spare_tool(
    name: str, families: Sequence[RaidFamily], devices: Sequence[PciStorage], listed: Collection[str]
) -> bool:
    """Whether a tool that was not understood would tell nothing new: others list all of its controllers."""
    rules = [rule for family in families if family.name == name for rule in family.pci]
    own = [device for device in devices if any(device.fits(rule) for rule in rules)]
    return bool(own) and all(device.address in listed for device in own)


def _answered(meant: Sequence[RaidFamily], found: Sequence[Detected]) -> bool:
    """Whether a tool of the device's families lists a controller without saying where it is."""
    names = {family.name for family in meant}
    return any(
        one.family.name in names and any(controller.pci is None for controller in one.controllers)
        for one in found
    )


def _problem(meant: Sequence[RaidFamily], tools: Mapping[str, str], unknown: Mapping[str, str]) -> str:
    for family in meant:
        if f"controllers.{family.name}" in unknown:
            return f"{tools[family.name]} was not understood: {unknown[f'controllers.{family.name}']}"
    here = [tools[family.name] for family in meant if family.name in tools]
    if here:
        return f"{here[0]} does not list it"
    names = [family.tools[0] for family in meant]
    return f"tool missing: {' or '.join(names)} (put it in bootos/vendor, see docs/raid.md)"
