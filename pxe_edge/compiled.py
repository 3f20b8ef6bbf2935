"""The packet path as machine code: the same modules, compiled by mypyc, loaded in their places.

Why: a boot storm is paid for in processor time per exchange, and two thirds of that were the interpreter's
(docs/adr/0004-compiled-packet-path.md). The sources stay what is read, typed and tested, and what runs where
nothing was compiled. `scripts/compile.py` builds, `scripts/setup` calls it.

Theory of operation. A build is a folder of extension modules and a manifest with a digest of the sources
that it was made from and of the interpreter that it is for. `use` looks for one whose digest is that of
the sources beside it, and puts a finder before the others that gives the modules out of it; a build of
other sources is never loaded. Compiled modules must come together: they call each other past Python's
own calls.
"""

import hashlib
import importlib.util
import json
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

MODULES: Final = (
    "pxe_edge.wire.errors",
    "pxe_edge.wire.options",
    "pxe_edge.wire.pxe",
    "pxe_edge.wire.dhcp",
    "pxe_edge.wire.forms",
    "pxe_edge.wire.tftp",
    "pxe_edge.policy.boot",
    "pxe_edge.policy.dhcp",
    "pxe_edge.policy.leases",
    "pxe_edge.policy.limits",
    "pxe_edge.policy.loaders",
    "pxe_edge.policy.networks",
    "pxe_edge.policy.pools",
    "pxe_edge.policy.probes",
    "pxe_edge.policy.replies",
    "pxe_edge.policy.requests",
    "pxe_edge.policy.transfer",
    "pxe_edge.policy.views",
    "pxe_edge.servers.datagrams",
    "pxe_edge.servers.dhcp",
    "pxe_edge.servers.hosts",
    "pxe_edge.servers.lease_writer",
    "pxe_edge.servers.notes",
    "pxe_edge.servers.prober",
    "pxe_edge.servers.received",
    "pxe_edge.servers.senders",
    "pxe_edge.servers.tftp",
    "pxe_edge.servers.tftp_data",
    "pxe_edge.servers.turns",
    "pxe_edge.servers.udp",
)
"""What runs once per packet."""
ROOT: Final = Path(__file__).parents[1]
"""The folder that the packages are in."""
BUILT: Final = ROOT / "build" / "compiled"
MANIFEST: Final = "manifest.json"
OFF: Final = "off"


class CompiledFinder:
    """A meta path finder that gives modules out of one build."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The extension module of this name, if the build has one."""
        file = self._files.get(name)
        return importlib.util.spec_from_file_location(name, file) if file is not None else None


def use(folder: Path = BUILT) -> str:
    """Load the packet path out of `folder` from now on; says what it is loaded from, and why.

    RACKFLOW_COMPILED=off leaves it to the interpreter.
    """
    if os.environ.get("RACKFLOW_COMPILED") == OFF:
        return "interpreted: RACKFLOW_COMPILED=off"
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        files = {name: folder / file for name, file in manifest["modules"].items()}
    except FileNotFoundError:
        return "interpreted: not built, see scripts/setup"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"interpreted: {folder / MANIFEST} can't be read ({error})"
    if manifest.get("digest") != digest():
        return "interpreted: the build is of other sources or another Python, see scripts/setup"
    if loaded := [name for name in MODULES if name in sys.modules]:
        return f"interpreted: {loaded[0]} was imported before"
    sys.meta_path.insert(0, CompiledFinder(files))
    return "compiled"


def digest() -> str:
    """What a build is of: the sources, and the interpreter that they are compiled for."""
    seen = hashlib.sha256(f"{sysconfig.get_config_var('EXT_SUFFIX')} {sys.version}".encode())
    for name in MODULES:
        content = source(name).read_bytes()
        seen.update(f"\n{name} {len(content)}\n".encode() + content)
    return seen.hexdigest()


def source(module: str) -> Path:
    """The file of a module."""
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")
