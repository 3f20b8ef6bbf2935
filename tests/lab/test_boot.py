"""When a one-time boot override is spent."""

from lab.bmc.boot import CLEARED, BootOverride, device

ONCE_PXE = b"\x80\x04\x00\x00\x00"
ALWAYS_EFI_DISK = b"\xe0\x08\x00\x00\x00"


def test_devices_and_the_valid_bit():
    assert device(ONCE_PXE) == "pxe"
    assert device(ALWAYS_EFI_DISK) == "disk"
    assert device(b"\x00\x04\x00\x00\x00") is None
    assert device(b"\x80\x18\x00\x00\x00") is None


def test_a_burst_of_resets_spends_it_once_at_its_end():
    override = BootOverride(ONCE_PXE)
    for _ in range(6):
        override.boot_begins()
        assert override.flags == ONCE_PXE

    assert override.boot_settled()
    assert override.flags == CLEARED
    override.boot_begins()
    assert not override.boot_settled()


def test_a_persistent_one_stays():
    override = BootOverride(ALWAYS_EFI_DISK)
    override.boot_begins()

    assert not override.boot_settled()
    assert override.flags == ALWAYS_EFI_DISK


def test_one_set_during_a_boot_is_for_the_next():
    override = BootOverride(ONCE_PXE)
    override.boot_begins()
    override.set(ONCE_PXE)

    assert not override.boot_settled()
    override.boot_begins()
    assert override.boot_settled()
