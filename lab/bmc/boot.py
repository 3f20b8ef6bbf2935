"""The boot device override (IPMI 2.0 table 28-14, parameter 5), and when a one-time override counts as spent.

One reset of a machine shows as a burst of reset events (SeaBIOS resets up to six times before it reads the
boot order), so a one-time override is spent a while after the *last* event of a burst, and only if it is
still the one that stood when the burst began: an override set meanwhile is for the next boot.
"""

from dataclasses import dataclass

SETTLE_S = 3.0
VALID = 0x80
PERSISTENT = 0x40
DEVICES = {1: "pxe", 2: "disk"}
CLEARED = bytes(5)


def device(flags: bytes) -> str | None:
    """The device valid flags ask for: "pxe", "disk", or None for the usual order."""
    return DEVICES.get(flags[1] >> 2 & 15) if flags[0] & VALID else None


def is_one_time(flags: bytes) -> bool:
    """Whether the flags are for the next boot only."""
    return bool(flags[0] & VALID) and not flags[0] & PERSISTENT


@dataclass
class BootOverride:
    """The flags, and those a boot under way is using up."""

    flags: bytes = CLEARED
    _changes: int = 0
    _in_use: int | None = None

    def set(self, flags: bytes) -> None:
        """A client set them."""
        self.flags = flags[:5].ljust(5, b"\0")
        self._changes += 1

    @property
    def booting(self) -> bool:
        """Whether a boot is reading the order now, so that the order must not change under it."""
        return self._in_use is not None

    def boot_begins(self) -> None:
        """Power on, or a reset event; later events of one burst change nothing."""
        if self._in_use is None:
            self._in_use = self._changes

    def boot_settled(self) -> bool:
        """The burst is over; whether a one-time override was spent by it."""
        spent = self._in_use == self._changes and is_one_time(self.flags)
        self._in_use = None
        if spent:
            self.flags = CLEARED
        return spent

    def power_lost(self) -> None:
        """The machine went off; an override that was being used up counts as used."""
        if self._in_use is not None:
            self.boot_settled()
