"""`spec check`, `spec publish`: findings for people and CI, and making a commit the site's current set."""

import base64
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from metal.cli.groups import new_group
from metal.cli.output import EXIT_DONE, EXIT_USAGE, line, say, show_json
from metal.edge_client import EdgeClient
from metal.edge_client.wire import NotKnown
from metal.errors import SpecError
from specs.load import load_tree, resolve
from specs.records import Finding, SpecSetRecord

group = new_group("Spec files: check them, make a commit current.")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def default_tree() -> Path:
    """The spec folder: `specs/` of the working tree."""
    return Path("specs")


@group.command()
def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Folders or files; default specs/.")] = None,
    *,
    json: Json = False,
) -> None:
    """Show every finding with file, line and fix; exit 2 when there is one."""
    found: list[Finding] = []
    documents = 0
    for path in paths or [default_tree()]:
        if not path.exists():
            raise SpecError(
                f"no such file or folder: {path}", hint="run in the clone, or name the spec folder"
            )
        loaded = load_tree(path)
        documents += len(loaded.documents)
        found += resolve(loaded).findings
    if json:
        show_json({"documents": documents, "findings": [f.model_dump(mode="json") for f in found]})
    else:
        for finding in found:
            line(str(finding))
        say(f"{documents} documents, {len(found)} findings")
    raise typer.Exit(EXIT_USAGE if found else EXIT_DONE)


@group.command()
def publish(
    path: Annotated[Path | None, typer.Argument(help="The spec folder; default specs/.")] = None,
    *,
    dirty: Annotated[bool, typer.Option("--dirty", help="Publish uncommitted files; recorded so.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also when the current set is no ancestor.")] = False,
    json: Json = False,
) -> None:
    """Make a clean commit the site's current spec set."""
    with EdgeClient() as edge:
        stored = publish_tree(edge, path or default_tree(), dirty=dirty, force=force)
    if json:
        show_json(stored.model_dump(mode="json", exclude={"files"}))
    else:
        say(f"spec set {stored.id[:12]} is current (commit {stored.commit or 'none'})")


def publish_tree(edge: EdgeClient, path: Path, *, dirty: bool, force: bool) -> SpecSetRecord:
    """Read a folder and publish it; raises SpecError for a dirty tree, InvalidSpecs with findings."""
    files = read_files(path)
    commit = git(path, "rev-parse", "HEAD")
    changed = git(path, "status", "--porcelain", "--", ".")
    if (commit is None or changed) and not dirty:
        what = "is not in a git commit" if commit is None else "has uncommitted changes"
        raise SpecError(f"{path} {what}", hint="commit them, or publish with --dirty")
    try:
        current: SpecSetRecord | None = edge.specset("current")
    except NotKnown:
        current = None
    if current is not None and not force and not descends(path, current.commit, commit):
        raise SpecError(
            f"the current set's commit {current.commit} is no ancestor of {commit}",
            hint="pull and rebase, or publish with --force",
        )
    return edge.publish(
        files,
        commit=commit,
        author=git(path, "log", "-1", "--format=%an <%ae>") or None,
        dirty=bool(changed) or commit is None,
        expected_current=current.id if current else None,
        force=force,
    )


def descends(path: Path, ancestor: str | None, commit: str | None) -> bool:
    """Whether `commit` contains `ancestor`; a set without a commit has no descendants to lose."""
    if ancestor is None or commit is None or ancestor == commit:
        return True
    done = subprocess.run(
        ["git", "-C", str(path), "merge-base", "--is-ancestor", ancestor, commit],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def read_files(path: Path) -> dict[str, str | dict[str, str]]:
    """What a set sends: spec files and the files that they name as a source; binary ones as base64."""
    if not path.is_dir():
        raise SpecError(f"no spec folder {path}", hint="run in the clone, or name the folder")
    return {name: as_text(content) for name, content in load_tree(path).files.items()}


def as_text(content: bytes) -> str | dict[str, str]:
    """Text as it is, anything else as base64."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def git(path: Path, *argv: str) -> str | None:
    """Output of a git command in the folder; None outside of a repository."""
    done = subprocess.run(["git", "-C", str(path), *argv], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
