"""NICs of the machine, and addresses of a running system."""
