"""`image add|list`: images into the store, converted once at the edge."""

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from metal.cli.groups import new_group
from metal.cli.output import console, say, show_json, show_table
from metal.edge_client import EdgeClient
from metal.edge_client.client import file_blocks
from metal.errors import Refused, SpecError, Unreachable
from specs.sizes import human_size

group = new_group("The image store.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CONVERT_DEADLINE_S: Final = 1800


@group.command()
def add(
    name: str,
    *,
    file: Annotated[Path, typer.Option(help="The image file on this machine.")],
    format_: Annotated[str, typer.Option("--format", help="qcow2 or raw; checked, not believed.")] = "qcow2",
    digest: Annotated[str | None, typer.Option(help="sha256:… that the file must have.")] = None,
    json: Json = False,
) -> None:
    """Send an image to the edge, which checks the digest and converts it to chunks."""
    if not file.is_file():
        raise SpecError(f"no image file {file}")
    with EdgeClient() as edge:
        size_bytes = file.stat().st_size
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console(),
        ) as progress:
            sending = progress.add_task(f"sending {file.name}", total=size_bytes)

            def blocks() -> Any:
                for block in file_blocks(file):
                    yield block
                    progress.advance(sending, len(block))

            edge.put_image(name, blocks(), length=size_bytes, format_=format_, digest=digest)
            state = wait_converted(edge, name, progress)
    if json:
        show_json(state)
    else:
        say(f"image {name} is ready: {state.get('digest') or state.get('state')}")


def wait_converted(edge: EdgeClient, name: str, progress: Progress) -> dict[str, Any]:
    """Wait until the edge has converted the image; raises Refused with its reason when it can't."""
    converting = progress.add_task("converting", total=None)
    ends_at = time.monotonic() + CONVERT_DEADLINE_S
    while True:
        state = edge.image_state(name)
        if state["state"] == "ready":
            progress.update(converting, total=1, completed=1)
            return state
        if state["state"] == "failed":
            raise Refused(f"image {name} was refused: {state.get('error')}", reason="image-mismatch")
        if time.monotonic() > ends_at:
            raise Unreachable(f"image {name} is still {state['state']} after {CONVERT_DEADLINE_S} s")
        progress.update(
            converting, total=state.get("total_bytes") or None, completed=state.get("done_bytes") or 0
        )
        time.sleep(0.3)


@group.command("list")
def list_(*, json: Json = False) -> None:
    """List images with digest and sizes."""
    with EdgeClient() as edge:
        images = edge.images()
    if json:
        show_json([i.model_dump(mode="json") for i in images])
        return
    rows = [
        (i.name, i.digest[:19], i.format, human_size(i.size_bytes), human_size(i.blob_bytes)) for i in images
    ]
    show_table(("name", "digest", "format", "size", "stored"), rows)
