"""Answers that are JSON text already."""

from starlette.responses import Response


class JsonText(Response):
    """Sent as it is: making a large answer from objects would hold the interpreter for as long."""

    media_type = "application/json"
