"""The files laid over Debian's packages: boot menu, fstab, mdadm, initramfs and journal settings.

Theory of the root device. One image serves two cases. On a plain disk the kernel finds its root by the file
system's fixed UUID. On a whole-disk md RAID1 with metadata 1.0 (superblock at the end) each member shows the
same partition table and file systems as the array does; firmware and GRUB read any member as if it were a
plain disk, but the kernel must mount the array's partition and never a member's, though both carry the same
UUID. So ``grub.cfg`` takes root= from a variable, and an installer that made an array says which by one small
file, ``/boot/grub/rackflow.cfg``.
"""

import io
import tarfile

from lab.image.recipe import Recipe

OVERRIDE_PATH = "/boot/grub/rackflow.cfg"

SSH_DROP_IN = """\
# Host keys are the installer's. Without any, sshd would fail five times and then refuse to start with keys.
[Unit]
ConditionPathExistsGlob=/etc/ssh/ssh_host_*_key
"""


def grub_cfg(recipe: Recipe) -> str:
    """Give the boot menu: serial console only, no wait, root= and further arguments open to the installer.

    GRUB writes to the serial port alone, because SeaBIOS (graphics=off) and OVMF copy the firmware console to
    it as well and every line would come twice. The kernel takes ``rw``: fstab has no line for the root.
    """
    return f"""\
# Read by GRUB on BIOS and UEFI. An installer does not edit this file; it writes {OVERRIDE_PATH}, e.g.
#   set rackflow_root="/dev/disk/by-id/md-uuid-01234567:89abcdef:01234567:89abcdef-part1"
#   set rackflow_root="PARTUUID=01234567-89ab-cdef-0123-456789abcdef"
#   set rackflow_args="net.ifnames=0"
if serial --unit=0 --speed=115200; then
  terminal_input serial
  terminal_output serial
fi
set timeout=0
set rackflow_root="UUID={recipe.root_uuid}"
set rackflow_args=""
if [ -f {OVERRIDE_PATH} ]; then
  source {OVERRIDE_PATH}
fi
menuentry 'Debian GNU/Linux 12' {{
  linux /vmlinuz root=$rackflow_root rw console=tty0 console=ttyS0,115200 $rackflow_args
  initrd /initrd.img
}}
"""


def embedded_grub_cfg(recipe: Recipe, *, prefix: str) -> str:
    """Give the lines that lead GRUB from where it was loaded (core.img, ESP) to the root's menu.

    The hint is looked at first: hd0 is the disk that the firmware booted, which matters when another disk of
    the machine still carries an older install with the same UUID. A root on LVM has no such hint: GRUB calls
    its volume by the group's name, whichever disk that is on.
    """
    hint = " hd0,gpt1" if recipe.volume_group is None else ""
    return f"search.fs_uuid {recipe.root_uuid} root{hint}\nset prefix=($root){prefix}\n"


def fstab(recipe: Recipe) -> str:
    """Give a table without a line for the root.

    With ``UUID=… /`` systemd waits for, checks and remounts whatever ``/dev/disk/by-uuid`` points to; on an
    array that may be a member. The kernel command line is the only place that names the root; the initramfs
    checks it, and ``errors=remount-ro`` is in the superblock.
    """
    return (
        "# The root is named by the kernel command line (see /boot/grub/grub.cfg), on purpose not here.\n"
        f"UUID={recipe.esp_uuid} /boot/efi vfat noauto,umask=0077 0 0\n"
    )


def mdadm_conf() -> str:
    """Give a configuration under which any array is assembled, whoever made it.

    The ARRAY line names no array. It is there because mdadm's initramfs hook replaces a file without one by a
    fresh list of the arrays of the machine that runs it, which here is the machine that builds the image.
    """
    return "HOMEHOST <ignore>\nAUTO +all\nARRAY <ignore> UUID=00000000:00000000:00000000:00000000\n"


def initramfs_hook(recipe: Recipe) -> str:
    """Give the hook that strikes those md personalities from the boot's list which cannot hold this root."""
    names = "\\|".join(recipe.raid_personalities_left_out)
    return f"""\
#!/bin/sh
set -e
case "$1" in
prereqs) echo mdadm; exit 0 ;;
esac
[ ! -f "$DESTDIR/conf/modules" ] || sed -i '/^\\({names}\\)$/d' "$DESTDIR/conf/modules"
"""


def files(recipe: Recipe) -> dict[str, tuple[int, str]]:
    """Give all files of the overlay: path below the root -> (mode, text)."""
    return {
        "boot/grub/grub.cfg": (0o644, grub_cfg(recipe)),
        "etc/fstab": (0o644, fstab(recipe)),
        "etc/hostname": (0o644, "debian\n"),
        # Else mmdebstrap's copy stays: the builder's own name servers, which a deployed system cannot reach.
        "etc/resolv.conf": (0o644, "# name servers are set where the host is configured\n"),
        "etc/hosts": (0o644, "127.0.0.1 localhost\n127.0.1.1 debian\n::1 localhost ip6-localhost\n"),
        "etc/default/mdadm": (0o644, "AUTOCHECK=false\nAUTOSCAN=false\nSTART_DAEMON=false\n"),
        "etc/mdadm/mdadm.conf": (0o644, mdadm_conf()),
        "etc/initramfs-tools/conf.d/rackflow": (0o644, "MODULES=list\nCOMPRESS=zstd\nRESUME=none\n"),
        "usr/share/initramfs-tools/modules.d/rackflow": (0o644, "\n".join(recipe.initramfs_modules) + "\n"),
        "etc/initramfs-tools/hooks/zz-rackflow": (0o755, initramfs_hook(recipe)),
        "etc/systemd/system/ssh.service.d/rackflow.conf": (0o644, SSH_DROP_IN),
        "etc/systemd/journald.conf.d/rackflow.conf": (0o644, "[Journal]\nStorage=volatile\n"),
        "etc/kernel-img.conf": (0o644, "do_symlinks = yes\nimage_dest = /\n"),
    }


def archive(recipe: Recipe) -> bytes:
    """Give the overlay as a tar archive owned by root, masked units included (links to /dev/null)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in ("boot/efi",):
            tar.addfile(_member(recipe, folder, tarfile.DIRTYPE, 0o755))
        for path, (mode, text) in sorted(files(recipe).items()):
            data = text.encode()
            member = _member(recipe, path, tarfile.REGTYPE, mode)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for unit in recipe.masked_units:
            link = _member(recipe, f"etc/systemd/system/{unit}", tarfile.SYMTYPE, 0o777)
            link.linkname = "/dev/null"
            tar.addfile(link)
    return buffer.getvalue()


def _member(recipe: Recipe, path: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """Give one archive member of root's, with the recipe's time."""
    member = tarfile.TarInfo(f"./{path}")
    member.type, member.mode, member.mtime = kind, mode, recipe.source_date_epoch
    member.uname = member.gname = "root"
    return member
