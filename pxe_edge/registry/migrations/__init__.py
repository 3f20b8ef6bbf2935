"""Versions of the registry's tables; run by the edge at its start."""
