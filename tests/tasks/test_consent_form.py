"""A run that waits for consent, with Prefect's server and engine: no process, no lease, both ways back."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
START_S = 240
"""A server starts in ten seconds; where others had the processors, ninety were seen to be too few."""
END_S = 120

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),  # Prefect's own server and client warn of their dependencies
]


class Consenting:
    """One flow run of the deployment, and the file that is its edge."""

    def __init__(self, api: httpx.Client, deployment: str, edge: Path) -> None:
        self.api, self.edge = api, edge
        body = {"parameters": {"host": "web-01", "job": 7}, "state": {"type": "SCHEDULED"}}
        made = api.post(f"deployments/{deployment}/create_flow_run", json=body).raise_for_status()
        self.id: str = made.json()["id"]
        self.keep(state="delivered", plan=None, run_id=self.id, consented=False, lease=None, calls=[])

    def keep(self, **kept: Any) -> None:
        self.edge.write_text(json.dumps((self.kept if self.edge.exists() else {}) | kept))

    @property
    def kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(self.edge.read_text())
        return kept

    @property
    def state(self) -> tuple[str, str | None]:
        state = self.api.get(f"flow_runs/{self.id}").raise_for_status().json()["state"]
        return state["name"], state["message"]

    def start(self) -> None:
        """As a worker starts it, to the end of its process."""
        env = os.environ | {
            "PREFECT__FLOW_RUN_ID": self.id,
            "PREFECT_API_URL": str(PREFECT_API_URL.value()),
            "CONSENTING_EDGE": str(self.edge),
            "PYTHONPATH": f"{ROOT}:{HERE}",
        }
        argv = (sys.executable, "-m", "prefect.engine")
        subprocess.run(argv, env=env, cwd=HERE, timeout=END_S, capture_output=True, check=True)

    def resume(self, answer: str) -> str:
        """The call that the UI's form makes, and the edge."""
        body = {"run_input": {"answer": answer}}
        status: str = self.api.post(f"flow_runs/{self.id}/resume", json=body).json()["status"]
        return status


@pytest.fixture(scope="module")
def prefect() -> Iterator[tuple[httpx.Client, str]]:
    with prefect_test_harness(server_startup_timeout=START_S):
        with get_client(sync_client=True) as client:
            made = client.create_deployment(
                flow_id=client.create_flow_from_name("consenting"),
                name="test",
                entrypoint="consenting_run.consenting",
                parameter_openapi_schema={"type": "object", "properties": {}},
            )
        with httpx.Client(base_url=f"{PREFECT_API_URL.value()}/", timeout=30, trust_env=False) as api:
            yield api, str(made)


@pytest.fixture
def run(prefect: tuple[httpx.Client, str], tmp_path: Path) -> Consenting:
    """A run that has asked, and is suspended: its process has ended by itself, its lease is given back."""
    asked = Consenting(*prefect, tmp_path / "edge.json")
    asked.start()
    assert asked.state[0] == "Suspended"
    assert asked.kept["lease"] is None
    assert asked.kept["calls"] == ["lease", "finish waiting-consent"]
    return asked


def test_the_form_shows_what_is_erased_and_its_answer_goes_to_the_edge_before_the_run_goes_on(
    run: Consenting,
) -> None:
    keys = run.api.get(f"flow_runs/{run.id}").json()["state"]["state_details"]["run_input_keyset"]
    shown = run.api.get(f"flow_runs/{run.id}/input/{keys['description']}").json()
    asked = run.api.get(f"flow_runs/{run.id}/input/{keys['schema']}").json()

    assert "- `D0`, 8 GiB: ext4 &lt;b>data&lt;/b>" in shown
    assert asked["properties"]["answer"]["default"] == "refuse"
    assert run.resume("yes") == "REJECT"
    assert run.state[0] == "Suspended"
    assert run.resume("consent") == "ACCEPT"
    run.start()

    assert run.state == ("Completed", "erased")
    assert run.kept["calls"][2:] == ["answer True", "lease", "finish applied"]
    assert run.resume("consent") == "ABORT"


def test_a_refusal_ends_the_run_as_cancelled_and_holds_nothing(run: Consenting) -> None:
    assert run.resume("refuse") == "ACCEPT"
    run.start()

    assert run.state == ("Cancelled", "a person refused the plan")
    assert run.kept["calls"][2:] == ["answer False"]


def test_a_consent_by_command_resumes_the_same_run_without_the_forms_answer(run: Consenting) -> None:
    run.keep(consented=True, state="delivered")
    assert run.resume("consent") == "ACCEPT"
    run.start()

    assert run.state == ("Completed", "erased")
    assert run.kept["calls"][2:] == ["lease", "finish applied"]
