"""The root file system as a tar archive, made by mmdebstrap: as root, or in a user namespace as anyone else.

As an ordinary user the packages' scripts run as a mapped root whose real id is one of the caller's
subordinate ids. Such an id cannot look into a home folder with mode 0700, so nothing here is passed by path
except through mmdebstrap's special hooks (``tar-in``, ``copy-out``), whose outer half runs as the caller.
"""

import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from lab.image import apt, overlay
from lab.image.recipe import Recipe
from lab.image.steps import BuildError, Steps

MMDEBSTRAP_TIMEOUT_S = 1800.0
STAGE = "var/tmp/rackflow-image"
"""A folder inside the root for what leaves by the side door: signed loaders, package list. Removed after."""

INITRAMFS_MUST_HOLD = (
    "63-md-raid-arrays.rules",
    "64-md-raid-assembly.rules",
    "sbin/mdadm",
    "raid1.ko",
    "ahci.ko",
    "virtio_blk.ko",
    "ext4.ko",
    # For a root on LVM, and for groups with a thin pool, which are activated before the root is mounted.
    "69-lvm.rules",
    "sbin/lvm",
    "dm-mod.ko",
    "dm-thin-pool.ko",
    "sbin/thin_check",
)

SHIM = "usr/lib/shim/shimx64.efi.signed"
SIGNED_GRUB = "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"


@dataclass(frozen=True, slots=True)
class RootTree:
    """A finished root: the archive, the signed loaders beside it, the versions of all packages in both."""

    tar: Path
    shim: Path
    grub: Path
    packages: dict[str, str]

    @classmethod
    def load(cls, folder: Path) -> "RootTree":
        """Read a tree that `build` left in this folder."""
        packages = json.loads((folder / "packages.json").read_text())
        return cls(folder / "root.tar", folder / "boot" / SHIM, folder / "boot" / SIGNED_GRUB, packages)


def stage_script(recipe: Recipe) -> str:
    """Give the shell text that unpacks the signed loaders and lists the packages, into `STAGE`."""
    names = " ".join(recipe.boot_packages)
    return f"""\
set -eu
stage="$1/{STAGE}"
mkdir -p "$stage/debs" "$stage/boot"
cd "$stage/debs"
APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -q -o APT::Sandbox::User=root download {names}
for deb in ./*.deb; do
  dpkg-deb -x "$deb" "$stage/boot"
  dpkg-deb -W --showformat='${{Package}} ${{Version}}\\n' "$deb" >> "$stage/packages"
done
chroot "$1" dpkg-query -W -f '${{Package}} ${{Version}}\\n' >> "$stage/packages"
"""


def settle_script(recipe: Recipe) -> str:
    """Give the shell text that makes an image of installed packages: units, keys, leftovers, checks.

    Host keys and machine id must be each machine's own: the installer makes the keys, systemd the id. The
    checks at the end are of what would otherwise show only on a machine with an md root, minutes later.
    """
    return f"""\
set -eu
chroot "$1" systemctl -q enable {" ".join(recipe.enabled_units)}
rm -rf "$1/{STAGE}" "$1"/etc/ssh/ssh_host_* "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin
rm -rf "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old "$1"/var/log/*.log "$1"/var/log/apt
rm -f "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap "$1"/etc/apt/apt.conf.d/99mmdebstrap
: > "$1/etc/machine-id"
chroot "$1" sh -c 'zstd -q -d < /initrd.img | cpio --quiet -t' > "$1/var/tmp/initrd.list"
for want in {" ".join(INITRAMFS_MUST_HOLD)}; do
  grep -q "$want" "$1/var/tmp/initrd.list" || {{ echo "the initramfs lacks $want" >&2; exit 1; }}
done
rm "$1/var/tmp/initrd.list"
"""


def mmdebstrap_argv(recipe: Recipe, work: Path, *, as_root: bool) -> list[str]:
    """Give the command that writes ``work/root.tar``.

    The overlay goes in after the essential packages and before all others, so that the initramfs is made once
    and right; none of its files is a conffile of a package.
    """
    excludes = [f"{folder}/*" for folder in recipe.document_folders_left_out]
    excludes += [f"/lib/modules/*/kernel/{folder}/*" for folder in recipe.module_folders_left_out]
    return [
        "mmdebstrap",
        f"--mode={'root' if as_root else 'unshare'}",
        "--variant=minbase",
        "--format=tar",
        f"--aptopt={work / 'apt.conf'}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in excludes),
        "--aptopt=APT::Install-Recommends false",
        f"--include={','.join(recipe.packages)}",
        f"--essential-hook=tar-in {work / 'overlay.tar'} /",
        f"--customize-hook={stage_script(recipe)}",
        f"--customize-hook=copy-out /{STAGE}/boot /{STAGE}/packages {work}",
        f"--customize-hook={settle_script(recipe)}",
        recipe.suite,
        str(work / "root.tar"),
        str(work / "sources.list"),
    ]


def build(recipe: Recipe, folder: Path, steps: Steps) -> RootTree:
    """Make the root tree in ``folder`` (which appears complete or not at all) and give it."""
    for left_over in folder.parent.glob("*.part"):
        shutil.rmtree(left_over)
    work = folder.with_name(f"{folder.name}.part")
    work.mkdir(parents=True)
    if any(character in str(work) for character in " \t'\"\\$"):
        raise BuildError(
            f"{work}: mmdebstrap's hooks cannot name a path with spaces or quotes; use another --data"
        )
    (work / "sources.list").write_text("\n".join(apt.host_sources(recipe.suite)) + "\n")
    (work / "apt.conf").write_text("\n".join(apt.host_settings()) + "\n")
    (work / "overlay.tar").write_bytes(overlay.archive(recipe))
    as_root = os.geteuid() == 0
    steps.say(
        f"mmdebstrap: {len(recipe.packages)} packages and what they need ({'root' if as_root else 'unshare'})"
    )
    steps.run(mmdebstrap_argv(recipe, work, as_root=as_root), timeout_s=MMDEBSTRAP_TIMEOUT_S)
    versions = dict(line.split(" ", 1) for line in (work / "packages").read_text().splitlines())
    (work / "packages.json").write_text(json.dumps(versions, indent=1, sort_keys=True))
    for path in ("sources.list", "apt.conf", "overlay.tar", "packages"):
        (work / path).unlink()
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)
    return _checked(RootTree.load(folder))


def _checked(tree: RootTree) -> RootTree:
    """Refuse a tree without its loaders or kernel."""
    with tarfile.open(tree.tar) as tar:
        names = {member.name for member in tar}
    lacking = [name for name in ("./vmlinuz", "./initrd.img", "./boot/grub/grub.cfg") if name not in names]
    lacking += [str(path) for path in (tree.shim, tree.grub) if not path.is_file()]
    if lacking:
        raise BuildError(f"the root made by mmdebstrap lacks {', '.join(lacking)}; see the build log")
    return tree
