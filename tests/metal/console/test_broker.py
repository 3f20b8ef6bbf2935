"""The broker with an edge and sessions in memory: one log per boot, whatever goes away and comes back."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from metal.console import broker as module
from metal.console.broker import REFUSED_S, RETRY_S, Broker
from metal.console.sol import SolSession
from metal.edge_client import EdgeClient
from metal.errors import Refused, Unreachable
from specs.records import BmcCredential

ACCOUNT = BmcCredential(address="10.77.9.5", user="rackflow", password="s3cret", state="current")


@dataclass
class FakeEdge:
    """Knows which consoles to read, and keeps the bytes of each boot like the edge: at its end only."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    stored: dict[int, bytearray] = field(default_factory=dict)
    away: bool = False
    accounts: list[BmcCredential] = field(default_factory=lambda: [ACCOUNT])
    logins: list[tuple[str, str]] = field(default_factory=list)

    def answer(self) -> None:
        """Raise while away."""
        if self.away:
            raise Unreachable("the edge does not answer")

    def boots(self, number: int) -> None:
        """The host's newest boot has this number."""
        self.rows = [{"host": "web-01", "host_id": "id-1", "boot_no": number, "bmc": "10.77.9.5"}]

    def consoles(self) -> list[dict[str, Any]]:
        self.answer()
        return self.rows

    def credentials(self, name: str, *, purpose: str | None = None) -> list[BmcCredential]:
        self.answer()
        assert purpose == "console"
        return self.accounts

    def bmc_login(self, name: str, credential: BmcCredential, result: str, *, owner: str) -> None:
        self.logins.append((credential.password, result))
        self.accounts = []

    def put_console(self, name: str, boot_no: int, offset: int, data: bytes) -> None:
        self.answer()
        kept = self.stored.setdefault(boot_no, bytearray())
        if offset != len(kept):
            raise Refused(f"the log has {len(kept)} bytes, not {offset}")
        kept += data

    def console(self, name: str, boot_no: int, *, offset: int = 0, limit_bytes: int = 0) -> bytes:
        self.answer()
        return bytes(self.stored.get(boot_no, b""))[offset:]


class FakeSession:
    """A session whose console is a pipe."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    def fileno(self) -> int:
        return self.reader

    def read(self) -> bytes | None:
        return os.read(self.reader, 4096) or None

    def says(self, data: bytes) -> None:
        """The machine writes."""
        os.write(self.writer, data)

    def ends(self) -> None:
        """The BMC cuts the session."""
        os.close(self.writer)

    def close(self) -> None:
        self.is_open = False


@dataclass
class Site:
    """A broker on a fake edge, fake sessions and a hand-set clock."""

    logs: Path
    edge: FakeEdge = field(default_factory=FakeEdge)
    sessions: list[FakeSession] = field(default_factory=list)
    now_s: float = 100.0

    def __post_init__(self) -> None:
        self.broker = self.new_broker()

    def new_broker(self) -> Broker:
        """A broker as it starts."""
        return Broker(
            cast("EdgeClient", self.edge), self.logs, session=self.session, clock=lambda: self.now_s
        )

    def session(self, credential: BmcCredential) -> SolSession:
        """A new fake session."""
        assert credential == ACCOUNT
        self.sessions.append(FakeSession())
        return cast("SolSession", self.sessions[-1])

    def turn(self) -> None:
        """One turn: poll, read, send; errors are the broker's business."""
        self.broker._guarded("poll", self.broker.poll)
        self.broker.read(timeout_s=0)
        self.broker.send_all()

    def log(self, boot_no: int) -> bytes:
        """The broker's own file of a boot."""
        return (self.logs / "id-1" / f"{boot_no}.log").read_bytes()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(module, "deactivate", lambda credential: credential.password != "wrong")
    made = Site(tmp_path)
    yield made
    for session in made.sessions:
        for descriptor in (session.reader, session.writer):
            try:
                os.close(descriptor)
            except OSError:
                continue


def test_each_boot_has_its_own_log_here_and_at_the_edge(site: Site) -> None:
    site.edge.boots(1)
    site.turn()
    site.sessions[0].says(b"BIOS\r\n")
    site.turn()
    site.sessions[0].says(b"login: ")
    site.turn()
    site.edge.boots(2)
    site.turn()
    site.sessions[0].says(b"again\r\n")
    site.turn()

    assert {no: bytes(kept) for no, kept in site.edge.stored.items()} == {
        1: b"BIOS\r\nlogin: ",
        2: b"again\r\n",
    }
    assert (site.log(1), site.log(2)) == (b"BIOS\r\nlogin: ", b"again\r\n")
    assert len(site.sessions) == 1


def test_a_refused_password_is_told_and_not_tried_again(site: Site) -> None:
    """A BMC locks an account after three wrong logins, for the runs too."""
    site.edge.accounts = [ACCOUNT.model_copy(update={"password": "wrong"})]
    site.edge.boots(1)
    for _ in range(5):
        site.turn()
        site.now_s += RETRY_S

    assert site.edge.logins == [("wrong", "refused")]
    assert site.sessions == []

    site.edge.accounts = [ACCOUNT]
    site.now_s += REFUSED_S
    site.turn()
    assert len(site.sessions) == 1


def test_what_an_absent_edge_missed_is_sent_when_it_is_back(site: Site) -> None:
    site.edge.boots(1)
    site.turn()
    site.sessions[0].says(b"one ")
    site.turn()
    site.edge.away = True
    site.sessions[0].says(b"two ")
    site.turn()
    assert bytes(site.edge.stored[1]) == b"one "
    site.edge.away = False
    site.now_s += RETRY_S
    site.sessions[0].says(b"three")
    site.turn()

    assert bytes(site.edge.stored[1]) == b"one two three"


def test_what_an_absent_edge_missed_is_sent_even_when_the_machine_says_nothing_more(site: Site) -> None:
    site.edge.boots(1)
    site.turn()
    site.edge.away = True
    site.sessions[0].says(b"kernel panic")
    site.turn()
    site.edge.away = False
    site.now_s += RETRY_S
    for _ in range(3):
        site.turn()

    assert bytes(site.edge.stored[1]) == b"kernel panic"


def test_a_boot_that_begins_while_the_edge_is_away_keeps_the_logs_apart(site: Site) -> None:
    site.edge.boots(1)
    site.turn()
    site.edge.away = True
    site.sessions[0].says(b"old")
    site.turn()
    site.edge.away = False
    site.now_s += RETRY_S
    site.edge.boots(2)
    site.turn()
    site.sessions[0].says(b"new")
    site.turn()

    assert {no: bytes(kept) for no, kept in site.edge.stored.items()} == {1: b"old", 2: b"new"}


def test_two_boots_that_the_edge_missed_come_in_order_and_apart(site: Site) -> None:
    site.edge.boots(1)
    site.turn()
    site.edge.away = True
    site.sessions[0].says(b"first")
    site.turn()
    site.edge.away = False
    site.now_s += RETRY_S
    refused, site.edge.put_console = site.edge.put_console, busy  # type: ignore[method-assign]
    for number in (2, 3):
        site.edge.boots(number)
        site.turn()
        site.sessions[0].says(b"boot %d" % number)
        site.turn()
    site.edge.put_console = refused  # type: ignore[method-assign]
    site.now_s += RETRY_S
    site.turn()

    assert {no: bytes(kept) for no, kept in site.edge.stored.items()} == {
        1: b"first",
        2: b"boot 2",
        3: b"boot 3",
    }


def busy(name: str, boot_no: int, offset: int, data: bytes) -> None:
    """Answers, but takes nothing."""
    raise Unreachable("busy")


def test_a_broker_that_starts_anew_goes_on_where_the_edge_is(site: Site) -> None:
    site.edge.boots(1)
    site.turn()
    site.sessions[0].says(b"before ")
    site.turn()
    site.broker = site.new_broker()
    site.turn()
    site.sessions[1].says(b"after")
    site.turn()

    assert bytes(site.edge.stored[1]) == b"before after"


def test_a_released_console_is_closed_until_its_time_is_over(site: Site) -> None:
    site.edge.boots(1)
    site.turn()
    site.edge.rows[0]["released_until"] = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    site.now_s += RETRY_S
    site.turn()
    assert (site.sessions[0].is_open, len(site.sessions)) == (False, 1)
    site.edge.rows[0]["released_until"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    site.turn()

    assert (len(site.sessions), site.sessions[1].is_open) == (2, True)


def test_a_session_that_ends_is_opened_again_after_a_pause(site: Site) -> None:
    site.edge.boots(1)
    site.turn()
    site.sessions[0].ends()
    site.turn()
    site.turn()
    assert (site.sessions[0].is_open, len(site.sessions)) == (False, 1)
    site.now_s += RETRY_S
    site.turn()

    assert (len(site.sessions), site.sessions[1].is_open) == (2, True)


def test_a_host_that_is_no_longer_listed_loses_its_session(site: Site) -> None:
    site.edge.boots(1)
    site.turn()
    site.edge.rows = []
    site.turn()

    assert site.sessions[0].is_open is False


def test_no_session_is_opened_with_a_credential_that_is_not_proven(site: Site) -> None:
    site.edge.accounts = [ACCOUNT.model_copy(update={"state": "candidate"})]
    site.edge.boots(1)
    site.turn()

    assert site.sessions == []


def test_a_machine_that_writes_without_end_does_not_fill_the_disk(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_LIMIT_BYTES", 10)
    site.edge.boots(1)
    site.turn()
    for _ in range(3):
        site.sessions[0].says(b"12345678")
        site.turn()

    assert (site.log(1), bytes(site.edge.stored[1])) == (b"1234567812", b"1234567812")
