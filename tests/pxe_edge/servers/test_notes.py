"""Silence is counted, told once a minute, and bounded (issue: "each packet that is not answered")."""

import logging
import re
from pathlib import Path

import pytest

from pxe_edge.policy import dhcp as policy
from pxe_edge.policy.silences import SILENCES
from pxe_edge.servers import notes as module
from pxe_edge.servers.notes import Notes

MAC = "52:54:00:00:00:01"


class Clock:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def notes(clock, caplog):
    caplog.set_level(logging.INFO)
    return Notes(clock)


def test_the_first_silence_is_a_line_at_once_with_reason_and_what_to_do(notes, caplog):
    notes.silent(MAC, "unknown-relay", kind="DISCOVER", detail="giaddr=10.9.9.9")
    (line,) = caplog.messages
    assert "dhcp=DISCOVER mac=52:54:00:00:00:01 answer=none reason=unknown-relay times=1" in line
    assert "giaddr=10.9.9.9" in line
    assert "Add the network, or the relay's address" in line


def test_the_same_silence_is_one_line_a_minute_with_the_number(notes, clock, caplog):
    for _ in range(5):
        notes.silent(MAC, "pool-exhausted", kind="DISCOVER", network="prov")
    assert len(caplog.messages) == 1
    clock.now += 61
    notes.silent(MAC, "pool-exhausted", kind="DISCOVER", network="prov")
    assert "times=5" in caplog.messages[1]
    notes.silent(MAC, "unknown-client", kind="REQUEST", network="prov")
    assert len(caplog.messages) == 3
    newest, older = notes.unanswered(MAC)
    assert (newest.reason, older.reason, older.count, older.network) == (
        "unknown-client",
        "pool-exhausted",
        6,
        "prov",
    )
    assert older.last_at - older.first_at == 61
    assert notes.counts() == {"pool-exhausted": 6, "unknown-client": 1}


def test_a_flood_of_made_up_macs_grows_neither_memory_nor_log(notes, clock, caplog, monkeypatch):
    monkeypatch.setattr(module, "MAX_MACS", 10)
    for number in range(1000):
        notes.silent(f"m{number}", "discovery-off", kind="DISCOVER")
    assert len(caplog.messages) == module.LINES_PER_S
    assert len(notes.newest_unanswered(5000)) == 10
    assert notes.newest_unanswered(1)[0].mac == "m999"
    assert notes.counts()["discovery-off"] == 1000
    clock.now += 1
    notes.silent("m1", "discovery-off", kind="DISCOVER")
    assert "untold lines=950" in caplog.messages[module.LINES_PER_S]


def test_the_reasons_of_one_machine_are_bounded(notes):
    for number in range(50):
        notes.silent(MAC, f"r{number}", kind="DISCOVER")
    assert [entry.reason for entry in notes.unanswered(MAC)][:2] == ["r49", "r48"]
    assert len(notes.unanswered(MAC)) == module.MAX_REASONS


def test_a_reason_that_did_not_hold_is_taken_back(notes):
    notes.silent(MAC, "offers-not-requested", kind="DISCOVER")
    notes.forgotten(MAC, "offers-not-requested")
    assert notes.unanswered(MAC) == ()


def test_another_dhcp_server_is_told_with_its_address_and_mac(notes, caplog, monkeypatch):
    where = {"interface": "prov0", "network": "prov"}
    notes.foreign("10.77.1.3", mac=None, seen_as="REQUEST", expected=False, **where)
    notes.foreign("10.77.1.3", mac="52:54:00:00:00:99", seen_as="OFFER", expected=False, **where)
    assert len(caplog.messages) == 1
    assert "dhcp=foreign-server address=10.77.1.3" in caplog.messages[0]
    (server,) = notes.foreign_servers()
    assert (server.mac, server.count, server.seen_as) == ("52:54:00:00:00:99", 2, "OFFER")
    monkeypatch.setattr(module, "MAX_SERVERS", 4)
    for number in range(20):
        notes.foreign(f"10.0.0.{number}", mac=None, seen_as="OFFER", expected=True, **where)
    assert len(notes.foreign_servers()) == 4
    assert len(caplog.messages) == 1


def test_every_reason_of_the_policy_has_a_sentence_and_a_next_step():
    folder = Path(policy.__file__).parent
    sources = [(folder / f"{name}.py").read_text() for name in ("dhcp", "networks", "proxy", "boot")]
    used = set(re.findall(r'(?:Quiet|Silence)\(\s*"([a-z0-9-]+)"', "".join(sources)))
    about_the_file = {"inform", "nak", "not-a-provisioning-network"}
    assert len(used) > 20
    assert used - about_the_file <= SILENCES.keys()
