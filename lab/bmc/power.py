"""The machine's power, boot order and serial console: the Chassis port over a QEMU process and its QMP.

Power off is SIGKILL: that is what pulling the power does to an operating system. All changes run one after
the other under one lock; the port's methods start them and return, as a BMC answers before it acts.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from lab import tpm
from lab.bmc import memory
from lab.bmc.boot import SETTLE_S, BootOverride, device
from lab.bmc.counters import Counters, from_blockstats
from lab.errors import LabError
from lab.machine import INCOMING, Machine
from lab.network import SWITCH
from lab.processes import ProcessRecord, end, reap, spawn
from lab.qmp import QmpClient, QmpError

QMP_TIMEOUT_S = 20.0
CYCLE_PAUSE_S = 1.0
SERIAL_READ_BYTES = 4096
SAMPLE_S = 1.0
LAST_SAMPLE_S = 10.0
"""A QEMU that hangs must not keep its power; one that is slow is waited for, as its counts go with it."""


class MachinePower:
    """Implements `controller.Chassis`; runs in the machine's directory."""

    def __init__(
        self,
        machine: Machine,
        accelerator: str,
        boot: BootOverride,
        *,
        on_override_spent: Callable[[], None],
        on_output: Callable[[bytes], None],
        log: Callable[[str], None],
    ) -> None:
        self._machine = machine
        self._accelerator = accelerator
        self._boot = boot
        self._on_override_spent = on_override_spent
        self._on_output = on_output
        self._log = log
        self._record_path = Path("qemu.json")
        self._incoming = Path(INCOMING)
        self._lock = asyncio.Lock()
        self._order_lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._record: ProcessRecord | None = None
        self._pidfd = -1
        self._qmp: QmpClient | None = None
        self._serial: asyncio.StreamWriter | None = None
        self._attending: asyncio.Task[None] | None = None
        self._sampling: asyncio.Task[None] | None = None
        self._connected: asyncio.Future[None] | None = None
        self._settle: asyncio.TimerHandle | None = None
        self.counters = Counters.load(Path(machine.counters.name), len(machine.definition.disks))
        self.supplied = True
        """Whether there is power at all; without it no command turns the machine on."""
        self.on_connected: Callable[[], Awaitable[None]] | None = None
        """Called for each QEMU as soon as it can be told something."""

    @property
    def is_on(self) -> bool:
        """Whether QEMU runs."""
        return self._record is not None

    def power(self, *, on: bool) -> None:
        """Chassis control: up or down."""
        self._start(self.turn_on() if on else self.turn_off())

    def cycle(self) -> None:
        """Chassis control: cycle."""
        self._start(self._cycle())

    def reset(self) -> None:
        """Chassis control: hard reset."""
        self._start(self.hard_reset())

    def press_power_button(self) -> None:
        """Chassis control: soft shutdown."""
        self._start(self.execute("system_powerdown"))

    def interrupt(self) -> None:
        """Chassis control: diagnostic interrupt."""
        self._start(self.execute("inject-nmi"))

    def boot_order_changed(self) -> None:
        """Let the running machine follow at its next reset; a boot under way keeps the order it has."""
        if not self._boot.booting:
            self._start(self._apply_boot_order())

    def send_break(self) -> None:
        """A break on the serial line."""
        self._start(self.execute("chardev-send-break", id="console"))

    def type_in(self, data: bytes) -> None:
        """Characters for the serial console; lost while the machine is off, as on a real line."""
        if self._serial is not None:
            self._serial.write(data)

    async def adopt(self) -> None:
        """Find the machine that an earlier BMC process has left running."""
        record = ProcessRecord.load(self._record_path)
        if record and record.alive():
            self._log(f"the machine runs already (process {record.pid})")
            self._attend(record)

    async def turn_on(self) -> None:
        """Start QEMU; nothing when it runs."""
        async with self._lock:
            if self.is_on or not self.supplied:
                return
            self._machine.prepare()
            first = device(self._boot.flags)
            self._log(f"power on, boot override {first}")
            self._boot_event()
            await self._run_qemu(self._machine.command(self._accelerator, boot_first=first))
            await self._connection()

    async def resume(self) -> None:
        """Go on with the memory that a snapshot left here, if one did: no boot, the machine never noticed."""
        if not self._incoming.exists():
            return
        async with self._lock:
            argv = self._machine.command(self._accelerator, boot_first=device(self._boot.flags), resume=True)
            await self._run_qemu(argv)
            try:
                await self._connection()
                await memory.loaded(self._require_qmp())
                self._log("resumed from a snapshot")
            except QmpError as error:
                self._log(f"the memory of the snapshot was not taken, see qemu.log: {error}")
            finally:
                self._incoming.unlink(missing_ok=True)

    async def freeze(self) -> bool:
        """Stop the machine and write its memory beside it; False when it is off. It stays stopped."""
        async with self._lock:
            if self._record is None:
                return False
            await memory.until(lambda: not self._boot.booting, "the boot under way has read its order")
            await memory.save(self._require_qmp())
            await self.sample()
            self._log("frozen for a snapshot")
            return True

    async def thaw(self) -> None:
        """Let a frozen machine go on."""
        await self.execute("cont")

    async def sample(self) -> None:
        """Take over QEMU's write counters, which are lost with it."""
        await self._connection()
        await self._sample_now()

    async def _connection(self) -> None:
        """Wait until a QEMU that runs has been told what to do, or has failed to listen."""
        if self._record is not None and self._connected is not None:
            await asyncio.shield(self._connected)

    async def _sample_now(self) -> None:
        rows = await self.execute("query-blockstats")
        if rows is not None:
            self.counters.sample(from_blockstats(rows))

    async def _sample_on(self) -> None:
        while True:
            await self._sample_now()
            await asyncio.sleep(SAMPLE_S)

    async def _run_qemu(self, argv: list[str]) -> None:
        if self._machine.definition.tpm:
            try:
                await asyncio.to_thread(tpm.start, Path())
            except LabError as error:
                self._log(str(error))
                return
        pid = spawn(["ip", "netns", "exec", SWITCH, *argv], log=Path("qemu.log"))
        record = ProcessRecord.of(pid)
        if record is None:
            reap(pid)
            self._log("QEMU ended at once, see qemu.log")
            return
        record.save(self._record_path)
        self._attend(record)

    def _require_qmp(self) -> QmpClient:
        if self._qmp is None:
            raise QmpError("QEMU is gone, see qemu.log")
        return self._qmp

    async def turn_off(self) -> None:
        """Cut the power."""
        async with self._lock:
            if self._record is not None:
                self._log("power cut")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.sample(), LAST_SAMPLE_S)
                await asyncio.to_thread(end, self._record, grace_s=0)
                self._ended()

    async def hard_reset(self) -> None:
        """Reset with the boot order asked for now; an override that an earlier boot was using is spent."""
        if self._boot.booting:
            self._settled(apply=False)
        await self._apply_boot_order()
        await self.execute("system_reset")

    async def _cycle(self) -> None:
        await self.turn_off()
        await asyncio.sleep(CYCLE_PAUSE_S)
        await self.turn_on()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _attend(self, record: ProcessRecord) -> None:
        """Watch a QEMU for its end, and connect to it."""
        try:
            self._pidfd = os.pidfd_open(record.pid)
        except ProcessLookupError:
            self._log("QEMU ended at once, see qemu.log")
            return
        self._record = record
        self.counters.running(f"{record.boot_id}-{record.pid}-{record.start_ticks}")
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)
        self._connected = asyncio.get_running_loop().create_future()
        self._attending = asyncio.ensure_future(self._connect(self._connected))

    async def _connect(self, connected: asyncio.Future[None]) -> None:
        qmp = QmpClient(self._event, lambda: None)
        try:
            await qmp.connect("qmp.sock", timeout_s=QMP_TIMEOUT_S)
        except QmpError as error:
            self._log(f"no QMP: {error}")
            return
        else:
            self._qmp = qmp
            await self._let_run()
        finally:
            if not connected.done():
                connected.set_result(None)
        self._sampling = asyncio.ensure_future(self._sample_on())
        reader, self._serial = await asyncio.open_unix_connection("serial.sock")
        with contextlib.suppress(OSError):
            while data := await reader.read(SERIAL_READ_BYTES):
                self._on_output(data)

    async def _let_run(self) -> None:
        """A new QEMU stands still until cables and disks are as broken as they were."""
        if self.on_connected is not None:
            await self.on_connected()
        status = (await self.execute("query-status") or {}).get("status")
        if status == "prelaunch":
            self._boot_event()
            await self.execute("cont")
        elif status == "shutdown":
            self._start(self.turn_off())

    def _ended(self) -> None:
        """QEMU is gone: cut, shut down, or crashed."""
        record, self._record = self._record, None
        if record is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        reap(record.pid)
        self._record_path.unlink(missing_ok=True)
        for task in (self._attending, self._sampling):
            if task is not None:
                task.cancel()
        if self._serial is not None:
            self._serial.close()
        self._qmp = self._serial = None
        if self._settle is not None:
            self._settled(apply=False)
        self._log("the machine is off")

    def _event(self, event: dict[str, Any]) -> None:
        self._log(f"qmp {event['event']}")
        if event["event"] == "RESET":
            self._boot_event()
        elif event["event"] == "SHUTDOWN":
            self._start(self.turn_off())

    def _boot_event(self) -> None:
        self._boot.boot_begins()
        if self._settle is not None:
            self._settle.cancel()
        self._settle = asyncio.get_running_loop().call_later(SETTLE_S, self._settled)

    def _settled(self, *, apply: bool = True) -> None:
        if self._settle is not None:
            self._settle.cancel()
            self._settle = None
        if self._boot.boot_settled():
            self._log("the one-time boot override is spent")
            self._on_override_spent()
        if apply:
            self._start(self._apply_boot_order())

    async def _apply_boot_order(self) -> None:
        """Bootindex is a live property; firmware reads the order anew at each reset."""
        async with self._order_lock:
            order = self._machine.boot_ids(device(self._boot.flags))
            # None may hold a place that another one gets: also not a volume that was the first one before.
            places = [(name, -1) for name in self._machine.bootable()]
            places += [(name, place) for place, name in enumerate(order, 1)]
            for name, place in places:
                path = f"/machine/peripheral/{name}"
                await self.execute("qom-set", path=path, property="bootindex", value=place)

    async def execute(self, command: str, **arguments: object) -> Any:
        """Ask QEMU; None when the machine is off, or when it refused, which the log then says."""
        if self._qmp is None:
            return None
        try:
            return await self._qmp.execute(command, **arguments)
        except QmpError as error:
            self._log(str(error))
            return None
