"""The spec's files: content from the spec set or from a secret, mode and owner."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metal.drivers.guest.document import Document, GuestFile
from metal.drivers.guest.facts import Secrets, decoded, sha256_of
from metal.errors import Refused
from specs.facts import FileFact, SystemFacts


@dataclass(frozen=True, slots=True)
class FileWish:
    """One file of a step: `content` or the reference of a secret."""

    path: str
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"
    content: bytes | None = field(default=None, repr=False)
    secret: str | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "FileWish":
        """Take a step's file."""
        content = value.get("content_b64")
        return cls(
            path=str(value["path"]),
            mode=str(value.get("mode") or "0644"),
            owner=str(value.get("owner") or "root"),
            group=str(value.get("group") or "root"),
            content=None if content is None else decoded(str(content)),
            secret=value.get("secret"),
        )


def differences(facts: SystemFacts, wishes: tuple[FileWish, ...]) -> tuple[str, ...]:
    """Say what differs, never a content."""
    by_path = {file.path: file for file in facts.files}
    return tuple(line for wish in wishes for line in _file_differences(by_path.get(wish.path), wish))


def document(facts: SystemFacts, wishes: tuple[FileWish, ...], secrets: Secrets) -> Document:
    """Write the files that differ. Raises Refused when a file's secret is not at hand."""
    by_path = {file.path: file for file in facts.files}
    changed = tuple(wish for wish in wishes if _file_differences(by_path.get(wish.path), wish))
    return Document(
        says=f"write {', '.join(wish.path for wish in changed) or 'no file'}",
        files=tuple(
            GuestFile(wish.path, _content(wish, secrets), wish.mode, wish.owner, wish.group)
            for wish in changed
        ),
    )


def _file_differences(found: FileFact | None, wish: FileWish) -> tuple[str, ...]:
    if found is None:
        return (f"{wish.path} is missing",)
    lines = []
    if wish.secret is not None:
        if not found.matches.get(wish.secret, False):
            lines.append(f"{wish.path} holds something else than {wish.secret}")
    elif found.sha256 != sha256_of(wish.content or b""):
        lines.append(f"{wish.path} has other content")
    if found.mode is None or int(found.mode, 8) != int(wish.mode, 8):
        lines.append(f"{wish.path}: mode is {found.mode}, wanted {wish.mode}")
    if (found.owner, found.group) != (wish.owner, wish.group):
        lines.append(f"{wish.path} belongs to {found.owner}:{found.group}, wanted {wish.owner}:{wish.group}")
    return tuple(lines)


def _content(wish: FileWish, secrets: Secrets) -> bytes:
    if wish.secret is None:
        return wish.content or b""
    secret = secrets.get(wish.secret)
    if secret is None:
        raise Refused(
            f"{wish.path} holds {wish.secret}, which is not the current version",
            reason="secret-missing",
            hint="plan again: the secret was changed after the plan was made",
        )
    return secret.value.encode()
