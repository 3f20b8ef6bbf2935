"""Simulated machines: one process that plays servers with BMCs towards a real site, without QEMU.

They are there for what needs many lives and many deaths: `python -m lab.sim soak`.
"""
