"""Which lines of its modules a corpus reaches: `python -m tests.fuzz.reach TARGET CORPUS` prints JSON."""

import json
import sys
import threading
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType

from tests.fuzz.targets import TARGETS

MODULES = {
    "dhcp-codec": ("wire/dhcp", "wire/options"),
    "dhcp-answer": ("wire/dhcp", "policy/dhcp", "policy/replies", "policy/networks", "policy/proxy"),
    "dhcp6-codec": ("wire/dhcp6",),
    "dhcp6-answer": ("policy/dhcp6", "policy/dhcp6_replies", "policy/dhcp6_requests", "wire/duid"),
    "frames": ("wire/frames", "wire/icmpv6"),
    "tftp-request": ("wire/tftp",),
    "tftp-transfer": ("policy/transfer",),
    "http-head": ("servers/http_wire",),
    "report-in": ("discovery/identify",),
}
"""What each target is to reach, below pxe_edge/."""


def lines_of(code: CodeType) -> set[int]:
    """Lines that can run, of a module's functions and classes."""
    found = {line for _, _, line in code.co_lines() if line}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found |= lines_of(inner)
    return found


def functions_of(file: Path) -> set[int]:
    """Lines inside of functions: those of the module itself ran at its import."""
    module = compile(file.read_text(), str(file), "exec")
    inside: set[int] = set()
    for inner in module.co_consts:
        if isinstance(inner, CodeType):
            inside |= lines_of(inner) - {inner.co_firstlineno}
    return inside


def reached(target: str, inputs: list[bytes]) -> dict[str, tuple[int, int]]:
    """Module -> lines reached, lines there are."""
    root = Path(__file__).parents[2] / "pxe_edge"
    files = {str(root / f"{name}.py"): name for name in MODULES[target]}
    seen: dict[str, set[int]] = defaultdict(set)

    def trace(frame: FrameType, event: str, _: object):  # type: ignore[no-untyped-def]
        file = frame.f_code.co_filename
        if file not in files:
            return None
        if event == "line":
            seen[file].add(frame.f_lineno)
        return trace

    sys.settrace(trace)
    threading.settrace(trace)
    try:
        for data in inputs:
            TARGETS[target](data)
    finally:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]
    return {
        name: (len(seen[file] & functions_of(Path(file))), len(functions_of(Path(file))))
        for file, name in files.items()
    }


if __name__ == "__main__":
    folders = [Path(folder) for folder in sys.argv[2:]]
    corpus = [file.read_bytes() for folder in folders for file in sorted(folder.iterdir())]
    print(json.dumps(reached(sys.argv[1], corpus)))  # noqa: T201 - its output
