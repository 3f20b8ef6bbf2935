"""An edge over real TLS that answers from a table, and the CLI run as a person runs it."""

import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from metal.cli.main import main
from pxe_edge.api.tls import ensure
from specs.facts import Disk, Hardware, Observation
from specs.model import Host
from specs.phases import Phase
from specs.records import HostRecord, ImageRecord, JobRecord, WorkOrder

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
SEEN = Observation(
    at=NOW,
    seen_from="boot-os",
    hardware=Hardware(
        serial="S1",
        firmware="bios",
        disks=(Disk(device="/dev/vda", serial="D0", size_bytes=8 << 30, found=("ntfs labelled data",)),),
    ),
)
IMAGE = ImageRecord(
    name="debian-12",
    digest="sha256:" + "a" * 64,
    manifest_sha256="b" * 64,
    manifest_url="http://10.77.1.1:8080/images/a/manifest.json",
    size_bytes=1 << 30,
    blob_bytes=1 << 28,
    format="raw",
    info={
        "partitions": [
            {"number": 1, "start_bytes": 1 << 20, "size_bytes": 1 << 29, "type_guid": "root", "name": "root"}
        ],
        "root_partition": 1,
        "root_uuid": "11111111-2222-4333-8444-555555555555",
        "has_esp": False,
        "has_bios_boot": True,
        "sector_bytes": 512,
    },
)


@dataclass
class FakeEdge:
    """`answers` maps "METHOD /path" to (status, body), `then` to what comes after the first answer.

    `asked` keeps what came, with its body.
    """

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    then: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def knows(
        self, record: HostRecord, spec: Host | None = None, *, image: ImageRecord | None = IMAGE
    ) -> None:
        """Answer for a host and its work order."""
        order = WorkOrder(host=record, spec=spec, specset="set-1", image=image)
        self.answers[f"GET /v1/hosts/{record.name}"] = (200, record.model_dump(mode="json"))
        self.answers[f"GET /v1/hosts/{record.name}/order"] = (200, order.model_dump(mode="json"))

    def ends(self, job: JobRecord) -> None:
        """Answer for a job that is posted, and already over when it is asked for."""
        at = f"/v1/hosts/{job.host}/jobs"
        posted = job.model_copy(update={"state": "wanted", "result": None, "message": None})
        self.answers[f"POST {at}"] = (201, posted.model_dump(mode="json"))
        self.answers[f"GET {at}/{job.no}"] = (200, job.model_dump(mode="json"))
        self.answers[f"GET /v1/hosts/{job.host}/journal"] = (200, {"items": []})

    def sent(self, what: str) -> list[Any]:
        """Bodies of one kind of request."""
        return [body for asked, body in self.asked if asked == what]


def handler(fake: FakeEdge) -> type[BaseHTTPRequestHandler]:
    """The HTTP side of a FakeEdge."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            what = f"{self.command} {self.path.split('?')[0]}"
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.asked.append((what, json.loads(body) if body else None))
            unknown = (404, {"code": "not-found", "detail": f"the edge knows no {self.path}"})
            status, value = fake.answers.get(what, unknown)
            if what in fake.then:
                fake.answers[what] = fake.then.pop(what)
            text = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of the base

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    return Handler


class QuietServer(ThreadingHTTPServer):
    """Ends with its test, also when a client cuts its connection."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no error of the server's."""


@pytest.fixture(scope="session")
def site_tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    ensure(folder, (), datetime.now(UTC))
    return folder


@pytest.fixture
def edge(site_tls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEdge]:
    fake = FakeEdge()
    server = QuietServer(("127.0.0.1", 0), handler(fake))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site_tls / "server.pem", site_tls / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    token = tmp_path / "token"
    token.write_text("t0ken")
    monkeypatch.setenv("RACKFLOW_EDGE_URL", f"https://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("RACKFLOW_CA_FILE", str(site_tls / "ca.pem"))
    monkeypatch.setenv("RACKFLOW_TOKEN_FILE", str(token))
    monkeypatch.chdir(tmp_path)
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, parsed."""
        return json.loads(self.out)


Rackflow = Callable[..., Said]


@pytest.fixture
def rackflow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rackflow:
    """Run the CLI's main function with a command line."""

    def run(*argv: str, stdin: str = "") -> Said:
        monkeypatch.setattr(sys, "argv", ["rackflow", *argv])
        monkeypatch.setattr(sys, "stdin", StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return run


@pytest.fixture
def host() -> HostRecord:
    return HostRecord(id="id-1", name="web-01", phase=Phase.READY, spec="web-01", observation=SEEN)


@pytest.fixture
def nothing_to_do() -> Host:
    return Host.model_validate({"metadata": {"name": "web-01"}, "management": False})


@pytest.fixture
def erasing(nothing_to_do: Host) -> Host:
    wish = {"image": "debian-12", "rootDevice": {"serial": "D0"}, "disks": [{"device": "root"}]}
    return Host.model_validate(nothing_to_do.model_dump(by_alias=True, exclude_unset=True) | wish)


@pytest.fixture
def job() -> JobRecord:
    return JobRecord(
        host="web-01",
        host_id="id-1",
        no=7,
        verb="apply",
        state="done",
        by="t",
        created_at=NOW,
        result="in-sync",
    )
