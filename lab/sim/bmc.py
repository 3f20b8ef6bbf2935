"""The BMC of a simulated machine: the rack's own controller and LAN code, many in one process.

All of it lives in one event loop; the machine's in-band side asks through `InBand`, from other threads.
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, cast

from lab.bmc import rmcp
from lab.bmc.boot import BootOverride
from lab.bmc.controller import Controller
from lab.bmc.lan import LanServer
from lab.bmc.power import MachinePower
from lab.bmc.server import Console
from lab.bmc.session import ADDRESS
from lab.bmc.state import BmcState, LanSettings
from lab.bmc.table import COMMANDS
from lab.definition import MachineDefinition

PORT = 623
ASK_S = 30.0
ANSWER_FIRST_S = 0.05
CYCLE_PAUSE_S = 0.3
SOFT_OFF_S = 0.5
T = TypeVar("T")


class Chassis(Protocol):
    """What the BMC does with its machine; calls return at once."""

    @property
    def is_on(self) -> bool:
        """Whether it has power."""

    def turn_on(self) -> None:
        """Power on."""

    def turn_off(self) -> None:
        """Cut the power."""

    def note_power(self, action: str, how: str) -> None:
        """Tell the witness of a power command."""


class SimBmc:
    """One BMC; implements the controller's chassis, LAN port and console. Lives in `loop`."""

    def __init__(
        self, definition: MachineDefinition, machine: Chassis, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._machine = machine
        self._loop = loop
        self._transport: asyncio.DatagramTransport | None = None
        self._bound: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._deaf_until = 0.0
        identity = definition.bmc
        self.mac = bytes.fromhex(identity.mac.replace(":", ""))
        self.boot = BootOverride()
        self._lan_power = False
        self.console = Console(
            lambda: cast("MachinePower", self),  # of the port it uses only the two methods below
            lambda to, data: self._lan.send_payload(to, rmcp.PAYLOAD_SOL, data),
        )
        self.controller = Controller(
            identity=definition,
            state=BmcState.factory(identity.factory_user, identity.factory_password),
            save=lambda: None,
            chassis=self,
            lan=self,
            sol=self.console,
            restart=lambda: self.go_deaf(5.0),
            clock=time.time,
            boot=self.boot,
        )
        self._lan = LanServer(self.controller, COMMANDS, self._send, lambda _text: None)
        self._lan.on_sol = self.console.receive
        self._lan.on_closed = self.console.session_closed

    # --- chassis ---

    @property
    def is_on(self) -> bool:
        """Whether the machine has power."""
        return self._machine.is_on

    def power(self, *, on: bool) -> None:
        """Chassis control: up or down."""
        self._told("on" if on else "off")
        if on:
            self._machine.turn_on()
        else:
            self._machine.turn_off()

    def cycle(self) -> None:
        """Off, a moment, on."""
        self._told("cycle")
        self._machine.turn_off()
        self._loop.call_later(CYCLE_PAUSE_S, self._machine.turn_on)

    def reset(self) -> None:
        """Hard reset."""
        self._told("reset")
        self._machine.turn_off()
        self._machine.turn_on()

    def press_power_button(self) -> None:
        """The system shuts down by itself."""
        self._told("soft")
        self._loop.call_later(SOFT_OFF_S, self._machine.turn_off)

    def interrupt(self) -> None:
        """Nothing listens to an NMI here."""

    def boot_order_changed(self) -> None:
        """The order is read at the next start."""

    def type_in(self, data: bytes) -> None:
        """Nobody reads the serial console's input."""

    def send_break(self) -> None:
        """Nor a break."""

    def _told(self, action: str) -> None:
        self._machine.note_power(action, "lan" if self._lan_power else "in-band")

    # --- LAN port ---

    def current(self) -> tuple[ipaddress.IPv4Interface | None, ipaddress.IPv4Address | None]:
        """What was set."""
        lan = self.controller.state.lan
        return lan.interface, ipaddress.IPv4Address(lan.gateway)

    def settings_changed(self) -> None:
        """Listen at the new address, once the answer is out."""
        self._later(self._listen(self.controller.state.lan))

    async def _listen(self, lan: LanSettings) -> None:
        await asyncio.sleep(ANSWER_FIRST_S)
        wanted = str(lan.interface.ip) if lan.interface else None
        if wanted == self._bound:
            return
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        self._bound = wanted
        if wanted is not None:
            self._transport, _ = await self._loop.create_datagram_endpoint(
                lambda: _Udp(self), local_addr=(wanted, PORT)
            )

    # --- faults ---

    def go_deaf(self, seconds: float) -> None:
        """Answer nobody on the LAN for a while; sessions are forgotten, as by a BMC that restarts."""
        self._deaf_until = max(self._deaf_until, time.monotonic() + seconds)
        self._lan.drop_all()

    def hear_again(self) -> None:
        """End the silence."""
        self._deaf_until = 0.0

    def datagram(self, data: bytes, address: ADDRESS) -> None:
        """From UDP 623."""
        if time.monotonic() >= self._deaf_until:
            self._lan_power = True
            self._lan.receive(data, address)
            self._lan_power = False

    def _send(self, data: bytes, address: ADDRESS) -> None:
        if self._transport is not None:
            self._transport.sendto(data, address)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work, loop=self._loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class InBand:
    """The BMC as its own machine's software reaches it; safe from any thread."""

    def __init__(self, bmc: SimBmc, loop: asyncio.AbstractEventLoop) -> None:
        self._bmc, self._loop = bmc, loop

    @property
    def state(self) -> BmcState:
        """The one state; only read here."""
        return self._bmc.controller.state

    @property
    def mac(self) -> str:
        """The LAN port's address."""
        return self._bmc.mac.hex(":")

    def request(self, netfn: int, command: int, data: bytes) -> tuple[int, bytes]:
        """One request on the system interface."""
        return self.ask(lambda: self._bmc.controller.handle(COMMANDS, netfn, command, data, None))

    def output(self, text: str) -> None:
        """What the machine says on its serial port."""
        self._loop.call_soon_threadsafe(self._bmc.console.output, text.replace("\n", "\r\n").encode())

    def boot_flags(self) -> bytes:
        """Firmware reads the override; a one-time one is spent by that."""

        def read() -> bytes:
            flags = self._bmc.boot.flags
            self._bmc.boot.boot_begins()
            if self._bmc.boot.boot_settled():
                self.state.boot_flags = self._bmc.boot.flags.hex()
            return flags

        return self.ask(read)

    def ask(self, call: Callable[[], T]) -> T:
        """Run a call in the BMCs' loop."""

        async def run() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(ASK_S)


class _Udp(asyncio.DatagramProtocol):
    """asyncio's callback shape."""

    def __init__(self, bmc: SimBmc) -> None:
        self._bmc = bmc

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._bmc.datagram(data, (str(addr[0]), addr[1]))
