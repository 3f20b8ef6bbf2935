"""The wheel: exactly our packages, with what they need at run time, and flows that run from it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"flows", "tasks", "specs", "pxe_edge", "metal", "bootos"}
RUN_DEADLINE_S = 180


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(argv, cwd=ROOT, capture_output=True, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_top_level_names_are_our_packages(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}

    assert {name for name in tops if not name.endswith(".dist-info")} == PACKAGES


def test_spec_files_are_data_of_a_site_and_stay_out(names: set[str]) -> None:
    assert {name for name in names if name.endswith((".yaml", ".yml")) or "/schema/" in name} == set()


def test_every_tracked_file_of_a_package_is_in_it(names: set[str]) -> None:
    """Migrations, the boot OS's overlay and recipe, the programs that a deployed system gets."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    site_data = ("specs/hosts/", "specs/profiles/", "specs/images/", "specs/sites/", "specs/schema/")
    needed = {
        name for name in listed.stdout.split() if not name.startswith(site_data) and (ROOT / name).is_file()
    }

    assert needed - names == set()
    assert {"pxe_edge/registry/migrations/env.py", "bootos/overlay/init", "bootos/rf_exec.py"} <= names


def installed(wheel: Path, folder: Path) -> Path:
    """An environment with the wheel and this one's dependencies, but not the clone; its Python."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    found = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    site_packages = Path(found.stdout.strip())
    zipfile.ZipFile(wheel).extractall(site_packages)
    # A .pth file that is reached through a .pth file is not read: the clone's editable install stays out.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.mark.prefect
@pytest.mark.timeout(RUN_DEADLINE_S + 60)
def test_a_deployed_flow_runs_from_the_wheel_in_an_empty_directory(wheel: Path, tmp_path: Path) -> None:
    """A whole site in a network and process namespace of its own: its ports are nobody else's."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare (util-linux)")
    python = installed(wheel, tmp_path / "venv")
    empty = tmp_path / "empty"
    empty.mkdir()
    alone = ("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
    up = ("sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "RACKFLOW"))}
    done = subprocess.run(
        [*alone, *up, python, "-P", ROOT / "tests" / "deployed_run.py", str(RUN_DEADLINE_S)],
        cwd=empty,
        env=env | {"RACKFLOW_DATA": str(tmp_path / "data"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_DEADLINE_S + 50,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["state"] == "COMPLETED"
    assert Path(told["code"]).is_relative_to(tmp_path / "venv")
    assert told["stopped"] == 0
    assert list(empty.iterdir()) == []
