"""Spec files to documents, and documents to a resolved set; every finding at once, with file and line.

`load_tree` is the only I/O of this package. Everything else works on a mapping of file names to bytes,
because the edge checks sets that arrive over HTTP exactly as `rackflow spec check` checks a folder.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from specs.explain import explain, suggestion
from specs.lint import lint
from specs.model import Document, Host, Image, Profile
from specs.profiles import extended
from specs.records import Finding
from specs.site_model import Site
from specs.specset import Loaded, LoadResult, SpecSet, ordered
from specs.tree import MAX_FILE_BYTES, Mark, Tree, parse

__all__ = [
    "KINDS",
    "LoadResult",
    "Loaded",
    "SpecSet",
    "json_schema",
    "load_files",
    "load_tree",
    "ordered",
    "resolve",
]

SUFFIXES: Final = (".yaml", ".yml")
MAX_FILES: Final = 10_000
KINDS: Final[dict[str, type[Host | Profile | Site | Image]]] = {
    "Host": Host,
    "Profile": Profile,
    "Site": Site,
    "Image": Image,
}


def load_files(files: Mapping[str, str | bytes]) -> LoadResult:
    """Read a set given as file names and contents. Files other than YAML are only kept as sources."""
    raw = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    documents: list[Loaded] = []
    findings: list[Finding] = []
    for name in sorted(raw):
        if name.endswith(SUFFIXES):
            parsed = parse(name, raw[name])
            findings += parsed.findings
            for tree in parsed.trees:
                loaded = _document(tree, findings)
                documents += [loaded] if loaded else []
    # A YAML file that a host only copies to its disk is content, not a spec.
    sources = _sources(documents)
    return LoadResult(
        documents=tuple(one for one in documents if one.file not in sources),
        findings=ordered(one for one in findings if one.file not in sources),
        files=raw,
    )


def load_tree(path: Path) -> LoadResult:
    """Read a folder, or one file: all YAML below it, and the files inside it that a `source:` names."""
    root = path if path.is_dir() else path.parent
    try:
        names = _spec_files(root) if path.is_dir() else [path.name]
        files: dict[str, bytes] = {name: _read(root / name) for name in names}
        sources = _sources(load_files(files).documents) - files.keys()
        files |= {name: _read(root / name) for name in sorted(sources) if _inside(root, name)}
    except OSError as error:
        at = Mark(str(error.filename or path), 1, 1, "")
        return LoadResult(
            (), (at.finding(f"cannot be read: {error.strerror}", "check the path and its rights"),)
        )
    result = load_files(files)
    if not names:
        at = Mark(str(path), 1, 1, "")
        nothing = at.finding("no *.yaml or *.yml file is here", "give the folder that holds the specs")
        return LoadResult((), (nothing,))
    return result


def resolve(result: LoadResult | Iterable[Loaded]) -> SpecSet:
    """Merge Profiles into hosts, index the set, lint it: all findings of all stages at once.

    Given documents alone, without their LoadResult, what depends on the set's other files is not judged.
    """
    loaded = result if isinstance(result, LoadResult) else LoadResult(tuple(result), ())
    findings = [*loaded.findings, *_duplicates(loaded.documents)]
    trees = {(one.kind, one.name): one.tree for one in reversed(loaded.documents)}
    profiles = {name: tree for (kind, name), tree in trees.items() if kind == "Profile"}
    for name in sorted(profiles):
        findings += extended(profiles[name], profiles)[1]
    hosts: dict[str, Host] = {}
    for name in sorted(name for kind, name in trees if kind == "Host"):
        merged, wrong = extended(trees["Host", name], profiles)
        trees["Host", name] = merged
        host, errors = _validate(Host, merged, partial=False)
        # What an unknown Profile would have given is not reported as missing beside it.
        findings += [*wrong, *([] if wrong else errors)]
        if isinstance(host, Host) and not wrong:
            hosts[name] = host
    sites = [one.document for one in loaded.documents if isinstance(one.document, Site)]
    images = {one.name: one.document for one in loaded.documents if isinstance(one.document, Image)}
    specs = SpecSet(
        site=sites[0] if sites else None,
        hosts=hosts,
        images=dict(sorted(images.items())),
        findings=(),
        trees=trees,
        files=loaded.files,
    )
    return replace(specs, findings=ordered([*findings, *lint(specs)]))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of one document, for editors; `kind` is required so that they know which."""
    schema: dict[str, Any] = TypeAdapter[Any](Document).json_schema(by_alias=True)
    for kind in KINDS:
        shape = schema["$defs"][kind]
        shape["required"] = ["kind", *(name for name in shape.get("required", []) if name != "kind")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rackflow spec document",
        **schema,
    }


def _document(tree: Tree, findings: list[Finding]) -> Loaded | None:
    if not isinstance(tree.value, dict):
        findings.append(tree.mark.finding("expected a document with kind and metadata", "write kind: Host"))
        return None
    kind = tree.get("kind")
    if kind is None or kind.value not in KINDS:
        got = f"got {kind.value!r}" if kind else "it is missing"
        hint = suggestion(kind.value, KINDS) if kind else "write kind: Host"
        place = kind.at if kind else tree.mark
        message = f"expected one of {', '.join(KINDS)}; {got}"
        findings.append(place.finding(message, hint, path="kind"))
        return None
    name = tree.get("metadata", "name")
    partial = kind.value == "Profile" or (kind.value == "Host" and tree.get("extends") is not None)
    document, wrong = _validate(KINDS[str(kind.value)], tree, partial=partial)
    findings += wrong
    if name is None or not isinstance(name.value, str):
        return None
    return Loaded(str(kind.value), name.value, tree, document)


def _validate(
    model: type[Host | Profile | Site | Image], tree: Tree, *, partial: bool
) -> tuple[Host | Profile | Site | Image | None, list[Finding]]:
    try:
        return model.model_validate(tree.plain()), []
    except ValidationError as error:
        return None, explain(model, tree, error, partial=partial)


def _duplicates(documents: Iterable[Loaded]) -> Iterable[Finding]:
    first: dict[tuple[str, str], Loaded] = {}
    for one in documents:
        before = first.setdefault((one.kind, one.name), one)
        if before is not one:
            at = one.tree.nearest("metadata", "name").at
            told = f"{before.file}:{before.tree.nearest('metadata', 'name').at.line}"
            yield at.finding(f"a second {one.kind} called {one.name!r}; the first is in {told}", "rename one")
        elif one.kind == "Site" and len([key for key in first if key[0] == "Site"]) > 1:
            yield one.tree.nearest("kind").at.finding("a second Site; a set has one", "keep one Site")


def _sources(documents: Iterable[Loaded]) -> set[str]:
    found: set[str] = set()
    for one in documents:
        listed = one.tree.get("files")
        for item in listed.value if listed and isinstance(listed.value, list) else []:
            source = item.get("source")
            if source and isinstance(source.value, str):
                found.add(source.value)
    return found


def _spec_files(root: Path) -> list[str]:
    names = []
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix in SUFFIXES and not hidden and path.is_file() and _inside(root, relative.as_posix()):
            names.append(relative.as_posix())
        if len(names) > MAX_FILES:
            break
    return sorted(names)


def _inside(root: Path, name: str) -> bool:
    """Whether a name stays in the folder, links resolved: a set must not carry the checker's other files."""
    if PurePosixPath(name).is_absolute() or not (root / name).is_file():
        return False
    return (root / name).resolve().is_relative_to(root.resolve())


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)
