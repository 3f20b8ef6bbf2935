"""The boot OS: a small Linux booted over the network into RAM, its builder, rf-exec and rf-write."""
