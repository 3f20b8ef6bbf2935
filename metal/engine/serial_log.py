"""The serial log of a host's newest boot, cleaned for a page."""

import re
from typing import Final

from metal.edge_client.runs import RunCalls

SHOWN_BYTES: Final = 24 << 10
"""An artifact is a row in Prefect's database; the whole log stays at the edge."""
_ESCAPES: Final = re.compile(rb"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>cNOM78])|[\x00-\x08\x0b-\x1f\x7f]")


def newest_log(edge: RunCalls, host: str) -> tuple[int, str] | None:
    """Boot number and the end of its log without terminal escapes; None when nothing was recorded."""
    boots = [boot for boot in edge.boots(host) if boot.get("console_bytes")]
    if not boots:
        return None
    number, size = int(boots[-1]["boot_no"]), int(boots[-1]["console_bytes"])
    data = edge.console(host, number, offset=max(0, size - SHOWN_BYTES), limit_bytes=SHOWN_BYTES)
    return number, clean(data)


def clean(data: bytes) -> str:
    """Text as it would stand on a dumb terminal."""
    text = _ESCAPES.sub(b"", data.replace(b"\r\n", b"\n")).decode(errors="replace")
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
