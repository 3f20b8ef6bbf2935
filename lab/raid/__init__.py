"""RAID controllers of the virtual rack: what vendors' tools may not be redistributed for, emulated.

`model` is what a controller does, the same for every family; a family's file speaks its tool's grammar
and prints its forms. Volumes are real: `Effect`s tell the rack which block devices appear and vanish.
Nothing here is ever part of a boot OS for real machines.
"""
