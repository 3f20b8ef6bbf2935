"""The avalanche's short form: three kills in the middle of a boot storm; `make soak` strikes fifty."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lab.sim.dhcp_storm import ACK, DISCOVER, NAK, OFFER, REQUEST, Client, read
from lab.sim.lease_witness import LeaseWitness
from pxe_edge.wire import dhcp
from pxe_edge.wire.options import dotted

PROJECT = Path(__file__).resolve().parents[2]
NOW = 1000.0
A, B = "02:aa:00:00:00:01", "02:aa:00:00:00:02"


def avalanche(data, *options):
    argv = [sys.executable, "-m", "lab.sim", "avalanche", "--data", str(data), *options]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=False)
    report = data / "avalanche.json"
    assert report.exists(), f"{done.stdout}\n{done.stderr[-3000:]}"
    return done, json.loads(report.read_text())


@pytest.mark.timeout(600)
def test_three_kills_lose_no_lease(tmp_path):
    done, report = avalanche(tmp_path, "--kills", "3", "--clients", "400", "--seed", "3")

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    assert (report["kills"], report["leases"], report["violations"]) == (3, 1200, [])
    assert {each["among"] for each in report["rounds"]} == {"new clients", "clients that ask again"}
    assert any(each["acked"] < each["asking"] for each in report["rounds"]), "a kill came before the end"


@pytest.mark.timeout(600)
def test_an_edge_that_stores_after_the_ack_is_found_out(tmp_path):
    late = shlex.join((sys.executable, str(Path(__file__).with_name("late_edge.py"))))

    done, report = avalanche(tmp_path, "--kills", "3", "--clients", "400", "--seed", "3", "--edge", late)

    assert done.returncode == 1
    assert any(violation.startswith("not-listed: ") for violation in report["violations"])


def kinds(witness):
    return [violation.kind for violation in witness.violations]


def test_one_client_may_be_told_the_same_as_often_as_it_likes():
    witness = LeaseWitness()
    for _ in range(3):
        witness.offered(A, "10.0.0.1", NOW)
        witness.acked(A, "10.0.0.1", 60, NOW)
    witness.listed([{"address": "10.0.0.1", "mac": A, "state": "bound"}], NOW)

    assert (kinds(witness), witness.acks, len(witness.held(NOW))) == ([], 3, 1)


def test_an_address_is_one_clients_until_its_lease_ends():
    witness = LeaseWitness()
    witness.acked(A, "10.0.0.1", 60, NOW)
    witness.offered(B, "10.0.0.1", NOW + 59)
    witness.acked(B, "10.0.0.1", 60, NOW + 59)

    assert kinds(witness) == ["offered-twice", "given-twice"]

    late = LeaseWitness()
    late.acked(A, "10.0.0.1", 60, NOW)
    late.acked(B, "10.0.0.1", 60, NOW + 61)

    assert kinds(late) == []


@pytest.mark.parametrize(
    ("happens", "kind"),
    [
        (lambda w: w.acked(A, "10.0.0.2", 60, NOW), "moved"),
        (lambda w: w.offered(A, "10.0.0.2", NOW), "moved"),
        (lambda w: w.refused(A, NOW), "refused"),
        (lambda w: w.silent(A, NOW), "silent"),
        (lambda w: w.listed([], NOW), "not-listed"),
        (lambda w: w.listed([{"address": "10.0.0.1", "mac": B, "state": "bound"}], NOW), "not-listed"),
        (lambda w: w.listed([{"address": "10.0.0.1", "mac": A, "state": "released"}], NOW), "not-listed"),
    ],
)
def test_a_promise_that_is_broken(happens, kind):
    witness = LeaseWitness()
    witness.acked(A, "10.0.0.1", 60, NOW)

    happens(witness)

    assert kinds(witness) == [kind]


def test_nothing_is_owed_to_who_was_promised_nothing():
    witness = LeaseWitness()
    witness.refused(A, NOW)
    witness.silent(A, NOW)
    witness.listed([], NOW)

    assert kinds(witness) == []


def test_clients_say_what_the_codec_of_the_edge_reads():
    client = Client(7)
    discover = dhcp.decode(client.message(0x0A800002))
    client.reboot(0x0A800105)
    request = dhcp.decode(client.message(0x0A800002))

    assert (discover.message_type, request.message_type) == (DISCOVER, REQUEST)
    assert discover.chaddr.hex(":") == client.mac
    assert request.options[50] == bytes((10, 128, 1, 5))
    assert 54 not in request.options
    assert request.options[82][:4] == bytes((19, 2, 0, 0))
    assert request.xid != discover.xid
    assert dotted(request.giaddr) == "10.128.0.2"


def test_what_is_no_answer_is_none():
    assert read(Client(7).message(0)) is None
    assert read(b"") is None
    assert (OFFER, ACK, NAK) == (dhcp.OFFER, dhcp.ACK, dhcp.NAK)
