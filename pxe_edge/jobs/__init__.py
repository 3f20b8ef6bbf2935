"""Rules of jobs and leases: row and clock in, next row or refusal out. Pure."""
