"""The TFTP server over loopback: files that are not to be had, repeats, limits, hostile bytes (T10, T11)."""

import asyncio
import errno
import logging
import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe_edge.servers import cuts, datagrams
from pxe_edge.servers import tftp as server_module
from pxe_edge.servers.http_answer import Response
from pxe_edge.servers.peers import counted_as
from pxe_edge.servers.tftp import MAX_PER_ADDRESS
from pxe_edge.wire import tftp
from pxe_edge.wire.tftp import Ack, Data, Error, ReadRequest, WriteRequest
from tests.pxe_edge.servers.conftest import BIG
from tests.pxe_edge.servers.tftp_client import serve, until


@pytest.mark.parametrize(
    ("request_packet", "code"),
    [
        (ReadRequest("missing", "octet"), 1),
        (ReadRequest("bootos", "octet"), 1),
        (ReadRequest("/", "octet"), 1),
        (ReadRequest(".", "octet"), 1),
        (ReadRequest("pipe", "octet"), 1),
        (ReadRequest(".partial.7", "octet"), 1),
        (ReadRequest("../secret", "octet"), 2),
        (ReadRequest("..\\secret", "octet"), 2),
        (ReadRequest("/../../secret", "octet"), 2),
        (ReadRequest("bootos/../../secret", "octet"), 2),
        (ReadRequest("leak", "octet"), 2),
        (ReadRequest("\xff\xfe", "octet"), 1),
        (ReadRequest("a" * 600, "octet"), 1),
        (ReadRequest("small", "netascii"), 4),
        (ReadRequest("small", "mail"), 4),
        (WriteRequest(), 2),
        (b"\0\2small\0octet\0", 2),
        (b"\0\1small\0octet\0blksize\x001468", 4),
        (b"\0\1small", 4),
    ],
)
def test_t10_every_request_gets_at_least_an_error(root, request_packet, code):
    async def talk(client, server):
        one = client()
        one.ask(request_packet)
        answer = await one.receive()
        assert (type(answer), answer.code) == (Error, code)
        assert not server.transfers

    serve(root, talk)


@pytest.mark.parametrize("name", ["small", "/small", "//small", "alias", "\\small", "./small"])
def test_t10_names_as_loaders_write_them(root, name):
    async def talk(client, server):
        assert (await client().fetch(name))[0] == b"x" * 600

    serve(root, talk)


def test_t10_a_transfer_keeps_the_version_that_it_began_with(root):
    async def talk(client, server):
        one, two = client(), client()
        one.ask(ReadRequest("small", "octet"))
        await one.receive()
        (root / ".new").write_bytes(b"y" * 700)
        (root / ".new").rename(root / "small")
        assert (await two.fetch("small"))[0] == b"y" * 700
        one.send(Ack(1))
        assert await one.receive() == Data(2, b"x" * 88)

    serve(root, talk)


def test_t10_a_file_that_is_cut_short_under_a_transfer_ends_it_and_not_the_server(root, monkeypatch):
    monkeypatch.setattr(cuts, "MAX_FILE_BYTES", 1000)  # larger ones are sent out of the file itself

    async def talk(client, server):
        one = client()
        one.ask(ReadRequest("big", "octet", {"blksize": "1000"}))
        await one.receive()
        os.truncate(root / "big", 0)
        one.send(Ack(0))
        answer = await one.receive()
        assert (type(answer), answer.code) == (Error, tftp.NOT_DEFINED)
        await until(lambda: not server.transfers)
        assert not server._per_address
        assert (await client().fetch("small"))[0] == b"x" * 600

    serve(root, talk)


def test_t11_a_repeated_request_gets_the_same_answer_from_the_same_port(root):
    async def talk(client, server):
        one = client()
        for options in ({"tsize": "0"}, {}):
            one.ask(ReadRequest("small", "octet", options))
            first, port = await one.receive(), one.came_from
            one.ask(ReadRequest("small", "octet", options))
            assert (await one.receive(), one.came_from) == (first, port)
            assert server.transfers == 1

    serve(root, talk)


def test_t11_another_request_from_the_same_port_takes_the_place_of_the_first(root):
    async def talk(client, server):
        one = client()
        one.ask(ReadRequest("small", "octet"))
        await one.receive()
        old = one.came_from
        one.ask(ReadRequest("bootos/kernel", "octet"))
        assert await one.receive() == Data(1, b"k" * 10)
        assert (one.came_from != old, server.transfers) == (True, 1)

    serve(root, talk)


def test_t11_transfers_per_address_are_capped_and_come_free(root):
    async def talk(client, server):
        busy = [client() for _ in range(MAX_PER_ADDRESS)]
        for each in busy:
            each.ask(ReadRequest("small", "octet"))
            await each.receive()
        late = client()
        late.ask(ReadRequest("small", "octet"))
        assert (await late.receive()).code == tftp.NOT_DEFINED
        assert (await client(own="127.0.0.2").fetch("small"))[0] == b"x" * 600
        busy[0].send(Error(0, "bye"))
        await until(lambda: server.transfers < MAX_PER_ADDRESS)
        late.ask(ReadRequest("small", "octet"))
        assert isinstance(await late.receive(), Data)

    serve(root, talk)


def test_t11_a_full_table_drops_who_never_acknowledged_and_nobody_else(root, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_TRANSFERS", 2)
    monkeypatch.setattr(server_module, "_UNPROVEN_S", 0.0)

    async def talk(client, server):
        real, forged, third, fourth = (client(own=f"127.0.0.{n}") for n in range(2, 6))
        real.ask(ReadRequest("small", "octet"))
        assert (await real.receive()).block == 1
        real.send(Ack(1))
        assert (await real.receive()).block == 2
        forged.ask(ReadRequest("small", "octet"))
        await forged.receive()
        third.ask(ReadRequest("small", "octet"))
        assert (await third.receive()).block == 1
        third.send(Ack(1))
        assert (await third.receive()).block == 2
        fourth.ask(ReadRequest("small", "octet"))
        assert (await fourth.receive()).code == tftp.NOT_DEFINED
        real.send(Ack(2))
        await until(lambda: server.transfers == 1)

    serve(root, talk)


def test_what_is_made_is_served_where_there_is_no_file_and_knows_the_address_that_was_asked(root):
    async def text(request):
        return Response(body=f"for {request.peer} at {request.local}".encode())

    def made(request):
        return text(request) if request.head.path in ("grub/grub.cfg", "small") else None

    async def talk(client, server):
        assert (await client().fetch("grub/grub.cfg"))[0] == b"for 127.0.0.1 at 127.0.0.1"
        assert (await client().fetch("small"))[0] == b"x" * 600
        one = client()
        one.ask(ReadRequest("grub/other.cfg", "octet"))
        assert (await one.receive()).code == tftp.FILE_NOT_FOUND

    serve(root, talk, made=made)


def test_who_waits_for_what_is_made_is_told_once_and_holds_nobody_up(root):
    ready, taken, begun = asyncio.Event(), [], []

    async def secret(request):
        begun.append(request.head.path)
        await ready.wait()

        async def done():
            taken.append(request.head.path)

        return Response(body=b"seed", after=done, shown_path="/seed/-")

    async def talk(client, server):
        waiting = client()
        for _ in range(3):  # it asks again, and is one all the same
            waiting.ask(ReadRequest("seed/abc", "octet"))
        assert (await client().fetch("small"))[0] == b"x" * 600
        # What is made is made on another loop, which begins in its own time.
        await until(lambda: server.refused["repeated-request"] == 2 and begun)
        assert (begun, taken) == (["seed/abc"], [])
        ready.set()
        assert await waiting.receive() == Data(1, b"seed")
        assert taken == []
        waiting.send(Ack(1))
        await until(lambda: taken == ["seed/abc"])
        assert server.transfers == 0
        assert not server._per_address

    serve(root, talk, made=lambda request: secret(request) if request.head.path != "small" else None)


@pytest.mark.parametrize("how", ["404", "error"])
def test_what_can_not_be_made_is_refused_without_its_name(root, how, caplog):
    async def made(request):
        if how == "error":
            raise RuntimeError("the database is away")
        return Response(404)

    async def talk(client, server):
        one = client()
        one.ask(ReadRequest("seed/very-secret", "octet"))
        assert (await one.receive()).code == tftp.FILE_NOT_FOUND
        assert not server._per_address

    caplog.set_level(logging.INFO)
    serve(root, talk, made=made)
    assert "very-secret" not in caplog.text


def test_junk_is_not_answered_and_ends_nothing(root):
    async def talk(client, server):
        one = client()
        for junk in (b"", b"\0\3\0", b"\0\4\0", b"\0\3\0\1abc", b"\0\x05\0\0x\0", b"\xff" * 50):
            one.ask(junk)
        one.ask(ReadRequest("small", "octet"))
        assert await one.receive() == Data(1, b"x" * 512)
        assert server.refused["not-a-request"] == 6

    serve(root, talk)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=40), st.sampled_from([0, 1, 4, 5]))
def test_any_bytes_on_any_port_leave_it_serving(tmp_path_factory, said, opcode):
    folder = tmp_path_factory.mktemp("boot")
    (folder / "small").write_bytes(b"x" * 600)

    async def talk(client, server):
        one, two = client(), client(own="127.0.0.2")
        one.ask(ReadRequest("small", "octet", {"blksize": "8", "windowsize": "3"}))
        await one.receive()
        for to_data, data in said:
            packet = bytes((0, opcode)) + data if opcode else data
            two.send(packet, one.came_from if to_data else two.to)
            one.send(packet, one.came_from)
        assert (await client(own="127.0.0.3").fetch("small"))[0] == b"x" * 600
        assert server.transfers <= 1 + MAX_PER_ADDRESS

    serve(folder, talk)


def test_a_request_to_a_broadcast_address_is_not_answered(root):
    async def talk(client, server):
        one = client()
        one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        one.send(ReadRequest("small", "octet"), ("127.255.255.255", server.port))
        await until(lambda: server.refused["sent-to-broadcast"])
        assert not server.transfers

    serve(root, talk)


def test_ipv6_clients_are_served_from_the_address_that_they_asked(root):
    async def talk(client, server):
        if len(server._listening) < 2:
            pytest.skip("this host has no IPv6")
        one = client("::1")
        assert (await one.fetch("big", blksize=65464, windowsize=16))[:2] == (
            BIG,
            {"blksize": "1448", "windowsize": "16"},
        )
        assert one.came_from[0] == "::1"

    serve(root, talk)


def no_ipv6(real):
    """`socket.socket` of a kernel without IPv6."""

    def make(family=socket.AF_INET, *more, **named):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *more, **named)

    return make


def test_a_host_without_ipv6_serves_ipv4(root, monkeypatch):
    async def talk(client, server):
        assert len(server._listening) == 1
        assert (await client().fetch("small"))[0] == b"x" * 600

    monkeypatch.setattr(datagrams.socket, "socket", no_ipv6(socket.socket))
    serve(root, talk)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("10.0.0.1", 5), ("10.0.0.1", 6), True),
        (("10.0.0.1", 5), ("10.0.0.2", 5), False),
        (("2001:db8::1", 5, 0, 0), ("2001:db8::ffff:1", 6, 0, 0), True),
        (("2001:db8::1", 5, 0, 0), ("2001:db8:0:1::1", 5, 0, 0), False),
        (("fe80::1", 5, 0, 2), ("fe80::2", 5, 0, 2), False),
        (("fe80::1", 5, 0, 2), ("fe80::1", 5, 0, 3), False),
    ],
)
def test_limits_count_an_ipv6_network_as_one_client(one, other, same):
    assert (counted_as(one) == counted_as(other)) is same
