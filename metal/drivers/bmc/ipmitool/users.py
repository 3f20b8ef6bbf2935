"""`user list`, `user summary` and `channel getaccess`: the BMC's user slots."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers.bmc.ipmitool.table import csv_cells
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import Line, blocks, key_value, lines_of, number, shorten, unparsable

TOOL: Final = "ipmitool-user"

_LONGEST_ROW: Final = 300
_FLAG: Final = {"true": True, "false": False, "enabled": True, "disabled": False}
_PRIVILEGE = (
    r"(?:NO ACCESS|ADMINISTRATOR|OPERATOR|USER|CALLBACK|OEM|Unknown(?: \(0x[0-9a-fA-F]+\))?|Unspecified)"
)
_ROW = re.compile(
    r"^ *(?P<id>\d{1,2})\s+(?P<name>.*?)\s*\b(?P<callin>true|false)\s+(?P<link>true|false)"
    rf"\s+(?P<ipmi>true|false)\s+(?P<privilege>{_PRIVILEGE})$"
)
_ENABLED = re.compile(r"^(?P<name>.*?)\s*\b(?P<enabled>true|false)$")
"""How the name of a row ends under a header with a column Enabled, which some builds have before Callin."""
_HEADER = re.compile(r"ID +Name\b")
_ACCESS = re.compile(r"User ID\s*:")
_SUMMARY = re.compile(r"(?:Maximum IDs|Enabled User Count|Fixed Name Count)\s*:")
_NO_NAMES: Final = ("", "(Empty User)")


@dataclass(frozen=True, slots=True)
class BmcUser:
    """A user slot; `name` is None where it is empty, `enabled` None where the text does not say."""

    id: int
    name: str | None
    callin: bool | None
    link_auth: bool | None
    ipmi_msg: bool | None
    privilege: str | None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class Users:
    """All slots in order of their first line."""

    users: tuple[BmcUser, ...]


def parse(text: str) -> Parsed[Users]:
    """Rows of `user list`, as a table or CSV (`-c`), or blocks of `channel getaccess`; last of an id holds.

    A summary alone names no user and is understood. A header without a row is a text cut off.
    """
    lines = lines_of(TOOL, text)
    users = {user.id: user for user in (*_rows(lines), *_access_blocks(lines))}
    summary = [line for line in lines if _SUMMARY.match(line.words)]
    if not users and not summary:
        header = next((line for line in lines if _HEADER.match(line.words)), None)
        if header is not None:
            raise unparsable(TOOL, header.number + 1, "a user below the header", "the end of the table")
        first = next(line for line in lines if line.words)
        raise unparsable(TOOL, first, "a header line 'ID  Name …' or a line 'User ID'")
    return Parsed(Users(tuple(users.values())), shorten([line.words for line in lines if _is_noise(line)]))


def _rows(lines: tuple[Line, ...]) -> Iterator[BmcUser]:
    tells_enabled = False
    for line in lines:
        if len(line.text) > _LONGEST_ROW:
            continue
        if _HEADER.match(line.words):
            tells_enabled = "Enabled" in line.words.split()
        match = _ROW.match(line.text)
        cells = match.groups() if match else _csv_row(line)
        if not cells:
            continue
        user = _user(cells)
        flag = _ENABLED.match(user.name or "") if match and tells_enabled else None
        yield replace(user, name=_name(flag["name"]), enabled=_FLAG[flag["enabled"]]) if flag else user


def _csv_row(line: Line) -> tuple[str, ...] | None:
    cells = csv_cells(line)
    if len(cells) != 6 or not re.fullmatch(r"\d{1,2}", cells[0]) or not {*cells[2:5]} <= {"true", "false"}:
        return None
    return cells


def _user(cells: tuple[str, ...]) -> BmcUser:
    number_, name, callin, link, ipmi, privilege = cells
    return BmcUser(
        id=int(number_),
        name=_name(name),
        callin=_FLAG[callin],
        link_auth=_FLAG[link],
        ipmi_msg=_FLAG[ipmi],
        privilege=privilege or None,
    )


def _name(text: str) -> str | None:
    return None if text in _NO_NAMES else text


def _access_blocks(lines: tuple[Line, ...]) -> Iterator[BmcUser]:
    """A block per slot, with what `user list` leaves out, the enable status."""
    for block in blocks(lines, _ACCESS):
        values = dict(pair for line in block if (pair := key_value(line)))
        user_id = number(values.get("User ID"))
        if user_id is None:
            raise unparsable(TOOL, block[0], "a number of a user")
        yield BmcUser(
            id=user_id,
            name=_name(values.get("User Name", "")),
            callin=None,
            link_auth=_FLAG.get(values.get("Link Authentication", "").lower()),
            ipmi_msg=_FLAG.get(values.get("IPMI Messaging", "").lower()),
            privilege=values.get("Privilege Level") or None,
            enabled=_FLAG.get(values.get("Enable Status", "").lower()),
        )


def _is_noise(line: Line) -> bool:
    known = _HEADER.match(line.words) or _ROW.match(line.text[:_LONGEST_ROW]) or _csv_row(line)
    return bool(line.words) and not known and not re.match(r"[A-Z][\w /.-]{1,24}\s*:", line.words)
