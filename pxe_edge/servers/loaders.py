"""First-stage loaders made available in the boot folder, from Debian's packages.

A file that stands there already wins: it may be a site's own build. Only what was published from a
package, and is as it was published, is replaced when the package has another version.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Final

from pxe_edge.policy.loaders import LOADER_FILES

SOURCES: Final[dict[str, tuple[str, str]]] = {
    "undionly.kpxe": ("ipxe", "usr/lib/ipxe/undionly.kpxe"),
    "snponly.efi": ("ipxe", "usr/lib/ipxe/snponly.efi"),
    "snponly-arm64.efi": ("ipxe", "usr/lib/ipxe/snponly-arm64.efi"),
    "shimx64.efi": ("shim-signed", "usr/lib/shim/shimx64.efi.signed"),
    "shimaa64.efi": ("shim-signed", "usr/lib/shim/shimaa64.efi.signed"),
    "grubx64.efi": ("grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"),
    "grubaa64.efi": ("grub-efi-arm64-signed", "usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed"),
}
"""Name in the boot folder -> package, and the file in it. shim asks for GRUB under GRUB's usual name."""
_RECORD: Final = ".loaders.json"
log = logging.getLogger(__name__)


def publish_loaders(boot_dir: Path, root: Path = Path("/")) -> tuple[str, ...]:
    """Put each loader into the boot folder; return those that are not there."""
    boot_dir.mkdir(parents=True, exist_ok=True)
    ours = _read_record(boot_dir)
    before = dict(ours)
    for name in LOADER_FILES:
        package, path = SOURCES[name]
        source, target = root / path, boot_dir / name
        if not source.is_file():
            if not target.exists():
                log.info("loader=%s published=no fix='where machines need it: install %s'", name, package)
            continue
        digest = _digest(source)
        if target.exists() and (digest == ours.get(name) or _digest(target) != ours.get(name)):
            continue
        _place(source.read_bytes(), target)
        ours[name] = digest
        log.info("loader=%s published=yes package=%s", name, package)
    if ours != before:
        _place(json.dumps(ours, indent=1, sort_keys=True).encode() + b"\n", boot_dir / _RECORD)
    return absent_loaders(boot_dir)


def absent_loaders(boot_dir: Path) -> tuple[str, ...]:
    """Loaders that are not in the boot folder."""
    return tuple(name for name in LOADER_FILES if not (boot_dir / name).is_file())


def _read_record(boot_dir: Path) -> dict[str, str]:
    try:
        told = json.loads((boot_dir / _RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in told.items()} if isinstance(told, dict) else {}


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _place(data: bytes, target: Path) -> None:
    # Renamed into place: a machine that fetches the old one gets it whole.
    part = target.with_name(f".{target.name}.{os.getpid()}")
    part.write_bytes(data)
    part.chmod(0o644)
    part.replace(target)
