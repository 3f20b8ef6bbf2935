"""The boot OS: a small Linux that a machine boots over the network into RAM, its builder, rf-exec and rf-write."""
