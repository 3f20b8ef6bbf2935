"""What machines are told to fetch: loaders by architecture, kernel and initrds, as they stand on disk.

`rackflow doctor` fetches them as a machine does and compares; elsewhere it has no boot folder.
"""

import hashlib
from pathlib import Path
from typing import Any, Final

from pxe_edge.policy.loaders import loaders
from pxe_edge.registry.site_view import bootos_view
from specs.site_model import SiteBoot

_BLOCK_BYTES: Final = 1 << 20
_ORDINARY: Final = frozenset({0, 7, 9})
"""BIOS and x86-64 UEFI. Loaders of others may be missing: most sites have no such machine."""


def listed(boot_folder: Path, boot_url: str, boot: SiteBoot) -> list[dict[str, Any]]:
    """Every file with size and sha256; both are None for one that is not there."""
    architectures: dict[str, list[int]] = {}
    for arch, loader in loaders(boot.loader, secure_boot=boot.secure_boot).items():
        for name in (loader.file, *((loader.then,) if loader.then else ())):
            architectures.setdefault(name, []).append(arch)
    items = [
        item
        for name, archs in architectures.items()
        if (item := _item(boot_folder, boot_url, name, "loader", archs))["size_bytes"] is not None
        or _ORDINARY & set(archs)
    ]
    bootos = bootos_view(boot_folder)
    if bootos is not None:
        items.append(_item(boot_folder, boot_url, bootos.kernel, "kernel", []))
        items += [_item(boot_folder, boot_url, name, "initrd", []) for name in bootos.initrds]
    return items


def _item(folder: Path, boot_url: str, name: str, kind: str, architectures: list[int]) -> dict[str, Any]:
    size, digest = _measure(folder / name)
    return {
        "name": name,
        "kind": kind,
        "architectures": architectures,
        "size_bytes": size,
        "sha256": digest,
        "url": f"{boot_url}/{name}",
    }


def _measure(file: Path) -> tuple[int | None, str | None]:
    sha, size = hashlib.sha256(), 0
    try:
        with file.open("rb") as source:
            while block := source.read(_BLOCK_BYTES):
                sha.update(block)
                size += len(block)
    except OSError:
        return None, None
    return size, sha.hexdigest()
