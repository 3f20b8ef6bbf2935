"""Which loader which architecture gets: one line per architecture, in two tables.

iPXE is unsigned. Where Secure Boot is on, firmware starts Debian's shim, which Microsoft signed; shim
starts the GRUB that Debian signed, and that GRUB starts only kernels that Debian signed. BIOS has no
Secure Boot, so its line is the same in both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pxe_edge.policy.views import LoaderKind, SiteView


@dataclass(frozen=True, slots=True)
class Loader:
    """First stage: a network boot program, by its name in the boot folder; `http` asks for a URL."""

    file: str
    http: bool = False
    then: str | None = None
    """What it fetches by itself, from where it came from."""


UNSIGNED: Final[Mapping[int, Loader]] = {
    0: Loader("undionly.kpxe"),
    7: Loader("snponly.efi"),
    9: Loader("snponly.efi"),
    11: Loader("snponly-arm64.efi"),
    16: Loader("snponly.efi", http=True),
    19: Loader("snponly-arm64.efi", http=True),
}
"""Option 93 -> iPXE. An architecture that is not here gets no boot file, never another one's."""

SIGNED: Final[Mapping[int, Loader]] = {
    0: Loader("undionly.kpxe"),
    7: Loader("shimx64.efi", then="grubx64.efi"),
    9: Loader("shimx64.efi", then="grubx64.efi"),
    11: Loader("shimaa64.efi", then="grubaa64.efi"),
    16: Loader("shimx64.efi", http=True, then="grubx64.efi"),
    19: Loader("shimaa64.efi", http=True, then="grubaa64.efi"),
}
"""Option 93 -> shim and GRUB."""

LOADER_FILES: Final = tuple(
    sorted(
        {
            name
            for table in (UNSIGNED, SIGNED)
            for loader in table.values()
            for name in (loader.file, loader.then)
            if name is not None
        }
    )
)


def loaders(kind: LoaderKind, *, secure_boot: bool) -> Mapping[int, Loader]:
    """A site's table: GRUB comes signed or not at all, and signed is what Secure Boot wants."""
    return SIGNED if kind == "grub" or secure_boot else UNSIGNED


def find_loader(arch: int | None, site: SiteView, *, http: bool) -> Loader | None:
    """The loader for an architecture, if there is one and its files are in the boot folder."""
    table = loaders(site.loader, secure_boot=site.secure_boot)
    loader = table.get(arch) if arch is not None else None
    if loader is None or loader.http != http:
        return None
    there = not {loader.file, loader.then} & site.absent_loaders
    return loader if there else None
