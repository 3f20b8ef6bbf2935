"""Texts that makers ship in place of an identity, and the paths at which a reading met them.

A board that left the factory unprogrammed names itself "To be filled by O.E.M." like ten thousand
others; read as an identity it would merge machines. Such a value is read as None, and its path
("system.serial") is told, so that people see that the firmware said something, and what to do about it.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from metal.drivers.tool_text import one_line
from specs.identity import PLACEHOLDERS, mac_identity, serial_identity, uuid_identity

_ABSENT: Final = frozenset(
    {
        "(null)",  # printf: a text that is not there
        "<bad index>",  # dmidecode: the string's index points past the strings
        "<out of spec>",  # dmidecode: a code that its version does not know
        "[empty]",
        "asset-1234567890",
        "base board",
        "chassis manufacture",
        "invalid",
        "mb-1234567890",
        "no asset information",
        "no dimm",
        "not defined",
        "not present",  # UUID of zeros
        "not set",  # EDK2 for ARM
        "not settable",  # UUID of ones
        "notavailable",
        "notspecified",
        "other",
        "sku",
        "tbd",
        "tbd by oem",
        "to be set by oem",
        "undefined",
        "unspecified",
    }
)
"""Besides `specs.identity.PLACEHOLDERS`: dmidecode's own words, and words seen in serial, SKU and tag."""

_ITS_OWN_NAME = re.compile(
    r"(?:(?:system|chassis|base ?board|board|product|mother ?board|enclosure|sku)[ _-]?)?"
    r"(?:serial(?: ?number| ?no\.?)?|asset ?tag(?: ?number)?|manufacturer|vendor|product(?: ?name)?|name"
    r"|version|sku(?: ?number)?|family|part ?number)",
)
"""A field that holds the name of the field: "Chassis Serial Number", "Chassis Asset Tag", "SKU Number"."""

_NUMBERED = re.compile(
    r"(?:[a-z]{0,8}\d{0,2}_)?(?:ser(?:ial)?num(?:ber)?|asset(?:tag)?num(?:ber)?|assettag"
    r"|(?:module)?part ?num(?:ber)?"
    r"|modulepartnumber|(?:module)?manufacturer|moduleserialnumber)_?\d{1,3}",
)
"""AMI's fillers of empty strings, one number per slot: SerNum0, AssetTagNum1, A1_PartNum0, Manufacturer02."""

_INSYDE = re.compile(r"type\d{1,2}(?: ?- ?.+|family\d?|sku\d?)")
"""Insyde's template, by the SMBIOS type: "Type2 - Board Serial Number", "Type1 - TBD by OEM", "Type1Sku0"."""

_COUNTED: Final = ("0123456789" * 4, "1234567890" * 4, "0123456789abcdef", "01234567890123456789ab")
_COUNTED_LEAST: Final = 9
"""Digits counted up; fewer of them may be somebody's serial."""
_COUNTED_UUIDS: Final = ("12345678-1234-", "78563412-3412-7856-")
"""UUIDs counted up by hand, whatever their end; the second has the first's leading fields byte-swapped."""


def is_placeholder(text: str) -> bool:
    """Tell whether a text (blanks squeezed) stands in place of a value; an empty one does not."""
    low = text.lower().strip()
    if not low:
        return False
    return (
        low in PLACEHOLDERS
        or low.strip(".") in PLACEHOLDERS
        or low in _ABSENT
        or not any(c.isalnum() for c in low)
        or low.startswith(("to be filled by", "sku=notprovided", "unknown (0x"))
        or bool(_ITS_OWN_NAME.fullmatch(low) or _NUMBERED.fullmatch(low) or _INSYDE.fullmatch(low))
        or (len(low) >= _COUNTED_LEAST and any(counted.startswith(low) for counted in _COUNTED))
        or _repeats(low.removeprefix("0x").replace("-", "").replace(" ", ""))
    )


def _repeats(low: str) -> bool:
    """All zero, all F, all X, in groups or not: an unprogrammed field of three characters or more."""
    return len(low) >= 3 and low[0] in "0fx" and low.strip(low[0]) == ""


@dataclass(slots=True)
class Identities:
    """Reads identity texts, and remembers the paths of those that held a placeholder."""

    paths: list[str] = field(default_factory=list)

    def name(self, text: str | None, path: str) -> str | None:
        """A name with runs of blanks as one; None for absent and placeholder."""
        words = one_line(text)
        if words is None or not is_placeholder(words):
            return words
        self.paths.append(path)
        return None

    def serial(self, text: str | None, path: str) -> str | None:
        """A serial; one character, or one repeated, names nothing either."""
        words = self.name(text, path)
        if words is None or serial_identity(words) is not None:
            return words
        self.paths.append(path)
        return None

    def uuid(self, text: str | None, path: str) -> str | None:
        """A UUID in lower case; none that is counted up by hand."""
        uuid = uuid_identity(text)
        if uuid is not None and not uuid.startswith(_COUNTED_UUIDS):
            return uuid
        if one_line(text):
            self.paths.append(path)
        return None

    def mac(self, text: str | None, path: str) -> str | None:
        """A MAC that names one interface."""
        mac = mac_identity(text)
        if mac is None and one_line(text):
            self.paths.append(path)
        return mac
