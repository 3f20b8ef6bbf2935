"""The BMC's brain: one dispatch for both sides, over one state.

Commands are functions from a Call to answer bytes. They decide and change the state; what touches the world
(power, address, console) goes through the ports, which start the work and return at once, as a BMC answers
before it acts.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lab.bmc.boot import BootOverride
from lab.bmc.completion import Completion, Refused
from lab.bmc.lockout import Lockout
from lab.bmc.session import Session
from lab.bmc.state import BmcState
from lab.definition import MachineDefinition

LAN_CHANNEL = 1
SYSTEM_CHANNEL = 15
THIS_CHANNEL = 14


class Chassis(Protocol):
    """The machine's power, as the BMC holds it."""

    @property
    def is_on(self) -> bool:
        """Whether the machine has power."""

    def power(self, *, on: bool) -> None:
        """Power on, or cut."""

    def cycle(self) -> None:
        """Off, a second, on."""

    def reset(self) -> None:
        """Hard reset."""

    def press_power_button(self) -> None:
        """Ask the operating system to shut down (ACPI)."""

    def interrupt(self) -> None:
        """NMI."""

    def boot_order_changed(self) -> None:
        """The override was set; a running machine follows at its next reset."""


class LanPort(Protocol):
    """The BMC's own network interface."""

    @property
    def mac(self) -> bytes:
        """Its hardware address."""

    def current(self) -> tuple[ipaddress.IPv4Interface | None, ipaddress.IPv4Address | None]:
        """Address and gateway it has now, wherever they came from."""

    def settings_changed(self) -> None:
        """Take over the state's settings, once the answer is out."""


class SolPort(Protocol):
    """Who holds the serial console."""

    @property
    def holder(self) -> Session | None:
        """The session that has the console."""

    def activate(self, session: Session) -> None:
        """Give it to a session."""

    def deactivate(self) -> None:
        """Take it away, and say so to its holder."""


@dataclass
class Controller:
    """State, identity and ports of one BMC."""

    identity: MachineDefinition
    state: BmcState
    save: Callable[[], None]
    chassis: Chassis
    lan: LanPort
    sol: SolPort
    restart: Callable[[], None]
    clock: Callable[[], float]
    boot: BootOverride = field(default_factory=BootOverride)
    sessions: dict[int, Session] = field(default_factory=dict)
    lockout: Lockout = field(default_factory=Lockout)
    reservation: int = 0

    @property
    def guid(self) -> bytes:
        """System GUID in the order SMBIOS and ipmitool agree on (little endian fields)."""
        return self.identity.smbios.uuid.bytes_le

    def set_boot_flags(self, flags: bytes) -> None:
        """Remember an override and let the machine follow."""
        self.boot.set(flags)
        self.state.boot_flags = self.boot.flags.hex()
        self.save()
        self.chassis.boot_order_changed()

    def handle(
        self,
        commands: Mapping[tuple[int, int], "Command"],
        netfn: int,
        number: int,
        data: bytes,
        session: Session | None,
    ) -> tuple[int, bytes]:
        """Run one command; `session` None is the system interface, which may do everything."""
        command = commands.get((netfn, number))
        if command is None:
            return Completion.INVALID_COMMAND, b""
        if session is not None and session.privilege < command.privilege:
            return Completion.INSUFFICIENT_PRIVILEGE, b""
        if len(data) < command.min_bytes:
            return Completion.LENGTH_INVALID, b""
        try:
            return Completion.OK, command.run(Call(self, data, session))
        except Refused as refusal:
            return refusal.code, b""


@dataclass(frozen=True)
class Call:
    """One request."""

    bmc: Controller
    data: bytes
    session: Session | None

    @property
    def state(self) -> BmcState:
        """The one state."""
        return self.bmc.state

    def channel(self, value: int) -> int:
        """A channel number of the request; only the LAN and the system interface exist."""
        channel = value & 15
        if channel == THIS_CHANNEL:
            channel = LAN_CHANNEL if self.session else SYSTEM_CHANNEL
        if channel not in (LAN_CHANNEL, SYSTEM_CHANNEL):
            raise Refused(Completion.INVALID_FIELD)
        return channel


@dataclass(frozen=True)
class Command:
    """How one command is run: what a session needs for it, and the fewest request bytes that make sense."""

    run: Callable[[Call], bytes]
    privilege: int
    min_bytes: int = 0
