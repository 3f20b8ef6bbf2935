"""What can be broken in a rack: the kinds of faults and their options, for the command line and the BMCs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lab.errors import LabError

Value = int | float | str | bool
SIDES = ("lan", "inband", "both")


@dataclass(frozen=True)
class Option:
    """One option of a kind; `default` None means that it must be given."""

    name: str
    read: Callable[[str], Value]
    default: Value | None
    help: str


@dataclass(frozen=True)
class Kind:
    """One kind of fault; one that `lasts` stays until it is cleared or its time is over."""

    help: str
    options: tuple[Option, ...] = ()
    lasts: bool = True


def _number(text: str) -> int:
    return int(text, 0)


def _choice(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of: {', '.join(choices)}")
        return text

    return read


def _flag(text: str) -> bool:
    return text == "True"


SIDE = Option("side", _choice(*SIDES), "lan", "who notices: clients on the LAN, the machine itself, both")
FOR = Option("for", float, 0.0, "seconds until it ends by itself (0: when cleared)")
KINDS: Mapping[str, Kind] = {
    "bmc-silent": Kind("the BMC answers nothing", (SIDE, FOR)),
    "bmc-slow": Kind(
        "the BMC answers late", (Option("delay", float, None, "seconds per message"), SIDE, FOR)
    ),
    "bmc-refuse": Kind(
        "the BMC refuses one command",
        (
            Option("netfn", _number, None, "network function of the request, such as 0x06"),
            Option("command", _number, None, "command number, such as 0x47"),
            Option("code", _number, 0xC0, "completion code; 0xC0 is 'node busy'"),
            SIDE,
            FOR,
        ),
    ),
    "bmc-lie": Kind(
        "the BMC tells a wrong power state",
        (Option("power", _choice("on", "off"), None, "what it says"), FOR),
    ),
    "bmc-stuck": Kind("the BMC accepts power commands and does nothing", (FOR,)),
    "bmc-reset": Kind(
        "the BMC resets now", (Option("mute", float, 5.0, "seconds until it answers again"),), lasts=False
    ),
    "power-cut": Kind(
        "the machine loses its power now",
        (
            Option(
                "back-after",
                float,
                0.0,
                "seconds until power returns; then the chassis policy decides (0: never)",
            ),
            Option("bmc", _flag, False, "the BMC has no power either"),
        ),
        lasts=False,
    ),
    "link-down": Kind("a network cable is pulled", (Option("nic", _number, 0, "which card"), FOR)),
    "disk-error": Kind(
        "a disk fails with EIO",
        (
            Option("disk", _number, 0, "which disk"),
            Option("on", _choice("read", "write"), None, "which requests fail"),
            Option("once", _flag, False, "only the first one"),
            FOR,
        ),
    ),
    "drive-failed": Kind(
        "a drive behind a RAID controller dies",
        (
            Option("slot", str, None, "slot, enclosure:slot or serial"),
            Option("gone", _flag, False, "it is pulled out"),
        ),
        lasts=False,
    ),
    "drive-replaced": Kind(
        "a blank drive takes the slot of a failed one",
        (
            Option("slot", str, None, "slot, enclosure:slot or serial of the failed one"),
            Option("serial", str, None, "serial of the new drive"),
        ),
        lasts=False,
    ),
    "http-cut": Kind(
        "the edge's HTTP connections to the machine break in mid-file",
        (
            Option("after", _number, 1 << 20, "bytes a connection has delivered when it is cut"),
            Option("times", _number, 1, "how many connections"),
            Option("port", _number, 8080, "TCP port of the edge"),
        ),
    ),
}


@dataclass(frozen=True)
class Fault:
    """A fault with all its options."""

    kind: str
    options: Mapping[str, Value] = field(default_factory=dict, hash=False)

    def number(self, name: str) -> float:
        """A numeric option."""
        return float(self.options[name])

    def text(self, name: str) -> str:
        """An option that is a text."""
        return str(self.options[name])

    def whole(self, name: str) -> int:
        """An option that is a whole number."""
        return int(self.options[name])

    def flag(self, name: str) -> bool:
        """An option that is on or off."""
        return bool(self.options[name])

    def hits(self, side: str) -> bool:
        """Whether the LAN ("lan") or the machine ("inband") notices it."""
        return self.options.get("side") in (side, "both")

    def __str__(self) -> str:
        unset = [
            name for name, value in self.options.items() if isinstance(value, bool | float) and not value
        ]
        shown = [f"{name}={value}" for name, value in self.options.items() if name not in unset]
        return " ".join([self.kind, *shown])


def make(kind: str, given: Mapping[str, object]) -> Fault:
    """A fault of checked values; LabError says what is wrong with them."""
    if kind not in KINDS:
        raise LabError(f"no fault {kind!r}", f"one of: {', '.join(KINDS)}")
    options: dict[str, Value] = {}
    for option in KINDS[kind].options:
        value = given.get(option.name, option.default)
        if value is None:
            raise LabError(f"{kind} needs --{option.name}", option.help)
        try:
            options[option.name] = option.read(str(value))
        except ValueError as error:
            raise LabError(f"{kind} --{option.name} {value}: {error}", option.help) from error
    if unknown := sorted(set(given) - set(options)):
        raise LabError(f"{kind} has no option {unknown[0]}", f"it has: {', '.join(options) or 'none'}")
    return Fault(kind, options)
