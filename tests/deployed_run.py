"""Started by test_wheel inside a namespace: `rackflow up`, one run of reconcile-fleet, the end of it all."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

LAST_LINE = "all parts are running"
STOP_S = 40


def wait_until_up(site: subprocess.Popen[str], ends_at: float) -> None:
    """Until the site says that all parts run."""
    assert site.stderr is not None
    for line in site.stderr:
        sys.stderr.write(line)
        if LAST_LINE in line:
            return
        if time.monotonic() > ends_at:
            break
    sys.exit(f"the site did not come up; it ended with {site.poll()}")


def new_run(prefect: httpx.Client) -> str:
    """Create a run of reconcile-fleet; its id."""
    deployment = prefect.get("deployments/name/reconcile-fleet/default").raise_for_status().json()
    body = {"state": {"type": "SCHEDULED"}}
    made = prefect.post(f"deployments/{deployment['id']}/create_flow_run", json=body).raise_for_status()
    return str(made.json()["id"])


def run_to_end(prefect: httpx.Client, ends_at: float) -> dict[str, Any]:
    """Run it; one that met the scheduled tick (limit 1, the newer is cancelled) is run again."""
    number = new_run(prefect)
    while time.monotonic() < ends_at:
        state: dict[str, Any] = prefect.get(f"flow_runs/{number}").raise_for_status().json()["state"]
        if state["type"] == "CANCELLED":
            number = new_run(prefect)
        elif state["type"] in ("COMPLETED", "FAILED", "CRASHED"):
            return state
        time.sleep(0.5)
    sys.exit("the run did not end in time")


def main() -> None:
    """Print one JSON object: how the run ended, where the code came from, how the site stopped."""
    ends_at = time.monotonic() + float(sys.argv[1])
    data = Path(os.environ["RACKFLOW_DATA"])
    code = importlib.util.find_spec("flows")
    assert code is not None
    argv = [sys.executable, "-m", "metal.cli", "up"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as site:
        wait_until_up(site, ends_at)
        user, _, password = (data / "prefect" / "auth").read_text().strip().partition(":")
        with httpx.Client(
            base_url="http://127.0.0.1:4200/api/", auth=(user, password), timeout=30, trust_env=False
        ) as prefect:
            state = run_to_end(prefect, ends_at)
        site.terminate()
        stopped = site.wait(STOP_S)
    if state["type"] != "COMPLETED":
        sys.stderr.write(f"{state}\n{(data / 'logs' / 'worker.log').read_text()[-2500:]}")
    sys.stdout.write(json.dumps({"state": state["type"], "code": code.origin, "stopped": stopped}))


if __name__ == "__main__":
    main()
