"""Build the boot OS: packages -> base + overlay -> DATA/boot/bootos/<digest12>, then current.json.

Two parts. The *base* (kernel, first stage, squashfs) comes from Debian packages only and is cached by
everything that goes into it; the *overlay* holds our scripts and vendor tools and is made anew each time.
A rebuild from the cache takes seconds and gives the same bytes.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bootos import apt_sources, kernel, overlay_tree, pack, recipe, rootfs, stage
from bootos.steps import BuildError, Progress

ARCHITECTURE = "x86_64"
KERNEL_ARGS = "console=tty0 console=ttyS0,115200"
DEFAULT_LEVEL = 3
RELEASE_LEVEL = 19
KEPT = 3
_BUILDER_SOURCES = ("cpio.py", "elf.py", "kernel.py", "pack.py", "rootfs.py", "stage.py")


@dataclass(frozen=True)
class Base:
    """The cached part: where its files lie and what is in it."""

    folder: Path
    facts: Mapping[str, object]


@dataclass(frozen=True)
class Firmware:
    """The add-on cpio of firmware, or the reason why there is none."""

    cpio: Path | None
    packages: Mapping[str, str]
    absent: tuple[str, ...]
    reason: str | None


def build(
    data: Path,
    *,
    level: int = DEFAULT_LEVEL,
    vendor: Path | None = None,
    refresh: bool = False,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Build into DATA/boot/bootos and make it current; the content of current.json.

    `refresh` fetches the packages again although the cache has them.
    """
    said = progress or Progress()
    cache = data / "cache/bootos"
    cache.mkdir(parents=True, exist_ok=True)
    lists = recipe.load()
    suite = apt_sources.codename()
    sources = apt_sources.host_sources(suite)
    main_only = tuple(source for source in sources if source.component == "main")
    with tempfile.TemporaryDirectory(dir=cache, prefix="work-") as folder:
        work = Path(folder)
        with said.step("packages"):
            tar = stage.fetch(lists.packages, main_only, suite, cache, refresh=refresh)
        base = _base(tar, lists, cache, work, level=level, said=said)
        firmware = _firmware(base, lists, sources, suite, cache, work, refresh=refresh, said=said)
        vendor_digests = overlay_tree.assemble(work / "overlay", vendor or overlay_tree.HERE / "vendor")
        pack.overlay(work / "overlay", work / "overlay.cpio")
        parts = {
            "vmlinuz": base.folder / "vmlinuz",
            "base.img": base.folder / "base.img",
            "overlay.cpio": work / "overlay.cpio",
        }
        if firmware.cpio:
            parts["firmware.cpio"] = firmware.cpio
        manifest = _manifest(base, firmware, lists, vendor_digests, level=level)
        current = _publish(data / "boot", parts, manifest)
    said.say(f"boot OS {str(current['digest'])[:12]} is current in {data / 'boot/bootos'}")
    return current


def _base(tar: Path, lists: recipe.Recipe, cache: Path, work: Path, *, level: int, said: Progress) -> Base:
    """The base for this tar, recipe and level: from the cache, or built."""
    builder = tuple((overlay_tree.HERE / name).read_text() for name in _BUILDER_SOURCES)
    key = recipe.digest(
        _file_sha256(tar),
        *(lists.programs, lists.files, lists.python_left_out, lists.modules, lists.first_stage),
        *(f"{target} {names}" for target, names in lists.links),
        builder,
        str(level),
    )
    folder = cache / f"base-{key[:16]}"
    if not (folder / "facts.json").exists():
        fresh = work / "base"
        fresh.mkdir()
        facts = _build_base(tar, lists, work, fresh, level=level, said=said)
        (fresh / "facts.json").write_text(_canonical(facts))
        shutil.rmtree(folder, ignore_errors=True)
        fresh.replace(folder)
        _prune(cache, "base-*")
    return Base(folder, json.loads((folder / "facts.json").read_text()))


def _build_base(
    tar: Path, lists: recipe.Recipe, work: Path, out: Path, *, level: int, said: Progress
) -> dict[str, object]:
    unpacked, root = work / "stage", work / "root"
    with said.step("unpack"):
        versions = stage.unpack(tar, unpacked)
    with said.step("programs and libraries"):
        rootfs.assemble(unpacked, root, lists)
    with said.step("kernel modules"):
        version = kernel.version(unpacked)
        table = kernel.dependencies(unpacked, version)
        chosen = kernel.choose(table, lists.modules)
        builtin = (unpacked / "usr/lib/modules" / version / "modules.builtin").read_text()
        absent = kernel.missing(lists.modules_required, chosen, builtin)
        if absent:
            raise BuildError(f"kernel {version} has no module {', '.join(absent)}: correct bootos/recipe")
        kernel.install(unpacked, root, version, chosen, folder="usr/lib/modules")
        small = kernel.choose(table, kernel.FIRST_STAGE_MODULES)
        first_root = work / "first-modules"
        kernel.install(unpacked, first_root, version, small, folder="lib/modules")
    rootfs.normalise_modes(root)
    wanted = kernel.firmware_wanted(root, version)
    with said.step(f"squashfs (zstd {level})"):
        pack.squashfs(root, work / "root.squashfs", level=level)
    busybox = root / "usr/bin/busybox"
    pack.first_stage(work / "first", busybox, lists.first_stage, first_root / "lib", work / "first.zst")
    pack.base_image(work / "first.zst", work / "root.squashfs", out / "base.img")
    shutil.copyfile(unpacked / "boot" / f"vmlinuz-{version}", out / "vmlinuz")
    return {"kernel": version, "modules": len(chosen), "packages": versions, "firmware_wanted": wanted}


def _firmware(
    base: Base,
    lists: recipe.Recipe,
    sources: tuple[apt_sources.Source, ...],
    suite: str,
    cache: Path,
    work: Path,
    *,
    refresh: bool,
    said: Progress,
) -> Firmware:
    """Firmware for the base's modules from Debian's non-free-firmware, when the archives have it."""
    wanted = base.facts["firmware_wanted"]
    if not isinstance(wanted, list):
        raise BuildError(f"{base.folder}/facts.json is damaged: delete the folder")
    try:
        with said.step("firmware packages"):
            extended = apt_sources.with_firmware(sources)
            tar = stage.fetch(lists.firmware_packages, extended, suite, cache, refresh=refresh)
    except BuildError as error:
        lines = str(error).splitlines()
        why = next((line for line in lines if line.startswith("E:")), lines[0])
        said.say(f"no firmware: {why}")
        return Firmware(None, {}, (), f"{apt_sources.FIRMWARE_COMPONENT} could not be had: {why}")
    unpacked, root = work / "firmware-stage", work / "firmware"
    versions = stage.unpack(tar, unpacked)
    root.mkdir()
    absent = kernel.install_firmware(unpacked, root / "usr/lib/firmware", tuple(wanted))
    rootfs.normalise_tree(root)
    pack.overlay(root, work / "firmware.cpio", packed=True)
    return Firmware(work / "firmware.cpio", versions, tuple(absent), None)


def _manifest(
    base: Base, firmware: Firmware, lists: recipe.Recipe, vendor: dict[str, str], *, level: int
) -> dict[str, object]:
    left_out = [{"what": what, "why": why} for what, why in lists.left_out]
    if firmware.reason:
        left_out.append({"what": "firmware", "why": firmware.reason})
    left_out += [
        {"what": f"firmware {name}", "why": "in none of the firmware packages"} for name in firmware.absent
    ]
    return {
        "version": 1,
        "arch": ARCHITECTURE,
        "kernel": base.facts["kernel"],
        "modules": base.facts["modules"],
        "packages": base.facts["packages"],
        "firmware_packages": dict(firmware.packages),
        "squashfs_level": level,
        "vendor": vendor,
        "left_out": left_out,
    }


def _publish(boot: Path, parts: dict[str, Path], manifest: dict[str, object]) -> dict[str, object]:
    """Put the files under their common digest, then switch current.json to them in one rename."""
    files = {
        name: {"sha256": _file_sha256(path), "size_bytes": path.stat().st_size}
        for name, path in sorted(parts.items())
    }
    digest = hashlib.sha256(_canonical(files).encode()).hexdigest()
    target = boot / "bootos" / digest[:12]
    target.mkdir(parents=True, exist_ok=True)
    os.utime(target)
    for name, path in parts.items():
        _place(path, target / name)
    _write_whole(target / "manifest.json", _canonical({**manifest, "digest": digest, "files": files}))
    prefix = f"bootos/{digest[:12]}"
    current: dict[str, object] = {
        "version": 1,
        "arch": ARCHITECTURE,
        "digest": digest,
        "kernel": f"{prefix}/vmlinuz",
        "initrds": [f"{prefix}/base.img", f"{prefix}/overlay.cpio"],
        "firmware": f"{prefix}/firmware.cpio" if "firmware.cpio" in parts else None,
        "kernel_args": KERNEL_ARGS,
        "files": {f"{prefix}/{name}": facts for name, facts in files.items()},
    }
    _write_whole(boot / "bootos/current.json", _canonical(current))
    _prune(boot / "bootos", "[0-9a-f]" * 12)
    return current


def _prune(folder: Path, pattern: str) -> None:
    """Keep the newest few: a machine may still be fetching the one that was current a minute ago."""
    by_age = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
    for path in by_age[:-KEPT]:
        shutil.rmtree(path)


def _place(source: Path, target: Path) -> None:
    """A copy that appears whole; a file that a machine may be fetching is never written to."""
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, partial)
    partial.chmod(0o644)
    partial.replace(target)


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.chmod(0o644)
    partial.replace(path)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, indent=1) + "\n"


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
