"""What the builder decides before it runs anything: sources, commands, host checks, what is there."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from lab.image import apt, build, rootfs
from lab.image.recipe import Recipe
from lab.image.steps import BuildError, Steps, missing_packages

RECIPE = Recipe()


def test_sources_are_the_suites_own_and_nobody_elses() -> None:
    targets = [
        "http://mirror.test/debian/ bookworm main",
        "http://mirror.test/debian/ bookworm contrib",
        "http://mirror.test/debian/ trixie main",
        "http://security.test/debian-security/ bookworm-security main",
        "http://vendor.test/repo/ nodistro main",
        "garbage",
    ]
    assert apt.source_lines(targets, "bookworm") == [
        "deb http://mirror.test/debian/ bookworm main",
        "deb http://security.test/debian-security/ bookworm-security main",
    ]


def test_a_host_without_the_suite_is_told_what_to_do() -> None:
    with pytest.raises(BuildError, match="apt-get update"):
        apt.source_lines(["http://mirror.test/debian/ trixie main"], "bookworm")


def test_the_proxy_is_forwarded_and_the_rest_is_not() -> None:
    dump = [
        'Acquire::http::Proxy "http://proxy.test:3128";',
        'Dir::Etc "etc/apt";',
        'APT::Sandbox::User "_apt";',
    ]
    assert apt.forwarded_settings(dump) == dump[:1]


@pytest.mark.parametrize(("as_root", "mode"), [(True, "--mode=root"), (False, "--mode=unshare")])
def test_mmdebstrap_runs_in_the_callers_mode(as_root: bool, mode: str) -> None:  # noqa: FBT001
    argv = rootfs.mmdebstrap_argv(RECIPE, Path("/data/part"), as_root=as_root)
    assert mode in argv
    assert argv[-3:] == ["bookworm", "/data/part/root.tar", "/data/part/sources.list"]


@pytest.mark.parametrize(
    ("table", "enough"),
    [
        ("ann:100000:65536\n", True),
        ("1000:100000:65536\n", True),
        ("ann:100000:1000\n", False),
        ("bob:100000:65536\n", False),
        ("ann:100000\nann::\n", False),
        ("", False),
    ],
)
def test_subordinate_ids_are_read_as_subuid_5_says(table: str, enough: bool) -> None:  # noqa: FBT001
    assert build.has_subordinate_ids(table, ("ann", "1000")) is enough


def test_a_missing_program_is_named_by_its_package() -> None:
    assert missing_packages({"sh": "dash", "no-such-program-here": "some-package"}) == ["some-package"]


def _laid_image(folder: Path, key: str) -> Path:
    """Lay a file and its facts as a finished build leaves them."""
    output = folder / "demo.qcow2"
    output.write_bytes(b"image")
    facts = build.ImageFacts(
        path=str(output),
        digest=f"sha256:{hashlib.sha256(b'image').hexdigest()}",
        size_bytes=5,
        virtual_size_bytes=5,
        root_filesystem=build.RootFilesystem("root", RECIPE.root_uuid),
        packages={"mdadm": "4.2-5"},
        recipe=key,
    )
    output.with_suffix(".json").write_text(json.dumps(asdict(facts)))
    return output


def test_an_unchanged_image_is_taken_as_it_is(tmp_path: Path) -> None:
    facts = build._present(_laid_image(tmp_path, "k1"), "k1")
    assert facts is not None
    assert facts.root_filesystem.uuid == RECIPE.root_uuid


@pytest.mark.parametrize(
    "damage", ["other recipe", "other bytes", "no json", "broken json", "json of another shape"]
)
def test_anything_else_is_built_anew(tmp_path: Path, damage: str) -> None:
    output = _laid_image(tmp_path, "k1")
    described = output.with_suffix(".json")
    match damage:
        case "other bytes":
            output.write_bytes(b"imagE")
        case "no json":
            described.unlink()
        case "broken json":
            described.write_text("{")
        case "json of another shape":
            described.write_text('{"path": 1}')
    assert build._present(output, "k2" if damage == "other recipe" else "k1") is None


def test_a_failing_step_shows_its_last_words_and_the_log(tmp_path: Path) -> None:
    steps = Steps.start(tmp_path)
    with pytest.raises(BuildError, match=r"(?s)sh ended with 3.*build\.log.*out of luck"):
        steps.run(["sh", "-c", "echo out of luck; exit 3"], timeout_s=10)


def test_a_step_has_a_deadline(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="not done after 0 s"):
        Steps.start(tmp_path).run(["sleep", "60"], timeout_s=0.2)


def test_two_builders_do_not_share_a_cache(tmp_path: Path) -> None:
    with build._locked(tmp_path), pytest.raises(BuildError, match="another build"), build._locked(tmp_path):
        pass
