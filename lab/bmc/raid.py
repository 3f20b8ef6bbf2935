"""The machine's RAID controllers, beside its BMC: their port for tools, and their disks in QEMU.

QEMU connects to the port by itself, again after each restart of this process. What a controller shows is
compared with what QEMU has after every call and at every start of a QEMU, so that a process that died
between an answer and its disks is made up for.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lab.machine import RAID_PORT, Machine, raid_device, raid_nodes
from lab.raid.cabinet import NODES, Cabinet

Execute = Callable[..., Awaitable[Any]]
REQUEST_BYTES = 1 << 20
NODE_TRIES = 20
NODE_PAUSE_S = 0.1
TAKES_MOST_S = 3.0
"""Tools take up to a minute in the real world; here long enough to be killed in."""


class RaidBay:
    """Runs in the machine's directory; `execute` asks the QEMU that runs, if one does.

    `reordered` is told when firmware would start from another disk than before.
    """

    def __init__(
        self, machine: Machine, execute: Execute, reordered: Callable[[], None], log: Callable[[str], None]
    ) -> None:
        self._definitions = machine.definition.controllers
        self._answers = machine.definition.raid_tools
        self._execute = execute
        self._reordered = reordered
        self._log = log
        self._lock = asyncio.Lock()

    async def serve(self) -> asyncio.Server | None:
        """Listen for the machine's tools; None in a rack without controllers."""
        if not self._answers:
            return None
        return await asyncio.start_unix_server(self._port, RAID_PORT, limit=REQUEST_BYTES)

    async def fail(self, place: str, *, gone: bool) -> None:
        """A drive dies."""
        async with self._lock:
            self._log(f"drive {place} fails: {self._cabinet().fail(place, gone=gone)}")
            await self._show()

    async def replace(self, place: str, serial: str) -> None:
        """A failed drive is replaced."""
        async with self._lock:
            self._log(f"drive {place} is replaced: {self._cabinet().replace(place, serial)}")
            await self._show()

    async def show(self) -> None:
        """Have QEMU's disks be what the controllers show."""
        if self._definitions:
            async with self._lock:
                await self._show()

    def _cabinet(self) -> Cabinet:
        return Cabinet.of(Path(), self._definitions)

    async def _show(self) -> None:
        rows = await self._execute("qom-list", path="/machine/peripheral")
        cabinet = self._cabinet()
        if rows is not None:
            shown = {disk.name: disk for disk in cabinet.shown()}
            plugged = {str(row["name"]) for row in rows if str(row["name"]).startswith(("disk-v", "disk-d"))}
            for name in sorted(plugged - shown.keys()):
                self._log(f"unplug {name}")
                await self._execute("device_del", id=name)
            wanted = (raid_nodes(disk) for disk in shown.values())
            await self._drop_nodes({str(node["node-name"]) for pair in wanted for node in pair})
            cabinet.make_images()
            for name in sorted(shown.keys() - plugged):
                self._log(f"plug {name}")
                for node in raid_nodes(shown[name]):
                    await self._execute("blockdev-add", **node)
                await self._execute("device_add", **raid_device(shown[name]))
        else:
            cabinet.make_images()

    async def _drop_nodes(self, wanted: set[str]) -> None:
        """Give up the block nodes of disks that are no more, the upper ones first.

        A device holds its node for some milliseconds after it was unplugged.
        """
        for _ in range(NODE_TRIES):
            named = await self._execute("query-named-block-nodes", flat=True) or []
            names = {str(row["node-name"]) for row in named if str(row["node-name"]).startswith(NODES)}
            if not names - wanted:
                return
            await asyncio.sleep(NODE_PAUSE_S)
            for name in sorted(names - wanted, key=lambda name: name.endswith("-file")):
                await self._execute("blockdev-del", **{"node-name": name})

    async def _port(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The machine's side: a request a line. What is no request was cut off, and has no answer."""
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                if answer := await self._answer(line):
                    writer.write(json.dumps(answer).encode() + b"\n")
                    await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _answer(self, line: bytes) -> dict[str, Any] | None:
        try:
            request = json.loads(line)
            number, argv, stdin = request["id"], [str(word) for word in request["argv"]], request["stdin"]
        except (ValueError, KeyError, TypeError):
            return None
        async with self._lock:
            cabinet = self._cabinet()
            before = cabinet.shown()
            reply = cabinet.call(argv, stdin)
            self._log(f"raid {argv}: {reply.status}")
            if cabinet.shown() != before:
                await self._show()
                self._reordered()
        await asyncio.sleep(min(reply.takes_s, TAKES_MOST_S))
        return {
            "id": number,
            "stdout": reply.stdout,
            "stderr": reply.stderr,
            "status": reply.status,
            "asks": reply.asks,
        }
