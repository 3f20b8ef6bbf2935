"""The demo image: Debian 12 from packages, bootable on BIOS and UEFI, built without root."""
