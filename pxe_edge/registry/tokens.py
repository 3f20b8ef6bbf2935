"""API tokens: made at first start, kept as hashes, compared by hash."""

import secrets
from datetime import datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import delete
from sqlalchemy.orm import Session

from pxe_edge.registry.sealing import digest, write_private
from pxe_edge.registry.site_tables import TokenRow

Scope = Literal["admin", "worker", "console"]
FIRST_TOKENS: tuple[Scope, ...] = ("admin", "worker", "console")


def ensure_files(session: Session, now: datetime, folder: Path) -> None:
    """Make the first tokens' files, and let the table agree with the files.

    The file counts: an operator who replaces it has changed the token.
    """
    for scope in FIRST_TOKENS:
        path = folder / scope
        if not path.exists():
            write_private(path, f"{secrets.token_urlsafe(32)}\n".encode())
        hashed = digest(path.read_text().strip())
        there = session.get(TokenRow, hashed)
        if there is None:
            session.execute(delete(TokenRow).where(TokenRow.name == scope))
            session.add(TokenRow(token_hash=hashed, name=scope, scope=scope, created_at=now))
    session.flush()


def scope_of(session: Session, token: str) -> Scope | None:
    """The scope of a token, or None for a stranger's."""
    row = session.get(TokenRow, digest(token))
    if row is None:
        return None
    scope: Scope = row.scope  # type: ignore[assignment]  # written from a Scope
    return scope
