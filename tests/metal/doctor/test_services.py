"""Verdicts on Prefect, images, loaders and BMCs."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

from metal.doctor import bmc, boot_files, images
from metal.doctor.boot_files import Fetched
from metal.doctor.prefect import check_prefect
from metal.doctor.surroundings import BootFile, Surroundings
from pxe_edge.images.chunks import pack
from specs.model import Image
from tests.metal.doctor.conftest import NOW, SERVER, with_edge

ONLINE = {"name": "w1", "status": "ONLINE"}
GONE = {"name": "w1", "status": "OFFLINE", "last_heartbeat_time": "2026-09-01T10:00:00+00:00"}


def prefect(
    *,
    told: str = "",
    pool: dict[str, Any] | None = None,
    workers: tuple[dict[str, Any], ...] = (),
    ahead: int = 0,
) -> httpx.MockTransport:
    """A Prefect that answers from a table."""

    def answer(request: httpx.Request) -> httpx.Response:
        date = {"Date": formatdate(NOW + ahead, usegmt=True)}
        match request.url.path:
            case "/api/admin/version":
                return httpx.Response(200, json=told or version("prefect"), headers=date)
            case "/api/work_pools/rackflow-lab":
                return httpx.Response(404) if pool is None else httpx.Response(200, json=pool)
            case "/api/work_pools/rackflow-lab/workers/filter":
                return httpx.Response(200, json=list(workers))
        return httpx.Response(404)

    return httpx.MockTransport(answer)


@pytest.mark.parametrize(
    ("transport", "name", "status", "words"),
    [
        (prefect(pool={}, workers=(ONLINE,)), "workers of rackflow-lab", "ok", "online: w1"),
        (
            prefect(pool={}, workers=(GONE,)),
            "workers of rackflow-lab",
            "failed",
            "of 2026-09-01T10:00:00 UTC",
        ),
        (prefect(pool={}), "workers of rackflow-lab", "failed", "none was ever seen"),
        (prefect(), "work pool rackflow-lab", "failed", "it does not exist"),
        (prefect(pool={"is_paused": True}), "work pool rackflow-lab", "failed", "it is paused"),
        (prefect(told="2.20.1"), "Prefect's version", "failed", "the server is 2.20.1"),
        (prefect(ahead=120), "Prefect's clock", "failed", "it is 120 s ahead"),
        (httpx.MockTransport(lambda _: httpx.Response(401)), "Prefect", "failed", "refuses us"),
        (httpx.MockTransport(lambda _: httpx.Response(502)), "Prefect", "failed", "answers 502"),
    ],
)
def test_prefect(
    around: Surroundings, transport: httpx.MockTransport, name: str, status: str, words: str
) -> None:
    found = {finding.name: finding for finding in check_prefect(around, transport)}

    assert (found[name].status, words in found[name].message) == (status, True)


def test_prefect_that_is_down_is_named_with_its_effect(around: Surroundings) -> None:
    def refuses(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    (down,) = check_prefect(around, httpx.MockTransport(refuses))

    assert down.status == "failed"
    assert "jobs wait at the edge, machines still boot" in down.message


def test_prefect_is_not_asked_from_a_laptop_that_knows_no_url(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RACKFLOW_PREFECT_URL", raising=False)

    (skipped,) = check_prefect(replace(around, on_edge_host=False))

    assert skipped.status == "skipped"


LOADER = BootFile("snponly.efi", "loader", "http://10.99.0.1:8080/snponly.efi", (7, 9), 3, "aa")


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (Fetched(error="timed out"), "timed out"),
        (Fetched(2, "aa"), "2 octets came, the boot folder has 3"),
        (Fetched(3, "bb"), "its sha256 is bb…, the boot folder's aa…"),
    ],
)
def test_a_loader_that_comes_otherwise(got: Fetched, words: str) -> None:
    assert boot_files.judge("x", LOADER, got).message == words
    assert boot_files.judge("x", LOADER, Fetched(3, "aa")).status == "ok"


def test_a_missing_loader_of_a_rare_architecture_is_a_warning() -> None:
    rare = replace(LOADER, architectures=(11,), sha256=None)

    assert boot_files.missing("x", replace(LOADER, sha256=None)).status == "failed"
    assert boot_files.missing("x", rare).status == "warning"


def test_a_site_without_boot_os_or_without_addresses(around: Surroundings) -> None:
    def names(seen: Surroundings) -> list[str]:
        return [finding.message for check in boot_files.boot_checks(seen) for finding in check.run()][-1:]

    assert names(with_edge(around, servers={})) == ["none is built: machines get a script that says so"]
    nowhere = replace(with_edge(around, servers={}), links={})
    assert names(nowhere) == ["the edge has no address for machines"]


@pytest.fixture
def stored(tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """An image of two chunks as the edge stores it."""
    raw = tmp_path / "raw"
    raw.write_bytes(b"a" * (4 << 20) + b"b" * 1000)
    packed = pack(raw, tmp_path, image_digest="sha256:" + "a" * 64)
    state = {
        "state": "ready",
        "digest": "sha256:" + "a" * 64,
        "manifest_sha256": packed.manifest_sha256,
        "blob_bytes": packed.blob_bytes,
    }
    return state, tmp_path


def boot_plane(folder: Path) -> httpx.MockTransport:
    """Manifest and blob of a folder, the blob by Range too."""

    def answer(request: httpx.Request) -> httpx.Response:
        data = (folder / request.url.path.rpartition("/")[2]).read_bytes()
        if (told := request.headers.get("Range")) is not None:
            first, last = (int(part) for part in told.removeprefix("bytes=").split("-"))
            return httpx.Response(206, content=data[first : last + 1])
        return httpx.Response(200, content=data)

    return httpx.MockTransport(answer)


def test_an_image_is_read_back(stored: tuple[dict[str, Any], Path]) -> None:
    state, folder = stored

    verdict = images.verify("image d", SERVER, 8080, state, deep=True, transport=boot_plane(folder))

    assert (verdict.status, verdict.message) == ("ok", "0 MiB, 2 of 2 chunks read and good")


def _flip(folder: Path) -> None:
    blob = bytearray((folder / "blob").read_bytes())
    blob[-8] ^= 1
    (folder / "blob").write_bytes(blob)


def _shorten(folder: Path) -> None:
    (folder / "blob").write_bytes((folder / "blob").read_bytes()[:-1])


def _rewrite(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 9}))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_flip, "1 of 2 chunks read are damaged"),
        (_shorten, "its blob has"),
        (_rewrite, "its manifest is not"),
    ],
)
def test_a_damaged_image(
    stored: tuple[dict[str, Any], Path], harm: Callable[[Path], None], words: str
) -> None:
    state, folder = stored
    harm(folder)

    verdict = images.verify("image d", SERVER, 8080, state, deep=True, transport=boot_plane(folder))

    assert (verdict.status, words in verdict.message) == ("failed", True)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"state": "absent"}, "it is not in the store"),
        ({"state": "converting"}, "it is converting"),
        ({"state": "failed", "error": "a backing file"}, "it is failed: a backing file"),
        ({"state": "ready", "digest": "sha256:" + "b" * 64}, "the Image document says"),
    ],
)
def test_an_image_that_is_not_as_declared(around: Surroundings, state: dict[str, Any], words: str) -> None:
    image = Image.model_validate(
        {
            "metadata": {"name": "d"},
            "source": {"upload": True},
            "digest": "sha256:" + "a" * 64,
            "os": {"family": "debian", "version": "12"},
        }
    )

    verdict = images.judge_image(replace(around, images={"d": image}), "d", state, deep=False)

    assert (verdict.status, words in verdict.message) == ("failed", True)
    assert verdict.next.startswith("rackflow image add d")


@pytest.fixture
def pong() -> Iterator[int]:
    """A BMC that answers presence pings; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, peer = sock.recvfrom(2048)
                if data == b"end":
                    return
                if data == bmc.PING:
                    sock.sendto(b"\6\0\xff\6\0\0\x11\xbe\x40\0\0\x10" + bytes(16), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield sock.getsockname()[1]
        sock.sendto(b"end", sock.getsockname())
        thread.join()


def test_a_bmc_is_there_by_its_pong(around: Surroundings, pong: int) -> None:
    (answers,) = bmc.check_bmcs(with_edge(around, bmcs={"web-01": "127.0.0.1"}), port=pong)

    assert (answers.status, answers.message) == ("ok", "1 of 1 answer")


def test_silent_bmcs_are_named_up_to_ten() -> None:
    known = {f"web-{n:02}": "192.0.2.7" for n in range(13)}
    answers = {host: "rmcp" if host == "web-00" else "" for host in known}

    found = list(bmc.judge(known, answers, here_counts=True))

    assert [f.status for f in found] == ["ok"] + ["failed"] * 11
    assert found[1].name == "BMC of web-01"
    assert found[-1].message == "2 more are silent"
    assert {f.status for f in bmc.judge(known, answers, here_counts=False)} == {"ok", "warning"}


def test_nobody_waits_for_bmcs_that_are_not_known(around: Surroundings) -> None:
    (skipped,) = bmc.check_bmcs(around)

    assert skipped.status == "skipped"


def test_an_address_that_is_none_is_silent() -> None:
    assert bmc.answers_at("not-an-address") == ""
