"""LUKS2: how a file system is made in it, and how its header says that it was made whole.

Keys go by standard input and nowhere else (cryptsetup(8), "--key-file -": read to the end of the file). The
header's label is written last, so that a header without it is one that was not finished.
"""

from dataclasses import dataclass, field
from typing import Final

from metal.drivers.storage.stack import PLACE, Layer
from metal.planning.mounting import HEADER_MARK, UNFINISHED
from metal.protocols import Command

MAPPER: Final = "/dev/mapper"
RF_TPM2: Final = "/usr/lib/rackflow/rf-tpm2"
"""Has the TPM open a header (`bootos/rf_tpm2.py`), given its key; it says by itself whether it does."""


@dataclass(frozen=True, slots=True)
class LuksWish:
    """One encrypted device; without `uuid` it stands already and is only opened.

    With `tpm2` the TPM opens it too, as a slot beside the key's.
    """

    name: str
    key: bytes = field(repr=False)
    uuid: str | None = None
    tpm2: bool = False

    @property
    def layer(self) -> Layer:
        """How it is made and opened below a file system, and closed."""
        make = ("cryptsetup", "luksFormat", "--type", "luks2", "--batch-mode", "--key-file", "-")
        begun = ("--label", f"{HEADER_MARK}{UNFINISHED}")
        made = ((*make, *begun, "--uuid", self.uuid, PLACE),) if self.uuid else ()
        return Layer(
            device=f"{MAPPER}/{self.name}",
            before=(*made, *(((RF_TPM2, "enrol", PLACE),) if self.tpm2 else ())),
            open=("cryptsetup", "open", "--type", "luks2", "--key-file", "-", PLACE, self.name),
            close=("cryptsetup", "close", self.name),
            key=self.key,
        )


def probe() -> Command:
    """Have the TPM keep a key and give it back, in a header in memory."""
    return Command((RF_TPM2, "probe"), says="have the TPM keep a key and give it back", timeout_s=600)


def mark(fs_uuid: str) -> tuple[str, ...]:
    """Say in the header which file system is in it, whole."""
    return ("cryptsetup", "config", PLACE, "--label", f"{HEADER_MARK}{fs_uuid}")
