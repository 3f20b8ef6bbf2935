"""Everything between a spec and a machine: planning, drivers, transports, the engine, the CLI."""
