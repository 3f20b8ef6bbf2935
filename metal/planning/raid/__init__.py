"""RAID volumes of a spec to exact drives and sizes: pure, deterministic, and never the wrong drive.

`levels` is the arithmetic, `families` what a kind of controller can do, `pools` which drives are free
on which controller and why others are not, `volumes` the choice.
"""
