"""Bring-up's parsers and its report: seeds and command lines of any content, and what the edge may answer."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest

from bootos import bring_up
from bootos.bring_up import ReportError, Seed, SeedError, boot_mac, parse_seed, post, split_url

SEED = {
    "version": 1,
    "boot_no": 7,
    "host": None,
    "token": "t0k",
    "report_in": "http://10.77.1.2:8080/v1/report-in",
    "authorized_key": "ssh-ed25519 AAAA edge",
    "time": 1764100000,
    "epoch_floor": 3,
    "network": {"address": "10.77.1.20/24", "gateway": "10.77.1.1", "dns": ["10.77.1.2"]},
}


def test_a_seed_is_read() -> None:
    seed = parse_seed(json.dumps(SEED))
    assert (seed.boot_no, seed.epoch_floor, seed.time_s) == (7, 3, 1764100000)
    assert seed.network == bring_up.StaticNetwork("10.77.1.20/24", "10.77.1.1", ("10.77.1.2",))
    assert parse_seed(json.dumps({**SEED, "network": None})).network is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "not a seed"),
        ("[]", "not a seed"),
        ("\x00\xff", "not a seed"),
        (json.dumps({**SEED, "version": 2}), "version: expected 1"),
        (json.dumps({**SEED, "boot_no": "x"}), "not a seed"),
        (json.dumps({**SEED, "network": "10.0.0.1"}), "not a seed"),
        (json.dumps({key: value for key, value in SEED.items() if key != "token"}), "'token' is missing"),
    ],
)
def test_anything_else_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(SeedError, match=named):
        parse_seed(text)


@pytest.mark.parametrize(
    ("line", "mac"),
    [
        ("console=ttyS0 BOOTIF=01-52-54-00-AA-bb-01 rackflow=1", "52:54:00:aa:bb:01"),
        ("BOOTIF=01-52-54-00-aa-bb-01", "52:54:00:aa:bb:01"),
        ("BOOTIF=20-52-54-00-aa-bb-01", None),
        ("XBOOTIF=01-52-54-00-aa-bb-01", None),
        ("BOOTIF=01-52-54-00-aa-bb-01-ff", None),
        ("", None),
    ],
)
def test_bootif_names_the_nic(line: str, mac: str | None) -> None:
    assert boot_mac(line) == mac


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://10.0.0.1:8080/v1/report-in", ("10.0.0.1", 8080, "/v1/report-in")),
        ("http://edge", ("edge", 80, "/")),
        ("http://[fe80::1]:81/x", ("fe80::1", 81, "/x")),
    ],
)
def test_report_urls(url: str, parts: tuple[str, int, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize(
    "url", ["https://edge/x", "http://", "http://a b/x\r\n", "ftp://edge/", "http://edge:99999x/"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(SeedError):
        split_url(url)


class Edge(socketserver.StreamRequestHandler):
    """Answers one request with the next of the given bytes and keeps what was sent."""

    answers: ClassVar[list[bytes]] = []
    bodies: ClassVar[list[bytes]] = []
    heads: ClassVar[list[bytes]] = []

    def handle(self) -> None:
        head, length = b"", 0
        while (line := self.rfile.readline()) not in {b"\r\n", b""}:
            head += line
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.heads.append(head)
        self.bodies.append(self.rfile.read(length))
        self.wfile.write(self.answers.pop(0))


@contextmanager
def edge(*answers: bytes) -> Iterator[str]:
    Edge.answers, Edge.bodies, Edge.heads = list(answers), [], []
    with socketserver.TCPServer(("127.0.0.1", 0), Edge) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/report-in"
        finally:
            server.shutdown()
            thread.join()


def seed_for(url: str) -> Seed:
    return parse_seed(json.dumps({**SEED, "report_in": url}))


def test_the_same_body_is_sent_until_the_edge_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(bring_up, "say", said.append)
    monkeypatch.setattr(bring_up, "BACKOFF_S", (0.0,))
    with edge(
        b"HTTP/1.1 503 busy\r\n\r\n", b"nonsense", b"HTTP/1.1 429 slow\r\n\r\n", b"HTTP/1.1 204 ok\r\n\r\n"
    ) as url:
        bring_up.report_in(seed_for(url), b'{"boot_no":7}')
    assert Edge.bodies == [b'{"boot_no":7}'] * 4
    assert all(b"Authorization: Bearer t0k\r\n" in head for head in Edge.heads)
    assert said[-1].startswith("reported in")
    assert not any("t0k" in line for line in said)


def test_a_refusal_is_said_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(bring_up, "say", said.append)
    with edge(b"HTTP/1.1 409 conflict\r\n\r\n") as url:
        bring_up.report_in(seed_for(url), b"{}")
    assert len(Edge.bodies) == 1
    assert "refused" in said[0]
    assert "409" in said[0]


def test_an_answer_that_is_no_http_is_an_error_of_its_own() -> None:
    with edge(b"\x00" * 100) as url, pytest.raises(ReportError, match="expected an HTTP answer"):
        post(url, "t", b"")
