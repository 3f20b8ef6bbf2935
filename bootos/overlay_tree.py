"""The small overlay: our scripts and programs and the vendor drop-ins, laid over the base at each boot.

Kept apart from the base so that a change here costs no new squashfs.
"""

import hashlib
import shutil
from pathlib import Path

from bootos import one_file
from bootos.steps import BuildError

HERE = Path(__file__).parent
LAB_ONLY = b"rackflow-lab-only"
"""Stands in the first lines of the virtual rack's emulated tools, which drive no hardware."""
HEAD_BYTES = 4096
VENDOR_IGNORED = ("README.md", "SHA256SUMS", ".gitignore")


def assemble(root: Path, vendor: Path) -> dict[str, str]:
    """Fill `root`; the digests of the vendor files by name."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(HERE / "overlay", root, symlinks=True)
    for name in one_file.PROGRAMS:
        target = root / "usr/lib/rackflow" / name
        target.write_text(one_file.program(name))
        target.chmod(0o755)
    digests = add_vendor(root, vendor)
    for path in root.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    (root / "etc/shadow").chmod(0o600)
    return digests


def add_vendor(root: Path, vendor: Path) -> dict[str, str]:
    """Copy the drop-ins: `tree/...` lies over the root, other files become programs in /usr/local/sbin."""
    expected = read_sums(vendor / "SHA256SUMS")
    digests = {}
    for path in sorted(vendor.rglob("*")) if vendor.is_dir() else []:
        name = path.relative_to(vendor).as_posix()
        if path.is_dir() or name in VENDOR_IGNORED or "__pycache__" in name:
            continue
        content = path.read_bytes()
        if LAB_ONLY in content[:HEAD_BYTES]:
            raise BuildError(
                f"{path} is an emulated tool of the virtual rack, it drives no hardware; put in the vendor's"
            )
        digest = hashlib.sha256(content).hexdigest()
        if expected and expected.get(name) != digest:
            raise BuildError(
                f"{path}: sha256 {digest}, but {vendor}/SHA256SUMS says {expected.get(name, 'nothing')}; "
                "replace the file or correct the list"
            )
        in_tree = name.startswith("tree/")
        target = root / (name.removeprefix("tree/") if in_tree else f"usr/local/sbin/{path.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        if not in_tree:
            target.chmod(0o755)
        digests[name] = digest
    absent = sorted(set(expected) - set(digests))
    if absent:
        raise BuildError(f"{vendor}/SHA256SUMS lists files that are not there: {', '.join(absent)}")
    return digests


def read_sums(path: Path) -> dict[str, str]:
    """File name -> sha256 from the output of sha256sum; {} when there is no such file."""
    if not path.exists():
        return {}
    sums = {}
    for line in path.read_text().splitlines():
        digest, _, name = line.partition("  ")
        sums[name.strip().removeprefix("./")] = digest
    return sums
