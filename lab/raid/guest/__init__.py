"""Emulated vendors' tools in the boot OS of a rack: a shim under each tool's name.

They come as a further initrd, which only a rack's boot folder gets and which `install` must be asked for;
the builder of the boot OS refuses the shim as a vendor's tool by its first lines.
"""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bootos.cpio import CpioWriter
from lab.errors import LabError
from lab.processes import write_atomically
from lab.raid.families import FAMILIES

SHIM = Path(__file__).parent / "shim.py"
INITRD = "bootos/lab-raid.cpio"
"""In the boot folder, beside the boot OS's own."""
FOLDERS = ("overlay", "overlay/usr", "overlay/usr/sbin")
FOLDER_OF_TOOLS = "usr/sbin"


def archive(families: Iterable[str]) -> bytes:
    """The initrd: the shim under every name of the families' tools."""
    out = io.BytesIO()
    writer = CpioWriter(out)
    for folder in FOLDERS:
        writer.directory(folder)
    for tool in sorted({tool for name in families for tool in FAMILIES[name].tools}):
        writer.file(f"overlay/{FOLDER_OF_TOOLS}/{tool}", SHIM.read_bytes(), mode=0o755)
    writer.close()
    return out.getvalue()


def install(boot: Path, families: Iterable[str]) -> None:
    """Have the boot OS of a rack's boot folder come with these families' tools; with none, without."""
    path = boot / "bootos" / "current.json"
    try:
        current: dict[str, Any] = json.loads(path.read_text())
        initrds = [name for name in current["initrds"] if name != INITRD]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"no boot OS in {boot}: {error}", "rackflow bootos build") from error
    names = sorted(set(families))
    if names:
        (boot / INITRD).write_bytes(archive(names))
        initrds.append(INITRD)
    write_atomically(path, json.dumps({**current, "initrds": initrds}, indent=1), mode=0o644)
    if not names:
        (boot / INITRD).unlink(missing_ok=True)
