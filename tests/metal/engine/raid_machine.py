"""A machine in memory with a RAID controller: its tool is emulated, its volumes come and go as disks."""

from collections.abc import Callable
from typing import Any

from lab.raid import model
from lab.raid.model import Controller, Plug
from lab.raid.reply import Reply
from metal.drivers.raid import FAMILIES
from metal.drivers.raid.detection import PCI_STORAGE, which
from metal.engine.controllers import LOOK_FOR_DISKS
from metal.protocols import Change, Command, Output
from metal.testing.fake_machine import FakeMachine

Run = Callable[..., Reply]


class RaidMachine(FakeMachine):
    """Nothing but a controller; what a firmware has begun it ends, whatever happens to the machine."""

    def __init__(self, controller: Controller, tool: str, run: Run, *, root_uuid: str) -> None:
        super().__init__({}, root_uuid=root_uuid)
        self.controller, self.tool, self.run = controller, tool, run
        self.last_kname = 0
        for plug in model.plugged(controller):
            self._plug(plug)

    def read(self, argv: tuple[str, ...], **more: Any) -> Output:
        if argv[0] == self.tool:
            return self._ask(argv)
        return super().read(argv, **more)

    def _script(self) -> dict[tuple[str, ...], Output | str]:
        return super()._script() | {
            PCI_STORAGE.argv: "0000:03:00.0 0x010400 0x103c 0x3239 0x103c 0x21c0 hpsa\n",
            which(FAMILIES).argv: f"/usr/local/sbin/{self.tool}\n",
            **{
                query.argv: self._ask(query.argv)
                for family in FAMILIES
                if self.tool in family.tools
                for query in family.queries(self.tool)
            },
        }

    def changed(self, change: Change) -> Output | None:
        assert isinstance(change, Command)
        if change.argv[0] == self.tool:
            self.tear = False
            return self._ask(change.argv)
        if change.argv in (LOOK_FOR_DISKS.argv, ("true",)):
            return None
        return super().changed(change)

    def _ask(self, argv: tuple[str, ...]) -> Output:
        reply = self.run(argv, [self.controller])
        assert not reply.asks, f"{argv} waits for an answer for ever"
        for effect in reply.effects:
            if isinstance(effect, Plug):
                self._plug(effect)
            else:
                self.disks = {name: one for name, one in self.disks.items() if one["key"] != effect.key}
        return Output(argv, reply.status, reply.stdout, reply.stderr)

    def _plug(self, plug: Plug) -> None:
        self.disks[plug.serial] = {
            "kname": f"sd{chr(97 + self.last_kname)}", "size": plug.size_bytes, "parts": {}, "key": plug.key
        }  # fmt: skip
        self.last_kname += 1
