"""What the Prefect UI shows beside a run: a Prefect server that restarts fails no job for a picture."""

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact


def show(key: str, markdown: str, description: str | None = None) -> None:
    """Create an artifact; where Prefect does not take it, say so in the log."""
    try:
        create_markdown_artifact(key=key, markdown=markdown, description=description)
    except Exception as error:  # noqa: BLE001 - Prefect's client raises what its transport does
        get_run_logger().warning("artifact %s is not shown: %s: %s", key, type(error).__name__, error)
