"""The typed client of the edge's REST API: what a run, the CLI and the console broker may ask."""

from metal.edge_client.client import EdgeClient

__all__ = ["EdgeClient"]
