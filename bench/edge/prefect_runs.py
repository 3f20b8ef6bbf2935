"""What Prefect holds and how fast it is, as a process of its own in the server's namespace.

`bench.edge.prefect_runs URL AUTH_FILE rate FLOW/DEPLOYMENT COUNT` makes runs one after the other, as the edge
does, and prints how many a second it took. `... list` prints the tags of each run of the edge's and when it
was made, `... count` how many there are, and `... wait COUNT SECONDS` the same once there are so many or the
time is over.
"""

import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx

PAGE = 200
LOOK_S = 0.25
BUSY_TRIES = 40


class Patient(httpx.HTTPTransport):
    """Asks again where Prefect's database was busy (503), as the edge and Prefect's own clients do."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The first answer that is another one, or the last."""
        for _ in range(BUSY_TRIES):
            answer = super().handle_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            answer.close()
            time.sleep(LOOK_S)
        return super().handle_request(request)


def rate(client: httpx.Client, deployment: str, count: int) -> float:
    """Runs per second, made by one client as fast as they are taken."""
    found = client.get(f"deployments/name/{deployment}").raise_for_status().json()["id"]
    began = time.monotonic()
    for number in range(count):
        body = {
            "parameters": {"host": f"rate-{number}", "job": 1, "specset": None},
            "idempotency_key": f"rate:{uuid.uuid4()}",
            "tags": ["rate"],
            "name": f"rate {number}",
            "state": {"type": "SCHEDULED"},
        }
        client.post(f"deployments/{found}/create_flow_run", json=body).raise_for_status()
    return count / (time.monotonic() - began)


def runs(client: httpx.Client) -> list[dict[str, Any]]:
    """Every run that the edge had made."""
    found: list[dict[str, Any]] = []
    while True:
        body = {"limit": PAGE, "offset": len(found), "sort": "ID_DESC", **MINE}
        page = client.post("flow_runs/filter", json=body).raise_for_status().json()
        found += [{"tags": run["tags"], "created": run["created"]} for run in page]
        if len(page) < PAGE:
            return found


def count(client: httpx.Client) -> int:
    """How many there are."""
    return int(client.post("flow_runs/count", json=MINE).raise_for_status().json())


def wait(client: httpx.Client, wanted: int, seconds: float) -> int:
    """How many there are at the end."""
    ends_at = time.monotonic() + seconds
    while (there := count(client)) < wanted and time.monotonic() < ends_at:
        time.sleep(LOOK_S)
    return there


MINE = {"flow_runs": {"tags": {"all_": ["rackflow"]}}}


def main(url: str, auth_file: str, verb: str, *more: str) -> None:
    """One question."""
    user, _, password = Path(auth_file).read_text().strip().partition(":")
    auth, patient = (user, password), Patient()
    with httpx.Client(
        base_url=f"{url}/", auth=auth, timeout=60, trust_env=False, transport=patient
    ) as client:
        if verb == "rate":
            print(rate(client, more[0], int(more[1])))
        elif verb == "list":
            print(json.dumps(runs(client)))
        elif verb == "wait":
            print(wait(client, int(more[0]), float(more[1])))
        else:
            print(count(client))


if __name__ == "__main__":
    main(*sys.argv[1:])
