"""The image store's rows: what each image is, and how far its conversion is."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.registry.errors import ConflictError, NotFoundError
from pxe_edge.registry.site_tables import ImageRow
from specs.records import ImageRecord

BUSY = ("receiving", "converting")


def get(session: Session, name: str) -> ImageRow:
    """An image by name; 404 otherwise."""
    row = session.get(ImageRow, name)
    if row is None:
        raise NotFoundError(
            f"no image {name} is in the store", code="image-missing", hint=f"rackflow image add {name}"
        )
    return row


def every(session: Session) -> list[ImageRow]:
    """All images, by name."""
    return list(session.scalars(select(ImageRow).order_by(ImageRow.name)))


def declare(session: Session, now: datetime, name: str) -> ImageRow:
    """The row of an image, made when new."""
    row = session.get(ImageRow, name)
    if row is None:
        row = ImageRow(name=name, state="declared", changed_at=now)
        session.add(row)
        session.flush()
    return row


def start(
    session: Session, now: datetime, name: str, *, total_bytes: int, replace: bool, digest: str | None
) -> ImageRow:
    """Begin to receive a blob; 409 while another is received, or when it would replace what is there."""
    row = declare(session, now, name)
    if row.state in BUSY:
        raise ConflictError(f"image {name} is {row.state}", code="image-busy", hint="wait for it")
    if row.state == "ready" and digest is not None and row.digest != digest and not replace:
        raise ConflictError(
            f"image {name} is {row.digest}, not {digest}",
            code="image-mismatch",
            hint="rackflow image add under another name",
        )
    row.state, row.error, row.done_bytes, row.total_bytes = "receiving", None, 0, total_bytes
    row.changed_at = now
    session.flush()
    return row


def progress(
    session: Session, now: datetime, name: str, state: str, done_bytes: int, total_bytes: int
) -> None:
    """Note how far it is."""
    row = get(session, name)
    row.state, row.done_bytes, row.total_bytes, row.changed_at = state, done_bytes, total_bytes, now
    session.flush()


def failed(session: Session, now: datetime, name: str, error: str) -> None:
    """Note that receiving or converting failed. The image that was there before stays usable."""
    row = get(session, name)
    row.state, row.error, row.changed_at = "ready" if row.manifest_sha256 else "failed", error, now
    session.flush()


def ready(session: Session, now: datetime, name: str, record: dict[str, Any]) -> None:
    """Note the converted image; `record` has the columns' names."""
    row = get(session, name)
    for key in ("digest", "format", "manifest_sha256", "size_bytes", "blob_bytes", "info"):
        setattr(row, key, record[key])
    row.state, row.error, row.changed_at = "ready", None, now
    row.done_bytes = row.total_bytes
    session.flush()


def interrupted(session: Session, now: datetime) -> None:
    """At start: what was being received or converted when the edge stopped has failed."""
    for row in session.scalars(select(ImageRow).where(ImageRow.state.in_(BUSY))):
        failed(session, now, row.name, "the edge was stopped meanwhile; add the image again")


def record(row: ImageRow, boot_url: str) -> ImageRecord | None:
    """The image as a plan uses it; None until it was converted once."""
    if row.digest is None or row.manifest_sha256 is None:
        return None
    return ImageRecord(
        name=row.name,
        digest=row.digest,
        manifest_sha256=row.manifest_sha256,
        manifest_url=f"{boot_url}/images/{row.digest.removeprefix('sha256:')}/manifest.json",
        size_bytes=row.size_bytes,
        blob_bytes=row.blob_bytes,
        format=row.format or "raw",
        info=row.info,
    )


def ready_record(session: Session, boot_url: str, name: str) -> ImageRecord | None:
    """The record of an image that is ready, by name."""
    row = session.get(ImageRow, name)
    return record(row, boot_url) if row is not None else None
