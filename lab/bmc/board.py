"""The faults that are active on one machine, and what a BMC with faults does differently.

Around the BMC, not in it: its commands and its power stay as they are, and wrappers stand before them.
"""

from collections.abc import Iterator, Mapping

from lab.bmc.completion import Refused
from lab.bmc.controller import Call, Chassis, Command
from lab.faults import Fault


class FaultBoard:
    """What is broken now; `dark`: the BMC has no power."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self.dark = False

    def add(self, fault: Fault) -> None:
        """Break something; twice the same is once."""
        self.remove(fault)
        self.active.append(fault)

    def remove(self, fault: Fault) -> None:
        """Mend it; nothing when it is not broken."""
        if fault in self.active:
            self.active.remove(fault)

    def of(self, kind: str) -> list[Fault]:
        """The active faults of a kind."""
        return [fault for fault in self.active if fault.kind == kind]

    def silent(self, side: str) -> bool:
        """Whether this side gets no answer."""
        return self.dark or any(fault.hits(side) for fault in self.of("bmc-silent"))

    def delay_s(self, side: str) -> float:
        """How late this side's messages are heard."""
        return sum(fault.number("delay") for fault in self.of("bmc-slow") if fault.hits(side))

    def refusal(self, side: str, netfn: int, command: int) -> int | None:
        """The completion code with which a command is refused."""
        for fault in self.of("bmc-refuse"):
            if fault.hits(side) and (fault.whole("netfn"), fault.whole("command")) == (netfn, command):
                return fault.whole("code")
        return None

    def told_power(self) -> bool | None:
        """The power state it tells, if it lies."""
        lies = self.of("bmc-lie")
        return lies[-1].options["power"] == "on" if lies else None


class FaultyCommands(Mapping[tuple[int, int], Command]):
    """The command table as one side finds it."""

    def __init__(self, commands: Mapping[tuple[int, int], Command], board: FaultBoard, side: str) -> None:
        self._commands = commands
        self._board = board
        self._side = side

    def __getitem__(self, key: tuple[int, int]) -> Command:
        """The command, or one that refuses."""
        code = self._board.refusal(self._side, *key)
        if code is None:
            return self._commands[key]

        def refuse(_call: Call) -> bytes:
            raise Refused(code)

        return Command(refuse, privilege=0)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """All commands, refused or not."""
        return iter(self._commands)

    def __len__(self) -> int:
        """Their number."""
        return len(self._commands)


class FaultyChassis:
    """Implements `controller.Chassis`: tells a wrong power state, or takes commands and does nothing."""

    def __init__(self, chassis: Chassis, board: FaultBoard) -> None:
        self._chassis = chassis
        self._board = board

    @property
    def is_on(self) -> bool:
        """What it says."""
        told = self._board.told_power()
        return self._chassis.is_on if told is None else told

    @property
    def _works(self) -> bool:
        return not self._board.of("bmc-stuck")

    def power(self, *, on: bool) -> None:
        """Chassis control."""
        if self._works:
            self._chassis.power(on=on)

    def cycle(self) -> None:
        """Chassis control."""
        if self._works:
            self._chassis.cycle()

    def reset(self) -> None:
        """Chassis control."""
        if self._works:
            self._chassis.reset()

    def press_power_button(self) -> None:
        """Chassis control."""
        if self._works:
            self._chassis.press_power_button()

    def interrupt(self) -> None:
        """Chassis control."""
        if self._works:
            self._chassis.interrupt()

    def boot_order_changed(self) -> None:
        """The flags are kept; a stuck BMC has power alone stuck."""
        self._chassis.boot_order_changed()
