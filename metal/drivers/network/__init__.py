"""NICs of the machine; addresses and bonds of a running system."""
