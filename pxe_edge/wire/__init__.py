"""Bytes <-> values, and nothing else: DHCPv4, DHCPv6, PXE, TFTP, frames, router advertisements.

No sockets, no clock, no decisions. Any bytes decode to a value or to `WireError`; nothing else leaves.
"""
