"""Which controllers a machine has, by what tools list and the bus shows."""

from dataclasses import dataclass, field, replace

import pytest

from metal.drivers.bundle import Query
from metal.drivers.raid.controller_facts import arrays_of, controllers_of
from metal.drivers.raid.detection import PCI_STORAGE, detect, parse_pci, which
from metal.drivers.raid.family import PciRule
from metal.drivers.raid.listing import Condition, Controller, Drive, VirtualDrive
from metal.errors import Unparsable
from metal.protocols import Output
from metal.testing.fake_shell import FakeShell
from specs.facts import Disk

BUS = """\
0000:5e:00.0 0x010400 0x1000 0x0016 0x1028 0x1fcb megaraid_sas
0000:00:17.0 0x010601 0x8086 0xa182 0x1028 0x0715 ahci
0000:01:00.0 0x010601 0x1b4b 0x9230 0x1028 0x1fe2 ahci
garbage
"""


@dataclass
class Family:
    """A family whose tool answers with what it is given."""

    name: str
    tools: tuple[str, ...]
    pci: tuple[PciRule, ...]
    listed: tuple[Controller, ...] = ()
    unreadable: str | None = None
    asked: list[str] = field(default_factory=list)

    def queries(self, tool):
        self.asked.append(tool)
        return (Query(f"{self.name}-all", (tool, "show")),)

    def controllers(self, answers):
        assert set(answers) == {f"{self.name}-all"}
        if self.unreadable:
            raise Unparsable(self.unreadable)
        return self.listed


MEGARAID = PciRule(driver="megaraid_sas")
MARVELL = PciRule(vendor="1b4b", devices=("9230",))


def machine(families, tools, bus=BUS):
    """A shell on a machine with these tools."""
    script = {
        PCI_STORAGE.argv: bus,
        which(families).argv: "".join(f"/usr/local/sbin/{tool}\n" for tool in tools),
    }
    script |= {(tool, "show"): Output((tool, "show"), 0, "listed", "") for tool in tools}
    return FakeShell(script)


LISTED = Controller(
    "0",
    model="PERC H730P",
    serial="SN1",
    pci="0000:5e:00.0",
    state="optimal",
    levels=("raid0", "raid1"),
    drives=(
        Drive(
            "252:0",
            "online",
            "Onln",
            "ssd",
            "sas",
            10**12,
            512,
            "PX05",
            "A",
            "5000c5",
            usable_bytes=9 * 10**11,
        ),
        Drive("252:1", "online", "Onln", "ssd", "sas", 10**12, 512, "PX05", "B"),
        Drive("252:2", None, "UBUnsp"),
        Drive(None, "missing"),
    ),
    volumes=(
        VirtualDrive(
            "0", "system", "raid1", "optimal", "Optl", 10**12, 65536, ("252:0", "252:1"), wwn="6001"
        ),
        VirtualDrive("1", None, "raid0", "degraded", "Dgrd", 10**12, members=("252:0", "252:9")),
        VirtualDrive("2", "pass", "jbod", members=("252:2",)),
    ),
    conditions=(Condition("battery", "Battery is failed"),),
)


def test_a_listed_controller_is_known_with_drives_and_volumes():
    mega = Family("storcli", ("storcli64", "perccli64"), (MEGARAID,), (LISTED,))
    found = detect(machine([mega], ["perccli64"]), [mega])
    assert set(mega.asked) == {"perccli64"}
    (controller,) = controllers_of(found)
    assert (controller.driver, controller.id, controller.problem) == ("storcli", "0000:5e:00.0", None)
    assert [(one.identity, one.state) for one in controller.drives] == [
        ("A", "online"), ("B", "online"), (None, "unknown")
    ]  # fmt: skip
    assert controller.conditions[0].kind == "battery"
    shown = Disk(device="/dev/sda", serial="6001", wwn="0x6001", size_bytes=10**12, found=("gpt",))
    system, loose = arrays_of(found, [shown])
    assert (system.uuid, system.members, system.device, system.found) == (
        "6001",
        ("A", "B"),
        "/dev/sda",
        ("gpt",),
    )
    assert (system.controller, system.volume) == ("0000:5e:00.0", "0")
    assert loose.uuid.startswith("members-")
    assert loose.members == ("A", "slot 252:9")
    assert loose.device is None


def test_a_controller_whose_tool_is_missing_says_which_to_add():
    mega = Family("storcli", ("storcli64", "perccli64"), (MEGARAID,))
    marvell = Family("mvcli", ("mvcli",), (MARVELL,))
    found = controllers_of(detect(machine([mega, marvell], []), [mega, marvell]))
    assert [(one.pci, one.model, one.problem) for one in found] == [
        (
            "0000:5e:00.0",
            "PCI 1000:0016",
            "tool missing: storcli64 (put it in bootos/vendor, see docs/raid.md)",
        ),
        ("0000:01:00.0", "PCI 1b4b:9230", "tool missing: mvcli (put it in bootos/vendor, see docs/raid.md)"),
    ]


def test_one_device_of_two_families_needs_one_of_their_tools():
    old = Family("megacli", ("MegaCli64",), (MEGARAID,))
    new = Family("storcli", ("storcli64",), (MEGARAID,))
    (blind,) = controllers_of(detect(machine([new, old], []), [new, old]))
    assert "tool missing: storcli64 or MegaCli64" in (blind.problem or "")
    listed = Family("megacli", ("MegaCli64",), (MEGARAID,), (LISTED,))
    assert [
        one.driver for one in controllers_of(detect(machine([new, listed], ["MegaCli64"]), [new, listed]))
    ] == ["megacli"]


def test_a_tool_that_lists_nothing_or_is_not_understood_leaves_its_device_with_the_reason():
    silent = Family("storcli", ("storcli64",), (MEGARAID,))
    (blind,) = controllers_of(detect(machine([silent], ["storcli64"]), [silent]))
    assert blind.problem == "storcli64 does not list it"
    broken = Family("storcli", ("storcli64",), (MEGARAID,), unreadable="storcli: line 3: expected a table")
    found = detect(machine([broken], ["storcli64"]), [broken])
    assert found.unknown == {"controllers.storcli": "storcli: line 3: expected a table"}
    assert (
        controllers_of(found)[0].problem == "storcli64 was not understood: storcli: line 3: expected a table"
    )


def test_a_tool_that_does_not_say_where_its_controller_is_stands_for_the_device():
    unplaced = Controller("1", model="9230", drives=())
    marvell = Family("mvcli", ("mvcli",), (MARVELL,), (unplaced,))
    assert [one.id for one in controllers_of(detect(machine([marvell], ["mvcli"]), [marvell]))] == [
        "0000:01:00.0"
    ]
    second = BUS + "0000:02:00.0 0x010601 0x1b4b 0x9230 0x1028 0x1fe2 ahci\n"
    assert [
        one.id for one in controllers_of(detect(machine([marvell], ["mvcli"], bus=second), [marvell]))
    ] == ["mvcli:1"]


@pytest.mark.parametrize(
    "again",
    [
        Controller("0", "MegaRAID", pci="0000:5e:00.0"),
        Controller("0", "MegaRAID", serial="SN1"),
        Controller("0", "MegaRAID", drives=(Drive("252:0", serial="A"),)),
    ],
)
def test_a_controller_that_two_tools_list_is_there_once_by_the_one_preferred(again):
    other = replace(LISTED, index="1", pci="0000:af:00.0", serial="SN2", drives=(), volumes=())
    bus = BUS + "0000:af:00.0 0x010400 0x1000 0x0016 0x1028 0x1fcb megaraid_sas\n"
    new = Family("storcli", ("storcli64",), (MEGARAID,), (LISTED,))
    old = Family("megacli", ("MegaCli64",), (MEGARAID,), (again, other))
    found = controllers_of(detect(machine([new, old], ["storcli64", "MegaCli64"], bus), [new, old]))
    assert [(one.driver, one.id) for one in found] == [
        ("storcli", "0000:5e:00.0"), ("megacli", "0000:af:00.0")
    ]  # fmt: skip


def test_two_controllers_that_see_the_same_drives_are_two():
    beside = replace(LISTED, pci="0000:af:00.0", serial="SN2")
    new = Family("storcli", ("storcli64",), (MEGARAID,), (LISTED,))
    old = Family("megacli", ("MegaCli64",), (MEGARAID,), (beside,))
    found = controllers_of(detect(machine([new, old], ["storcli64", "MegaCli64"]), [new, old]))
    assert [one.id for one in found] == ["0000:5e:00.0", "0000:af:00.0"]


def test_a_tool_that_is_not_needed_may_say_what_it_wants():
    new = Family("storcli", ("storcli64",), (MEGARAID,), (LISTED,))
    old = Family("megacli", ("MegaCli64",), (MEGARAID,), unreadable="MegaCli does not count")
    both = machine([new, old], ["storcli64", "MegaCli64"])
    assert detect(both, [new, old]).unknown == {}
    silent = Family("storcli", ("storcli64",), (MEGARAID,))
    assert detect(both, [silent, old]).unknown == {"controllers.megacli": "MegaCli does not count"}


def test_without_storage_controllers_and_tools_nothing_is_asked_further():
    mega = Family("storcli", ("storcli64",), (MEGARAID,))
    shell = machine([mega], [], bus="")
    assert controllers_of(detect(shell, [mega])) == ()
    assert len(shell.asked) == 2


@pytest.mark.parametrize(
    "text", ["", "0000:5e:00.0", "0000:5e:00.0 0x010400 0x1000 0x0016 0x1028 0x1fcb a b"]
)
def test_lines_of_another_shape_are_passed_over(text):
    assert parse_pci(text) == ()


def test_a_device_without_driver_is_read():
    (one,) = parse_pci("0000:5e:00.0 0x010400 0x1000 0x0016 0x1028 0x1fcb \n")
    assert one.driver is None
    assert one.ids == "1000:0016"


@dataclass
class Relatives(Family):
    """A family of which each tool lists controllers of its own."""

    by_tool: dict = field(default_factory=dict)

    def controllers(self, answers):
        (answer,) = answers.values()
        found = self.by_tool.get(answer.argv[0], ())
        if isinstance(found, str):
            raise Unparsable(found)
        return found


ALL = ["mold", "mnv_cli", "mvcli"]


@pytest.mark.parametrize(
    ("by_tool", "asked", "tool"),
    [
        ({"mvcli": (LISTED,)}, ["mvcli"], "mvcli"),
        ({"mnv_cli": (LISTED,)}, ["mvcli", "mnv_cli"], "mnv_cli"),
        ({"mold": (LISTED,)}, ["mvcli", "mnv_cli", "mold"], "mold"),
        ({"mvcli": "line 1: what is that"}, ["mvcli"], None),
    ],
)
def test_a_tool_that_lists_nothing_leaves_it_to_its_relative(by_tool, asked, tool):
    family = Relatives("mvcli", ("mvcli", "mnv_cli", "mold"), (MARVELL,), by_tool=by_tool)
    shell = machine([family], ALL)
    script = {argv: said for argv, said in shell.script.items() if argv[0] not in ALL or argv[0] in asked}
    found = detect(FakeShell(script), [family])
    assert [one.tool for one in found.found] == ([tool] if tool else [])


def test_no_relative_is_asked_where_the_bus_shows_nothing_of_theirs():
    family = Relatives("storcli2", ("storcli2", "perccli2"), (PciRule(driver="mpi3mr"),))
    shell = machine([family], ["storcli2", "perccli2"])
    found = detect(FakeShell({a: said for a, said in shell.script.items() if a[0] != "perccli2"}), [family])
    assert (found.found, found.blind) == ((), ())
