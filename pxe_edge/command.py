"""The command line of `python -m pxe_edge`: run the edge of a site."""

import argparse
import base64
import contextlib
import fcntl
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from sqlalchemy.exc import DatabaseError

from pxe_edge import allocator
from pxe_edge.api.server import StartError as ApiStartError
from pxe_edge.api.server import bind
from pxe_edge.jobs.timing import KNOBS, Timing
from pxe_edge.process import Edge, PrefectSettings
from pxe_edge.registry.errors import RegistryError
from pxe_edge.registry.registry import Ports, Registry, open_registry
from pxe_edge.registry.specsets import FindingsError
from pxe_edge.servers.errors import StartError
from specs.load import load_tree

FAILED, USAGE = 1, 2


def _parser() -> argparse.ArgumentParser:
    default = os.environ.get("RACKFLOW_DATA") or (
        "/var/lib/rackflow" if os.geteuid() == 0 else Path.home() / ".local/share/rackflow"
    )
    knobs = [f"{name} ({getattr(Timing(), time)})" for name, time in KNOBS.items()]
    parser = argparse.ArgumentParser(
        prog="pxe_edge",
        description="The edge of a site.",
        epilog=f"Times in whole seconds, by environment, with what they are without: {', '.join(knobs)}.",
    )
    parser.add_argument("--data", type=Path, default=Path(default), help="data folder")
    parser.add_argument("--specs", type=Path, help="make this folder the current spec set at start")
    parser.add_argument("--port", type=_port, default=Ports().control, help="TCP port of the API")
    parser.add_argument("--boot-port", type=_port, default=Ports().boot, help="TCP port of the boot plane")
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise argparse.ArgumentTypeError(f"expected a TCP port from 1 to 65535, got {text!r}")
    return int(text)


def _boot_proxy(environment: Mapping[str, str]) -> tuple[str, int] | None:
    # Who speaks there says in whose name it asks: only programs of this machine may.
    text = environment.get("RACKFLOW_BOOT_PROXY")
    if not text:
        return None
    host, _, port = text.rpartition(":")
    with contextlib.suppress(ValueError, argparse.ArgumentTypeError):
        address = ip_address(host.strip("[]"))
        if address.is_loopback:
            return str(address), _port(port)
    raise ValueError(
        f"RACKFLOW_BOOT_PROXY is {text!r}; expected a loopback address and a port, as 127.0.0.1:8081"
    )


def _say(text: str) -> None:
    sys.stderr.write(f"pxe_edge: {text}\n")


def _publish(registry: Registry, folder: Path) -> int:
    if not folder.is_dir():
        _say(f"there is no spec folder {folder}")
        return USAGE
    try:
        files = load_tree(folder).files
        given = {path: _given(content) for path, content in files.items()}
        registry.publish_files(given, author=f"edge --specs {folder}")
    except FindingsError as error:
        for finding in error.findings:
            sys.stderr.write(f"{finding}\n")
        _say(f"{folder} has {len(error.findings)} finding(s); correct them and start again")
        return USAGE
    except RegistryError as error:
        _say(f"{folder} can't be made current: {error.detail}")
        return USAGE
    return 0


def _given(content: bytes) -> str | dict[str, str]:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Hold the data folder: two edges on one registry would be two writers."""
    folder = data / "edge"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ApiStartError(
                f"another edge runs on {data}; stop it, or give --data another folder"
            ) from None
        yield


def main(argv: list[str] | None = None, packet_path: str = "interpreted") -> int:
    """Run until SIGTERM or SIGINT; `packet_path` says how its modules were loaded, for the log."""
    options = _parser().parse_args(argv)
    allocator.keep_little()
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="at=%(asctime)s level=%(levelname)s room=%(name)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        timing = Timing.from_environment(os.environ)
        boot_proxy = _boot_proxy(os.environ)
    except ValueError as error:
        _say(str(error))
        return USAGE
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    data = options.data.absolute()
    try:
        # The port comes first: a second edge on this machine must not touch the first one's data.
        listening = bind(options.port)
        logging.getLogger("edge").info("edge=starting packet-path=%r", packet_path)
        with only_one(data):
            registry = open_registry(
                data, ports=Ports(options.port, options.boot_port, boot_proxy), timing=timing
            )
            if options.specs is not None and (status := _publish(registry, options.specs)):
                return status
            Edge(registry, PrefectSettings.from_environment(), listening).run(stop)
    except (ApiStartError, StartError) as error:
        _say(str(error))
        return FAILED
    except (RegistryError, DatabaseError) as error:
        _say(f"the registry in {data / 'edge'} can't be used: {error}")
        _say("give --specs a folder with a good set, or restore a backup")
        return FAILED
    except PermissionError as error:
        _say(f"may not use {error.filename}: run as the user that owns the data folder")
        return FAILED
    return 0
