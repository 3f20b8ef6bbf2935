"""A real nginx in front of the boot plane, with the configuration that is delivered."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from pxe_edge.policy.views import BootOsView, SiteView
from pxe_edge.servers.boot_plane import BootPlane
from pxe_edge.servers.http import HttpServer
from pxe_edge.servers.memory import MemoryBoot, MemoryView
from tests.free_port import free_port

REPOSITORY = Path(__file__).parents[3]
UNPACKED = REPOSITORY / "build" / "tools" / "root" / "usr" / "sbin" / "nginx"
CONTENT = bytes(range(256)) * 4096
DIGEST = "cd" * 32
MAC = "52:54:00:00:00:01"
MAIN = """{user}
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    include {folder}/site.conf;
}}
"""


def configuration(folder, port, behind):
    text = (REPOSITORY / "deploy" / "nginx.conf").read_text()
    for delivered, here in (
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("listen [::]:8080;", ""),
        ("127.0.0.1:8081;", f"127.0.0.1:{behind};"),
        ("/var/lib/rackflow/", f"{folder}/"),
    ):
        assert delivered in text
        text = text.replace(delivered, here)
    (folder / "site.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))


@pytest.fixture
def nginx():
    program = UNPACKED if UNPACKED.exists() else shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not unpacked; run scripts/setup")
    return str(program)


def test_nginx_sends_the_files_and_the_edge_decides(nginx, tmp_path):
    (tmp_path / "boot" / "bootos").mkdir(parents=True)
    (tmp_path / "boot" / "bootos" / "vmlinuz").write_bytes(CONTENT)
    (tmp_path / "boot" / "with space.efi").write_bytes(b"loader")
    (tmp_path / "boot" / ".half").write_bytes(b"half")
    (tmp_path / "images" / DIGEST).mkdir(parents=True)
    (tmp_path / "images" / DIGEST / "blob").write_bytes(b"blob")
    asyncio.run(talk(nginx, tmp_path))


async def talk(nginx, folder):
    boot = MemoryBoot()
    site = SiteView("lab", discovery="register", bootos=BootOsView("bootos/vmlinuz", ()))
    plane = BootPlane(
        MemoryView(site), boot, boot_dir=folder / "boot", images_dir=folder / "images", accelerated=True
    )
    server = HttpServer(plane, port=0, proxy=("127.0.0.1", 0))
    await server.start()
    port = free_port()
    configuration(folder, port, server.port)
    argv = (nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"))
    front = await asyncio.create_subprocess_exec(*argv)
    try:
        await until_listening(port)
        await ask_everything(port, boot)
    finally:
        front.terminate()
        await asyncio.wait_for(front.wait(), 30)
        await server.close()


async def until_listening(port):
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


async def ask(port, path, method="GET", body=b"", **headers):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "Host: edge", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}"] if method == "POST" else []
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
    async with asyncio.timeout(30):
        head, _, rest = (await reader.read(-1)).partition(b"\r\n\r\n")
    writer.close()
    first, *others = head.decode().split("\r\n")
    told = {name.lower(): value for name, value in (line.split(": ", 1) for line in others)}
    return int(first.split()[1]), told, rest


async def ask_everything(port, boot):
    status, told, got = await ask(port, "/bootos/vmlinuz")
    assert (status, got == CONTENT, told["content-length"]) == (200, True, str(len(CONTENT)))
    assert "transfer-encoding" not in told
    assert not [name for name in told if name.startswith("x-accel")]
    status, told, got = await ask(port, "/bootos/vmlinuz", "HEAD")
    assert (status, told["content-length"], got) == (200, str(len(CONTENT)), b"")
    status, told, got = await ask(port, "/bootos/vmlinuz", Range="bytes=5-9", If_Range=told["etag"])
    assert (status, got, told["content-range"]) == (206, CONTENT[5:10], f"bytes 5-9/{len(CONTENT)}")
    assert (await ask(port, "/bootos/vmlinuz", Range="bytes=99999999-"))[0] == 416
    assert (await ask(port, "/with%20space.efi"))[2] == b"loader"
    assert (await ask(port, f"/images/sha256:{DIGEST}/blob"))[2] == b"blob"
    for hidden in (
        "/.half",
        "/-/boot/bootos/vmlinuz",
        "/-/images/",
        "/bootos/",
        "/missing",
        "/../nginx.conf",
    ):
        assert (await ask(port, hidden))[0] in (400, 404), hidden
    # What is made for a machine comes from the edge, and names nginx's address and port.
    text = (await ask(port, f"/boot.ipxe?mac={MAC}"))[2].decode()
    assert f"kernel http://127.0.0.1:{port}/bootos/vmlinuz" in text
    seed = f"/seed/{text.split('/seed/')[1].split()[0]}"
    assert (await ask(port, seed, X_Real_IP="10.0.0.9"))[2] == f"seed 1 {MAC}\n".encode()
    assert (await ask(port, seed))[0] == 404
    token = f"Bearer {boot.token}"
    assert (await ask(port, "/v1/report-in", "POST", b'{"a": 1}', Authorization=token))[0] == 204
    assert boot.said == [("report-in", "127.0.0.1", {"a": 1})]


def test_a_proxy_that_does_not_say_who_asks_is_refused(tmp_path):
    async def run():
        plane = BootPlane(
            MemoryView(SiteView("lab")),
            MemoryBoot(),
            boot_dir=tmp_path,
            images_dir=tmp_path,
            accelerated=True,
        )
        server = HttpServer(plane, port=0, proxy=("127.0.0.1", 0))
        await server.start()
        try:
            assert (await ask(server.port, "/healthz"))[0] == 502
            named = {"X_Real_IP": "::1", "X_Server_Addr": "::1", "X_Server_Port": "80"}
            assert b"http://[::1]:80/" in (await ask(server.port, "/boot.ipxe", **named))[2]
        finally:
            await server.close()

    asyncio.run(run())
