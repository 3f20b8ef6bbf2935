"""Disks, their identity, and what lies on them."""
