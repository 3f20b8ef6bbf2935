"""What is to be changed in a deployed system, as one value, and the one command that carries it out."""

import base64
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from metal.protocols import Command

LOADER: Final = (
    "import sys,json;d=json.load(sys.stdin);"
    "exec(compile(d.pop('program'),'rackflow','exec'),{'document':d,'__name__':'rackflow'})"
)
"""Takes program and document from stdin, so that argv stays short and holds nothing secret."""

PYTHON: Final = ("python3", "-I", "-S", "-c", LOADER)
"""-S leaves out site-packages: a third of the interpreter's start."""


@cache
def program(name: str, package: str = "metal.drivers.guest") -> str:
    """Give the text of a program that runs in the machine."""
    return (files(package) / f"{name}.py").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class GuestFile:
    """A file to be written as it is."""

    path: str
    data: bytes = field(repr=False)
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True, slots=True)
class Account:
    """An account to be made or adjusted; None leaves its keys or its password alone."""

    name: str
    login_shell: str = "/bin/bash"
    keys: tuple[str, ...] | None = None
    password_hash: str | None = field(default=None, repr=False)
    home_stays: bool = False
    """Whether its home may be there from an earlier system: then it becomes this account's."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file of the boot OS to be put into the root."""

    source: str
    path: str
    mode: str = "0755"
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Document:
    """One operation's changes; `run` are commands of the running system, left out in a mounted root."""

    says: str
    accounts: tuple[Account, ...] = ()
    folders: tuple[str, ...] = ()
    files: tuple[GuestFile, ...] = ()
    copies: tuple[Copy, ...] = ()
    links: tuple[Link, ...] = ()
    remove: tuple[str, ...] = ()
    run: tuple[tuple[str, ...], ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (
            self.accounts
            or self.folders
            or self.files
            or self.copies
            or self.links
            or self.remove
            or self.run
        )

    def command(self, root: str) -> Command:
        """Give the one command that does all of it under `root`."""
        body: dict[str, Any] = {
            "program": program("agent"),
            "root": root,
            "accounts": [asdict(account) for account in self.accounts],
            "folders": list(self.folders),
            "files": [
                {key: value for key, value in asdict(file).items() if key != "data"}
                | {"data": base64.b64encode(file.data).decode()}
                for file in self.files
            ],
            "copies": [asdict(copy) for copy in self.copies],
            "links": [asdict(link) for link in self.links],
            "remove": list(self.remove),
            "run": [list(argv) for argv in self.run] if root == "/" else [],
        }
        return Command(argv=PYTHON, says=self.says, stdin=json.dumps(body).encode())


def commands(document: Document, root: str) -> tuple[Command, ...]:
    """Give the commands of a document: one, or none when it is empty."""
    return () if document.empty else (document.command(root),)


def joined(says: str, documents: Iterable[Document]) -> Document:
    """Give one document that does what several say, in their order."""
    parts = tuple(documents)
    return Document(
        says=says,
        accounts=tuple(a for d in parts for a in d.accounts),
        folders=tuple(f for d in parts for f in d.folders),
        files=tuple(f for d in parts for f in d.files),
        copies=tuple(c for d in parts for c in d.copies),
        links=tuple(link for d in parts for link in d.links),
        remove=tuple(r for d in parts for r in d.remove),
        run=tuple(r for d in parts for r in d.run),
    )
