"""smartctl's text: `Key: value` lines whose keys differ between ATA, SCSI and NVMe, and `--scan` lines."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from metal.drivers.identity.placeholders import Identities
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, is_prompt, key_value, number, one_line, shorten, unparsable

TOOL: Final = "smartctl"


@dataclass(frozen=True, slots=True)
class SmartDrive:
    """A drive; `passed` is its own verdict on its health, `rpm` 0 for one that does not rotate."""

    device: str | None = None
    type: str | None = None
    model: str | None = None
    serial: str | None = None
    firmware: str | None = None
    capacity_bytes: int | None = None
    logical_sector: int | None = None
    physical_sector: int | None = None
    rpm: int | None = None
    passed: bool | None = None
    exit_status: int | None = None
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScannedDevice:
    """A device by name, and the `-d` type that smartctl takes for it."""

    name: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class ScannedDevices:
    """All of `smartctl --scan`."""

    devices: tuple[ScannedDevice, ...] = ()


_BANNER = re.compile(r"^smartctl (?:version )?\d")
_SCAN = re.compile(r"^(?P<name>/\S+) -d (?P<type>\S+) # ")
_OPEN_FAILED = re.compile(r"^# /\S+ -d \S+ # ")
_FAILED: Final = (
    re.compile(r"^Smartctl open device: .* failed: "),
    re.compile(r"^(?:/|=+ *>).*: (?:Unable to detect device type|Unknown .*|Device open failed.*)$"),
    re.compile(r"^/\S+: (?!Device of type |Device open changed )\S"),
    re.compile(
        r"^(?:Read Device Identity|Read NVMe Identify Controller|Read SMART Data|Standard Inquiry) .*failed"
    ),
    re.compile(r"^Device is in [A-Z_ ]+ mode, exit\(\d+\)"),
    re.compile(r"^(?:Device does not support SMART|A mandatory SMART command failed)"),
    re.compile(r"^(?:ERROR|WARNING): |^Warning! |^==> WARNING"),
)
"""Lines that tell why there are no values, by smartctl.cpp, dev_interface.cpp and the *print.cpp files."""

_MODEL: Final = ("Device Model", "Product", "Model Number")
_FIRMWARE: Final = ("Firmware Version", "Revision")
_NAMESPACE_SIZE: Final = "Namespace Size"
"""Stands for `Namespace 2 Size/Capacity`, or `Namespace 2 Size` where less of it is allocated."""
_CAPACITY: Final = ("User Capacity", _NAMESPACE_SIZE, "Total NVM Capacity")
_KEYS: Final = frozenset(
    {*_MODEL, *_FIRMWARE, *_CAPACITY, "Model Family", "Vendor", "Device type", "LU WWN Device Id", "Device"}
)
_SETTINGS: Final = frozenset(
    {
        "AAM feature is",
        "APM feature is",
        "ATA Security is",
        "DSN feature is",
        "Rd look-ahead is",
        "SMART support is",
        "Write cache is",
        "Wt Cache Reorder",
    }
)
"""What `-g` prints, without a word about the drive itself."""
_ALONE: Final = frozenset({*_CAPACITY, "LU WWN Device Id"})
_SECTION = re.compile(r"^=== START OF .* SECTION ===$")
_SCSI_5 = re.compile(r"^(?P<device>\S.*?)\s+Version: ?(?P<version>\S*)$")
_BYTES = re.compile(r"^(\d[\d.,'\u2019\s\xa0\u202f\ufffd]*?)\s*(?:bytes\b|\[|$)")
_SECTORS = re.compile(r"(\d{1,9}) bytes (logical/physical|logical|physical)")
_NAMESPACE = re.compile(r"^Namespace \d+ Formatted LBA Size$")
_SIZE_KEY = re.compile(r"^Namespace \d+ Size(?:/Capacity)?$")


def parse(lines: tuple[Line, ...]) -> Parsed[SmartDrive] | Parsed[ScannedDevices]:
    """The drive of the last run in the text, or the scanned devices."""
    scanned = [match for line in lines if (match := _SCAN.match(line.words))]
    if scanned or any(_OPEN_FAILED.match(line.words) for line in lines):
        devices = {match["name"] + match["type"]: match for match in scanned}
        others = [line.words for line in lines if line.words and not _SCAN.match(line.words)]
        found = tuple(ScannedDevice(match["name"], match["type"]) for match in devices.values())
        return Parsed(ScannedDevices(found), shorten(others))
    starts = [place for place, line in enumerate(lines) if _BANNER.match(line.words)]
    before, run = (lines[: starts[-1]], lines[starts[-1] :]) if starts else ((), lines)
    values, messages = _values(run), tuple(line.words for line in run if _is_failure(line))
    if not _is_told(run, values) and not (starts and messages):
        place = next((line for line in run[len(starts[-1:]) :] if line.words), run[0])
        raise unparsable(TOOL, place, "'Device Model:', 'Vendor:', 'Model Number:' or a scanned device")
    known = Identities()
    ignored = shorten([line.words for line in before])
    return Parsed(_drive(values, messages, known), ignored, tuple(known.paths))


def _is_told(run: tuple[Line, ...], values: Mapping[str, str]) -> bool:
    """Whether there is a drive, and smartctl's word for it: other tools have lines `Vendor: …` too."""
    if not any(_BANNER.match(line.words) or _SECTION.match(line.words) for line in run):
        return bool(_ALONE & values.keys()) and _first(values, _MODEL) is not None
    return bool((_KEYS | _SETTINGS) & values.keys()) or _passed(values) is not None


def _values(lines: tuple[Line, ...]) -> dict[str, str]:
    """`Key: value` lines, the first of a key; what follows a drive's logs are other commands' prompts."""
    found: dict[str, str] = {}
    for line in lines:
        pair = key_value(line)
        if pair and not is_prompt(line.words):
            found.setdefault(_NAMESPACE_SIZE if _SIZE_KEY.match(pair[0]) else pair[0], pair[1])
    return found


def _is_failure(line: Line) -> bool:
    return any(pattern.search(line.words) for pattern in _FAILED)


def _drive(values: Mapping[str, str], messages: tuple[str, ...], known: Identities) -> SmartDrive:
    model, firmware = _first(values, _MODEL), _first(values, _FIRMWARE)
    if model is None and (match := _SCSI_5.match(values.get("Device", "")[:80])):
        # 5.x: `Device: SEAGATE  ST3300657SS      Version: 0008`, the vendor padded to 8 (SPC-4, 6.4.2)
        told = match["device"]
        model, firmware = told[9:] if told[8:9] == " " else told, match["version"]
    logical, physical = _sectors(values)
    return SmartDrive(
        model=known.name(plain_text(model), "model"),
        serial=known.serial(plain_text(values.get("Serial Number") or values.get("Serial number")), "serial"),
        firmware=plain_text(firmware),
        capacity_bytes=printed_bytes(_first(values, _CAPACITY)),
        logical_sector=logical,
        physical_sector=physical,
        rpm=_rpm(values.get("Rotation Rate")),
        passed=_passed(values),
        messages=messages,
    )


def _first(values: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next((values[key] for key in keys if values.get(key)), None)


def plain_text(text: str | None) -> str | None:
    """A string of the drive's identity; None for what smartctl prints where it is empty."""
    plain = one_line(text)
    return None if plain == "[No Information Found]" else plain


def printed_bytes(text: str | None) -> int | None:
    """The number of `2,000,398,934,016 bytes [2.00 TB]`; thousands are set apart as the locale does."""
    match = _BYTES.match((text or "")[:80])
    digits = re.sub(r"\D", "", match[1]) if match else ""
    return int(digits) if digits and len(digits) < 20 else None


def _sectors(values: Mapping[str, str]) -> tuple[int | None, int | None]:
    """ATA has one line for both sizes, SCSI one for each, NVMe the logical one of a namespace."""
    told = _SECTORS.findall(values.get("Sector Size", "") + "; " + values.get("Sector Sizes", ""))
    sizes = {kind: int(size) for size, kinds in told for kind in kinds.split("/")}
    namespace = next((value for key, value in values.items() if _NAMESPACE.match(key)), None)
    logical = number(values.get("Logical block size")) or number(namespace)
    return sizes.get("logical", logical), sizes.get("physical", number(values.get("Physical block size")))


def _rpm(text: str | None) -> int | None:
    """`7200 rpm`; a Solid State Device is 0, as in JSON."""
    if text and text.lower().startswith("solid state"):
        return 0
    return number(text)


def _passed(values: Mapping[str, str]) -> bool | None:
    """ATA and NVMe say PASSED or FAILED!, SCSI says OK or what is wrong."""
    told = values.get("SMART overall-health self-assessment test result")
    if told is not None:
        return {"PASSED": True, "FAILED!": False}.get(told.split(" ")[0])
    health = values.get("SMART Health Status")
    return health.upper() == "OK" if health else None
