"""A real sshd on 127.0.0.1, with keys of its own and a stand-in for rf-exec."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.definition import Smbios
from tests.free_port import free_port
from tests.metal.transport.lab_bmc import LabBmc

RF_EXEC = f"""#!{sys.executable} -IS
import json, os, subprocess, sys
home = os.path.dirname(os.path.abspath(__file__))
own, argv = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
given = dict(zip(own[::2], own[1::2]))
def refuse(code, **told):
    print(json.dumps({{"exit": code, **told}}), file=sys.stderr)
    sys.exit(code)
if int(given["--epoch"]) < 5:
    refuse(75, error="epoch refused", highest=5)
if "ABSENT" in own[own.index("--disk") + 1] if "--disk" in own else False:
    refuse(77, error="no disk has this identity", asked="ABSENT")
kept = f"{{home}}/{{given['--step']}}.json"
if not os.path.exists(kept):
    data = sys.stdin.buffer.read() if "--stdin" in own else None
    done = subprocess.run(argv, input=data, capture_output=True)
    with open(kept, "w") as file:
        json.dump([done.returncode, done.stdout.decode(), done.stderr.decode(), own], file)
    if os.path.exists(f"{{home}}/drop"):
        os.unlink(f"{{home}}/drop")
        pid = os.getpid()
        while open(f"/proc/{{pid}}/comm").read().strip() != "sshd":
            pid = int(open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[1])
        os.kill(pid, 9)
code, out, err, own = json.load(open(kept))
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


@dataclass(frozen=True)
class Sshd:
    """Where it listens and what opens it."""

    port: int
    user: str
    private_key: str
    host_key: str
    home: Path

    @property
    def rf_exec(self) -> str:
        return str(self.home / "rf-exec")


@pytest.fixture
def lab_bmc() -> Iterator[LabBmc]:
    identity = Smbios("Acme", "A1", "S-1", uuid.UUID("a4b5c6d7-0102-4304-8506-0708090a0b0c"))
    bmc = LabBmc(identity, "ADMIN", "factory")
    yield bmc
    bmc.stop()


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    program = os.environ.get("RACKFLOW_SSHD") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("sshd is not installed: apt-get install openssh-server, or name one in RACKFLOW_SSHD")
    if os.geteuid() == 0:
        _privilege_separation()
    home = tmp_path_factory.mktemp("sshd")
    for name in ("host", "client"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(home / name)]
        subprocess.run(keygen, check=True)
    (home / "rf-exec").write_text(RF_EXEC)
    (home / "rf-exec").chmod(0o755)
    port = free_port()
    options = {
        "HostKey": home / "host",
        "AuthorizedKeysFile": home / "client.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "PasswordAuthentication": "no",
        "ListenAddress": f"127.0.0.1:{port}",
    }
    argv = [program, "-D", "-e", "-f", "/dev/null"]
    argv += [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        _wait_for_banner(port, process, home / "log")
        user = pwd.getpwuid(os.geteuid()).pw_name
        private_key, host_key = (home / "client").read_text(), (home / "host.pub").read_text()
        yield Sshd(port, user, private_key, host_key, home)
    finally:
        process.terminate()
        process.wait(10)


def _privilege_separation() -> None:
    try:
        pwd.getpwnam("sshd")
    except KeyError:
        pytest.skip("sshd run by root needs a user sshd: apt-get install openssh-server")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def _wait_for_banner(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
    pytest.fail(f"sshd does not answer on port {port}: {log.read_text()}")
