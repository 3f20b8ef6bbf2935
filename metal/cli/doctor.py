"""`doctor` tells whether each published loader is the same over TFTP, over HTTP and on disk.

tftpy is the client here, so that our server is asked by somebody else's code.
"""

import hashlib
import io
import json as json_module
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import httpx
import tftpy
import typer

from metal.cli.output import EXIT_DONE, EXIT_FAILED, show_json, show_table
from metal.cli.up.parts import BOOT_PORT
from metal.edge_client.wire import data_dir
from metal.errors import SpecError

TFTP_LIMIT_BYTES: Final = 4 << 20
"""Loaders are below 1 MiB; kernels go by HTTP only."""


@dataclass(frozen=True, slots=True)
class Check:
    """One published file and what came back."""

    name: str
    disk: str
    tftp: str
    http: str

    @property
    def good(self) -> bool:
        """All that was fetched equals what lies on disk."""
        return self.http == self.disk and self.tftp in (self.disk, "not by TFTP")


def doctor(
    *,
    server: Annotated[str, typer.Option(help="Address of the edge.")] = "127.0.0.1",
    tftp_port: Annotated[int, typer.Option(help="Its TFTP port.")] = 69,
    http_port: Annotated[int, typer.Option(help="Its boot-plane port.")] = BOOT_PORT,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fetch every published loader over TFTP and HTTP and compare digests with the files on disk."""
    boot = data_dir() / "boot"
    files = published(boot)
    if not files:
        raise SpecError(
            f"nothing is published in {boot}", hint="start the edge once, then rackflow bootos build"
        )
    checks = [check(boot, name, server, tftp_port, http_port) for name in files]
    if json:
        show_json(
            [{"name": c.name, "disk": c.disk, "tftp": c.tftp, "http": c.http, "good": c.good} for c in checks]
        )
    else:
        rows = [
            (c.name, c.disk[:12], c.tftp[:12], c.http[:12], "ok" if c.good else "DIFFERS") for c in checks
        ]
        show_table(("file", "on disk", "TFTP", "HTTP", "verdict"), rows)
    raise typer.Exit(EXIT_DONE if all(c.good for c in checks) else EXIT_FAILED)


def published(boot: Path) -> list[str]:
    """Loaders at the top of the boot folder, and the files of the current boot OS."""
    names = sorted(p.name for p in boot.glob("*") if p.is_file() and not p.name.startswith("."))
    current = boot / "bootos" / "current.json"
    if current.exists():
        manifest = json_module.loads(current.read_text())
        names += [manifest["kernel"], *manifest["initrds"]]
    return names


def check(boot: Path, name: str, server: str, tftp_port: int, http_port: int) -> Check:
    """One file by all its ways."""
    on_disk = (boot / name).read_bytes()
    by_tftp = "not by TFTP" if len(on_disk) > TFTP_LIMIT_BYTES else fetch_tftp(server, tftp_port, name)
    return Check(name, digest(on_disk), by_tftp, fetch_http(f"http://{server}:{http_port}/{name}"))


def fetch_tftp(server: str, port: int, name: str) -> str:
    """Digest of a file fetched by tftpy, or what went wrong."""
    into = io.BytesIO()
    into.close = lambda: None  # type: ignore[method-assign]  # tftpy closes its output; the bytes are read after
    try:
        client = tftpy.TftpClient(server, port, {"blksize": 1428, "tsize": 0})
        client.download(name, into, timeout=5)
    except (tftpy.TftpException, OSError) as error:
        return f"failed: {error}"
    return digest(into.getvalue())


def fetch_http(url: str) -> str:
    """Digest of a file fetched by HTTP, or what went wrong."""
    sha = hashlib.sha256()
    try:
        with httpx.stream("GET", url, timeout=30, trust_env=False) as response:
            if response.status_code != httpx.codes.OK:
                return f"failed: {response.status_code}"
            for block in response.iter_raw(1 << 20):
                sha.update(block)
    except httpx.HTTPError as error:
        return f"failed: {error}"
    return sha.hexdigest()


def digest(data: bytes) -> str:
    """sha256 in hex."""
    return hashlib.sha256(data).hexdigest()
