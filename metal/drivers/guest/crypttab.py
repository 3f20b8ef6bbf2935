"""Encrypted file systems of the installed system: crypttab(5), in a block that is ours, and their keys."""

from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.guest.document import Document, GuestFile
from metal.drivers.guest.fstab import PATIENCE
from metal.drivers.guest.managed_files import FileWish

CRYPTTAB: Final = "/etc/crypttab"
BEGIN: Final = "# rackflow begin: written from the host's spec"
END: Final = "# rackflow end"


@dataclass(frozen=True, slots=True)
class Unlock:
    """One line: what is unlocked under which name, and the file with the key; without one the TPM unlocks."""

    name: str
    device: str
    key_path: str | None
    secret: str

    @classmethod
    def of(cls, value: dict[str, Any], device: str) -> "Unlock":
        """Take a step's entry, and where the encrypted device is."""
        return cls(str(value["unlocked"]), device, value.get("key_path"), str(value["secret"]))

    @property
    def line(self) -> str:
        """The line of crypttab; `nofail`, because a lost data disk must not keep the machine from booting.

        A device that shows late is waited for. `headless`: where the TPM does not open it the unit fails, and
        asks no console that nobody reads.
        """
        if self.key_path is None:
            return f"{self.name} {self.device} - luks,nofail,{PATIENCE},tpm2-device=auto,headless=yes"
        return f"{self.name} {self.device} {self.key_path} luks,nofail,{PATIENCE}"

    @property
    def keys(self) -> tuple[FileWish, ...]:
        """The file with the key, for root alone; none where the TPM unlocks."""
        return (FileWish(self.key_path, mode="0400", secret=self.secret),) if self.key_path else ()


def differences(text: str | None, unlocks: tuple[Unlock, ...]) -> tuple[str, ...]:
    """Say which lines are missing."""
    lines = [" ".join(line.split()) for line in (text or "").splitlines()]
    return tuple(f"crypttab lacks {one.line!r}" for one in unlocks if one.line not in lines)


def document(text: str | None, unlocks: tuple[Unlock, ...]) -> Document:
    """Write the block; a line of the image for the same name gives way."""
    names = {one.name for one in unlocks}
    kept, ours = [], False
    for line in (text or "").splitlines():
        if line.strip() in (BEGIN, END):
            ours = line.strip() == BEGIN
        elif not ours and line.split()[:1] not in [[name] for name in names]:
            kept.append(line)
    block = [BEGIN, *(one.line for one in unlocks), END]
    content = "\n".join([*kept, *block]) + "\n"
    told = ", ".join(sorted(names))
    return Document(says=f"unlock {told} at each start", files=(GuestFile(CRYPTTAB, content.encode()),))
