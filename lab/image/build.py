"""From a recipe to a qcow2 and the JSON beside it, by way of two caches named by content.

The root file system (a minute of package work) is kept under the hash of what decides it, the image under the
hash of the recipe and the builder's own text. A second call finds the image, checks its digest and ends.
Images that differ in their disk alone are made of one root file system.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.image import boot, disk, rootfs, volume
from lab.image.recipe import Recipe
from lab.image.steps import BuildError, Steps, missing_packages

SOURCES_FOLDER = Path(__file__).parent
ROOT_SOURCES = ("apt.py", "overlay.py", "rootfs.py")
MAKE_ROOT_TIMEOUT_S = 600.0
CONVERT_TIMEOUT_S = 600.0

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "sgdisk": "gdisk",
    "mke2fs": "e2fsprogs",
    "mkfs.fat": "dosfstools",
    "mcopy": "mtools",
    "grub-mkimage": "grub-common",
    "qemu-img": "qemu-utils",
    "tar": "tar",
}
ROOTLESS_TOOLS = {"newuidmap": "uidmap", "unshare": "util-linux"}

MAKE_ROOT_SCRIPT = """\
set -eu
rm -rf "$2"
mkdir "$2"
tar -xf "$1" -C "$2" --numeric-owner --exclude='./dev/*'
shift
tree="$1"
shift
"$@"
rm -rf "$tree"
"""
"""Run as (mapped) root: unpack the archive, make the file system from the tree, remove the tree."""


@dataclass(frozen=True, slots=True)
class RootFilesystem:
    """How the image's root is found."""

    label: str
    uuid: str


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the JSON beside the image says."""

    path: str
    digest: str
    size_bytes: int
    virtual_size_bytes: int
    root_filesystem: RootFilesystem
    packages: dict[str, str]
    recipe: str

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "ImageFacts":
        """Read them back; raises KeyError or TypeError on any other shape."""
        return cls(**data | {"root_filesystem": RootFilesystem(**data["root_filesystem"])})


def build(recipe: Recipe, data: Path, *, refresh: bool = False) -> ImageFacts:
    """Give the image in ``data/images-src``, building only what is not there.

    ``refresh`` fetches packages anew, for their newest versions.
    """
    data = data.resolve()
    cache = data / "cache" / "image"
    output = data / "images-src" / f"{recipe.name}.qcow2"
    cache.mkdir(parents=True, exist_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    sources = [path.read_bytes() for path in sorted(SOURCES_FOLDER.glob("*.py"))]
    key = recipe.key(*sources)
    with _locked(cache):
        if not refresh and (present := _present(output, key)):
            return present
        check_host()
        steps = Steps.start(cache)
        tree = _root_tree(recipe, cache, steps, refresh=refresh)
        work = cache / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        raw = _raw_image(recipe, tree, work, steps)
        facts = _publish(recipe, raw, output, tree, key, steps)
        shutil.rmtree(work)
        steps.say(f"{output}: {facts.size_bytes / 1e6:.0f} MB")
        return facts


def check_host() -> None:
    """Refuse a host that lacks a program or, for an ordinary user, subordinate ids; name the remedy."""
    tools = TOOLS if os.geteuid() == 0 else TOOLS | ROOTLESS_TOOLS
    missing = missing_packages(tools)
    if not (boot.PC_MODULES_FOLDER / "boot.img").is_file():
        missing.append("grub-pc-bin")
    if missing:
        raise BuildError(f"the image builder needs: apt-get install {' '.join(missing)}")
    if os.geteuid() != 0 and not has_subordinate_ids(Path("/etc/subuid").read_text(), _login_names()):
        user = _login_names()[0]
        raise BuildError(
            f"user {user} has no subordinate ids, without which packages cannot be unpacked rootless; "
            f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        )


def has_subordinate_ids(table: str, names: tuple[str, ...]) -> bool:
    """Tell whether an ``/etc/subuid`` table (subuid(5)) gives one of these names 65536 ids."""
    rows = [line.split(":") for line in table.splitlines()]
    return any(row[0] in names and row[2].isdigit() and int(row[2]) >= 65536 for row in rows if len(row) == 3)


def _login_names() -> tuple[str, ...]:
    """Give the names under which subuid(5) may list the caller: login name and numeric id."""
    import pwd  # noqa: PLC0415 - only needed on this path

    uid = os.getuid()
    return (pwd.getpwuid(uid).pw_name, str(uid))


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Hold the cache alone; a second builder is told so at once."""
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildError(
                f"another build holds {cache / 'lock'}; wait for its end and call again"
            ) from None
        yield


def _present(output: Path, key: str) -> ImageFacts | None:
    """Give the facts of an image that this recipe made and that is still the same bytes."""
    try:
        facts = ImageFacts.from_json(json.loads(output.with_suffix(".json").read_text()))
        same = facts.recipe == key and facts.path == str(output) and facts.digest == _digest(output)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts if same else None


def _digest(path: Path) -> str:
    """Give a file's digest as image documents write it."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _root_tree(recipe: Recipe, cache: Path, steps: Steps, *, refresh: bool) -> rootfs.RootTree:
    """Give the cached root of this recipe, or make it and drop those of older recipes."""
    key = recipe.tree.key(*((SOURCES_FOLDER / name).read_bytes() for name in ROOT_SOURCES))
    folder = cache / f"root-{key}"
    if folder.is_dir() and not refresh:
        steps.say(f"root file system {key} is in the cache")
        return rootfs.RootTree.load(folder)
    tree = rootfs.build(recipe, folder, steps)
    for other in cache.glob("root-*"):
        if other != folder:
            shutil.rmtree(other)
    return tree


def _raw_image(recipe: Recipe, tree: rootfs.RootTree, work: Path, steps: Steps) -> Path:
    """Make the raw disk: table, loaders, file systems."""
    raw = work / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(recipe.virtual_size_bytes)
    steps.say("partition table and loaders")
    if recipe.volume_group is None:
        root = _lay_gpt(recipe, tree, raw, work, steps)
    else:
        root = _lay_volume(recipe, recipe.volume_group, raw, work, steps)
    steps.say("root file system")
    make_root(recipe, tree.tar, raw, root, work, steps)
    return raw


def _lay_gpt(recipe: Recipe, tree: rootfs.RootTree, raw: Path, work: Path, steps: Steps) -> disk.Partition:
    """Lay a GPT and both loaders; the place for the root."""
    plan = disk.layout(recipe.virtual_size_bytes)
    steps.run(disk.sgdisk_argv(plan, recipe.disk_guid, str(raw)), timeout_s=60)
    esp = boot.make_esp(recipe, tree, plan.esp.size_bytes, work, steps)
    _lay_core(recipe, plan.bios_boot, raw, work, steps)
    with raw.open("r+b") as file:
        file.seek(plan.esp.offset_bytes)
        file.write(esp.read_bytes())
    return plan.root


def _lay_volume(recipe: Recipe, group: str, raw: Path, work: Path, steps: Steps) -> disk.Partition:
    """Lay an MBR, the loader for BIOS and a physical volume; the place of the root's logical volume."""
    plan = volume.layout(recipe.virtual_size_bytes)
    signature = int(recipe.disk_guid[:8], 16)
    with raw.open("r+b") as file:
        file.write(volume.table(plan.partition, signature))
        for place, content in volume.metadata(plan, group, recipe.source_date_epoch).items():
            file.seek(place)
            file.write(content)
    _lay_core(recipe, plan.core, raw, work, steps)
    return plan.root


def _lay_core(recipe: Recipe, place: disk.Partition, raw: Path, work: Path, steps: Steps) -> None:
    """Write GRUB's core to its place, and to the first sector what loads it."""
    core = disk.placed_core(boot.core_img(recipe, work, steps), place)
    boot_img = (boot.PC_MODULES_FOLDER / "boot.img").read_bytes()
    with raw.open("r+b") as file:
        sector = file.read(disk.SECTOR_BYTES)
        file.seek(0)
        file.write(disk.boot_sector(boot_img, sector, place.first_sector))
        file.seek(place.offset_bytes)
        file.write(core)


def make_root(recipe: Recipe, tar: Path, raw: Path, part: disk.Partition, work: Path, steps: Steps) -> None:
    """Make the root's ext4 inside the raw disk at its offset, from the archive, with the owners it names.

    GRUB 2.06 reads neither metadata_csum_seed nor orphan_file. ``errors=remount-ro`` stands in the
    superblock, because the image's fstab names no root.
    """
    options = f"offset={part.offset_bytes},hash_seed={recipe.root_uuid},root_owner=0:0,lazy_itable_init=0"
    mke2fs = [
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-L",
        recipe.root_label,
        "-U",
        recipe.root_uuid,
    ]
    mke2fs += ["-O", "^metadata_csum_seed,^orphan_file", "-e", "remount-ro", "-m", "1", "-E", options]
    tree = work / "root"
    mke2fs += ["-d", str(tree), str(raw), f"{part.size_bytes // 1024}k"]
    mapped = (
        [] if os.geteuid() == 0 else ["unshare", "--map-auto", "--map-root-user", "--setuid=0", "--setgid=0"]
    )
    argv = [*mapped, "sh", "-c", MAKE_ROOT_SCRIPT, "make-root", str(tar), str(tree), *mke2fs]
    steps.run(argv, timeout_s=MAKE_ROOT_TIMEOUT_S, env={"E2FSPROGS_FAKE_TIME": str(recipe.source_date_epoch)})


def _publish(
    recipe: Recipe, raw: Path, output: Path, tree: rootfs.RootTree, key: str, steps: Steps
) -> ImageFacts:
    """Compress into the final place and write the JSON; a reader never sees half an image."""
    steps.say("qcow2, compressed")
    packed = raw.with_name("disk.qcow2")
    argv = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd"]
    steps.run([*argv, str(raw), str(packed)], timeout_s=CONVERT_TIMEOUT_S)
    facts = ImageFacts(
        path=str(output),
        digest=_digest(packed),
        size_bytes=packed.stat().st_size,
        virtual_size_bytes=recipe.virtual_size_bytes,
        root_filesystem=RootFilesystem(recipe.root_label, recipe.root_uuid),
        packages=tree.packages,
        recipe=key,
    )
    described = raw.with_name("disk.json")
    described.write_text(json.dumps(asdict(facts), indent=1) + "\n")
    packed.replace(output)
    described.replace(output.with_suffix(".json"))
    return facts
