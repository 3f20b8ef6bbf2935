"""Loaders, script, kernel and initrds, fetched as machines fetch them: TFTP by tftpy, HTTP by httpx.

tftpy is the client, so that our TFTP server is asked by somebody else's code. What comes is compared
with what the edge says lies in its boot folder.
"""

import hashlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address
from typing import Final

import httpx
import tftpy

from metal.doctor.findings import Check, Finding, failed, ok, skipped, warning, why
from metal.doctor.surroundings import BootFile, Surroundings, url_host
from specs.shapes import IpAddress

TFTP_PORT: Final = 69
EVERYWHERE: Final = frozenset({0, 7, 9})
"""Architectures of ordinary servers (BIOS, x86-64 UEFI): a site without their loader boots nothing."""
_PACKAGES: Final = {"shimx64.efi": "shim-signed", "grubx64.efi": "grub-efi-amd64-signed"}
_HTTP_S: Final = 30.0
_TFTP_S: Final = 5
_SCRIPT: Final = b"#!ipxe"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came: size and digest, or what went wrong."""

    size_bytes: int = 0
    sha256: str = ""
    error: str = ""


def boot_checks(around: Surroundings) -> Iterator[Check]:
    """A check per file and way, at each address at which machines reach the edge."""
    if around.edge is None or around.edge.specset is None:
        yield Check("boot", "boot files", lambda: [skipped("boot files", "the edge serves no site")])
        return
    if not around.servers:
        nowhere = failed("boot files", "the edge has no address for machines", "see networks above")
        yield Check("boot", "boot files", lambda: [nowhere])
        return
    files, port = around.edge.boot_files, around.boot_port
    for server in around.servers:
        for file in (f for f in files if f.kind == "loader"):
            name = f"{file.name} at {server}"
            yield Check("boot", f"{name}, TFTP", partial(check_tftp, file, server))
            yield Check("boot", f"{name}, HTTP", partial(check_http, file, server, port), timeout_s=_HTTP_S)
        yield Check("boot", f"script at {server}", partial(check_script, server, port))
    for file in (f for f in files if f.kind != "loader"):
        run = partial(check_http, file, around.servers[0], port)
        yield Check("boot", f"{file.name}, HTTP", run, timeout_s=2 * _HTTP_S)
    if not any(file.kind == "kernel" for file in files):
        none = failed("boot OS", "none is built: machines get a script that says so", "rackflow bootos build")
        yield Check("boot", "boot OS", lambda: [none])


def check_tftp(file: BootFile, server: IpAddress) -> Iterator[Finding]:
    """One loader by TFTP."""
    name = f"{file.name}, TFTP at {server}"
    if file.sha256 is None:
        yield missing(name, file)
    elif isinstance(server, IPv6Address):
        yield skipped(name, "tftpy speaks IPv4 only; by HTTP it is asked")
    else:
        yield judge(name, file, fetch_tftp(str(server), TFTP_PORT, file.name))


def check_http(file: BootFile, server: IpAddress, port: int) -> Iterator[Finding]:
    """One file by HTTP."""
    name = f"{file.name}, HTTP at {server}"
    url = f"http://{url_host(server)}:{port}/{file.name}"
    yield missing(name, file) if file.sha256 is None else judge(name, file, fetch_http(url))


def check_script(server: IpAddress, port: int) -> Iterator[Finding]:
    """The script without a MAC: it makes iPXE ask again with its own, and begins no boot."""
    name, url = f"iPXE script, HTTP at {server}", f"http://{url_host(server)}:{port}/boot.ipxe"
    try:
        answer = httpx.get(url, timeout=_TFTP_S, trust_env=False)
    except httpx.HTTPError as error:
        yield failed(name, f"{url}: {error}", _LOOK)
        return
    if answer.status_code != httpx.codes.OK or not answer.content.startswith(_SCRIPT):
        yield failed(name, f"{url} answers {answer.status_code} and no script", "see the edge's log")
    else:
        yield ok(name, f"{len(answer.content)} octets")


_LOOK: Final = "look for a filter on the way (nft list ruleset), and at the ports above"


def missing(name: str, file: BootFile) -> Finding:
    """The verdict on a file that the edge hands out and does not have."""
    if file.kind != "loader":
        return failed(name, "it is not in the boot folder", "rackflow bootos build")
    archs = ", ".join(str(arch) for arch in file.architectures)
    said = f"it is not in the boot folder: machines of architecture {archs} can't load it"
    package = _PACKAGES.get(file.name, "ipxe")
    fix = f"install {package} and start the edge again, or put the file into <data>/boot"
    return (failed if EVERYWHERE & set(file.architectures) else warning)(name, said, fix)


def judge(name: str, file: BootFile, got: Fetched) -> Finding:
    """The verdict on what was fetched."""
    if got.error:
        return failed(name, got.error, _LOOK)
    if got.size_bytes != file.size_bytes:
        said = f"{got.size_bytes} octets came, the boot folder has {file.size_bytes}"
        return failed(name, said, "another server answers at that address, or the file has just changed")
    if got.sha256 != file.sha256:
        said = f"its sha256 is {got.sha256[:12]}…, the boot folder's {str(file.sha256)[:12]}…"
        return failed(name, said, "another server answers at that address, or the file has just changed")
    return ok(name, f"{got.size_bytes} octets, as in the boot folder")


def fetch_tftp(server: str, port: int, name: str) -> Fetched:
    """A file fetched by tftpy."""
    logging.getLogger("tftpy").setLevel(logging.CRITICAL)
    into = io.BytesIO()
    into.close = lambda: None  # type: ignore[method-assign]  # tftpy closes its output; the bytes are read after
    try:
        client = tftpy.TftpClient(server, port, {"blksize": 1428, "tsize": 0})
        client.download(name, into, timeout=_TFTP_S)
    except (tftpy.TftpException, OSError) as error:
        return Fetched(error=why(error))
    data = into.getvalue()
    return Fetched(len(data), hashlib.sha256(data).hexdigest())


def fetch_http(url: str) -> Fetched:
    """A file fetched by HTTP."""
    sha, size = hashlib.sha256(), 0
    try:
        with httpx.stream("GET", url, timeout=_HTTP_S, trust_env=False) as response:
            if response.status_code != httpx.codes.OK:
                return Fetched(error=f"{url} answers {response.status_code}")
            for block in response.iter_raw(1 << 20):
                sha.update(block)
                size += len(block)
    except httpx.HTTPError as error:
        return Fetched(error=f"{url}: {why(error)}")
    return Fetched(size, sha.hexdigest())
