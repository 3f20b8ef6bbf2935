"""What the edge answers: request + host + site -> decision. Pure: no sockets, no clock, no I/O."""
