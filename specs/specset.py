"""The values between reading and linting: documents as loaded, a set as resolved."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from specs.model import Host, Image, Profile
from specs.records import Finding
from specs.site_model import Site
from specs.tree import Mark, Tree


@dataclass(frozen=True, slots=True)
class Loaded:
    """One document as read. `document` is None when it is wrong, or complete only with its Profiles."""

    kind: str
    name: str
    tree: Tree
    document: Host | Profile | Site | Image | None

    @property
    def file(self) -> str:
        """The file it came from."""
        return self.tree.mark.file


@dataclass(frozen=True, slots=True)
class LoadResult:
    """All documents of a set, what is wrong with them one by one, and the files that were read."""

    documents: tuple[Loaded, ...]
    findings: tuple[Finding, ...]
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Spec files and the files that a `source:` names: what publishing has to send."""


@dataclass(frozen=True, slots=True)
class SpecSet:
    """A set with Profiles merged into hosts. Documents that could not be read are left out."""

    site: Site | None
    hosts: Mapping[str, Host]
    images: Mapping[str, Image]
    findings: tuple[Finding, ...]
    trees: Mapping[tuple[str, str], Tree] = field(default_factory=dict, repr=False)
    """(kind, name) -> the merged tree, for the places of later findings."""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def where(self, kind: str, name: str, *path: str | int) -> Mark:
        """Where a field stands, or its nearest parent."""
        tree = self.trees.get((kind, name))
        return tree.nearest(*path).at if tree else Mark("", 1, 1, "")


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by place, each once: two hosts report the same line of their profile the same way."""
    unique = {(f.file, f.line, f.column, f.path, f.message): f for f in findings}
    return tuple(unique[key] for key in sorted(unique))
