"""Ways to a machine: SSH into it, IPMI to its BMC."""
