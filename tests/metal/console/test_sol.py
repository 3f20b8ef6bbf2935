"""One SOL session: what ipmitool is given, and what is read from its terminal."""

import os
import select
import sys
import time
from pathlib import Path

import pytest

from metal.console import sol
from metal.console.sol import CONNECT_NOTICE, SolSession, deactivate, ipmitool
from specs.records import BmcCredential

ACCOUNT = BmcCredential(address="10.77.9.5", user="rackflow", password="pa ss'w\"ö", state="current")
DEADLINE_S = 10

FAKE_IPMITOOL = f"""#!{sys.executable} -I
# Writes its argv, its environment and the password file that it was given, then acts as a console.
import os, sys, time, tty
from pathlib import Path
record = Path(os.environ["RECORD"])
with (record / "argv").open("a") as argv:
    argv.write(" ".join(sys.argv) + "\\n")
(record / "env").write_text(repr(os.environ))
(record / "password").write_bytes(Path(sys.argv[sys.argv.index("-f") + 1]).read_bytes())
if os.environ["MOOD"] == "refuses":
    print("> RAKP 2 HMAC is invalid", file=sys.stderr)
    sys.exit(1)
if sys.argv[-1] == "activate":
    tty.setraw(0)
    os.write(1, b"[SOL Session operational.  Use ~? for help]\\r\\non a terminal\\r\\n")
    typed = os.environ["MOOD"] == "short"
    while not typed:
        typed = b"~." in os.read(0, 64) and os.environ["MOOD"] != "stubborn"
"""


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ipmitool` first on PATH that records how it was called."""
    program = tmp_path / "bin" / "ipmitool"
    program.parent.mkdir()
    program.write_text(FAKE_IPMITOOL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path))
    monkeypatch.setenv("MOOD", "good")
    return tmp_path


def read_until(session: SolSession, wanted: bytes | None) -> bytes:
    """Read until a text, or (None) until the session's end."""
    found = b""
    ends_at = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends_at:
        select.select([session], [], [], 0.1)
        data = session.read()
        if data is None:
            assert wanted is None, f"ended after {found!r}"
            return found
        found += data
        if wanted is not None and wanted in found:
            return found
    raise AssertionError(f"not within {DEADLINE_S} s: {wanted!r}; got {found!r}")


def verbs(record: Path) -> list[str]:
    """The last word of each call."""
    return [line.split()[-1] for line in (record / "argv").read_text().splitlines()]


def test_the_password_goes_by_a_pipe_and_never_by_argv_or_environment(record: Path) -> None:
    session = SolSession(ACCOUNT)
    session.open()
    try:
        read_until(session, b"on a terminal")
    finally:
        session.close()
    deactivate(ACCOUNT)

    assert (record / "password").read_text() == ACCOUNT.password + "\n"
    assert verbs(record) == ["activate", "deactivate"]
    assert ACCOUNT.password not in (record / "argv").read_text() + (record / "env").read_text()


def test_a_refused_login_is_told_from_a_silent_bmc(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert deactivate(ACCOUNT)
    monkeypatch.setenv("MOOD", "refuses")
    assert not deactivate(ACCOUNT)


def descriptors() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_open(record: Path) -> None:
    before = descriptors()
    session = SolSession(ACCOUNT)
    session.open()
    read_until(session, b"on a terminal")
    session.close()
    deactivate(ACCOUNT)

    assert descriptors() == before


def test_ipmitools_own_first_line_is_no_byte_of_the_machine(record: Path) -> None:
    session = SolSession(ACCOUNT)
    session.open()
    try:
        assert read_until(session, b"terminal") == b"on a terminal\r\n"
    finally:
        session.close()
    assert CONNECT_NOTICE.endswith(b"help]\r\n")


def test_the_end_of_the_process_is_the_end_of_the_session(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOOD", "short")
    session = SolSession(ACCOUNT)
    session.open()
    try:
        assert b"on a terminal" in read_until(session, None)
    finally:
        session.close()


def test_a_read_without_news_is_empty_and_does_not_wait(record: Path) -> None:
    session = SolSession(ACCOUNT)
    session.open()
    try:
        read_until(session, b"terminal\r\n")
        assert session.read() == b""
    finally:
        session.close()
    assert session.alive is False


def test_a_session_that_will_not_leave_is_killed_and_the_bmc_told(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A BMC has one session; one that nobody took leave of keeps it for a minute."""
    monkeypatch.setenv("MOOD", "stubborn")
    monkeypatch.setattr(sol, "LEAVE_S", 0.2)
    session = SolSession(ACCOUNT)
    session.open()
    read_until(session, b"on a terminal")
    session.close()

    assert (session.alive, verbs(record)) == (False, ["activate", "deactivate"])


def test_the_argv_names_host_user_and_cipher_17() -> None:
    argv, reader = ipmitool(ACCOUNT, "sol", "activate")
    os.close(reader)

    assert argv[:9] == ("ipmitool", "-I", "lanplus", "-C", "17", "-H", "10.77.9.5", "-U", "rackflow")
