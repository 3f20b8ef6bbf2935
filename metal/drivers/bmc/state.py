"""What a BMC says over the LAN, as one value."""

from metal.protocols import Bmc
from specs.facts import BmcState


def read_state(bmc: Bmc, address: str | None = None) -> BmcState:
    """Power, boot flags, MAC and GUID. Raises Unreachable or Refused."""
    flags = bmc.boot_flags()
    return BmcState(
        power=bmc.power(),
        boot_device=flags.target,
        boot_persistent=flags.persistent,
        boot_efi=flags.efi,
        address=address,
        mac=bmc.lan_mac(),
        guid=bmc.guid(),
    )
