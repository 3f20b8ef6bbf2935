"""The lab's BMC on a UDP port of 127.0.0.1, in this process: state and wire are real, power is a flag."""

import asyncio
import ipaddress
import queue
import threading
import time
from dataclasses import dataclass, field

from lab.bmc.controller import Controller
from lab.bmc.lan import LanServer
from lab.bmc.session import Session
from lab.bmc.state import BmcState
from lab.bmc.table import COMMANDS
from lab.definition import BmcIdentity, MachineDefinition, Smbios


@dataclass
class Chassis:
    """Power as a flag; what was asked is kept."""

    is_on: bool = True
    asked: list[str] = field(default_factory=list)

    def power(self, *, on: bool) -> None:
        self.asked.append("on" if on else "off")
        self.is_on = on

    def cycle(self) -> None:
        self.asked.append("cycle")

    def reset(self) -> None:
        self.asked.append("reset")

    def press_power_button(self) -> None:
        self.asked.append("soft")

    def interrupt(self) -> None:
        self.asked.append("nmi")

    def boot_order_changed(self) -> None:
        self.asked.append("boot order")


@dataclass
class LanPort:
    """An interface that takes every setting at once."""

    state: BmcState
    mac: bytes = bytes.fromhex("525400770199")

    def current(self) -> tuple[ipaddress.IPv4Interface | None, ipaddress.IPv4Address | None]:
        lan = self.state.lan
        if lan.address == "0.0.0.0":
            return None, None
        return ipaddress.IPv4Interface(f"{lan.address}/{lan.netmask}"), ipaddress.IPv4Address(lan.gateway)

    def settings_changed(self) -> None:
        """Nothing to carry over."""


class NoConsole:
    """No serial console here."""

    holder: Session | None = None

    def activate(self, session: Session) -> None:
        """Nobody asks."""

    def deactivate(self) -> None:
        """Nobody asks."""


class LabBmc(asyncio.DatagramProtocol):
    """Serves in a thread until `stop`; `deaf` drops every datagram."""

    def __init__(self, smbios: Smbios, user: str, password: str) -> None:
        self.deaf = False
        self.state = BmcState.factory(user, password)
        self.chassis = Chassis()
        identity = BmcIdentity(user, password, "52:54:00:77:01:99")
        self.controller = Controller(
            identity=MachineDefinition("m1", "bios", 512, 1, (), (), smbios, identity),
            state=self.state,
            save=lambda: None,
            chassis=self.chassis,
            lan=LanPort(self.state),
            sol=NoConsole(),
            restart=lambda: None,
            clock=time.time,
        )
        self._server = LanServer(self.controller, COMMANDS, self._send, lambda _text: None)
        self.closed: queue.SimpleQueue[Session] = queue.SimpleQueue()
        """Sessions that ended; their senders do not wait for it."""
        self._server.on_closed = self.closed.put
        self._closed = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        opened = asyncio.run_coroutine_threadsafe(self._open(), self._loop)
        self.port: int = opened.result(5)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def sessions(self) -> int:
        return len(self.controller.sessions)

    async def _open(self) -> int:
        self._transport, _ = await self._loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        return self._transport.get_extra_info("sockname")[1]

    async def _close(self) -> None:
        self._transport.close()
        await self._closed.wait()

    def connection_lost(self, exc) -> None:
        self._closed.set()

    def datagram_received(self, data: bytes, addr) -> None:
        if not self.deaf:
            self._server.receive(data, addr)

    def _send(self, data: bytes, address) -> None:
        self._transport.sendto(data, address)
