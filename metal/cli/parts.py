"""Commands that run a part in this process's place: `edge`, `worker`, `bootos build`, `lab …`.

The CLI does not import these rooms; it becomes them with exec, so that signals and exit codes are theirs.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from metal.cli.groups import new_group
from metal.cli.up.parts import SiteRun, prefect_env, worker_env, worker_part
from metal.edge_client.wire import data_dir
from metal.errors import SpecError

bootos_group = new_group("The boot OS.")
lab_group = new_group("The virtual rack.")
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def become(module: str, *argv: str, env: dict[str, str] | None = None) -> NoReturn:
    """Replace this process by `python -m module`."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(  # noqa: S606 - no shell is wanted: argv goes through as it is
        sys.executable, [sys.executable, "-m", module, *argv], os.environ | (env or {})
    )


def edge(
    *,
    specs: Annotated[
        Path | None, typer.Option(help="Make this folder the current spec set at start.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder; default RACKFLOW_DATA.")] = None,
) -> None:
    """Run the edge alone: DHCP, TFTP, HTTP and the registry. It serves without Prefect being there."""
    argv = ["--data", str(data or data_dir())] + (["--specs", str(specs)] if specs else [])
    become("pxe_edge", *argv)


def worker(*, site: Annotated[str, typer.Option(help="Name of the site.")] = "default") -> None:
    """Run a Prefect worker for the site's pool alone."""
    run = SiteRun(data=data_dir(), site=site)
    part = worker_part(run)
    environment = prefect_env(run) if run.auth_file.exists() else {}
    run.worker_tmp.mkdir(parents=True, exist_ok=True, mode=0o700)
    here = {key: os.environ.get(key, value) for key, value in (environment | worker_env(run)).items()}
    here["TMPDIR"] = str(run.worker_tmp)
    become(*part.argv[2:], env=here)


@bootos_group.command("build", context_settings=PASS_ON)
def bootos_build(context: typer.Context) -> None:
    """Build kernel and initramfs of the boot OS from Debian packages."""
    become("bootos", "build", "--data", str(data_dir()), *context.args)


def _lab(verb: str, text: str) -> None:
    def command(context: typer.Context) -> None:
        if importlib.util.find_spec("lab") is None:
            raise SpecError(f"rackflow lab {verb} needs the clone's recipes", hint="run it in a clone")
        become("lab", verb, *context.args)

    command.__doc__ = text
    lab_group.command(verb, context_settings=PASS_ON)(command)


for _verb, _text in {
    "up": "Bring up the virtual rack: networks, machines (off), BMCs.",
    "down": "End everything in the rack.",
    "status": "Show machines, power, BMC addresses and serial logs.",
    "exec": "Run a command in one of the rack's namespaces.",
    "button": "Press a machine's power button: NAME on|off|reset.",
    "fresh": "Make one machine as it was delivered.",
    "snapshot": "Keep the whole rack and its data folder as they are now: NAME.",
    "restore": "Make rack and data folder what they were at a snapshot: NAME.",
    "fault": "Break something of a machine, or mend it: BMC, power, link, disk, the edge's HTTP.",
    "counters": "Show what machines wrote to their disks.",
}.items():
    _lab(_verb, _text)
