"""Sockets of the packet plane: thin. They carry bytes to `wire` and `policy` and the outcome back."""
