"""Which BMC logins may be made, which candidates are kept, and who may read what."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.api.app import create_app
from pxe_edge.registry import bmc_logins, credentials, hosts, timeline
from pxe_edge.registry.bmc_logins import LOCKOUT, MOST_WRONG, Login, may_set_at, wrong
from pxe_edge.registry.errors import ConflictError
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.tables import LeaseRow

T0 = datetime(2026, 11, 26, tzinfo=UTC)
LONG_AGO = T0 - timedelta(days=1)
ABOUT = {"address": "10.77.9.50", "user": "rackflow"}


def at(second: int, credential: int, result: bmc_logins.Result, *, fresh: bool = False) -> Login:
    return Login(T0 + timedelta(seconds=second), credential, result, fresh=fresh)


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ([], 0),
        ([at(1, 1, "trying"), at(2, 1, "refused")], 1),
        ([at(1, 1, "refused")], 1),
        ([at(1, 1, "trying")], 1),
        ([at(1, 1, "trying"), at(9, 1, "trying")], 2),
        ([at(1, 1, "trying"), at(2, 1, "silent")], 0),
        ([at(1, 1, "trying"), at(2, 2, "trying"), at(3, 2, "refused")], 2),
        ([at(1, 1, "refused"), at(2, 2, "trying"), at(3, 2, "accepted")], 0),
        ([at(1, 1, "refused"), at(2, 2, "accepted"), at(3, 1, "refused")], 1),
    ],
)
def test_a_login_counts_as_wrong_until_it_is_known_that_it_was_not(told, counted):
    assert len(wrong(told, since=LONG_AGO)) == counted
    assert wrong(told, since=T0 + timedelta(minutes=1)) == []


LOGINS = st.builds(
    at, st.integers(0, 99), st.integers(1, 3), st.sampled_from(["trying", "refused", "silent", "accepted"])
)


@given(st.lists(LOGINS, max_size=12))
def test_never_fewer_are_counted_than_the_bmc_counts(told):
    """A BMC's own count: each refusal adds one, a right login clears."""
    count = 0
    for login in told:
        count = 0 if login.result == "accepted" else count + (login.result == "refused")
    assert len(wrong(told, since=LONG_AGO)) >= count


def test_a_fresh_password_that_was_refused_ends_the_attempts_for_the_lockout_window():
    stored = [at(1, 1, "refused"), at(2, 2, "refused")]
    assert may_set_at(stored, since=LONG_AGO) is None
    assert may_set_at([at(1, 1, "refused", fresh=True)], since=LONG_AGO) is None
    again = [*stored[:1], at(2, 2, "refused", fresh=True)]
    assert may_set_at(again, since=LONG_AGO) == again[-1].at + LOCKOUT


@pytest.fixture
def host(registry: Registry) -> str:
    with registry.db.write() as session:
        return hosts.register(session, registry.now(), "web-01", own_name=True, by="test").id


def store(registry: Registry, password: str | None) -> str:
    with registry.db.write() as session:
        row = hosts.get(session, "web-01")
        return credentials.candidate(
            session, registry.now(), registry.seal, row, **ABOUT, password=password
        ).password


def promote(registry: Registry) -> None:
    with registry.db.write() as session:
        row = hosts.get(session, "web-01")
        credentials.promote(session, registry.now(), registry.seal, row, user="rackflow")


def note(registry: Registry, state: str, result: bmc_logins.Result, *, fresh: bool = False) -> None:
    with registry.db.write() as session:
        row = hosts.get(session, "web-01")
        credentials.note_login(
            session, registry.now(), row, owner="r", **ABOUT, state=state, result=result, fresh=fresh
        )


def to_try(registry: Registry) -> list[str]:
    with registry.db.read() as session:
        row = hosts.get(session, "web-01")
        return [c.password for c in credentials.to_try(session, registry.now(), registry.seal, row)]


def known(registry: Registry) -> list[tuple[str, str]]:
    with registry.db.read() as session:
        row = hosts.get(session, "web-01")
        return [(c.state, c.password) for c in credentials.of_host(session, registry.seal, row)]


@pytest.mark.usefixtures("host")
def test_a_refused_credential_is_held_back_for_the_window_and_comes_last_afterwards(registry, clock):
    for password in ("old", "now"):
        store(registry, password)
        promote(registry)
        clock.forward(1)
    assert to_try(registry) == ["now", "old"]
    note(registry, "current", "refused")
    assert to_try(registry) == ["old"]
    clock.forward(LOCKOUT.total_seconds())
    assert to_try(registry) == ["old", "now"]


@pytest.mark.usefixtures("host")
def test_after_two_wrong_logins_none_is_given_out_until_the_window_is_over(registry, clock):
    for password in ("old", "now"):
        store(registry, password)
        promote(registry)
        clock.forward(1)
    for state in ("current", "previous"):
        note(registry, state, "refused")
    assert MOST_WRONG == 2
    assert to_try(registry) == []
    clock.forward(LOCKOUT.total_seconds())
    assert len(to_try(registry)) == 2


@pytest.mark.usefixtures("host")
def test_the_candidate_before_is_kept_until_it_is_known_to_be_wrong(registry, clock):
    """The run that stored it may have set it before it died."""
    store(registry, "first")
    store(registry, "second")
    assert known(registry) == [("candidate", "second"), ("candidate", "first")]
    store(registry, "third")
    assert known(registry) == [("candidate", "third"), ("candidate", "second")]
    clock.forward(1)
    note(registry, "candidate", "refused")
    clock.forward(1)
    store(registry, "fourth")
    assert known(registry) == [("candidate", "fourth"), ("candidate", "second")]
    store(registry, "second")
    assert known(registry)[0] == ("candidate", "second")
    promote(registry)
    assert known(registry) == [("current", "second")]


@pytest.mark.usefixtures("host")
def test_no_new_password_is_stored_while_one_more_wrong_login_could_lock(registry, clock):
    store(registry, "first")
    clock.forward(1)
    for _ in range(2):
        note(registry, "candidate", "refused", fresh=True)
    with pytest.raises(ConflictError, match="just been set") as caught:
        store(registry, "second")
    assert (caught.value.code, caught.value.hint) == ("bmc-unverified", "try again in 15 min")
    clock.forward(LOCKOUT.total_seconds())
    assert store(registry, "second") == "second"


# --- who may read what -------------------------------------------------------------------------------------


@pytest.fixture
def api(registry: Registry, tmp_path: Path, host: str) -> "Api":
    return Api(registry, tmp_path)


class Api:
    """The control plane, called with the token of a scope."""

    def __init__(self, registry: Registry, data: Path) -> None:
        self.registry, self._data = registry, data

    def __call__(self, scope: str, method: str, path: str, **more: Any) -> httpx.Response:
        token = (self._data / "edge" / "tokens" / scope).read_text().strip()

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(create_app(self.registry))
            async with httpx.AsyncClient(transport=transport, base_url="https://edge") as client:
                headers = {"Authorization": f"Bearer {token}"}
                return await client.request(method, f"/v1/hosts/web-01{path}", headers=headers, **more)

        return asyncio.run(send())

    def lease(self) -> int:
        with self.registry.db.write() as session:
            row = hosts.get(session, "web-01")
            expires = self.registry.now() + timedelta(minutes=5)
            session.merge(LeaseRow(host_id=row.id, epoch=4, job=1, run_id="r1", expires=expires))
        return 4

    def timeline(self) -> list[str]:
        with self.registry.db.read() as session:
            return [entry.text for _, entry in timeline.of_host(session, hosts.get(session, "web-01").id)]


@pytest.mark.parametrize(
    ("scope", "query", "status"),
    [
        ("admin", "", 200),
        ("worker", "?for=console", 403),
        ("console", "?for=console", 200),
        ("console", "", 403),
        ("worker", "", 403),
    ],
)
def test_only_an_operator_and_the_console_broker_read_credentials_without_the_lock(api, scope, query, status):
    assert api(scope, "GET", f"/credentials{query}").status_code == status


def test_the_broker_is_not_given_what_the_bmc_refused(api, clock):
    store(api.registry, "first")
    promote(api.registry)
    clock.forward(1)
    body = {"owner": "broker", **ABOUT, "state": "current", "result": "refused"}
    assert api("console", "POST", "/bmc-credential/login", json=body).status_code == 204
    assert api("console", "GET", "/credentials?for=console").json()["items"] == []
    assert len(api("admin", "GET", "/credentials").json()["items"]) == 1


def test_the_bmc_lock_is_refused_to_a_lower_epoch(api):
    epoch = api.lease()
    body = {"owner": "r1:power", "ttl_s": 60}
    assert api("worker", "POST", "/bmc-lock", json=body | {"epoch": epoch}).status_code == 200
    refused = api("worker", "POST", "/bmc-lock", json=body | {"epoch": epoch - 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "epoch")


@pytest.mark.parametrize(
    ("trust", "result", "allowed"),
    [
        ("proof", "proven", True),
        ("proof", "differs", False),
        ("proof", "no-place", False),
        ("lan", "proven", True),
        ("lan", "differs", False),
        ("lan", "no-place", True),
    ],
)
def test_the_edge_says_whether_a_machine_gets_secrets_and_writes_it_down(api, trust, result, allowed):
    site = Path(__file__).with_name("conftest.py").read_text().split('"""')[3]
    api.registry.publish_files({"site.yaml": f"{site}trust: {trust}\n"}, author="test")
    body = {"epoch": api.lease(), "boot_no": 3, "result": result, "message": "what was seen"}
    answer = api("worker", "POST", "/proof", json=body)
    assert (answer.status_code, answer.json()["may_send_secrets"]) == (200, allowed)
    told = "may get secrets" if allowed else "gets no secret"
    assert api.timeline()[-1] == f"boot 3 {told}: what was seen"
    assert api("worker", "POST", "/proof", json=body | {"epoch": 3}).status_code == 409
