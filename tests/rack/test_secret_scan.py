"""The scan finds a secret planted in each kind of place and encoding, and a clean site is clean."""

import base64
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pxe_edge.registry import credentials, hosts
from pxe_edge.registry.registry import open_registry
from tests.rack.secret_scan import GUEST_KINDS, HOST_PROCESSES, Guest, Report, Scan

NAMED = "correct horse / battery"
PEM = b"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\n-----END PRIVATE KEY-----\n"
AUTH = "rackflow:prefect-auth-0123456789"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site's data folder after a life in which nothing leaked."""
    data = tmp_path_factory.mktemp("site") / "data"
    registry = open_registry(data)
    with registry.db.write() as session:
        host = hosts.register(session, registry.now(), "web-01", own_name=True, by="test")
        credentials.candidate(
            session, registry.now(), registry.seal, host, address="10.0.0.1", user="rackflow", password=None
        )
        credentials.promote(session, registry.now(), registry.seal, host, user="rackflow")
        credentials.set_secret(session, registry.now(), registry.seal, "ops", NAMED)
    registry.db.close()
    for name in ("logs/worker.log", "logs/edge.log", "edge/consoles/h-1/1.log", "lab/machines/m1/serial.log"):
        write(data / name, b"event=started boot=1\n")
    write(data / "prefect" / "auth", AUTH.encode())
    write(
        data / "edge" / "tls" / "ca.key",
        PEM,
    )
    with closing(sqlite3.connect(data / "prefect" / "prefect.db")) as db:
        db.execute("CREATE TABLE log (message TEXT)")
        db.commit()
    return data


@pytest.fixture
def data(tmp_path: Path, template: Path) -> Path:
    """A copy to plant something in."""
    return Path(shutil.copytree(template, tmp_path / "data"))


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(content)


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    """What a guest shows in /proc, /run and /etc."""
    root = tmp_path / "guest"
    write(root / "proc" / "12" / "cmdline", b"rf-write\0--image\0")
    write(root / "proc" / "cmdline", b"console=ttyS0 rackflow=1\n")
    write(root / "run" / "rackflow" / "steps" / "7-image-1" / "meta", b'{"argv": ["rf-write"]}')
    write(root / "etc" / "shadow", b"root:*:1::::::\nops:$6$salt$0123456789abcdef0123456789abcdef:1::::::\n")
    return root


def scanned(data: Path, guest: Path, until: Callable[[Scan], bool] | None = None) -> Report:
    """A scan over both, ended once it has seen what it is to see."""
    local = (sys.executable, "-u", "-")
    scan = Scan(data, (Guest("boot OS of web-01", lambda: local),), root=str(guest))
    scan.start()
    wanted = (*GUEST_KINDS.values(), HOST_PROCESSES)
    deadline = time.monotonic() + 20

    def enough() -> bool:
        hashes = any(secret.kind.startswith("hash") for secret in scan.secrets)
        return hashes and all(scan.saw(place, b"") for place in wanted) and (until is None or until(scan))

    while not enough():
        assert time.monotonic() < deadline, "nothing was sampled"
        os.sched_yield()
    return scan.finish()


def secret_of(data: Path, kind: str) -> bytes:
    scan = Scan(data)
    scan.secrets.collect()
    return next(secret.value for secret in scan.secrets if secret.kind.startswith(kind))


def test_a_site_that_kept_its_secrets_is_clean(data: Path, guest: Path) -> None:
    report = scanned(data, guest)
    assert report.clean, report.text()
    assert set(report.kinds) >= {
        "BMC password (current)", "secret ops@1", "tokens/admin", "tokens/worker", "tokens/console",
        "edge/site.key", "prefect/auth", "prefect/auth (password)", "tls/ca.key (body)",
        "management key (body)", "hash in /etc/shadow",
    }  # fmt: skip


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "base64": lambda value: base64.b64encode(b'{"password":"' + value + b'"}'),
    "base64, shifted": lambda value: base64.b64encode(b'{"password": "' + value + b'"}'),
    "base64url": lambda value: base64.urlsafe_b64encode(b"?>" + value + b"?>"),
    "hex": lambda value: value.hex().encode(),
    "hex words": lambda value: " ".join(f"0x{byte:02x}" for byte in value).encode(),
    "url": lambda value: urllib.parse.quote(value.decode(), safe="").encode(),
}
KINDS = ["BMC password", "secret ops", "tokens/admin", "prefect/auth (password)", "management key"]


@pytest.mark.parametrize("form", ENCODINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_secret_is_found_in_each_form(data: Path, kind: str, form: str) -> None:
    value = secret_of(data, kind)
    write(data / "logs" / "worker.log", b"2026-11-26 INFO sent " + ENCODINGS[form](value) + b" to it\n")
    hits = Scan(data).finish().hits
    assert {(hit.place, hit.where) for hit in hits} == {("logs of parts", "logs/worker.log")}
    assert any(hit.kind.startswith(kind) for hit in hits)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("logs of parts", "logs/edge.log"),
        ("logs of parts", "up.log"),
        ("Prefect's database and results", "prefect/storage/result-1"),
        ("Prefect's database and results", "prefect/prefect.db-wal"),
        ("registry", "edge/registry.sqlite-wal"),
        ("serial logs", "edge/consoles/h-1/1.log"),
        ("serial logs", "lab/machines/m1/serial.log"),
    ],
)
def test_each_file_is_searched(data: Path, place: str, name: str) -> None:
    write(data / name, b"x" + secret_of(data, "BMC password") + b"x")
    (hit,) = Scan(data).finish().hits
    assert (hit.place, hit.where, hit.form) == (place, name, "raw")


def test_a_secret_that_lies_across_two_pages_of_a_database_is_found(data: Path) -> None:
    """In the file's bytes it is cut by the number of the next overflow page."""
    value = secret_of(data, "BMC password").decode()
    path = data / "prefect" / "prefect.db"
    with closing(sqlite3.connect(path)) as db:
        # Overflow pages of 4092 bytes are filled from the value's end.
        db.execute("INSERT INTO log VALUES (?)", ("x" * 5000 + value + "y" * (4092 - len(value) // 2),))
        db.commit()
    assert value.encode() not in path.read_bytes()
    assert {hit.where for hit in Scan(data).finish().hits} == {"prefect/prefect.db (cells)"}


@pytest.fixture
def planted_process(data: Path) -> Iterator[bytes]:
    """A process with a secret in its argv, until the test has seen it."""
    value = secret_of(data, "BMC password")
    argv = ("sh", "-c", "read line", "ipmitool", "-P", value.decode())
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        yield value
        process.kill()


def test_a_secret_in_an_argv_is_found(data: Path, guest: Path, planted_process: bytes) -> None:
    report = scanned(data, guest, lambda scan: scan.saw(HOST_PROCESSES, planted_process))
    assert {(hit.place, hit.where) for hit in report.hits} == {(HOST_PROCESSES, "sh")}
    assert planted_process.decode() not in report.text()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("cmdline", "proc/13/cmdline"),
        ("kernel", "proc/cmdline"),
        ("step", "run/rackflow/steps/7-users-2/meta"),
        ("step", "run/rackflow/steps/7-users-2/stdout"),
        ("step", "run/rackflow/steps/7-users-2/stderr"),
    ],
)
@pytest.mark.parametrize("what", ["token", "hash"])
def test_a_secret_in_a_guest_is_found(data: Path, guest: Path, kind: str, name: str, what: str) -> None:
    hashed = b"$6$salt$0123456789abcdef0123456789abcdef"
    value = secret_of(data, "tokens/worker") if what == "token" else hashed
    write(guest / name, b"--with " + value)
    report = scanned(data, guest, lambda scan: scan.saw(GUEST_KINDS[kind], value))
    assert {hit.place for hit in report.hits} == {GUEST_KINDS[kind]}
    assert value.decode() not in report.text()


def test_a_secret_that_lived_only_for_a_while_is_searched_for_as_well(data: Path, guest: Path) -> None:
    """A password before a rotation: the registry has forgotten it when the scan ends."""
    old = secret_of(data, "BMC password")
    write(data / "logs" / "worker.log", old)

    def rotated(scan: Scan) -> bool:
        if not any(secret.value == old for secret in scan.secrets):
            return False
        with closing(sqlite3.connect(data / "edge" / "registry.sqlite")) as db:
            db.execute("DELETE FROM credentials")
            db.commit()
        return True

    assert [hit.kind for hit in scanned(data, guest, rotated).hits] == ["BMC password (current)"]


def test_a_scan_that_saw_no_guest_is_not_clean(data: Path) -> None:
    scan = Scan(data, (Guest("boot OS of web-01", lambda: None),))
    scan.start()
    report = scan.finish()
    assert not report.clean
    assert set(GUEST_KINDS.values()) <= set(report.unseen)


def test_a_value_too_short_to_be_searched_for_is_refused(data: Path) -> None:
    with pytest.raises(ValueError, match="too few"):
        Scan(data).secrets.add("secret pin", b"1234")
