"""The boot plane over loopback: lengths, ranges, conditions, seeds, reports, limits (facts H1)."""

import asyncio
import json
import threading
from ipaddress import IPv4Address

import pytest

from pxe_edge.policy.views import BootOsView, HostView, SiteView
from pxe_edge.servers.boot_plane import BootPlane, read_json_object
from pxe_edge.servers.http import MAX_PER_ADDRESS, HttpServer, Request
from pxe_edge.servers.http_wire import Head
from pxe_edge.servers.memory import MemoryBoot, MemoryView
from pxe_edge.servers.ports import Problem

MAC = "52:54:00:00:00:01"
DIGEST = "ab" * 32
CONTENT = bytes(range(256)) * 40


class Plane:
    """A server over a folder, with a raw client."""

    def __init__(self, tmp_path, **site):
        self.boot = MemoryBoot()
        bootos = BootOsView("bootos/vmlinuz", ("bootos/bootos.img",))
        settings = {"discovery": "register", "bootos": bootos, **site}
        self.view = MemoryView(SiteView("lab", **settings))
        boot_dir, images_dir = tmp_path / "boot", tmp_path / "images"
        (boot_dir / "bootos").mkdir(parents=True)
        (boot_dir / "f.bin").write_bytes(CONTENT)
        (boot_dir / "empty").write_bytes(b"")
        (tmp_path / "secret").write_bytes(b"secret")
        (boot_dir / "leak").symlink_to("../secret")
        (images_dir / DIGEST).mkdir(parents=True)
        (images_dir / DIGEST / "blob").write_bytes(b"blob")
        plane = BootPlane(self.view, self.boot, boot_dir=boot_dir, images_dir=images_dir)
        self.server = HttpServer(plane, port=0)

    async def ask(self, path, method="GET", body=b"", **headers):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            return await self.ask_on(reader, writer, path, method, body, **headers)
        finally:
            writer.close()

    async def ask_on(self, reader, writer, path, method="GET", body=b"", **headers):
        lines = [f"{method} {path} HTTP/1.1", "Host: edge"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}"] if body or method == "POST" else []
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        return await self.read(reader, method)

    async def read(self, reader, method="GET"):
        async with asyncio.timeout(5):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
            size = 0 if method == "HEAD" else int(headers.get("content-length", 0))
            return int(first.split()[1]), headers, await reader.readexactly(size)


def serve(tmp_path, talk, **site):
    async def run():
        plane = Plane(tmp_path, **site)
        await plane.server.start()
        try:
            await talk(plane)
        finally:
            await plane.server.close()

    asyncio.run(run())


def test_get_and_head_tell_the_exact_length_on_one_connection(tmp_path):
    async def talk(plane):
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.server.port)
        for method, body in (("HEAD", b""), ("GET", CONTENT), ("HEAD", b"")):
            status, headers, got = await plane.ask_on(reader, writer, "/f.bin", method)
            assert (status, headers["content-length"], got) == (200, str(len(CONTENT)), body)
            assert "transfer-encoding" not in headers
        assert (await plane.ask_on(reader, writer, "/empty"))[1]["content-length"] == "0"
        writer.close()

    serve(tmp_path, talk)


@pytest.mark.parametrize(
    ("asked", "status", "told", "part"),
    [
        ("bytes=0-9", 206, "bytes 0-9/10240", slice(0, 10)),
        ("bytes=10200-", 206, "bytes 10200-10239/10240", slice(10200, None)),
        ("bytes=-5", 206, "bytes 10235-10239/10240", slice(-5, None)),
        ("bytes=-99999", 206, "bytes 0-10239/10240", slice(None)),
        ("bytes=10239-99999", 206, "bytes 10239-10239/10240", slice(10239, None)),
        ("bytes=10240-", 416, "bytes */10240", slice(0, 0)),
        ("bytes=-0", 416, "bytes */10240", slice(0, 0)),
        ("bytes=5-2", 200, None, slice(None)),
        ("bytes=0-1,4-5", 200, None, slice(None)),
        ("lines=1-2", 200, None, slice(None)),
        ("bytes=-", 200, None, slice(None)),
    ],
)
def test_ranges(tmp_path, asked, status, told, part):
    async def talk(plane):
        got, headers, body = await plane.ask("/f.bin", Range=asked)
        assert (got, headers.get("content-range"), body) == (status, told, CONTENT[part])
        assert headers["content-length"] == str(len(body))

    serve(tmp_path, talk)


def test_conditions(tmp_path):
    async def talk(plane):
        etag = (await plane.ask("/f.bin"))[1]["etag"]
        assert (await plane.ask("/f.bin", If_None_Match=f'"x", W/{etag}'))[0] == 304
        assert (await plane.ask("/f.bin", If_None_Match='"x"'))[0] == 200
        assert (await plane.ask("/f.bin", Range="bytes=0-0", If_Range=etag))[0] == 206
        assert (await plane.ask("/f.bin", Range="bytes=0-0", If_Range='"x"'))[0] == 200
        got, headers, _ = await plane.ask("/f.bin", "HEAD", Range="bytes=0-0")  # RFC 9110: GET's alone
        assert (got, headers["content-length"]) == (200, str(len(CONTENT)))

    serve(tmp_path, talk)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/missing", 404),
        ("/", 404),
        ("/bootos", 404),
        ("/leak", 404),
        ("/../secret", 404),
        ("/%2e%2e/secret", 404),
        ("/..%2fsecret", 404),
        ("/%00", 400),
        ("/%ff", 400),
        ("secret", 400),
        (f"/images/{DIGEST}/blob", 200),
        (f"/images/sha256:{DIGEST}/blob", 200),
        (f"/images/{DIGEST}/other", 404),
        (f"/images/../images/{DIGEST}/blob", 200),
        ("//f.bin", 200),
        ("/./bootos//../f.bin", 200),
        ("/healthz", 200),
        ("/v1/hosts", 404),
        ("http://edge:8080/f.bin", 200),
        (f"//images//{DIGEST}//blob", 200),
    ],
)
def test_paths(tmp_path, path, status):
    async def talk(plane):
        assert (await plane.ask(path))[0] == status

    serve(tmp_path, talk)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /f.bin HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /f.bin HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /f.bin HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
        (b"GET /f.bin HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431),
        (b"POST /v1/report-in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /v1/report-in HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n", 413),
        (b"POST /v1/report-in HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"DELETE /f.bin HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /f.bin HTTP/1.0\r\n\r\n", 200),
    ],
)
def test_hostile_and_old_requests(tmp_path, raw, status):
    async def talk(plane):
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.server.port)
        writer.write(raw)
        assert (await plane.read(reader))[0] == status
        writer.close()

    serve(tmp_path, talk)


def test_a_script_begins_a_boot_whose_seed_goes_to_one_address_once(tmp_path):
    async def talk(plane):
        assert (await plane.ask("/boot.ipxe?mac=" + MAC, "HEAD"))[0] == 200
        assert plane.boot.boots == []
        status, _, text = await plane.ask(f"/boot.ipxe?mac={MAC.upper()}&uuid=&arch=7")
        assert (status, plane.boot.boots) == (200, [(1, MAC)])
        seed = next(line for line in text.decode().splitlines() if "/seed/" in line).split()[3]
        assert seed.startswith(f"http://127.0.0.1:{plane.server.port}/seed/")
        path = seed.split(str(plane.server.port))[1]
        assert (await plane.ask(path, "HEAD"))[1]["content-length"] == "25"
        assert (await plane.ask(path, Range="bytes=0-1"))[0] == 416
        assert (await plane.ask(path))[2] == f"seed 1 {MAC}\n".encode()
        assert (await plane.ask(path))[0] == 404

    serve(tmp_path, talk)


def test_a_loader_that_asks_again_while_its_boot_begins_is_told_of_the_same_boot(tmp_path):
    async def talk(plane):
        may_begin, begun, begin = threading.Event(), threading.Event(), plane.boot.boot_begin

        def slow(*who):
            begun.set()
            assert may_begin.wait(5)
            return begin(*who)

        def ask():
            asked = Head("GET", "/boot.ipxe", {"mac": MAC}, {})
            return boot_plane(Request(asked, IPv4Address("127.0.0.1"), "10.77.1.2:8080"))

        boot_plane = BootPlane(
            plane.view, plane.boot, boot_dir=tmp_path / "boot", images_dir=tmp_path / "images"
        )
        plane.boot.boot_begin = slow
        both = [asyncio.ensure_future(ask()) for _ in range(2)]
        assert await asyncio.to_thread(begun.wait, 5)  # both wait by then
        may_begin.set()
        first, second = await asyncio.gather(*both)
        assert first.body == second.body
        assert plane.boot.boots == [(1, MAC)]
        assert (await ask()).body != first.body
        assert plane.boot.boots == [(1, MAC), (2, MAC)]

    serve(tmp_path, talk)


def test_grub_is_led_to_its_machines_configuration_which_begins_a_boot(tmp_path):
    async def talk(plane):
        port = plane.server.port
        leads = f"configfile (http,127.0.0.1:{port})/v1/boot/$net_default_mac/$grub_cpu/grub.cfg"
        for path in ("/grub/x86_64-efi/grub.cfg", "//grub/grub.cfg"):
            assert leads in (await plane.ask(path))[2].decode()
        path = f"/v1/boot/{MAC}/grub.cfg"
        assert b"head-request" not in (await plane.ask(path, "HEAD"))[2]
        assert plane.boot.boots == []
        status, _, text = await plane.ask(path)
        assert (status, plane.boot.boots) == (200, [(1, MAC)])
        assert f"linux (http,127.0.0.1:{port})/bootos/vmlinuz " in text.decode()
        seed = "/seed/" + text.decode().split("/seed/")[1].split(";")[0]
        assert (await plane.ask(seed))[2] == f"seed 1 {MAC}\n".encode()
        assert [(seen.client, said) for seen, said in plane.view.sightings] == [
            ("grub", "answer=script boot_no=1")
        ]
        (tmp_path / "boot" / "grub").mkdir()
        (tmp_path / "boot" / "grub" / "grub.cfg").write_bytes(b"the site's own")
        assert (await plane.ask("/grub/grub.cfg"))[2] == b"the site's own"

    serve(tmp_path, talk)


def test_a_loader_without_http_gets_the_same_by_tftp(tmp_path):
    def by_tftp(plane, path):
        asked = Request(Head("GET", path, {}, {}), IPv4Address("127.0.0.1"), "10.77.1.2")
        return plane.by_tftp(asked)

    async def talk(plane):
        boot_plane = BootPlane(
            plane.view, plane.boot, boot_dir=tmp_path / "boot", images_dir=tmp_path / "images"
        )
        for path in ("grub/x86_64-efi/grub.cfg", "/grub/grub.cfg", "//grub//grub.cfg"):
            leads = "configfile (tftp,10.77.1.2)/v1/boot/$net_default_mac/$grub_cpu/grub.cfg"
            assert leads in (await by_tftp(boot_plane, path)).body.decode()
        text = (await by_tftp(boot_plane, f"/v1/boot/{MAC}/grub.cfg")).body.decode()
        assert "linux (tftp,10.77.1.2)/bootos/vmlinuz " in text
        seed = await by_tftp(boot_plane, "/seed/" + text.split("/seed/")[1].split(";")[0])
        assert (seed.status, seed.body, seed.shown_path) == (200, f"seed 1 {MAC}\n".encode(), "/seed/-")
        assert seed.after is not None
        assert (await by_tftp(boot_plane, "seed/" + "x" * 20)).status == 404
        for path in ("f.bin", "boot.ipxe", "v1/report-in", "../seed/" + "x" * 20 + "/y", "healthz"):
            assert by_tftp(boot_plane, path) is None

    serve(tmp_path, talk)


@pytest.mark.parametrize(
    ("site", "host", "said"),
    [
        ({"discovery": "hold"}, None, "awaiting-approval"),
        ({}, HostView("h", "web-01", frozenset({MAC})), "no-work-due"),
        ({"bootos": None}, None, "bootos build"),
    ],
)
def test_a_script_without_a_boot_says_why(tmp_path, site, host, said):
    async def talk(plane):
        plane.view.swap(plane.view.site(), [host] if host else [])
        mac = MAC.replace(":", "-")
        for file, end in (("script.ipxe", "exit 1\n"), ("grub.cfg", "exit\n")):
            status, _, text = await plane.ask(f"/v1/boot/{mac}/{file}")
            assert (status, plane.boot.boots) == (200, [])
            assert said in text.decode()
            assert text.decode().endswith(end)

    serve(tmp_path, talk, **site)


@pytest.mark.parametrize(
    ("path", "runs"),
    [
        (f"/boot.ipxe?mac={MAC}&arch=11", False),
        (f"/boot.ipxe?mac={MAC}&arch=19", False),
        (f"/boot.ipxe?mac={MAC}&arch=7", True),
        (f"/boot.ipxe?mac={MAC}&arch=0", True),
        (f"/boot.ipxe?mac={MAC}", True),
        (f"/v1/boot/{MAC}/arm64/grub.cfg", False),
        (f"/v1/boot/{MAC}/x86_64/grub.cfg", True),
        (f"/v1/boot/{MAC}/mystery/grub.cfg", True),
    ],
)
def test_a_boot_os_is_given_only_to_processors_that_it_runs_on(tmp_path, path, runs):
    async def talk(plane):
        status, _, text = await plane.ask(path)
        assert (status, plane.boot.boots) == (200, [(1, MAC)] if runs else [])
        assert ("no-boot-os-for-it" in text.decode()) is not runs
        outcome = "answer=script boot_no=1" if runs else "answer=none reason=no-boot-os-for-it"
        assert [said for _, said in plane.view.sightings] == [outcome]

    serve(tmp_path, talk)


def test_uuid_and_mac_of_two_hosts_boot_neither(tmp_path):
    async def talk(plane):
        uuid = "11111111-2222-3333-4444-555555555555"
        hosts = [
            HostView("a", "a", frozenset({MAC}), due="boot-os"),
            HostView("b", "b", uuid=uuid, due="boot-os"),
        ]
        plane.view.swap(plane.view.site(), hosts)
        assert b"identity-conflict" in (await plane.ask(f"/boot.ipxe?mac={MAC}&uuid={uuid}"))[2]

    serve(tmp_path, talk)


def test_a_script_request_without_or_with_a_wrong_identity(tmp_path):
    async def talk(plane):
        assert b"?mac=${netX/mac}" in (await plane.ask("/boot.ipxe"))[2]
        assert (await plane.ask("/boot.ipxe?mac=nonsense"))[0] == 400
        assert (await plane.ask(f"/boot.ipxe?mac={MAC}&arch=x"))[0] == 400

    serve(tmp_path, talk)


def test_machines_report_with_their_token(tmp_path):
    async def talk(plane):
        good, body = f"Bearer {plane.boot.token}", json.dumps({"mac": MAC}).encode()
        assert (await plane.ask("/v1/report-in", "POST", body))[0] == 401
        assert (await plane.ask("/v1/report-in", "POST", body, Authorization="Bearer no"))[0] == 401
        assert (await plane.ask("/v1/report-in", "POST", b"[]", Authorization=good))[0] == 400
        assert (await plane.ask("/v1/report-in", "GET"))[0] == 405
        status, headers, _ = await plane.ask("/v1/phone-home", "POST", b"nonsense", Authorization=good)
        assert (status, headers["content-type"]) == (400, "application/problem+json")
        assert (await plane.ask("/v1/report-in", "POST", body, Authorization=good))[0] == 204
        assert plane.boot.said == [("report-in", "127.0.0.1", {"mac": MAC})]

    serve(tmp_path, talk)


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[" * 60000, b'{"a":' * 3000, b'"text"', b'{"a":' * 40 + b"1" + b"}" * 40]
)
def test_hostile_json_is_a_problem(data):
    assert isinstance(read_json_object(data), Problem)


def test_connections_per_address_are_capped(tmp_path):
    async def talk(plane):
        port = plane.server.port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_PER_ADDRESS)]
        for reader, writer in held:
            assert (await plane.ask_on(reader, writer, "/healthz"))[0] == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await plane.read(reader))[0] == 503
        for _, each in [*held, (reader, writer)]:
            each.close()

    serve(tmp_path, talk)


def test_the_peer_is_the_one_who_asks():
    boot = MemoryBoot()
    plan = boot.boot_begin(MAC, None, 7, IPv4Address("10.0.0.1"))
    nonce = plan.seed_url.removeprefix("/seed/")
    assert boot.seed(nonce, IPv4Address("10.0.0.2"), peek=False) is None
    assert boot.seed(nonce, IPv4Address("10.0.0.1"), peek=False)


def test_a_refused_boot_is_seen_with_its_reason_code(tmp_path):
    async def talk(plane):
        await plane.ask(f"/boot.ipxe?mac={MAC}")
        assert [said for _, said in plane.view.sightings] == ["answer=none reason=awaiting-approval"]

    serve(tmp_path, talk, discovery="hold")
