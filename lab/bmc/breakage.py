"""Faults set and cleared: what each needs beside standing on the board.

Cables, disks and power are QEMU's; a fault of those is applied again to each QEMU that starts, for a pulled
cable stays pulled over a power cycle.
"""

import asyncio
from collections.abc import Callable

from lab.bmc.board import FaultBoard
from lab.bmc.cutter import Cutter
from lab.bmc.power import MachinePower
from lab.bmc.raid import RaidBay
from lab.faults import KINDS, Fault
from lab.machine import Machine, disk_node, file_node

POLICY_PREVIOUS, POLICY_ALWAYS_ON = 1, 2
EIO = 5
REQUESTS = {"read": ("read",), "write": ("write", "write-zeroes", "discard")}


class Breakage:
    """One machine's faults; all methods run in the BMC's event loop."""

    def __init__(
        self,
        machine: Machine,
        board: FaultBoard,
        power: MachinePower,
        raid: RaidBay,
        *,
        policy: Callable[[], int],
        restart: Callable[[float], None],
        drop_sessions: Callable[[], None],
        log: Callable[[str], None],
    ) -> None:
        self._machine = machine
        self._board = board
        self._power = power
        self._raid = raid
        self._policy = policy
        self._restart = restart
        self._drop_sessions = drop_sessions
        self._log = log
        self._ending: dict[Fault, asyncio.TimerHandle] = {}
        self._cutters: dict[Fault, Cutter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._was_on = False
        power.on_connected = self.apply_hardware

    async def inject(self, fault: Fault) -> None:
        """Break it now; with a time given, mend it when that is over."""
        self._log(f"fault {fault}")
        if KINDS[fault.kind].lasts or fault.kind == "power-cut":
            self._board.add(fault)
        if fault.kind == "power-cut":
            await self._cut_power(fault)
        elif fault.kind == "bmc-reset":
            self._restart(fault.number("mute"))
        elif fault.kind == "http-cut":
            self._cut_http(fault)
        elif fault.kind == "link-down":
            await self._apply_link(fault.whole("nic"))
        elif fault.kind == "disk-error":
            await self._apply_disk(fault.whole("disk"))
        elif fault.kind == "drive-failed":
            await self._raid.fail(fault.text("slot"), gone=fault.flag("gone"))
        elif fault.kind == "drive-replaced":
            await self._raid.replace(fault.text("slot"), fault.text("serial"))
        seconds = float(fault.options.get("for", 0)) or float(fault.options.get("back-after", 0))
        if seconds and fault in self._board.active:
            loop = asyncio.get_running_loop()
            self._ending[fault] = loop.call_later(seconds, lambda: self._start_clearing(fault))

    async def clear(self, kind: str | None = None) -> None:
        """Mend everything, or everything of a kind."""
        for fault in [each for each in self._board.active if kind in (None, each.kind)]:
            await self._clear(fault)

    async def apply_hardware(self) -> None:
        """A QEMU has started: cables and disks are as broken as before, controllers show what they have."""
        await self._raid.show()
        for fault in self._board.of("link-down"):
            await self._apply_link(fault.whole("nic"))
        for index in sorted({fault.whole("disk") for fault in self._board.of("disk-error")}):
            await self._apply_disk(index)

    def _start_clearing(self, fault: Fault) -> None:
        task = asyncio.ensure_future(self._clear(fault))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _clear(self, fault: Fault) -> None:
        self._log(f"mended {fault}")
        self._board.remove(fault)
        if timer := self._ending.pop(fault, None):
            timer.cancel()
        if cutter := self._cutters.pop(fault, None):
            cutter.close()
        if fault.kind == "power-cut":
            await self._power_returns()
        elif fault.kind == "link-down":
            await self._apply_link(fault.whole("nic"))
        elif fault.kind == "disk-error":
            await self._apply_disk(fault.whole("disk"))

    async def _cut_power(self, fault: Fault) -> None:
        """A cut that power returns from, or that takes the BMC too, is an outage until it is cleared.

        Any other is over at once: the machine is off, and its BMC may switch it on.
        """
        self._was_on = self._power.is_on
        outage = bool(fault.number("back-after")) or fault.flag("bmc")
        self._power.supplied = not outage
        await self._power.turn_off()
        if fault.flag("bmc"):
            self._board.dark = True
            self._drop_sessions()
        if not outage:
            self._board.remove(fault)

    async def _power_returns(self) -> None:
        self._power.supplied = True
        self._board.dark = False
        policy = self._policy()
        self._log(f"power returns, policy {policy}, it was {'on' if self._was_on else 'off'}")
        if policy == POLICY_ALWAYS_ON or (policy == POLICY_PREVIOUS and self._was_on):
            await self._power.turn_on()

    def _cut_http(self, fault: Fault) -> None:
        cutter = Cutter(
            self._machine.definition,
            port=fault.whole("port"),
            after_bytes=fault.whole("after"),
            times=fault.whole("times"),
            on_done=lambda: self._start_clearing(fault),
            log=self._log,
        )
        self._cutters[fault] = cutter
        cutter.start()

    async def _apply_link(self, nic: int) -> None:
        down = any(fault.whole("nic") == nic for fault in self._board.of("link-down"))
        await self._power.execute("set_link", name=f"nic{nic}", up=not down)

    async def _apply_disk(self, disk: int) -> None:
        """Put a blkdebug node with all rules between the disk and its file, or take it out again."""
        rules = [
            {"event": "none", "iotype": request, "errno": EIO, "once": fault.flag("once")}
            for fault in self._board.of("disk-error")
            if fault.whole("disk") == disk
            for request in REQUESTS[str(fault.options["on"])][: 1 if fault.flag("once") else None]
        ]
        node = f"disk{disk}-fault"
        named = await self._power.execute("query-named-block-nodes", flat=True) or []
        if any(each["node-name"] == node for each in named):
            await self._power.execute("blockdev-reopen", options=[disk_node(disk, file_node(disk))])
            await self._power.execute("blockdev-del", **{"node-name": node})
        if rules:
            debug = {"driver": "blkdebug", "node-name": node, "image": file_node(disk), "inject-error": rules}
            await self._power.execute("blockdev-add", **debug)
            await self._power.execute("blockdev-reopen", options=[disk_node(disk, node)])
