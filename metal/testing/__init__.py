"""Fakes at the seams that drivers and the engine have: a Shell and a Bmc without a machine."""
