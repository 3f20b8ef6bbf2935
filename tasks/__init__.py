"""Thin Prefect tasks, one per verb: no parsing, diffing or SSH here."""
