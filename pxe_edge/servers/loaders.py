"""First-stage loaders made available in the boot folder, from the ipxe package."""

import logging
import os
import shutil
from pathlib import Path
from typing import Final

from pxe_edge.policy.boot import LOADER_FILES

IPXE_DIR: Final = Path("/usr/lib/ipxe")
log = logging.getLogger(__name__)


def publish_loaders(boot_dir: Path, source_dir: Path = IPXE_DIR) -> tuple[str, ...]:
    """Put each loader into the boot folder unless a file of that name is there; return those not found.

    A file that stands there already wins: it may be a site's own signed build.
    """
    boot_dir.mkdir(parents=True, exist_ok=True)
    missing: list[str] = []
    for name in LOADER_FILES:
        source, target = source_dir / name, boot_dir / name
        if target.exists():
            continue
        if not source.is_file():
            log.warning(
                "loader=%s published=no reason=not-in-%s fix='install the ipxe package'", name, source_dir
            )
            missing.append(name)
            continue
        _link_or_copy(source, target)
        log.info("loader=%s published=yes", name)
    return tuple(missing)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or not ours to link (protected_hardlinks)
        part = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(source, part)
        part.replace(target)
