"""Both ways into GRUB: core.img for a BIOS, an ESP with shim and Debian's signed GRUB for UEFI.

The signed GRUB is one file that looks for ``EFI/debian/grub.cfg`` on the partition it was loaded from; shim
stands in ``EFI/BOOT`` too, because for a disk just written firmware has no boot entry but BOOTX64.EFI.
"""

from pathlib import Path

from lab.image.overlay import embedded_grub_cfg
from lab.image.recipe import Recipe
from lab.image.rootfs import RootTree
from lab.image.steps import Steps

PC_MODULES_FOLDER = Path("/usr/lib/grub/i386-pc")

CORE_MODULES = (
    "biosdisk",
    "part_gpt",
    "ext2",
    "search",
    "search_fs_uuid",
    "linux",
    "normal",
    "serial",
    "terminal",
    "configfile",
    "echo",
    "test",
    "boot",
    "minicmd",
)
VOLUME_MODULES = ("part_msdos", "lvm")
"""What a root on LVM needs besides."""

MTOOLS_TIMEOUT_S = 60.0


def core_img(recipe: Recipe, work: Path, steps: Steps) -> bytes:
    """Make GRUB's core for BIOS with all that it needs inside, so that no module is read from the root."""
    early = work / "early.cfg"
    early.write_text(embedded_grub_cfg(recipe, prefix="/boot/grub"))
    core = work / "core.img"
    argv = ["grub-mkimage", "-O", "i386-pc", "-d", str(PC_MODULES_FOLDER), "-o", str(core)]
    modules = CORE_MODULES if recipe.volume_group is None else (*CORE_MODULES, *VOLUME_MODULES)
    steps.run([*argv, "-p", "/boot/grub", "-c", str(early), *modules], timeout_s=MTOOLS_TIMEOUT_S)
    return core.read_bytes()


def esp_files(shim: Path, grub: Path, cfg: Path) -> list[tuple[Path, str]]:
    """Say which file goes where on the ESP."""
    return [
        (shim, "::EFI/BOOT/BOOTX64.EFI"),
        (grub, "::EFI/BOOT/grubx64.efi"),
        (cfg, "::EFI/BOOT/grub.cfg"),
        (shim, "::EFI/debian/shimx64.efi"),
        (grub, "::EFI/debian/grubx64.efi"),
        (cfg, "::EFI/debian/grub.cfg"),
    ]


def make_esp(recipe: Recipe, tree: RootTree, size_bytes: int, work: Path, steps: Steps) -> Path:
    """Make the ESP's file system in a file."""
    esp, cfg = work / "esp.img", work / "esp.cfg"
    cfg.write_text(embedded_grub_cfg(recipe, prefix="'/boot/grub'") + "configfile $prefix/grub.cfg\n")
    with esp.open("wb") as file:
        file.truncate(size_bytes)
    env = {"SOURCE_DATE_EPOCH": str(recipe.source_date_epoch), "MTOOLS_SKIP_CHECK": "1"}
    mkfs = ["mkfs.fat", "--invariant", "-F", "16", "-i", recipe.esp_volume_id, "-n", "ESP", str(esp)]
    steps.run(mkfs, timeout_s=MTOOLS_TIMEOUT_S, env=env)
    folders = ["::EFI", "::EFI/BOOT", "::EFI/debian"]
    steps.run(["mmd", "-i", str(esp), *folders], timeout_s=MTOOLS_TIMEOUT_S, env=env)
    for source, target in esp_files(tree.shim, tree.grub, cfg):
        steps.run(["mcopy", "-i", str(esp), str(source), target], timeout_s=MTOOLS_TIMEOUT_S, env=env)
    return esp
