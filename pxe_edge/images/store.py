"""Takes an image into the store: receive, check, convert, describe, put in place.

Layout: `<data>/images/incoming/` for what is under way, `<data>/images/<digest hex>/` with
`manifest.json`, `blob` and `info.json` for what is done. The boot plane serves the latter.
"""

import hashlib
import json
import secrets
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pxe_edge.images import chunks, contents, qemu
from pxe_edge.images.formats import HEADER_BYTES, Sniffed, UnfitImageError, sniff
from specs.model import RootFilesystem

UPLOAD_MAX_BYTES: Final = 64 << 30


class DigestError(UnfitImageError):
    """The bytes are not those that the digest names."""


@dataclass
class Upload:
    """An image being received: a file, and the digest of what was written so far."""

    path: Path
    _hash: Any = field(default_factory=hashlib.sha256)
    size_bytes: int = 0

    def write(self, block: bytes) -> None:
        """Append a block."""
        self.size_bytes += len(block)
        if self.size_bytes > UPLOAD_MAX_BYTES:
            raise UnfitImageError(f"an image file has at most {UPLOAD_MAX_BYTES} bytes")
        self._hash.update(block)
        with self.path.open("ab") as file:
            file.write(block)

    @property
    def digest(self) -> str:
        """`sha256:…` of the bytes so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def drop(self) -> None:
        """Forget what was received."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


class ImageStore:
    """The store under `<data>/images`; one conversion at a time, so that the edge keeps a core."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._converting = threading.Lock()

    def clean(self) -> None:
        """At start: drop what a stopped edge left half done."""
        shutil.rmtree(self._folder / "incoming", ignore_errors=True)

    def begin(self) -> Upload:
        """A new upload in a folder of its own."""
        folder = self._folder / "incoming" / secrets.token_hex(8)
        folder.mkdir(parents=True)
        upload = Upload(folder / "image")
        upload.path.touch(mode=0o600)
        return upload

    def check(self, upload: Upload, *, declared: str, digest: str | None) -> Sniffed:
        """Digest first, then the header; UnfitImageError before any parser of others sees the bytes."""
        if digest is not None and upload.digest != digest:
            raise DigestError(f"expected {digest}, the bytes received are {upload.digest}")
        with upload.path.open("rb") as file:
            head = file.read(HEADER_BYTES)
        return sniff(head, file_bytes=upload.size_bytes, declared=declared)

    def convert(
        self, upload: Upload, sniffed: Sniffed, root: RootFilesystem, progress: Callable[[int], None]
    ) -> dict[str, Any]:
        """Convert a checked upload and put it in place; the columns of its row."""
        with self._converting:
            folder = upload.path.parent
            raw = upload.path
            if sniffed.format == "qcow2":
                qemu.check(upload.path)
                raw = folder / "raw"
                qemu.to_raw(upload.path, raw, virtual_bytes=sniffed.virtual_bytes)
            made = folder / "made"
            made.mkdir()
            packed = chunks.pack(raw, made, image_digest=upload.digest, progress=progress)
            info = _describe(raw, root)
            (made / "info.json").write_text(json.dumps(info, sort_keys=True))
            self._place(made, upload.digest.removeprefix("sha256:"))
        upload.drop()
        return {
            "digest": upload.digest,
            "format": sniffed.format,
            "manifest_sha256": packed.manifest_sha256,
            "size_bytes": sniffed.virtual_bytes,
            "blob_bytes": packed.blob_bytes,
            "info": info,
        }

    def _place(self, made: Path, name: str) -> None:
        target = self._folder / name
        if target.exists():
            target.replace(made.with_name("old"))
        made.replace(target)


def _describe(raw: Path, root: RootFilesystem) -> dict[str, Any]:
    size_bytes = raw.stat().st_size
    with raw.open("rb") as file:

        def read(offset: int, length: int) -> bytes:
            if offset >= size_bytes:  # a table may point anywhere, also where no file can seek to
                return b""
            file.seek(offset)
            return file.read(length)

        info = contents.describe(read, label=root.label, uuid=root.uuid, number=root.partition)
    start = info["root_start_bytes"]
    info["has_python3"] = (
        qemu.has_file(raw, start, "/usr/bin/python3")
        if start is not None and info["root_filesystem"] == "ext4"
        else None
    )
    return info
