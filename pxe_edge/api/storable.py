"""What a body may hold so that it can be stored, and answered again as it came."""

import math
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

MAX_DEPTH: Final = 64


def storable(value: Any) -> Any:
    """The value if it can be answered again as it came: one that can't would spoil every list that it is in.

    Python's JSON reader lets half surrogate pairs, NaN and any depth through; its writers do not.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        for one in level:
            if isinstance(one, str) and not one.isascii():
                _as_utf8(one)
            elif isinstance(one, float) and not math.isfinite(one):
                raise ValueError("NaN and Infinity are no JSON")
        below = [(*one, *one.values()) if isinstance(one, dict) else one for one in level if _holds(one)]
        level = [inner for outer in below for inner in outer]
        if not level:
            return value
    raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)


def _as_utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text has half a surrogate pair, which UTF-8 can't carry") from None


AnyJson = Annotated[dict[str, Any], BeforeValidator(storable)]
