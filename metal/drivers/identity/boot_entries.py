"""The UEFI boot manager's entries and order, from efibootmgr with or without `-v`.

Between label and device path there is a tab; texts that lost it are cut where a device path begins
(UEFI specification, chapter 10: `HD(1,GPT,…)`, `PciRoot(0x0)/…`, `VenHw(…)`).
"""

import re
from dataclasses import dataclass
from typing import Final

from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, lines_of, one_line, shorten, unparsable

TOOL: Final = "efibootmgr"

_NUM = r"[0-9A-Fa-f]{4}"
_ENTRY = re.compile(rf"Boot(?P<num>{_NUM})(?P<active>\*| |$)\s*(?P<rest>.*)")
_VARIABLE = re.compile(r"(?P<key>BootCurrent|BootNext|BootOrder):\s*(?P<value>.*)")
_SETTING = re.compile(r"(?:Timeout|Mirror\w*|BootOptionSupport|OsIndications\w*)\s*:")
_OTHER_ENTRY = re.compile(rf"(?:Driver|SysPrep|PlatformRecovery)(?:{_NUM}[* ]|Order:|Current:|Next:)")
_PATH = re.compile(
    r"(?:^|\s)(?=(?:HD|CDROM|PciRoot|PcieRoot|Pci|ACPI|Acpi\w*|BBS|Ven\w+|Vendor|Fv\w*|FvFile|MAC|MemoryMapped|File|IPv4|IPv6"
    r"|Uri|USB\w*|Usb\w*|SATA|Sata|SCSI|Scsi|SAS\w*|Sas\w*|NVMe|Path|Floppy|Serial|Ctrl|Offset|Unit|eMMC|SD)\()"
)


@dataclass(frozen=True, slots=True)
class BootEntry:
    """One entry: `num` as printed ("0001"), the path where it is shown."""

    num: str
    label: str | None
    active: bool
    path: str | None


@dataclass(frozen=True, slots=True)
class BootEntries:
    """Which entry booted, which is next once, the order, and all entries."""

    current: str | None
    next: str | None
    order: tuple[str, ...]
    entries: tuple[BootEntry, ...]


def parse(text: str) -> Parsed[BootEntries]:
    """The last listing of a text; sentences alone ("EFI variables are not supported") are refused."""
    lines = lines_of(TOOL, text)
    variables: dict[str, tuple[str, ...]] = {}
    entries: dict[str, BootEntry] = {}
    ignored: list[str] = []
    understood = False
    for line in lines:
        if match := _VARIABLE.match(line.words):
            if match["key"] in variables and entries:  # the next listing of a session
                variables, entries = {}, {}
            variables[match["key"]] = _numbers(line, match["value"])
        elif match := _ENTRY.match(line.text):
            entries[match["num"]] = _entry(match)
        elif line.words and not (entries and line.indent):
            understood = understood or bool(_SETTING.match(line.words))
            if not _SETTING.match(line.words) and not _OTHER_ENTRY.match(line.words):
                ignored.append(line.words)
    if not variables and not entries and not understood:
        raise unparsable(TOOL, next(line for line in lines if line.words), "a line 'BootOrder' or 'Boot0001'")
    value = BootEntries(
        current=next(iter(variables.get("BootCurrent", ())), None),
        next=next(iter(variables.get("BootNext", ())), None),
        order=variables.get("BootOrder", ()),
        entries=tuple(entries.values()),
    )
    return Parsed(value, shorten(ignored))


def _entry(match: re.Match[str]) -> BootEntry:
    label, tab, path = match["rest"].partition("\t")
    if not tab:
        begins = _PATH.search(match["rest"])
        cut = begins.end() if begins else len(match["rest"])
        label, path = match["rest"][:cut], match["rest"][cut:]
    return BootEntry(
        num=match["num"],
        label=one_line(label),
        active=match["active"] == "*",
        path=path.strip() or None,
    )


def _numbers(line: Line, text: str) -> tuple[str, ...]:
    """The entry or entries that a variable names."""
    numbers = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(re.fullmatch(_NUM, part) for part in numbers):
        raise unparsable(TOOL, line, "numbers of entries, four digits each")
    return numbers
