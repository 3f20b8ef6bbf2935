"""Independent TFTP and HTTP clients fetch what is published, octet for octet."""

import hashlib
import sys

import pytest

pytestmark = pytest.mark.interop
SERVER = "10.99.0.1"

TFTPY = """
import sys, tftpy
tftpy.TftpClient(sys.argv[1], 69, {"blksize": 1428, "tsize": 0}).download(sys.argv[2], sys.argv[3])
"""


@pytest.fixture
def published(lab, edge):
    data = bytes(range(251)) * 1200  # 301200 octets: a short last block for every block size used here
    (lab.folder / "boot" / "kernel").write_bytes(data)
    return hashlib.sha256(data).hexdigest(), len(data)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "argv",
    [
        (sys.executable, "-c", TFTPY, SERVER, "kernel", "OUT"),
        ("curl", "-sS", "--tftp-blksize", "1468", "-o", "OUT", f"tftp://{SERVER}/kernel"),
        ("curl", "-sS", "--tftp-no-options", "-o", "OUT", f"tftp://{SERVER}/kernel"),
        ("busybox", "tftp", "-b", "1428", "-g", "-r", "kernel", "-l", "OUT", SERVER),
    ],
    ids=["tftpy", "curl", "curl-without-options", "busybox"],
)
def test_tftp(lab, published, need, tmp_path, argv):
    need(argv[0])
    out = tmp_path / "out"
    lab.run("C", *(str(out) if word == "OUT" else word for word in argv))
    assert digest(out) == published[0]


def test_tftp_of_a_missing_file_is_an_error(lab, published, need):
    need("curl")
    assert (
        lab.run("C", "curl", "-sS", f"tftp://{SERVER}/none", check=False).returncode == 68
    )  # file not found


def test_http_whole_and_in_parts(lab, published, need, tmp_path):
    need("curl")
    url, out = f"http://{SERVER}:8080/kernel", tmp_path / "out"
    lab.run("C", "curl", "-sSf", "-o", str(out), url)
    assert digest(out) == published[0]
    out.write_bytes(out.read_bytes()[:100_000])
    lab.run("C", "curl", "-sSf", "-C", "-", "-o", str(out), url)
    assert digest(out) == published[0]
    head = lab.run("C", "curl", "-sSfI", url).stdout.lower()
    assert f"content-length: {published[1]}" in head.split("\n")


def test_a_script_without_boot_os_says_what_is_missing(lab, edge, need):
    need("curl")
    url = f"http://{SERVER}:8080/boot.ipxe?mac=52:54:00:00:00:01"
    text = lab.run("C", "curl", "-sSf", url).stdout
    assert text.startswith("#!ipxe\n")
    assert "rackflow bootos build" in text
