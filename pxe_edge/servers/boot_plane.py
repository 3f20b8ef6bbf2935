"""The boot plane's URLs: loaders and kernel, scripts, seeds, image chunks, report-in, phone-home.

`/boot.ipxe?mac=…` and `/v1/boot/{mac}/script.ipxe` are the iPXE script, `/v1/boot/{mac}/grub.cfg` is its
peer for GRUB, which `/grub/…/grub.cfg` leads to; `/seed/{nonce}` the seed;
`/images/{digest}/{manifest.json,blob}` images; `POST /v1/report-in` and `/v1/phone-home` what machines
say; `/healthz`; every other path is a file of the boot folder.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from posixpath import normpath
from typing import Any, Final, TypeVar
from urllib.parse import quote

from pxe_edge.policy import grub
from pxe_edge.servers.files import FileTable, Missing, ServedFile
from pxe_edge.servers.http import Request
from pxe_edge.servers.http_answer import Response, problem
from pxe_edge.servers.ports import Boot, Problem, View
from pxe_edge.servers.scripts import GRUB, GRUB_BY_TFTP, IPXE, Scripts

_IMAGE: Final = re.compile(r"/images/(?:sha256:)?([0-9a-f]{64})/(manifest\.json|blob)")
_SCRIPT: Final = re.compile(r"/v1/boot/([0-9A-Fa-f:.-]{12,17})/script\.ipxe")
_GRUB_CONFIG: Final = re.compile(r"/v1/boot/([0-9A-Fa-f:.-]{12,17})(?:/([a-z0-9_]{1,16}))?/grub\.cfg")
_SEED: Final = re.compile(r"/seed/([0-9A-Za-z_-]{16,128})")
_MAX_DEPTH: Final = 16
_TYPES: Final = {".json": "application/json", ".ipxe": "text/plain; charset=utf-8", ".efi": "application/efi"}
_BINARY: Final = "application/octet-stream"
_Value = TypeVar("_Value")
log = logging.getLogger(__name__)


class BootPlane:
    """Turns requests into responses; everything that may wait runs in a thread."""

    def __init__(
        self, view: View, boot: Boot, *, boot_dir: Path, images_dir: Path, accelerated: bool = False
    ) -> None:
        self._boot = boot
        self._scripts = Scripts(view, boot)
        self._accelerated = accelerated
        """An nginx in front sends the files (X-Accel-Redirect): it is only told which."""
        self._boot_files = FileTable(boot_dir)
        self._images = FileTable(images_dir)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        head = request.head
        if head.path in ("/v1/report-in", "/v1/phone-home"):
            return await self._said(request) if head.method == "POST" else _not_allowed("POST")
        if head.method not in ("GET", "HEAD"):
            return _not_allowed("GET, HEAD")
        if (made := await self._made(request)) is not None:
            return made
        stored = self._stored(head.path)
        if stored.status == HTTPStatus.NOT_FOUND and head.path.removeprefix("/") in grub.ENTRANCES:
            return await self._scripts.make(request, None, GRUB)
        return stored

    def by_tftp(self, request: Request) -> Awaitable[Response] | None:
        """What is made for a loader that has TFTP only; None: it is no such path."""
        path = normpath("/" + request.head.path.lstrip("/")).removeprefix("/")
        if path in grub.ENTRANCES:
            return self._scripts.make(request, None, GRUB_BY_TFTP)
        if found := _GRUB_CONFIG.fullmatch(f"/{path}"):
            return self._scripts.make(request, found[1], GRUB_BY_TFTP, cpu=found[2])
        found = _SEED.fullmatch(f"/{path}")
        return self._seed(request, found[1]) if found else None

    async def _made(self, request: Request) -> Response | None:
        # What is made for the one who asks; None: it is no such path.
        path = request.head.path
        if path == "/healthz":
            return Response(body=b"ok\n")
        if path == "/boot.ipxe":
            return await self._scripts.make(request, request.head.query.get("mac"), IPXE)
        if found := _SCRIPT.fullmatch(path):
            return await self._scripts.make(request, found[1], IPXE)
        if found := _GRUB_CONFIG.fullmatch(path):
            return await self._scripts.make(request, found[1], GRUB, cpu=found[2])
        if found := _SEED.fullmatch(path):
            return await self._seed(request, found[1])
        return None

    def _stored(self, path: str) -> Response:
        if found := _IMAGE.fullmatch(path):
            bare = self._images.open(f"{found[1]}/{found[2]}")
            if not isinstance(bare, ServedFile):
                bare = self._images.open(f"sha256:{found[1]}/{found[2]}")
            return self._file(bare, path, "/-/images/")
        if path.startswith(("/images/", "/seed/", "/v1/")):
            return _nothing(path)
        return self._file(self._boot_files.open(path), path, "/-/boot/")

    def _file(self, served: ServedFile | Missing, path: str, inside: str) -> Response:
        if not isinstance(served, ServedFile):
            return _nothing(path)
        content_type = _TYPES.get(path[path.rfind(".") :], _BINARY)
        if not self._accelerated:
            return Response(file=served, content_type=content_type)
        served.file.close()
        where = quote(f"{inside}{served.name}".encode("utf-8", "surrogateescape"))
        return Response(content_type=content_type, headers={"X-Accel-Redirect": where})

    async def _seed(self, request: Request, nonce: str) -> Response:
        # A nonce is a secret until it is spent: it is not in the log, and a part of a seed is no use.
        shown = "/seed/-"
        if "range" in request.head.headers:
            refused = problem(416, Problem("no-ranges", "A seed is sent whole.", "Ask without Range."))
            return Response(416, refused.body, refused.content_type, shown_path=shown)
        peek = request.head.method == "HEAD"
        data = await _in_thread(lambda: self._boot.seed(nonce, request.peer, peek=peek))
        if data is None:
            gone = Problem("no-seed", "This seed is unknown, expired, taken or another's.", "Boot again.")
            refused = problem(404, gone)
            return Response(404, refused.body, refused.content_type, shown_path=shown)

        async def done() -> None:
            await _in_thread(lambda: self._boot.seed_done(nonce))
            log.info("seed=taken client=%s bytes=%d", request.peer, len(data))

        headers = {"Cache-Control": "no-store"}
        return Response(body=data, content_type=_BINARY, headers=headers, after=done, shown_path=shown)

    async def _said(self, request: Request) -> Response:
        scheme, _, token = request.head.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return problem(401, Problem("no-token", "Expected Authorization: Bearer TOKEN.", "Boot again."))
        body = read_json_object(request.body)
        if isinstance(body, Problem):
            return problem(400, body)
        hear = self._boot.report_in if request.head.path == "/v1/report-in" else self._boot.phone_home
        status, told = await _in_thread(lambda: hear(token.strip(), body, request.peer))
        log.info("said=%s client=%s status=%d", request.head.path, request.peer, status)
        return problem(status, told) if told is not None else Response(status)


def read_json_object(data: bytes) -> dict[str, Any] | Problem:
    """A JSON object of bounded depth, or what is wrong with it."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        return Problem("bad-json", f"The body is not JSON: {str(error)[:200]}.")
    if not isinstance(value, dict):
        return Problem("bad-json", f"Expected an object, got {type(value).__name__}.")
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return value
    return Problem("bad-json", f"Nested deeper than {_MAX_DEPTH}.")


def _nothing(path: str) -> Response:
    return problem(404, Problem("not-found", f"Nothing is served at {path[:200]!r}.", "See GET /healthz."))


def _not_allowed(allowed: str) -> Response:
    refused = problem(405, Problem("method", f"Only {allowed} here."))
    return Response(405, refused.body, refused.content_type, headers={"Allow": allowed})


async def _in_thread(call: Callable[[], _Value]) -> _Value:
    return await asyncio.get_running_loop().run_in_executor(None, call)
