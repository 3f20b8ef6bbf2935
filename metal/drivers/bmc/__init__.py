"""The BMC from the inside: facts, set-up, proof of being the same."""
