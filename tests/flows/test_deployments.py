"""`prefect.yaml` and the table of deployments say the same, and flows keep their form."""

import ast
import importlib
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient

from flows.deployments import DEPLOYMENTS, pool_name
from flows.registration import flow_at, pool, register
from metal.cli.up.parts import SiteRun

ROOT = Path(__file__).parents[2]
SCREEN_LINES = 60
RECIPES = sorted((ROOT / "flows").glob("*.py"))


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    return loaded


class FakePrefect:
    """Keeps what is registered."""

    def __init__(self) -> None:
        self.deployments: list[dict[str, Any]] = []
        self.pools: list[Any] = []

    def create_work_pool(self, made: Any, *, overwrite: bool) -> None:
        assert overwrite, "a second start must not fail on what the first made"
        self.pools.append(made)

    def create_flow_from_name(self, name: str) -> str:
        return name

    def create_deployment(self, **made: Any) -> None:
        self.deployments.append(made)


@pytest.fixture
def registered(tmp_path: Path) -> list[dict[str, Any]]:
    fake = FakePrefect()
    register(cast("SyncPrefectClient", fake), "default", tmp_path)
    return fake.deployments


def test_prefect_yaml_says_what_registration_sends(
    committed: dict[str, Any], registered: list[dict[str, Any]]
) -> None:
    sent = [
        {
            "name": one["name"],
            "entrypoint": one["entrypoint"],
            "description": one["description"],
            "tags": one["tags"],
            "pool": one["work_pool_name"],
            "limit": one["concurrency_limit"],
            "strategy": one["concurrency_options"] and one["concurrency_options"].collision_strategy.value,
            "cron": [(s.schedule.cron, s.schedule.timezone, s.slug) for s in one["schedules"] or ()],
        }
        for one in registered
    ]
    written = [
        {
            "name": one["name"],
            "entrypoint": one["entrypoint"],
            "description": one["description"],
            "tags": one["tags"],
            "pool": one["work_pool"]["name"],
            "limit": one.get("concurrency_limit", {}).get("limit"),
            "strategy": one.get("concurrency_limit", {}).get("collision_strategy"),
            "cron": [(s["cron"], s["timezone"], s["slug"]) for s in one.get("schedules", ())],
        }
        for one in committed["deployments"]
    ]

    assert sent == written


def test_runs_start_one_interpreter_in_both(committed: dict[str, Any]) -> None:
    command = committed["definitions"]["pool"]["job_variables"]["command"]

    assert command == "python -m prefect.engine"
    default = pool("default").base_job_template["variables"]["properties"]["command"]["default"]
    assert default == f"{sys.executable} -m prefect.engine"
    assert pool("default").name == pool_name("default") == SiteRun(Path("/data")).pool


def test_code_is_not_fetched_but_installed(
    committed: dict[str, Any], registered: list[dict[str, Any]], tmp_path: Path
) -> None:
    step = "prefect.deployments.steps.set_working_directory"

    assert [list(pull) for pull in committed["pull"]] == [[step]]
    assert {str(one["pull_steps"]) for one in registered} == {str([{step: {"directory": str(tmp_path)}}])}


@pytest.mark.parametrize("row", DEPLOYMENTS, ids=lambda row: row["flow"])
def test_each_entrypoint_is_the_flow_of_that_name(row: dict[str, Any]) -> None:
    found = flow_at(row["entrypoint"])

    assert isinstance(found, Flow)
    assert found.name == row["flow"]
    assert found.retries in (0, None), "flow retries were seen to loop without end when a worker dies"


def test_form_fields_of_the_ui_are_plain(registered: list[dict[str, Any]]) -> None:
    """Parameters are stored and shown in clear: names and numbers only."""
    fields = {
        f"{one['flow_id']}.{name}": shape.get("type") or [option["type"] for option in shape["anyOf"]]
        for one in registered
        for name, shape in one["parameter_openapi_schema"]["properties"].items()
    }

    assert set(map(str, fields.values())) <= {"string", "integer", str(["string", "null"])}
    assert "reconcile-host.host" in fields


@pytest.mark.parametrize("folder", ["flows", "tasks"])
def test_no_file_name_hides_a_module_of_somebody_else(folder: str) -> None:
    """A script entrypoint puts its folder first on the import path: flows/queue.py hid the stdlib's."""
    taken = set(sys.stdlib_module_names) | set(packages_distributions())
    ours = {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"}

    assert ours & taken == set()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_a_flow_file_has_no_classes(path: Path) -> None:
    """Prefect may load a flow under another module name: a class there gets a second identity."""
    classes = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]

    assert classes == []


@pytest.mark.parametrize("row", DEPLOYMENTS, ids=lambda row: row["flow"])
def test_a_flow_fits_a_screen(row: dict[str, Any]) -> None:
    module = importlib.import_module(row["entrypoint"].rpartition(".")[0])
    assert module.__file__ is not None

    assert len(Path(module.__file__).read_text().splitlines()) <= SCREEN_LINES
