"""The parts of a site and how each is started: argv, environment, where it logs. Pure but for reading files.

Prefect's settings are those measured to behave: filesystem lease storage (memory leases crash healthy
runs at a server restart), one interpreter per run, CSRF off on loopback, retention of events and runs.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PREFECT_PORT: Final = 4200
CONTROL_PORT: Final = 8443
BOOT_PORT: Final = 8080
RETENTION_S: Final = 14 * 24 * 3600
LATE_S: Final = 3600
"""When Prefect marks a run that waits for a worker as late: not in a boot storm, when runs wait their turn.

Its default is 15 s. Marking 1,000 runs kept its SQLite locked for minutes, in which two runs a second were
made (measured). That nobody picks runs up is what the edge's sweeper and `rackflow why` tell.
"""
RUN_BYTES: Final = 90 << 20
"""Memory of one flow run's process (75 MB PSS measured, with room)."""
RUNS_PER_CORE: Final = 8


@dataclass(frozen=True, slots=True)
class Part:
    """One process of ours: how it is started and how one sees that it is up."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict, repr=False)
    cwd: Path | None = None
    ready_port: int | None = None
    """A TCP port on 127.0.0.1 that is open once the part serves."""
    ready_text: str | None = None
    """What the part writes to its log once it serves."""
    grace_s: float = 10.0
    """Seconds between SIGTERM and SIGKILL: idle Prefect workers were seen to ignore SIGTERM for minutes."""
    orphan_signal: str = "TERM"
    """What the kernel sends when the supervisor itself was killed; nobody is left to send a second one."""


@dataclass(frozen=True, slots=True)
class SiteRun:
    """What `up` runs: one data folder, one site."""

    data: Path
    site: str = "default"
    specs: Path | None = None

    @property
    def logs(self) -> Path:
        """Where each part's output goes."""
        return self.data / "logs"

    @property
    def prefect_home(self) -> Path:
        """Prefect's own folder: database, results, lease files."""
        return self.data / "prefect"

    @property
    def worker_tmp(self) -> Path:
        """Temporary files of the worker and its flow runs."""
        return self.prefect_home / "tmp"

    @property
    def auth_file(self) -> Path:
        """`user:password` of Prefect's API, 0600."""
        return self.prefect_home / "auth"

    @property
    def pool(self) -> str:
        """The site's work pool."""
        return f"rackflow-{self.site}"


def run_limit(memory_bytes: int, cores: int) -> int:
    """How many flow runs may be alive at once on this machine."""
    return max(2, min(memory_bytes // RUN_BYTES, RUNS_PER_CORE * cores))


def memory_bytes() -> int:
    """Physical memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def prefect_env(run: SiteRun) -> dict[str, str]:
    """Environment of everything that speaks to Prefect."""
    return {
        "PREFECT_HOME": str(run.prefect_home),
        "PREFECT_API_URL": f"http://127.0.0.1:{PREFECT_PORT}/api",
        "PREFECT_API_AUTH_STRING": run.auth_file.read_text().strip(),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
    }


def server_env(run: SiteRun) -> dict[str, str]:
    """Environment of the Prefect server."""
    database = run.prefect_home / "prefect.db"
    return prefect_env(run) | {
        "PREFECT_SERVER_API_AUTH_STRING": run.auth_file.read_text().strip(),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RETENTION_S),
        "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": str(LATE_S),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "true",
    }


def edge_env(run: SiteRun) -> dict[str, str]:
    """Paths only: values of secrets are read from the files at the moment of use."""
    return {
        "RACKFLOW_DATA": str(run.data),
        "RACKFLOW_PREFECT_URL": f"http://127.0.0.1:{PREFECT_PORT}/api",
        "RACKFLOW_PREFECT_AUTH_FILE": str(run.auth_file),
    }


def worker_env(run: SiteRun) -> dict[str, str]:
    """What flow runs need to reach the edge: paths, never values."""
    return {
        "RACKFLOW_EDGE_URL": f"https://127.0.0.1:{CONTROL_PORT}",
        "RACKFLOW_CA_FILE": str(run.data / "edge" / "tls" / "ca.pem"),
        "RACKFLOW_TOKEN_FILE": str(run.data / "edge" / "tokens" / "worker"),
        "RACKFLOW_SITE": run.site,
    }


def server_part(run: SiteRun) -> Part:
    """The Prefect server, on loopback."""
    argv = ("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(PREFECT_PORT))
    return Part("prefect", (sys.executable, *argv), server_env(run), ready_port=PREFECT_PORT)


def edge_part(run: SiteRun) -> Part:
    """The edge: DHCP, TFTP, HTTP, registry."""
    argv = [sys.executable, "-m", "pxe_edge", "--data", str(run.data)]
    if run.specs is not None:
        argv += ["--specs", str(run.specs)]
    return Part("edge", tuple(argv), edge_env(run), ready_port=CONTROL_PORT)


def worker_part(run: SiteRun) -> Part:
    """A stock Prefect process worker with a limit."""
    limit = run_limit(memory_bytes(), os.cpu_count() or 1)
    options = ("--pool", run.pool, "--type", "process", "--limit", str(limit), "--name", f"{run.pool}-local")
    argv = (sys.executable, "-m", "prefect", "worker", "start", *options)
    # Prefect's runner keeps its files in one folder below the temporary folder, for all users of a machine.
    env = prefect_env(run) | worker_env(run) | {"TMPDIR": str(run.worker_tmp)}
    return Part("worker", argv, env, cwd=run.data, orphan_signal="KILL", ready_text="started!")


def console_part(run: SiteRun) -> Part:
    """The console broker, with a token of its own scope."""
    own = {
        "RACKFLOW_DATA": str(run.data),
        "RACKFLOW_TOKEN_FILE": str(run.data / "edge" / "tokens" / "console"),
    }
    return Part("console", (sys.executable, "-m", "metal.console"), worker_env(run) | own)


def registration_argv(run: SiteRun) -> tuple[str, ...]:
    """The command that registers work pool and deployments."""
    return (sys.executable, "-m", "flows.registration", "--site", run.site, "--data", str(run.data))
