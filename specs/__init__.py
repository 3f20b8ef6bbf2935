"""The vocabulary: what a host should be, what was seen of it, and what is said about it.

Every other room speaks in these values; this package imports nothing of ours and does no I/O
outside `load`.
"""
