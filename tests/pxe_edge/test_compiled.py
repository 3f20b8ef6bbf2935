"""The compiled packet path: what is loaded when, and that it answers as the interpreted one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pxe_edge import compiled

PROGRAM = Path(__file__).with_name("packet_answers.py")
PACKETS = 3000


def run(*argv: str, **env: str) -> list[str]:
    """A Python of its own, because a module is loaded once."""
    done = subprocess.run(
        [sys.executable, *argv], cwd=compiled.ROOT, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(compiled.ROOT)} | env,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_setup_has_compiled_every_module_of_the_packet_path() -> None:
    code = "import importlib; from pxe_edge import compiled; print(compiled.use())\n"
    code += "for name in compiled.MODULES: print(importlib.import_module(name).__file__)"
    told, *files = run("-c", code)
    assert told == "compiled"
    assert len(files) == len(compiled.MODULES)
    assert all(Path(file).is_relative_to(compiled.BUILT) and file.endswith(".so") for file in files)


@pytest.mark.parametrize("seed", [1, 2])
def test_compiled_and_interpreted_say_the_same_of_the_same_packets(seed: int) -> None:
    first, *fast = run(str(PROGRAM), str(seed), str(PACKETS))
    second, *slow = run(str(PROGRAM), str(seed), str(PACKETS), RACKFLOW_COMPILED="off")
    assert (first, second) == ("compiled", "interpreted: RACKFLOW_COMPILED=off")
    assert len(fast) == len(slow) == PACKETS
    assert fast == slow
    wanted = ("damaged", "Quiet", "'layer2'", "'unicast'", "'broadcast'")
    kinds = {word for line in fast for word in wanted if word in line}
    assert len(kinds) == len(wanted), "the packets no longer reach every kind of answer"


def test_a_build_of_other_sources_is_left_alone(tmp_path: Path) -> None:
    manifest = {"digest": "of other sources", "modules": {"pxe_edge.wire.dhcp": "nothing.so"}}
    (tmp_path / compiled.MANIFEST).write_text(json.dumps(manifest))
    before = list(sys.meta_path)
    assert "other sources" in compiled.use(tmp_path)
    assert sys.meta_path == before


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "not built"),
        ("{", "can't be read"),
        ("[]", "can't be read"),
        ('{"modules": []}', "can't be read"),
    ],
)
def test_what_is_no_build_is_named(tmp_path: Path, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / compiled.MANIFEST).write_text(content)
    assert why in compiled.use(tmp_path)


def test_a_module_that_was_imported_before_is_not_mixed_with_compiled_ones(tmp_path: Path) -> None:
    import pxe_edge.wire.dhcp  # noqa: F401, PLC0415 - that it is loaded is the point

    (tmp_path / compiled.MANIFEST).write_text(json.dumps({"digest": compiled.digest(), "modules": {}}))
    before = list(sys.meta_path)
    assert "was imported before" in compiled.use(tmp_path)
    assert sys.meta_path == before


def test_a_changed_source_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiled.digest()
    for name in compiled.MODULES:
        copy = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(compiled.source(name).read_bytes())
    monkeypatch.setattr(compiled, "ROOT", tmp_path)
    assert compiled.digest() == before
    compiled.source("pxe_edge.wire.forms").write_text("pass\n")
    assert compiled.digest() != before
