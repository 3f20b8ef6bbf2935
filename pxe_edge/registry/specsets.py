"""Spec sets: immutable, checked as a whole, kept under the digest of their files; one is current."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pxe_edge.registry import timeline
from pxe_edge.registry.announced import Announced, announced
from pxe_edge.registry.errors import ConflictError, InvalidError, NotFoundError
from pxe_edge.registry.site_tables import SpecSetRow
from specs.load import SpecSet, load_files, resolve
from specs.match import SpecIndex
from specs.model import Host
from specs.records import Finding, SpecSetRecord
from specs.site_model import Site

Given = Mapping[str, Any]
"""Path -> text, or {"base64": …} for what is no text."""


@dataclass(frozen=True)
class Current:
    """The current set, read: its site is always there, a set without one is never stored."""

    id: str
    specs: SpecSet
    site: Site

    @cached_property
    def named_by(self) -> Mapping[str, str]:
        """The addresses that host specs ask for by name, bound or not, and which spec does."""
        found = {}
        for name, host in self.specs.hosts.items():
            parts = (host.network.ethernets, host.network.bonds, host.network.vlans)
            wishes = [wish for part in parts for link in part.values() for wish in link.addresses]
            found.update(
                {str(wish.ip): name for wish in wishes if isinstance(wish, IPv4Interface | IPv6Interface)}
            )
            if host.bmc.address:
                found[str(host.bmc.address)] = name
        return found

    @cached_property
    def named_addresses(self) -> frozenset[str]:
        """The addresses that host specs ask for by name."""
        return frozenset(self.named_by)

    @cached_property
    def announced(self) -> Announced:
        """The machines that host specs name by MAC, UUID or serial."""
        return announced(self.specs.hosts)

    @cached_property
    def index(self) -> SpecIndex:
        """The host specs by the identity that they match."""
        return SpecIndex(self.specs.hosts)

    def spec(self, name: str | None) -> Host | None:
        """The host spec of this name, profiles merged."""
        return self.specs.hosts.get(name) if name is not None else None


class FindingsError(InvalidError):
    """A set that is refused, with all that is wrong with it."""

    default_code = "findings"

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(
            f"the spec set has {len(findings)} finding(s)",
            hint="rackflow spec check says the same without the edge",
        )
        self.findings = findings


def contents(given: Given) -> dict[str, bytes]:
    """The files as bytes; a malformed entry is refused with its path."""
    files = {}
    for path, value in given.items():
        if isinstance(value, str):
            files[path] = value.encode()
        else:
            try:
                files[path] = base64.b64decode(value["base64"], validate=True)
            except (TypeError, KeyError, ValueError, binascii.Error):
                raise InvalidError(f'{path}: expected text or {{"base64": …}}', code="specset") from None
    return files


def read_set(files: Mapping[str, bytes]) -> SpecSet:
    """Load and resolve a set; `findings` holds those of both steps, and that a Site is missing."""
    specs = resolve(load_files(dict(files)))
    if specs.site is None and not specs.findings:
        said = "the set has no Site document"
        missing = Finding(file="", line=1, path="kind", message=said, hint="add one of kind: Site")
        return replace(specs, findings=(missing,))
    return specs


def set_id(files: Mapping[str, bytes]) -> str:
    """The digest of a set's files: the same files are the same set, whatever commit they came from."""
    listing = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Checked:
    """A set without findings, ready to be stored."""

    id: str
    given: Given


def check(given: Given) -> Checked:
    """Read a set whole; FindingsError with everything that is wrong with it.

    Reading takes seconds for thousands of hosts, so it is done before the registry is locked: DHCP's
    leases wait for the same lock.
    """
    files = contents(given)
    specs = read_set(files)
    if specs.findings:
        raise FindingsError(specs.findings)
    return Checked(set_id(files), given)


def store(
    session: Session,
    now: datetime,
    checked: Checked,
    *,
    commit: str | None,
    author: str | None,
    dirty: bool,
    expected_current: str | None = None,
) -> SpecSetRow:
    """Keep a checked set; 409 when another one is current than was expected."""
    require_current(session, expected_current)
    there = session.get(SpecSetRow, checked.id)
    if there is not None:
        return there
    made = SpecSetRow(
        id=checked.id,
        commit=commit,
        author=author,
        dirty=dirty,
        created_at=now,
        files=dict(checked.given),
        findings=[],
    )
    session.add(made)
    session.flush()
    timeline.add(session, now, "specset", f"set {made.id} stored, commit {commit} by {author}")
    return made


def require_current(session: Session, expected: str | None, *, or_already: str | None = None) -> None:
    """409 unless the current set is the one that the publisher knew, or already the one that it wants."""
    row = current_row(session)
    if expected is None or row is None or row.id in (expected, or_already):
        return
    raise ConflictError(
        f"the current set is {row.id} ({row.commit}), not {expected}",
        code="version",
        hint="pull, merge, publish again; or --force",
    )


def current_row(session: Session) -> SpecSetRow | None:
    """The row of the current set."""
    return session.scalar(select(SpecSetRow).where(SpecSetRow.current))


def get(session: Session, set_name: str) -> SpecSetRow:
    """A set by id, or `current`; 404 otherwise."""
    row = current_row(session) if set_name == "current" else session.get(SpecSetRow, set_name)
    if row is None:
        raise NotFoundError(f"no spec set {set_name}", hint="rackflow spec publish")
    return row


def make_current(session: Session, now: datetime, set_name: str) -> SpecSetRow:
    """Make a stored set the current one."""
    row = get(session, set_name)
    session.execute(update(SpecSetRow).values(current=False))
    row.current = True
    session.flush()
    timeline.add(session, now, "specset", f"set {row.id} is current")
    return row


def read_current(row: SpecSetRow) -> Current:
    """A stored set as a value; it was checked when it was stored."""
    specs = read_set(contents(row.files))
    if specs.site is None:
        raise InvalidError(
            f"the stored set {row.id} has no Site any more: its rules have changed", code="specset"
        )
    return Current(row.id, specs, specs.site)


def record(row: SpecSetRow, *, files: bool = True) -> SpecSetRecord:
    """A set as REST carries it; a file that is no text is given as a data URL."""
    shown = {
        path: value if isinstance(value, str) else f"data:application/octet-stream;base64,{value['base64']}"
        for path, value in row.files.items()
    }
    return SpecSetRecord(
        id=row.id,
        commit=row.commit,
        author=row.author,
        dirty=row.dirty,
        created_at=row.created_at,
        current=row.current,
        findings=tuple(Finding.model_validate(f) for f in row.findings),
        files=shown if files else {},
    )
