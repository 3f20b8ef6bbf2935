"""A running site inside the rack, driven as an operator drives it: what rack scenarios look through."""

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from lab.demo import CLONE, Demo
from specs.phases import Phase
from specs.records import HostRecord, JobRecord

SSH_OPTIONS: Final = (
    *("-q", "-o", "BatchMode=yes"),
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10"),
)
"""A machine that goes away meanwhile ends the command within a minute: whoever waits for it asks again."""

T = TypeVar("T")


class Failed(RuntimeError):
    """A client of the site did not get what it asked for."""


@dataclass(frozen=True)
class Site:
    """A running site inside the rack, driven as an operator drives it."""

    demo: Demo
    key: Path

    def rackflow(self, *argv: str, stdin: str | None = None, ok: tuple[int, ...] = (0,)) -> str:
        """The CLI's stdout."""
        return self.demo.rackflow(*argv, stdin=stdin, ok=ok)

    def refused(self, *argv: str) -> str:
        """What the CLI says of a command that it refuses: the difference to read on stdout, the error."""
        done = subprocess.run(
            [sys.executable, "-m", "metal.cli", *argv],
            cwd=CLONE,
            env=self.demo.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 1:
            raise Failed(f"{' '.join(argv)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def prefect(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Post to Prefect's REST API."""
        auth = (self.demo.data / "prefect" / "auth").read_text().strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:4200/api{path}", data=json.dumps(body or {}).encode(), method="POST"
        )
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Basic {b64encode(auth.encode()).decode()}")
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - a fixed http URL
            return json.load(answer)

    def json(self, *argv: str, ok: tuple[int, ...] = (0,)) -> Any:
        """The CLI's JSON."""
        return json.loads(self.rackflow(*argv, "--json", ok=ok))

    def apply(self, name: str, *, ok: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """Apply one host; its row of `apply --json`."""
        row: dict[str, Any] = self.json("apply", name, "--no-publish", ok=ok)["hosts"][0]
        return row

    def publish(self, files: dict[str, str]) -> None:
        """Publish the clone's specs with some files replaced."""
        tree = self.demo.data / "specs"
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(CLONE / "specs", tree, ignore=shutil.ignore_patterns("*.py", "__pycache__", "schema"))
        for name, text in files.items():
            (tree / name).write_text(text)
        self.rackflow("spec", "publish", str(tree), "--dirty", "--force")

    def record(self, name: str) -> HostRecord | None:
        """A host, if it is known; a failed one never will be what is waited for."""
        with self.demo.edge() as edge:
            found = [one for one in edge.hosts() if one.name == name]
        if found and found[0].phase.value.endswith("-failed"):
            raise AssertionError(f"{found[0].phase}: {found[0].message}")
        return found[0] if found else None

    def in_sync(self, name: str) -> bool:
        """Active, and as its spec says."""
        record = self.record(name)
        conditions = {one.type: one.status for one in record.conditions} if record else {}
        return record is not None and record.phase is Phase.ACTIVE and conditions.get("InSync") == "True"

    def job(self, name: str, number: int, state: str) -> JobRecord | None:
        """A job, once it is in a state; a failed one never will be."""
        with self.demo.edge() as edge:
            job = edge.job(name, number)
        if job.state == "failed":
            raise AssertionError(f"job {number} failed: {job.reason}: {job.message}")
        return job if job.state == state else None

    def inside(
        self, *argv: str, stdin: str | None = None, timeout_s: int = 60
    ) -> subprocess.CompletedProcess[str]:
        """A command in the edge's namespace, as another machine of the site would run it."""
        try:
            return subprocess.run(
                [sys.executable, "-m", "lab", "exec", "--ns", "edge", "--", *argv],
                cwd=CLONE,
                env=self.demo.environment,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{argv[0]} has not ended within {timeout_s} s") from error

    def ssh(self, address: str, command: str) -> str:
        """Output of a command on a deployed system, by a plain ssh client."""
        done = self.inside("ssh", *SSH_OPTIONS, "-i", str(self.key), f"rackflow@{address}", command)
        if done.returncode:
            raise Failed(f"ssh {address} {command}: {done.stderr or done.stdout}")
        return done.stdout

    def ipmitool(self, host: str, *verb: str) -> str:
        """Ipmitool with the account that `rackflow credentials` shows: an independent client."""
        account = next(c for c in self.json("credentials", host) if c["state"] == "current")
        secret = self.demo.data / "bmc-password"
        secret.touch(0o600)
        secret.write_text(account["password"])
        argv = (
            "ipmitool",
            "-I",
            "lanplus",
            "-H",
            account["address"],
            "-U",
            account["user"],
            "-f",
            str(secret),
        )
        done = self.inside(*argv, *verb)
        secret.unlink()
        if done.returncode:
            raise Failed(f"ipmitool {' '.join(verb)}: {done.stderr}")
        return done.stdout.strip()


def eventually(what: str, condition: Callable[[], T | None], deadline_s: float, *, every_s: float = 0.5) -> T:
    """Wait for a state, with a deadline; a call that fails meanwhile is not yet that state."""
    failure: Failed | None = None
    ends_at = time.monotonic() + deadline_s
    while True:
        try:
            if found := condition():
                return found
        except Failed as error:
            failure = error
        if time.monotonic() > ends_at:
            raise Failed(f"not within {deadline_s} s: {what}") from failure
        time.sleep(every_s)


def management_key(demo: Demo, folder: Path) -> Path:
    """The site's management key in a file, for a plain ssh client."""
    path = folder / "key"
    path.touch(0o600)
    with demo.edge("worker") as edge:
        path.write_text(edge.management_key())
    return path
