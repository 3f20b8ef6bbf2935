"""What `apply` publishes before it starts: a clean clone's newer commit, if nobody else is changed by it."""

from pathlib import Path

from metal.cli.output import say
from metal.cli.specs_command import descends, git, publish_tree, read_files
from metal.edge_client import EdgeClient
from metal.edge_client.wire import NotKnown
from metal.errors import SpecError
from specs.load import load_files, resolve
from specs.records import SpecSetRecord


def publish_for_apply(edge: EdgeClient, path: Path, names: set[str], *, all_: bool) -> None:
    """Publish HEAD when the clone is clean and ahead of the current set; else leave the current set.

    `apply NAME` never changes other hosts: raises SpecError listing them.
    """
    commit = git(path, "rev-parse", "HEAD") if path.is_dir() else None
    if commit is None or git(path, "status", "--porcelain", "--", "."):
        return
    try:
        current = edge.specset("current")
    except NotKnown:
        return
    if current.commit == commit or not descends(path, current.commit, commit):
        return
    others = changed_hosts(current, read_files(path)) - names
    if others and not all_:
        raise SpecError(
            f"commit {commit[:12]} also changes {', '.join(sorted(others))}",
            hint="publish it (rackflow spec publish), or apply --all",
        )
    stored = publish_tree(edge, path, dirty=False, force=False)
    say(f"published commit {commit[:12]} as spec set {stored.id[:12]}")


def changed_hosts(current: SpecSetRecord, files: dict[str, str | dict[str, str]]) -> set[str]:
    """Names of hosts whose resolved spec differs between the current set and these files."""
    texts = {name: text for name, text in files.items() if isinstance(text, str)}
    before = resolve(load_files(current.files)).hosts
    after = resolve(load_files(texts)).hosts
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
