"""`rackflow up`: Prefect server, edge, deployments, worker, console broker; Ctrl-C ends all of it.

With `--rack` the site runs inside the virtual rack's namespace, and the ports that an operator opens
in a browser are relayed to this machine's loopback.
"""

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from metal.cli.output import say
from metal.cli.up.parts import (
    CONTROL_PORT,
    PREFECT_PORT,
    Part,
    SiteRun,
    console_part,
    edge_part,
    prefect_env,
    registration_argv,
    server_part,
    worker_part,
)
from metal.cli.up.supervisor import Supervisor, port_open
from metal.edge_client.wire import data_dir
from metal.errors import RackflowError

LAST_LINE: Final = "all parts are running; Ctrl-C ends them"


def up(
    *,
    site: Annotated[
        str, typer.Option(help="Name of the site; deployments and the work pool bear it.")
    ] = "default",
    specs: Annotated[
        Path | None, typer.Option(help="Make this folder the current spec set at start.")
    ] = None,
    rack: Annotated[bool, typer.Option("--rack", help="Run inside the virtual rack's namespace.")] = False,
) -> None:
    """Run Prefect server, edge, worker and console broker on this machine, until Ctrl-C."""
    run = SiteRun(data=data_dir(), site=site, specs=specs.absolute() if specs else None)
    refuse_taken_ports()
    supervisor = Supervisor(run.logs, say)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.stop())
    try:
        if rack:
            start_in_rack(supervisor, run)
        else:
            start_site(supervisor, run)
            print_links(run)
        supervisor.watch()
    finally:
        say("stopping: SIGTERM, and SIGKILL after 10 s")
        supervisor.close()


def refuse_taken_ports() -> None:
    """Say which port is in use before anything is started."""
    for port, what in ((PREFECT_PORT, "Prefect"), (CONTROL_PORT, "the edge's API")):
        if port_open(port):
            raise RackflowError(
                f"port {port} on 127.0.0.1, which {what} needs, is in use",
                hint=f"is rackflow up already running? ss -ltnp sport = :{port}",
            )


def start_site(supervisor: Supervisor, run: SiteRun) -> None:
    """Start the parts in the order in which they need each other."""
    make_auth(run)
    supervisor.start(edge_part(run))
    supervisor.start(server_part(run))
    done = subprocess.run(
        registration_argv(run),
        env=os.environ | prefect_env(run),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if done.returncode:
        raise RackflowError(f"deployments could not be registered: {done.stderr.strip()[-600:]}")
    say(done.stdout.strip())
    supervisor.start(worker_part(run))
    supervisor.start(console_part(run))


def start_in_rack(supervisor: Supervisor, run: SiteRun) -> None:
    """Start this same command inside the rack's edge namespace, and relay its ports out."""
    again = [sys.executable, "-m", "metal.cli", "up", "--site", run.site]
    if run.specs:
        again += ["--specs", str(run.specs)]
    lab = (sys.executable, "-m", "lab")
    env = {"RACKFLOW_DATA": str(run.data)}
    for port in (PREFECT_PORT, CONTROL_PORT):
        ends = ("--listen", f"127.0.0.1:{port}", "--to", f"127.0.0.1:{port}", "--ns", "edge")
        supervisor.start(Part(f"relay-{port}", (*lab, "relay", *ends), env, ready_port=port), ready_s=15)
    inside = (*lab, "exec", "--ns", "edge", "--", *again)
    supervisor.start(Part("site", inside, env, ready_text=LAST_LINE, grace_s=25.0), ready_s=240)
    print_links(run)


def make_auth(run: SiteRun) -> None:
    """Make Prefect's one shared secret at first start."""
    run.prefect_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    run.worker_tmp.mkdir(exist_ok=True, mode=0o700)
    if not run.auth_file.exists():
        descriptor = os.open(run.auth_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(f"rackflow:{secrets.token_urlsafe(18)}\n")


def print_links(run: SiteRun) -> None:
    """Where to look."""
    say(f"Prefect UI   http://127.0.0.1:{PREFECT_PORT}   (log in with the line in {run.auth_file})")
    say(f"edge API     https://127.0.0.1:{CONTROL_PORT}   (CA {run.data / 'edge' / 'tls' / 'ca.pem'})")
    say(LAST_LINE)
