"""The serial log of a host's newest boot, cleaned for a page."""

import re
from typing import Any, Final

from metal.edge_client.runs import RunCalls

SHOWN_BYTES: Final = 24 << 10
"""An artifact is a row in Prefect's database; the whole log stays at the edge."""
SHOWN_BOOTS: Final = 2
_ESCAPES: Final = re.compile(rb"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>cNOM78])|[\x00-\x08\x0b-\x1f\x7f]")


def newest_logs(edge: RunCalls, host: str) -> list[tuple[int, str, str]]:
    """Number, kind and end of the newest boots' logs, oldest first, without terminal escapes.

    Two: an installation runs in the boot OS's boot and ends with the deployed system's.
    """
    boots = [boot for boot in edge.boots(host) if boot.get("console_bytes")][-SHOWN_BOOTS:]
    return [(int(b["boot_no"]), str(b["kind"]), _end(edge, host, b)) for b in boots]


def _end(edge: RunCalls, host: str, boot: dict[str, Any]) -> str:
    offset = max(0, int(boot["console_bytes"]) - SHOWN_BYTES)
    return clean(edge.console(host, int(boot["boot_no"]), offset=offset, limit_bytes=SHOWN_BYTES))


def clean(data: bytes) -> str:
    """Text as it would stand on a dumb terminal."""
    text = _ESCAPES.sub(b"", data.replace(b"\r\n", b"\n")).decode(errors="replace")
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())
