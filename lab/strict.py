"""Reading a rack file strictly: blocks that note every finding with its path, and readers of single values.

Unknown keys are findings: a mistyped key in a rack file must not become a machine that is silently different.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

SIZE_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
T = TypeVar("T")


class Unusable(Exception):
    """This block can't become a value; its findings are already noted."""


class Block:
    """One mapping of the file; takes keys out one by one and notes what is wrong with them.

    A key that is wrong reads as None and the block goes on, so that its other findings are seen too;
    `read_block` throws the value made of it away.
    """

    def __init__(self, raw: Mapping[str, Any], path: str, findings: list[str]) -> None:
        self.path = path
        self.findings = findings
        self.broken = False
        self._left = dict(raw)

    def where(self, key: str) -> str:
        """A key's path in the file."""
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str, read: Callable[[Any], T], default: T | None = None) -> T:
        """The value of a key through `read`."""
        if key not in self._left:
            if default is None:
                self.note(f"{self.where(key)}: missing")
            return cast("T", default)
        try:
            return read(self._left.pop(key))
        except (ValueError, TypeError) as error:
            self.note(f"{self.where(key)}: {error}")
        except Unusable:
            self.broken = True
        return cast("T", None)

    def maybe(self, key: str, read: Callable[[Any], T]) -> T | None:
        """The value of a key that may be left out."""
        return self.take(key, read) if key in self._left else None

    def note(self, finding: str) -> None:
        """Remember what is wrong."""
        self.findings.append(finding)
        self.broken = True

    def done(self) -> None:
        """Note the keys nobody asked for."""
        for key in sorted(map(str, self._left)):
            self.note(f"{self.where(key)}: unknown key")


def read_block(raw: object, path: str, findings: list[str], build: Callable[[Block], T]) -> T:
    """A value of one mapping, or Unusable with everything that is wrong noted."""
    if not isinstance(raw, Mapping):
        findings.append(f"{path or 'rack'}: expected a mapping, got {raw!r}")
        raise Unusable
    block = Block(raw, path, findings)
    value = build(block)
    block.done()
    if block.broken:
        raise Unusable
    return value


def each(
    block: Block, key: str, build: Callable[[Block], T], *, default: list[object] | None = None
) -> tuple[T, ...]:
    """A list of mappings; every one is looked at. It may be left out where there is a default."""
    values = []
    for index, raw in enumerate(block.take(key, listed, default) or ()):
        try:
            values.append(read_block(raw, f"{block.where(key)}[{index}]", block.findings, build))
        except Unusable:
            block.broken = True
    return tuple(values)


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, got {value!r}")
    return value


def short_name(value: object) -> str:
    """A name that fits into the names of interfaces."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,8}", text(value)):
        raise ValueError(f"expected up to 9 of a-z, 0-9 and - (it names interfaces), got {value!r}")
    return str(value)


def short(limit: int) -> Callable[[object], str]:
    """A text of at most `limit` characters."""

    def read(value: object) -> str:
        if len(text(value)) > limit:
            raise ValueError(f"at most {limit} characters, got {value!r}")
        return str(value)

    return read


def one_of(choices: tuple[str, ...]) -> Callable[[object], str]:
    """One of these texts."""

    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}, got {value!r}")
        return str(value)

    return read


def number(low: int, high: int) -> Callable[[object], int]:
    """A whole number from `low` to `high`."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"expected a number from {low} to {high}, got {value!r}")
        return value

    return read


def flag(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, got {value!r}")
    return value


def mac_address(value: object) -> str:
    """A unicast hardware address, in lower case."""
    mac = text(value).lower()
    if not re.fullmatch(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", mac):
        raise ValueError(f"expected a unicast hardware address such as 52:54:00:77:01:00, got {value!r}")
    return mac


def size(value: object) -> int:
    """A size with its unit, in bytes."""
    match = re.fullmatch(r"([1-9][0-9]*)(MiB|GiB|TiB)", str(value))
    if not match:
        raise ValueError(f"expected a size such as 8GiB, got {value!r}")
    return int(match[1]) * SIZE_UNITS[match[2]]


def wwn(value: object) -> int:
    """A WWN of 64 bits."""
    if not re.fullmatch(r"0x[0-9a-f]{16}", text(value)):
        raise ValueError(f'expected "0x" and 16 lower-case hex digits, got {value!r}')
    return int(str(value), 16)


def listed(value: object) -> list[object]:
    """A list."""
    if not isinstance(value, list):
        raise TypeError(f"expected a list, got {value!r}")
    return value


def inner(block: Block, key: str, build: Callable[[Block], T]) -> Callable[[Any], T]:
    """A reader of a mapping inside a mapping."""
    return lambda raw: read_block(raw, block.where(key), block.findings, build)
