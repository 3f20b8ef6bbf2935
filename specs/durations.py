"""Durations as operators write them: `90s`, `30m`, `1h`, `7d`; a DHCP lease has 32 bits of seconds."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"([0-9]{1,10})([smhd])")


def _duration(text: str) -> str:
    found = _DURATION.fullmatch(text)
    if found is None or not 0 < seconds(text) < 2**32:
        raise ValueError(f"expected a duration such as 90s, 30m, 1h or 7d, of 1 s to 136 years, got {text!r}")
    return text


Duration = Annotated[str, AfterValidator(_duration)]


def seconds(duration: str) -> int:
    """Turn a checked `Duration` into seconds."""
    return int(duration[:-1]) * _UNITS_S[duration[-1]]
