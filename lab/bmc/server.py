"""One BMC process: sockets around the controller.

Runs in its machine's directory and its own network namespace.

    ipmi.sock     QEMU connects here: the guest's /dev/ipmi0
    UDP 623       RMCP+
    control.sock  the front panel, for `lab`: one JSON object per line,
                  {"do": "status|on|off|reset|fresh|freeze|thaw|fault|mend|counters"}
"""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.bmc import kcs, rmcp
from lab.bmc.address import BmcInterface
from lab.bmc.board import FaultBoard, FaultyChassis, FaultyCommands
from lab.bmc.boot import BootOverride
from lab.bmc.breakage import Breakage
from lab.bmc.controller import Controller
from lab.bmc.lan import LanServer
from lab.bmc.lockout import Lockout
from lab.bmc.power import MachinePower
from lab.bmc.raid import RaidBay
from lab.bmc.session import ADDRESS, Session
from lab.bmc.sol import SolChannel
from lab.bmc.state import BmcState, StateFile
from lab.bmc.table import COMMANDS
from lab.errors import LabError
from lab.faults import make
from lab.machine import RAID_PORT, Machine
from lab.qmp import QmpError

INTERFACE = "eth0"
PORT = 623
RESET_DELAY_S = 0.2
RESET_DEAF_S = 5.0
POLICY_ALWAYS_ON = 2


class Console:
    """Implements `controller.SolPort`: the one session that has the serial console."""

    def __init__(self, power: Callable[[], MachinePower], send: Callable[[Session, bytes], None]) -> None:
        self._power = power
        self._send = send
        self._channel: SolChannel | None = None
        self.holder: Session | None = None

    def activate(self, session: Session) -> None:
        """Give the console to a session."""
        self._release(tell=False)
        power = self._power()
        self.holder = session
        self._channel = SolChannel(
            send=lambda payload: self._send(session, payload),
            type_in=power.type_in,
            send_break=power.send_break,
            call_later=asyncio.get_running_loop().call_later,
            on_lost=lambda: self._release(tell=False),
        )

    def deactivate(self) -> None:
        """Take it away; its holder hears of it."""
        self._release(tell=True)

    def output(self, data: bytes) -> None:
        """The machine wrote."""
        if self._channel is not None:
            self._channel.output(data)

    def receive(self, session: Session, payload: bytes) -> None:
        """A SOL packet came; only the holder's count."""
        if self._channel is not None and session is self.holder:
            self._channel.receive(payload)

    def session_closed(self, session: Session) -> None:
        """A session ended; with it its console."""
        if session is self.holder:
            self._release(tell=False)

    def _release(self, *, tell: bool) -> None:
        if self._channel is not None:
            self._channel.close(tell=tell)
        self._channel = self.holder = None


class Bmc:
    """The parts, wired."""

    def __init__(self, machine: Machine, accelerator: str) -> None:
        self._machine = machine
        self._log_stream = Path("bmc.log").open("a", buffering=1)  # noqa: SIM115 -- open as long as the process
        identity = machine.definition.bmc
        self._file = StateFile(
            machine.bmc_state, lambda: BmcState.factory(identity.factory_user, identity.factory_password)
        )
        self._transport: asyncio.DatagramTransport | None = None
        self._deaf = False
        self._board = FaultBoard()
        self._restarting: asyncio.Task[None] | None = None
        self._console = Console(
            lambda: self._power, lambda to, data: self._lan.send_payload(to, rmcp.PAYLOAD_SOL, data)
        )
        self._interface = BmcInterface(INTERFACE, identity.mac, lambda: self._controller.state.lan, self.log)
        state = self._file.load()
        boot = BootOverride(bytes.fromhex(state.boot_flags))
        self._power = self._make_power(accelerator, boot)
        self._raid = RaidBay(machine, self._power.execute, self._power.boot_order_changed, self.log)
        self._controller = Controller(
            identity=machine.definition,
            state=state,
            save=lambda: self._file.save(self._controller.state),
            chassis=FaultyChassis(self._power, self._board),
            lan=self._interface,
            sol=self._console,
            restart=lambda: self._restart(RESET_DEAF_S),
            clock=time.time,
            boot=boot,
            lockout=Lockout(identity.lockout),
        )
        self._in_band_commands = FaultyCommands(COMMANDS, self._board, "inband")
        lan_commands = FaultyCommands(COMMANDS, self._board, "lan")
        self._lan = LanServer(self._controller, lan_commands, self._send, self.log)
        self._lan.on_sol = self._console.receive
        self._lan.on_closed = self._console.session_closed
        self._breakage = self._make_breakage()

    def _make_power(self, accelerator: str, boot: BootOverride) -> MachinePower:
        return MachinePower(
            self._machine,
            accelerator,
            boot,
            on_override_spent=self._override_spent,
            on_output=self._console.output,
            log=self.log,
        )

    def _make_breakage(self) -> Breakage:
        return Breakage(
            self._machine,
            self._board,
            self._power,
            self._raid,
            policy=lambda: self._controller.state.power_policy,
            restart=self._restart,
            drop_sessions=self._lan.drop_all,
            log=self.log,
        )

    def log(self, text: str) -> None:
        """One line with the time."""
        self._log_stream.write(f"{time.time():.3f} {text}\n")

    def datagram(self, data: bytes, address: ADDRESS) -> None:
        """From UDP 623."""
        if self._deaf or self._board.silent("lan"):
            return
        if delay_s := self._board.delay_s("lan"):
            asyncio.get_running_loop().call_later(delay_s, self._lan.receive, data, address)
        else:
            self._lan.receive(data, address)

    async def serve(self) -> None:
        """Until SIGTERM. The machine stays as it is."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self._interface.apply()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Udp(self), local_addr=("0.0.0.0", PORT)
        )
        await self._raid.serve()
        await self._power.adopt()
        await asyncio.start_unix_server(self._in_band, "ipmi.sock")
        await self._power.resume()
        if self._controller.state.power_policy == POLICY_ALWAYS_ON:
            await self._power.turn_on()
        await asyncio.start_unix_server(self._control, "control.sock")
        self.log("ready")
        await stop.wait()
        self._interface.stop()

    def _send(self, data: bytes, address: ADDRESS) -> None:
        if self._transport is not None:
            self._transport.sendto(data, address)

    def _override_spent(self) -> None:
        self._controller.state.boot_flags = self._controller.boot.flags.hex()
        self._controller.save()

    def _restart(self, deaf_s: float) -> None:
        """A BMC reset: sessions end, and nobody answers for a while."""
        self._restarting = asyncio.ensure_future(self._be_deaf(deaf_s))

    async def _be_deaf(self, deaf_s: float) -> None:
        await asyncio.sleep(RESET_DELAY_S)
        self.log("controller reset")
        self._lan.drop_all()
        self._deaf = True
        await asyncio.sleep(deaf_s)
        self._deaf = False

    async def _in_band(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """QEMU's side of ipmi-bmc-extern."""
        decoder = kcs.Decoder()
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                for item in decoder.feed(data):
                    if isinstance(item, kcs.KcsRequest):
                        await asyncio.sleep(self._board.delay_s("inband"))
                        if self._board.silent("inband"):
                            continue
                        code, answer = self._controller.handle(
                            self._in_band_commands, item.netfn, item.command, item.data, None
                        )
                        writer.write(kcs.answer(item, code, answer))
                    elif item.code == kcs.VERSION_COMMAND:
                        writer.write(kcs.frame(bytes((kcs.NO_ATTENTION,)), kcs.COMMAND_END))
                await writer.drain()
        writer.close()

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                try:
                    answer = await self._do(json.loads(line))
                except (QmpError, LabError) as error:
                    answer = {"error": str(error)}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        """The front panel, and what only a lab has."""
        what = str(request.get("do"))
        if what == "fault":
            await self._breakage.inject(make(request["kind"], request["options"]))
        elif what == "mend":
            await self._breakage.clear(request.get("kind"))
        elif work := self._verb(what):
            await work()
        elif what != "status":
            return {"error": f"unknown: {what}"}
        return self._status()

    def _verb(self, what: str) -> Callable[[], Awaitable[object]] | None:
        verbs: dict[str, Callable[[], Awaitable[object]]] = {
            "on": self._power.turn_on,
            "off": self._power.turn_off,
            "reset": self._power.hard_reset,
            "fresh": self._fresh,
            "freeze": self._power.freeze,
            "thaw": self._power.thaw,
            "counters": self._power.sample,
        }
        return verbs.get(what)

    async def _fresh(self) -> None:
        """As delivered: blank disks and NVRAM, factory BMC."""
        await self._power.turn_off()
        self._lan.drop_all()
        self._machine.blank()
        self._power.counters.forget()
        self._controller.lockout.forget()
        self._controller.state = self._file.reset()
        self._controller.boot.set(bytes(5))
        await self._interface.apply()
        self.log("as delivered")

    def _status(self) -> dict[str, Any]:
        lan = self._interface.current()[0]
        return {
            "power": "on" if self._power.is_on else "off",
            "bmc_address": str(lan.ip) if lan else None,
            "boot_flags": self._controller.boot.flags.hex(),
            "sessions": len(self._controller.sessions),
            "faults": [str(fault) for fault in self._board.active],
            "accounts": self._controller.lockout.report(self._controller.clock()),
            "disks": {name: asdict(counts) for name, counts in self._power.counters.totals().items()},
        }


class _Udp(asyncio.DatagramProtocol):
    """asyncio's callback shape."""

    def __init__(self, bmc: Bmc) -> None:
        self._bmc = bmc

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._bmc.datagram(data, (str(addr[0]), addr[1]))

    def error_received(self, exc: Exception) -> None:
        self._bmc.log(f"UDP: {exc}")


def main(machine: Machine, accelerator: str) -> int:
    """Serve one machine's BMC until told to stop."""
    for name in ("ipmi.sock", "control.sock", RAID_PORT):
        Path(name).unlink(missing_ok=True)

    async def serve() -> None:
        await Bmc(machine, accelerator).serve()

    try:
        asyncio.run(serve())
    except OSError as error:
        print(f"BMC of {machine.name}: {error}", file=sys.stderr)
        return 1
    return 0
