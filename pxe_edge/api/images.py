"""The image store over REST: declare, stream in, follow the conversion."""

import logging
import threading
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from pxe_edge.api import bodies as b
from pxe_edge.api.access import Admin, Anybody, Reg
from pxe_edge.images.formats import Sniffed, UnfitImageError
from pxe_edge.images.store import DigestError, ImageStore, Upload
from pxe_edge.registry import images
from pxe_edge.registry.errors import InvalidError
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.site_tables import ImageRow
from specs.model import Digest, RootFilesystem
from specs.records import ImageRecord
from specs.shapes import Name

router = APIRouter(prefix="/v1/images", tags=["images"])
log = logging.getLogger("edge.images")
BLOCK_BYTES = 4 << 20


def store_of(request: Request) -> ImageStore:
    """The store that the application was made with."""
    store: ImageStore = request.app.state.images
    return store


def _state(registry: Registry, row: ImageRow) -> dict[str, Any]:
    record = images.record(row, registry.boot_url)
    known = record.model_dump(mode="json") if record else {"name": row.name, "digest": row.digest}
    progress = {"done_bytes": row.done_bytes, "total_bytes": row.total_bytes}
    return {**known, "state": row.state, "error": row.error, **progress}


@router.get("")
def list_images(registry: Reg, _: Anybody) -> b.Page[ImageRecord]:
    """Images that can be written to disks."""
    with registry.db.read() as session:
        records = [images.record(row, registry.boot_url) for row in images.every(session)]
    return b.Page(items=[record for record in records if record is not None])


@router.get("/{name}")
def get_image(name: Name, registry: Reg, _: Anybody) -> dict[str, Any]:
    """An image, and how far its conversion is."""
    with registry.db.read() as session:
        return _state(registry, images.get(session, name))


@router.post("", status_code=201)
def declare_image(body: b.ImageBody, registry: Reg, _: Admin) -> dict[str, Any]:
    """Declare an image before its bytes come."""
    with registry.db.write() as session:
        return _state(registry, images.declare(session, registry.now(), body.name))


@router.put("/{name}/blob", status_code=202)
async def put_blob(
    name: Name,
    request: Request,
    registry: Reg,
    _: Admin,
    declared: Annotated[Literal["qcow2", "raw"], Query(alias="format")] = "qcow2",
    digest: Digest | None = None,
    replace: bool = False,  # noqa: FBT001, FBT002 - a query parameter
) -> dict[str, Any]:
    """Stream an image in: refused at once by digest or header, converted behind the answer."""
    store = store_of(request)
    wanted = _wanted_digest(registry, name, digest)
    told = request.headers.get("content-length", "0")
    total = int(told) if told.isdigit() else 0
    await run_in_threadpool(_start, registry, name, total, wanted, replace=replace)
    upload = await run_in_threadpool(store.begin)
    try:
        await _receive(request, upload, registry, name, total)
        sniffed = await run_in_threadpool(store.check, upload, declared=declared, digest=wanted)
    except (UnfitImageError, ClientDisconnect, OSError) as error:
        said = str(error) or "the sender went away"
        upload.drop()
        await run_in_threadpool(_failed, registry, name, said)
        code = "image-mismatch" if isinstance(error, DigestError) else "image-unfit"
        raise InvalidError(
            f"image {name}: {said}", code=code, hint="correct the file or the Image document"
        ) from error
    root = _root(registry, name)
    threading.Thread(
        target=_convert,
        args=(registry, store, name, upload, sniffed, root),
        name=f"image-{name}",
        daemon=True,
    ).start()
    return {"name": name, "state": "converting", "digest": upload.digest}


def _wanted_digest(registry: Registry, name: str, given: str | None) -> str | None:
    declared = registry.current.specs.images.get(name) if registry.current else None
    wanted = declared.digest if declared else None
    if given is not None and wanted is not None and given != wanted:
        raise InvalidError(f"the Image document says {wanted}, not {given}", code="image-mismatch", host=name)
    return given or wanted


def _root(registry: Registry, name: str) -> RootFilesystem:
    declared = registry.current.specs.images.get(name) if registry.current else None
    return declared.os.root_filesystem if declared else RootFilesystem(label="root")


def _start(registry: Registry, name: str, total: int, digest: str | None, *, replace: bool) -> None:
    with registry.db.write() as session:
        images.start(session, registry.now(), name, total_bytes=total, replace=replace, digest=digest)


async def _receive(request: Request, upload: Upload, registry: Registry, name: str, total: int) -> None:
    block = bytearray()
    async for part in request.stream():
        block += part
        if len(block) >= BLOCK_BYTES:
            await run_in_threadpool(upload.write, bytes(block))
            await run_in_threadpool(_progress, registry, name, "receiving", upload.size_bytes, total)
            block.clear()
    await run_in_threadpool(upload.write, bytes(block))


def _progress(registry: Registry, name: str, state: str, done: int, total: int) -> None:
    with registry.db.write() as session:
        images.progress(session, registry.now(), name, state, done, total)


def _failed(registry: Registry, name: str, error: str) -> None:
    log.warning("event=image-refused image=%s error=%s", name, error)
    with registry.db.write() as session:
        images.failed(session, registry.now(), name, error)


def _convert(
    registry: Registry, store: ImageStore, name: str, upload: Upload, sniffed: Sniffed, root: RootFilesystem
) -> None:
    noted = registry.now()

    def progress(done: int) -> None:
        nonlocal noted
        if (registry.now() - noted).total_seconds() >= 1:
            noted = registry.now()
            _progress(registry, name, "converting", done, sniffed.virtual_bytes)

    try:
        _progress(registry, name, "converting", 0, sniffed.virtual_bytes)
        made = store.convert(upload, sniffed, root, progress)
        with registry.db.write() as session:
            images.ready(session, registry.now(), name, made)
        log.info(
            "event=image-ready image=%s digest=%s blob_bytes=%s", name, made["digest"], made["blob_bytes"]
        )
    except (UnfitImageError, OSError) as error:
        upload.drop()
        _failed(registry, name, str(error))
    except Exception as error:
        # The bytes are a stranger's: whatever they upset, the image must not stay "converting" for ever.
        log.exception("event=image-failed image=%s", name)
        upload.drop()
        _failed(registry, name, f"{type(error).__name__} while converting; see the edge's log")
