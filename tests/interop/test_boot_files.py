"""Independent TFTP and HTTP clients fetch what is published, octet for octet, near and through a router."""

import hashlib
import sys

import pytest

from tests.interop.netns import SERVER

pytestmark = pytest.mark.interop

TFTPY = """
import sys, tftpy
options = {"blksize": int(sys.argv[4]), "tsize": 0}
tftpy.TftpClient(sys.argv[1], 69, options).download(sys.argv[2], sys.argv[3])
"""
KERNEL = bytes(range(251)) * 1200
"""301,200 octets: a short last block at every block size used here."""
EXACT = bytes(2 * 1428)
"""Ends with a full block of 1428: an empty one must follow."""
TFTP_CLIENTS = {
    "tftp-hpa": ("tftp", "-m", "binary", SERVER, "-c", "get", "FILE", "OUT"),
    "atftp": ("atftp", "--option", "blksize 1428", "-g", "-r", "FILE", "-l", "OUT", SERVER),
    "atftp-window-16": (
        *("atftp", "--option", "blksize 1428", "--option", "windowsize 16"),
        *("-g", "-r", "FILE", "-l", "OUT", SERVER),
    ),
    "curl": ("curl", "-sS", "--tftp-blksize", "1428", "-o", "OUT", f"tftp://{SERVER}/FILE"),
    "curl-without-options": ("curl", "-sS", "--tftp-no-options", "-o", "OUT", f"tftp://{SERVER}/FILE"),
    "busybox": ("busybox", "tftp", "-b", "1428", "-g", "-r", "FILE", "-l", "OUT", SERVER),
    "tftpy": (sys.executable, "-c", TFTPY, SERVER, "FILE", "OUT", "1428"),
    "tftpy-65464": (sys.executable, "-c", TFTPY, SERVER, "FILE", "OUT", "65464"),
}


@pytest.fixture
def edge(lab):
    """An edge with three files."""
    return lab.serve("files", files={"kernel": KERNEL, "exact": EXACT, "deep/er/file": b"x"})


@pytest.fixture(params=["C", "D"], ids=["direct", "routed"])
def place(request):
    return request.param


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("client", TFTP_CLIENTS)
@pytest.mark.parametrize("name", ["kernel", "exact"])
def test_tftp(lab, edge, need, place, tmp_path, client, name):
    argv = TFTP_CLIENTS[client]
    need(argv[0])
    out = tmp_path / "out"
    lab.run(place, *(word.replace("FILE", name) if word != "OUT" else str(out) for word in argv))

    assert digest(out.read_bytes()) == digest({"kernel": KERNEL, "exact": EXACT}[name])


@pytest.mark.parametrize("path", ["deep/er/file", "/deep/er/file", "deep\\er\\file"])
def test_tftp_takes_a_path_as_loaders_write_it(lab, edge, need, tmp_path, path):
    need("tftp")
    out = tmp_path / "out"
    argv = (sys.executable, "-c", TFTPY, SERVER, path, str(out), "512")
    lab.run("C", *argv)

    assert out.read_bytes() == b"x"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("tftp", "-m", "binary", SERVER, "-c", "get", "none", "OUT"), "Error code 1"),
        (("tftp", "-m", "binary", SERVER, "-c", "get", "../site.yaml", "OUT"), "Error code"),
        (("tftp", "-m", "binary", SERVER, "-c", "put", "OUT", "kernel"), "Error code 2"),
        (("tftp", "-m", "ascii", SERVER, "-c", "get", "kernel", "OUT"), "Error code"),
    ],
    ids=["no such file", "outside", "upload", "netascii"],
)
def test_tftp_refuses_aloud(lab, edge, need, tmp_path, argv, said):
    need(argv[0])
    out = tmp_path / "out"
    out.write_bytes(b"mine")
    done = lab.run("C", *(str(out) if word == "OUT" else word for word in argv), check=False)

    assert said in done.stdout + done.stderr
    assert (edge.data / "boot" / "kernel").read_bytes() == KERNEL


def test_http_whole_and_in_parts(lab, edge, need, place, tmp_path):
    need("curl")
    url, out = f"http://{SERVER}:8080/kernel", tmp_path / "out"
    lab.run(place, "curl", "-sSf", "-o", str(out), url)
    assert digest(out.read_bytes()) == digest(KERNEL)
    out.write_bytes(KERNEL[:100_000])
    lab.run(place, "curl", "-sSf", "-C", "-", "-o", str(out), url)
    assert digest(out.read_bytes()) == digest(KERNEL)


def heads(text):
    """Status and header fields of a response that curl -i or -I printed."""
    lines = text.split("\r\n\r\n")[0].splitlines()
    return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)


def test_http_says_what_boot_firmware_reads(lab, edge, need):
    need("curl")
    url = f"http://{SERVER}:8080/kernel"
    status, fields = heads(lab.run("C", "curl", "-sSI", url).stdout)
    assert (status, fields["content-length"]) == (200, str(len(KERNEL)))
    assert "transfer-encoding" not in fields

    same = lab.run("C", "curl", "-sSI", "-H", f"If-None-Match: {fields['etag']}", url).stdout
    assert heads(same)[0] == 304
    part = lab.run("C", "curl", "-sSi", "-r", "10-19", "-H", f"If-Range: {fields['etag']}", url).stdout
    assert (heads(part)[0], heads(part)[1]["content-range"]) == (206, f"bytes 10-19/{len(KERNEL)}")
    beyond = lab.run("C", "curl", "-sSi", "-r", "999999999-", url).stdout
    assert (heads(beyond)[0], heads(beyond)[1]["content-range"]) == (416, f"bytes */{len(KERNEL)}")


def test_http_keeps_the_connection_and_takes_a_doubled_slash_without_redirect(lab, edge, need):
    need("curl")
    url = f"http://{SERVER}:8080//deep//er/file"
    said = lab.run(
        "C", "curl", "-sS", "-w", "%{http_code} %{num_connects}\n", url, url, "-H", f"Host: {SERVER}"
    )

    assert said.stdout.split("\n")[:2] == ["x200 1", "x200 0"]


def test_a_script_without_boot_os_says_what_is_missing(lab, edge, need):
    need("curl")
    url = f"http://{SERVER}:8080/boot.ipxe?mac=52:54:00:00:00:01"
    text = lab.run("C", "curl", "-sSf", url).stdout

    assert text.startswith("#!ipxe\n")
    assert "rackflow bootos build" in text
