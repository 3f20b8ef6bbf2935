"""IPMI commands by theme; each module ends with its table."""
