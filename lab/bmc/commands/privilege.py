"""Privilege levels of sessions (IPMI 2.0 section 6.8)."""

CALLBACK = 1
USER = 2
OPERATOR = 3
ADMIN = 4
