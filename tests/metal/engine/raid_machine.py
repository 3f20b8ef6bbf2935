"""A machine in memory with RAID controllers: their tools are emulated, volumes come and go as disks."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lab.raid import arcconf, ircu, megacli, model, mvcli, ssacli, storcli
from lab.raid.model import Controller, Plug
from lab.raid.reply import Emulator
from metal.drivers.bundle import Query
from metal.drivers.raid import FAMILIES
from metal.drivers.raid.detection import PCI_STORAGE, which
from metal.drivers.raid.megacli.questions import DEVICES
from metal.engine.controllers import LOOK_FOR_DISKS
from metal.protocols import Change, Command, Output
from metal.testing.fake_machine import FakeMachine
from tests.lab.raid.driven import Driven
from tests.lab.raid.listing_scripts import ir_listing, mv_listing


@dataclass(frozen=True)
class Kind:
    """A family as a machine has it: the tool in its boot OS, what emulates it, how the bus shows it."""

    tool: str
    emulator: Emulator
    bus: str
    scripted: Callable[[Driven], Output] | None = None


KINDS: Final[Mapping[str, Kind]] = {
    "storcli": Kind("storcli64", storcli, "0x010400 0x1000 0x0014 0x1000 0x9460 megaraid_sas"),
    "storcli2": Kind("storcli2", storcli, "0x010400 0x1000 0x00a5 0x1000 0x4620 mpi3mr"),
    "megacli": Kind("MegaCli64", megacli, "0x010400 0x1000 0x005b 0x1028 0x1f31 megaraid_sas"),
    "ssacli": Kind("ssacli", ssacli, "0x010400 0x103c 0x3239 0x103c 0x21c0 hpsa"),
    "sas2ircu": Kind("sas2ircu", ircu, "0x010700 0x1000 0x0072 0x1028 0x1f1c mpt3sas", ir_listing),
    "sas3ircu": Kind("sas3ircu", ircu, "0x010700 0x1000 0x0097 0x1000 0x0808 mpt3sas", ir_listing),
    "mvcli": Kind("mvcli", mvcli, "0x010601 0x1b4b 0x9230 0x1028 0x1fe2 ahci", mv_listing),
    "arcconf": Kind("arcconf", arcconf, "0x010400 0x9005 0x028f 0x9005 0x0808 smartpqi"),
}

QUESTION: Final = re.compile(r"^q (\S+) \d+ \d+ ", re.MULTILINE)
"""The name of a question in a bundle."""


class RaidMachine(FakeMachine):
    """Nothing but controllers; what a firmware has begun it ends, whatever happens to the machine."""

    def __init__(self, *controllers: Controller, root_uuid: str) -> None:
        super().__init__({}, root_uuid=root_uuid)
        self.controllers = list(controllers)
        self.kinds = {KINDS[one.family].tool: KINDS[one.family] for one in controllers}
        self.listings: list[str] = []
        """Families whose tool was asked for its listing, once for each reading."""
        self.known: dict[str, Output] = {}
        """Answers to the tools' queries, until something changes."""
        self.last_kname = 0
        for one in controllers:
            for plug in model.plugged(one):
                self._plug(plug)

    def equip(self, *families: str) -> None:
        """Have the tools of these families in the boot OS, whether there is a controller for them or not."""
        self.kinds |= {KINDS[name].tool: KINDS[name] for name in families}

    @property
    def controller(self) -> Controller:
        """The first of them."""
        return self.controllers[0]

    def read(self, argv: tuple[str, ...], **more: Any) -> Output:
        if argv[0] in self.kinds:
            return self._ask(argv)
        put = {name for word in argv for name in QUESTION.findall(word)}
        for family in FAMILIES:
            tool = KINDS[family.name].tool
            if tool in self.kinds and put & {query.name for query in family.queries(tool)}:
                self.listings.append(family.name)
        return super().read(argv, **more)

    def _script(self) -> dict[tuple[str, ...], Output | str]:
        bus = (f"{one.pci} {KINDS[one.family].bus}\n" for one in self.controllers)
        tools = (f"/usr/local/sbin/{tool}\n" for tool in self.kinds)
        return super()._script() | {
            PCI_STORAGE.argv: "".join(bus),
            which(FAMILIES).argv: "".join(tools),
            **{
                query.argv: self._listed(tool, kind, query)
                for tool, kind in self.kinds.items()
                for family in FAMILIES
                if tool in family.tools
                for query in family.queries(tool)
            },
        }

    def _node(self, disk: dict[str, Any]) -> dict[str, Any]:
        return super()._node(disk) | {"model": disk.get("model")}

    def _listed(self, tool: str, kind: Kind, query: Query) -> Output:
        if query.name not in self.known:
            self.known[query.name] = self._answer_of(tool, kind, query)
        return self.known[query.name]

    def _answer_of(self, tool: str, kind: Kind, query: Query) -> Output:
        if query.name == DEVICES.name:
            own = [one for one in self.controllers if one.family == "megacli"]
            plugs = [plug for one in own for plug in model.plugged(one)]
            names = {disk["key"]: disk["kname"] for disk in self.disks.values()}
            return Output(query.argv, 0, megacli.devices(own, names, plugs), "")
        if kind.scripted is not None:
            family = next(one for one in FAMILIES if tool in one.tools)
            return kind.scripted(Driven(family, kind.emulator, tool, self.controllers))
        return self._ask(query.argv)

    def changed(self, change: Change) -> Output | None:
        assert isinstance(change, Command)
        if change.argv[0] in self.kinds:
            self.tear = False
            self.known.clear()
            return self._ask(change.argv)
        if change.argv in (LOOK_FOR_DISKS.argv, ("true",)):
            return None
        return super().changed(change)

    def _ask(self, argv: tuple[str, ...]) -> Output:
        reply = self.kinds[argv[0]].emulator.run(argv, self.controllers)
        assert not reply.asks, f"{argv} waits for an answer for ever"
        for effect in reply.effects:
            if isinstance(effect, Plug):
                self._plug(effect)
            else:
                self.disks = {name: one for name, one in self.disks.items() if one["key"] != effect.key}
        return Output(argv, reply.status, reply.stdout, reply.stderr)

    def _plug(self, plug: Plug) -> None:
        # What the system shows of a Marvell volume: a model that names no drive, and a serial of its own.
        boot_card = plug.key.startswith("v") and any(one.family == "mvcli" for one in self.controllers)
        self.disks[plug.serial] = {
            "kname": f"sd{chr(97 + self.last_kname)}", "size": plug.size_bytes, "parts": {}, "key": plug.key,
            "model": "DELLBOSS VD" if boot_card else None,
        }  # fmt: skip
        self.last_kname += 1

    def arrangement(self) -> list[dict[str, Any]]:
        """What the controllers hold, without the numbers that firmware counts up."""
        return [
            {
                "drives": [
                    (drive.serial, drive.condition, drive.foreign, drive.spun_down) for drive in one.drives
                ],
                "volumes": [
                    (
                        volume.name, volume.level, volume.boot, volume.size_bytes,
                        sorted(drive.serial for drive in model.members(one, volume.group)),
                    )
                    for volume in one.volumes
                ],
                "pinned": list(one.pinned),
            }
            for one in self.controllers
        ]  # fmt: skip
