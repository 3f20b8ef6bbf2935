"""The kernel's root= when the root is an array.

The array's members carry the same file system UUID as the array (metadata 1.0), so the kernel has to
be told the array's own path. An image made for that reads /boot/grub/rackflow.cfg; in any other the
tokens in its grub.cfg are replaced, which holds until that image makes its grub.cfg anew.
"""

import re
from typing import Final

from metal.drivers.guest.document import Document, GuestFile
from metal.drivers.raid.md import device_path

GRUB_CFG: Final = "/boot/grub/grub.cfg"
HOOK: Final = "/boot/grub/rackflow.cfg"
_ROOT_TOKEN = re.compile(r"\broot=UUID=[0-9A-Fa-f-]+")


def root_argument(raid_uuid: str, number: int) -> str:
    """Give the array's partition as the kernel's initramfs finds it."""
    return f"{device_path(raid_uuid)}-part{number}"


def document(grub_cfg: str | None, hook: str | None, raid_uuid: str | None, number: int) -> Document:
    """Write the hook or edit the menu; on a plain disk remove a hook that an earlier install left."""
    if raid_uuid is None:
        return Document(says="boot from the plain disk", remove=(HOOK,) if hook is not None else ())
    root = root_argument(raid_uuid, number)
    says = f"boot with root={root}"
    if grub_cfg is None or HOOK in grub_cfg:
        text = f'set rackflow_root="{root}"\n'
        return Document(says=says, files=() if hook == text else (GuestFile(HOOK, text.encode()),))
    edited = _ROOT_TOKEN.sub(f"root={root}", grub_cfg)
    return Document(says=says, files=() if edited == grub_cfg else (GuestFile(GRUB_CFG, edited.encode()),))
