"""What the edge answers becomes one of our error families, and what did not arrive is sent again."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from metal.edge_client import EdgeClient
from metal.edge_client.wire import RETRY_DELAYS_S, Conflict, EdgeAddress, NotKnown
from metal.errors import InvalidSpecs, LeaseLost, RackflowError, Refused, Unreachable
from specs.records import Finding

FINDING = {"file": "hosts/web-01.yaml", "line": 4, "path": "image", "message": "no such image"}


class Edge:
    """Answers in a row; keeps what was asked and how long the client paused."""

    def __init__(self, *answers: httpx.Response | type[httpx.TransportError]) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, httpx.Response):
            return answer
        raise answer("no answer", request=request)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("t0ken\n")
    return file


@pytest.fixture
def client(token: Path) -> Callable[[Edge], EdgeClient]:
    def make(edge: Edge) -> EdgeClient:
        address = EdgeAddress("https://edge.test:8443", None, token)
        return EdgeClient(address, transport=httpx.MockTransport(edge), sleep=edge.slept.append)

    return make


def problem(status: int, **body: object) -> httpx.Response:
    """An error as the edge sends it."""
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json"})


@pytest.mark.parametrize(
    ("status", "code", "family"),
    [
        (401, "token", Refused),
        (403, "scope", Refused),
        (404, "not-found", NotKnown),
        (409, "lease", LeaseLost),
        (409, "epoch", LeaseLost),
        (409, "version", Conflict),
        (410, "used", Refused),
        (422, "invalid", Refused),
        (500, "bug", Unreachable),
    ],
)
def test_each_problem_has_its_family(
    client: Callable[[Edge], EdgeClient], status: int, code: str, family: type[RackflowError]
) -> None:
    edge = Edge(problem(status, code=code, detail="job 3 holds it", hint="wait", host="web-01"))

    with pytest.raises(RackflowError) as caught:
        client(edge).host("web-01")

    assert type(caught.value) is family
    assert (caught.value.message, caught.value.hint, caught.value.host) == (
        "job 3 holds it",
        "wait",
        "web-01",
    )
    assert (len(edge.asked), edge.slept) == (1, [])


def test_findings_come_through_whole(client: Callable[[Edge], EdgeClient]) -> None:
    edge = Edge(problem(422, code="findings", detail="1 finding", findings=[FINDING]))

    with pytest.raises(InvalidSpecs) as caught:
        client(edge).publish({}, commit=None, author=None, dirty=True)

    assert caught.value.findings == (Finding.model_validate(FINDING),)


@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b"[1]"])
def test_an_error_that_is_no_problem_document_still_says_what_was_asked(
    client: Callable[[Edge], EdgeClient], body: bytes
) -> None:
    with pytest.raises(Unreachable, match="the edge answered 502 to /v1/hosts/web-01"):
        client(Edge(httpx.Response(502, content=body))).host("web-01")


def test_a_busy_or_restarting_edge_is_asked_again(client: Callable[[Edge], EdgeClient]) -> None:
    edge = Edge(
        httpx.ConnectError,
        problem(503, code="busy"),
        httpx.RemoteProtocolError,
        httpx.Response(200, json={"site": "lab"}),
    )

    assert client(edge).health() == {"site": "lab"}
    assert edge.slept == list(RETRY_DELAYS_S[:3])


def test_an_edge_that_stays_away_is_unreachable_with_the_next_step(
    client: Callable[[Edge], EdgeClient],
) -> None:
    edge = Edge(httpx.ConnectError)

    with pytest.raises(Unreachable) as caught:
        client(edge).health()

    assert "https://edge.test:8443" in caught.value.message
    assert "rackflow up" in (caught.value.hint or "")
    assert edge.slept == list(RETRY_DELAYS_S)


def test_what_may_have_arrived_is_not_sent_twice(client: Callable[[Edge], EdgeClient]) -> None:
    edge = Edge(httpx.ReadTimeout)

    with pytest.raises(Unreachable):
        client(edge).post_job("web-01", "apply")

    assert len(edge.asked) == 1


def test_a_refused_connection_on_a_real_socket_is_unreachable(token: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        edge = EdgeClient(EdgeAddress(url, None, token), sleep=lambda _: None)
        with edge, pytest.raises(Unreachable, match=url):
            edge.health()


def test_the_token_is_read_anew_for_each_request(client: Callable[[Edge], EdgeClient], token: Path) -> None:
    edge = Edge(httpx.Response(200, json={}))
    asking = client(edge)
    asking.health()
    token.write_text("renewed\n")
    asking.health()

    assert [r.headers["Authorization"] for r in edge.asked] == ["Bearer t0ken", "Bearer renewed"]
    token.unlink()
    with pytest.raises(Unreachable, match="cannot read the token file"):
        asking.health()


def test_a_data_folder_without_a_ca_says_that_no_edge_was_started_there(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"ca\.pem: the edge has not been started"):
        EdgeClient(EdgeAddress("https://127.0.0.1:1", tmp_path / "ca.pem", tmp_path / "token"))


def test_addresses_come_from_the_environment_else_from_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("RACKFLOW_EDGE_URL", "RACKFLOW_CA_FILE", "RACKFLOW_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RACKFLOW_DATA", str(tmp_path))

    ca_file, token_file = tmp_path / "edge" / "tls" / "ca.pem", tmp_path / "edge" / "tokens" / "admin"
    assert EdgeAddress.from_environment() == EdgeAddress("https://127.0.0.1:8443", ca_file, token_file)
    monkeypatch.setenv("RACKFLOW_EDGE_URL", "https://edge:1")
    assert EdgeAddress.from_environment().url == "https://edge:1"


def test_a_paged_list_is_read_to_its_end(client: Callable[[Edge], EdgeClient]) -> None:
    edge = Edge(
        httpx.Response(200, json={"items": [{"name": "a"}], "next": "a"}),
        httpx.Response(200, json={"items": [{"name": "b"}], "next": None}),
    )

    assert client(edge).items("/v1/secrets", host="web-01", job=None) == [{"name": "a"}, {"name": "b"}]
    assert [dict(r.url.params) for r in edge.asked] == [{"host": "web-01"}, {"host": "web-01", "after": "a"}]


def test_console_bytes_travel_as_they_are_at_their_offset(client: Callable[[Edge], EdgeClient]) -> None:
    edge = Edge(httpx.Response(204), httpx.Response(200, content=b"\xff\x00login:"))
    asking = client(edge)
    asking.put_console("web-01", 3, 512, b"\xff\x00")

    assert asking.console("web-01", 3, offset=512, limit_bytes=100) == b"\xff\x00login:"
    assert edge.asked[0].content == b"\xff\x00"
    paths = [(r.method, r.url.path, dict(r.url.params)) for r in edge.asked]
    assert paths == [
        ("PUT", "/v1/hosts/web-01/boots/3/console", {"offset": "512"}),
        ("GET", "/v1/hosts/web-01/boots/3/console", {"offset": "512", "limit": "100"}),
    ]


def test_publishing_makes_the_stored_set_current_and_names_the_one_it_replaces(
    client: Callable[[Edge], EdgeClient],
) -> None:
    stored = {"id": "s2", "commit": "c", "author": None, "created_at": "2026-11-25T00:00:00Z"}
    edge = Edge(httpx.Response(201, json=stored), httpx.Response(200, json=stored))
    client(edge).publish({"a.yaml": "x"}, commit="c", author=None, dirty=False, expected_current="s1")

    assert [(r.method, r.url.path) for r in edge.asked] == [
        ("POST", "/v1/specsets"),
        ("PUT", "/v1/specsets/current"),
    ]
    assert json.loads(edge.asked[1].content) == {"id": "s2", "expected_current": "s1"}


@pytest.mark.parametrize("answer", [httpx.RemoteProtocolError, httpx.Response(503)])
def test_a_streamed_image_is_not_sent_again(
    client: Callable[[Edge], EdgeClient], answer: httpx.Response | type[httpx.TransportError]
) -> None:
    """A stream that was begun is used up: a second try would send nothing under the first one's length."""
    edge = Edge(httpx.Response(201, json={}), answer)

    with pytest.raises(Unreachable):
        client(edge).put_image("debian-12", iter([b"ab"]), length=2, format_="raw", digest=None)

    assert [r.method for r in edge.asked] == ["POST", "PUT"]
    assert edge.asked[1].headers["Content-Length"] == "2"


@pytest.mark.parametrize("call", ["bmc_lock", "secret"])
def test_a_secret_that_cannot_be_read_is_not_in_the_error(
    client: Callable[[Edge], EdgeClient], call: str
) -> None:
    """The text of an error becomes the job's message, and a log's line: a newer edge may answer otherwise."""
    account = {"password": "hunter2"}
    answers = {"bmc_lock": {"credentials": [account]}, "secret": {"name": "root", "value": ["hunter2"]}}
    edge = client(Edge(httpx.Response(200, json=answers[call])))
    with pytest.raises(ValueError, match="validation error") as caught:
        edge.bmc_lock("web-01", owner="run-1") if call == "bmc_lock" else edge.secret("root")
    assert "hunter2" not in str(caught.value)
