"""The typed client against the edge itself: both sides of a run's and an operator's calls agree."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from metal.edge_client import EdgeClient
from metal.edge_client.wire import Conflict, EdgeAddress
from metal.errors import LeaseLost

HOST = "mac-52540000000a"
Client = Callable[[str], EdgeClient]


@pytest.fixture
def client(reported: Any) -> Client:
    """A client with one of the site's tokens, without a socket between."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        got = reported.raw(request.method, path, content=request.content, headers=dict(request.headers))
        return httpx.Response(got.status_code, content=got.content)

    def make(scope: str) -> EdgeClient:
        token = reported.registry.data / "edge" / "tokens" / scope
        return EdgeClient(EdgeAddress("http://edge", None, token), transport=httpx.MockTransport(answer))

    return make


def test_a_run_waits_and_the_next_one_goes_on(reported: Any, client: Client) -> None:
    site, worker, run = reported, client("worker"), reported.prefect.newest()
    first = worker.lease(HOST, job=1, run_id=run, holder="a")
    second = worker.lease(HOST, job=1, run_id=run, holder="b")
    assert (first.epoch, second.epoch, second.ttl_s) == (1, 2, 90)
    with pytest.raises(LeaseLost, match=run):
        worker.journal(HOST, epoch=1, job=1, step="s", kind="k", phase="intent")
    site.clock.forward(1)
    now = site.clock.now
    more: dict[str, Any] = {"since": now, "deadline": now + timedelta(seconds=60), "message": "waits"}
    assert worker.wait(HOST, 1, epoch=2, run_id=run, event="boot-os", **more) is False
    wait = worker.job(HOST, 1).wait
    assert wait is not None
    assert (wait.event, wait.deadline) == ("boot-os", more["deadline"])
    with pytest.raises(LeaseLost):
        worker.renew(HOST, epoch=2, run_id=run)
    site.clock.forward(60)
    site.end_waits()
    site.deliver()
    with pytest.raises(LeaseLost, match="not the present one"):
        worker.lease(HOST, job=1, run_id=run)
    assert worker.lease(HOST, job=1, run_id=site.prefect.newest()).epoch == 3


def test_consent_by_form_and_by_command(reported: Any, client: Client) -> None:
    site, worker, admin, run = reported, client("worker"), client("admin"), reported.prefect.newest()
    epoch = worker.lease(HOST, job=1, run_id=run).epoch
    job = worker.finish(HOST, 1, epoch=epoch, run_id=run, result="waiting-consent", plan="sha256:aa")
    assert job.ask_in_ui
    with pytest.raises(Conflict, match="waits with plan sha256:aa"):
        admin.consent(HOST, plan="sha256:bb", by="ann")
    assert worker.answer_form(HOST, 1, run_id=run, plan="sha256:aa", consents=True).state == "delivered"
    assert [c.by for c in worker.consents(HOST, "sha256:aa", job=1)] == ["prefect-ui (shared)"]
    with pytest.raises(Conflict, match="no job"):
        admin.consent(HOST, plan=None, by="ann")
    assert site.job()["run_no"] == 1


def test_an_operator_takes_the_host_away(reported: Any, client: Client) -> None:
    worker, admin, run = client("worker"), client("admin"), reported.prefect.newest()
    epoch = worker.lease(HOST, job=1, run_id=run).epoch
    assert admin.release_host(HOST, by="ann").lease is None
    assert [(job.state, job.reason) for job in admin.jobs(HOST)] == [("failed", "released")]
    with pytest.raises(LeaseLost):
        worker.finish(HOST, 1, epoch=epoch, run_id=run, result="applied")
