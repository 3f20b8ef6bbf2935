"""The in-band set-up with the real ipmitool, against the lab's BMC, then proven over the LAN."""

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.bmc.lockout import Lockout
from lab.definition import LockoutRule
from metal.drivers.bmc.in_band import read_bmc, read_setup
from metal.drivers.bmc.setup import (
    ASK,
    EXEC,
    BmcWish,
    event_change,
    not_taken,
    password_answer,
    password_question,
    proof_change,
    setup_changes,
)
from metal.engine.connect import Openers, log_in
from metal.errors import Refused
from metal.protocols import Command, Output
from metal.transport.ipmi import IpmiBmc
from specs.records import BmcCredential

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("ipmitool") is None, reason="ipmitool is not installed"),
]

ODD_PASSWORD = "a#b~c'\" \\d$é"
"""Everything that ipmitool exec, a shell and ASCII would trip over, in 13 bytes."""


class LocalShell:
    """Runs here, with an ipmitool whose way to the BMC is the LAN in place of /dev/ipmi0."""

    host = "m1"

    def __init__(self, folder: Path, port: int) -> None:
        real = shutil.which("ipmitool")
        lan = f"-I lanplus -C 17 -H 127.0.0.1 -p {port} -U ADMIN -P factory"
        (folder / "ipmitool").write_text(f'#!/bin/sh\nexec {real} {lan} "$@"\n')
        (folder / "ipmitool").chmod(0o755)
        self._env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "LC_ALL": "C"}

    def read(self, argv, *, stdin=None, timeout_s=30, limit_bytes=4 << 20) -> Output:
        given = {"input": stdin or b"", "env": self._env, "timeout": timeout_s}
        done = subprocess.run(argv, capture_output=True, check=False, **given)
        return Output(argv, done.returncode, done.stdout.decode(), done.stderr.decode())

    def send(self, command: Command) -> Output:
        return self.read(command.argv, stdin=command.stdin, timeout_s=command.timeout_s)


@pytest.fixture
def shell(tmp_path, lab_bmc):
    return LocalShell(tmp_path, lab_bmc.port)


def wish(password: str | None) -> BmcWish:
    return BmcWish("rackflow", "10.77.9.31", "255.255.255.0", "10.77.9.1", password)


def test_a_factory_bmc_becomes_ours_and_stays_so(shell, lab_bmc):
    facts = read_bmc(shell)
    assert (facts.channel, facts.mac, facts.address) == (1, "52:54:00:77:01:99", None)

    changes = setup_changes(read_setup(shell, 1), wish(ODD_PASSWORD))
    for change in changes:
        done = shell.send(change)
        assert done.ok, done
    assert setup_changes(read_setup(shell, 1), wish(None)) == ()

    facts = read_bmc(shell)
    assert (facts.address, facts.netmask, facts.gateway) == ("10.77.9.31", "255.255.255.0", "10.77.9.1")
    with IpmiBmc.connect("m1", "127.0.0.1", user="rackflow", password=ODD_PASSWORD, port=lab_bmc.port) as bmc:
        assert (bmc.guid(), bmc.lan_mac()) == (facts.guid, facts.mac)


def test_a_proof_written_in_band_is_read_over_the_lan(shell, lab_bmc):
    assert shell.send(proof_change("aB3dE6gH9jK2mN")).ok
    with IpmiBmc.connect("m1", "127.0.0.1", user="ADMIN", password="factory", port=lab_bmc.port) as bmc:
        assert bmc.read_proof() == "aB3dE6gH9jK2mN"


def test_a_proof_in_the_event_log_is_read_over_the_lan(shell, lab_bmc):
    factory = {"user": "ADMIN", "password": "factory", "port": lab_bmc.port}
    with IpmiBmc.connect("m1", "127.0.0.1", **factory) as bmc:
        before = bmc.last_event()
        assert shell.send(event_change(b"aB3dE6")).ok
        seen = bmc.last_event()
    assert (seen[-6:], before) == (b"aB3dE6", None)


def test_a_new_password_is_all_that_changes_on_a_bmc_that_is_set_up(shell, lab_bmc):
    for change in setup_changes(read_setup(shell, 1), wish("first")):
        assert shell.send(change).ok
    (change,) = setup_changes(read_setup(shell, 1), wish("0123456789abcdefXYZ"))
    assert b"lan set" not in change.stdin
    assert shell.send(change).ok
    with pytest.raises(Refused):
        IpmiBmc.connect("m1", "127.0.0.1", user="rackflow", password="first", port=lab_bmc.port)
    longer = {"user": "rackflow", "password": "0123456789abcdefXYZ"}
    IpmiBmc.connect("m1", "127.0.0.1", port=lab_bmc.port, **longer).close()


@pytest.mark.parametrize("password", [ODD_PASSWORD, "0123456789abcdefXYZ"])
def test_the_bmc_says_in_band_which_password_it_has(shell, lab_bmc, password):
    """Without a login, so without a wrong one; `ipmitool user test` would have it in its argv."""
    for change in setup_changes(read_setup(shell, 1), wish(password)):
        assert shell.send(change).ok
    seen = read_setup(shell, 1)
    assert not_taken(seen, wish(password)) == ()
    answers = {}
    for asked in (password, "another", "another-of-20-bytes!"):
        said = shell.read(ASK, stdin=password_question(seen, wish(asked)))
        answers[asked] = password_answer(said)
        assert asked not in said.stdout + said.stderr
    assert answers.pop(password) is True
    assert set(answers.values()) == {False}


def test_exec_goes_on_after_a_refused_line_and_reading_back_finds_what_is_lacking(shell, lab_bmc):
    said = shell.read(EXEC, stdin=b"user set name 3 ADMIN\nuser enable 3\n")
    assert (said.status, lab_bmc.state.users[3].enabled) == (1, True)
    assert not_taken(read_setup(shell, 1), wish("x")) == ("no user slot has the name rackflow",)


def test_stored_credentials_that_are_all_wrong_do_not_lock_the_account(lab_bmc):
    """Three wrong logins lock it here; a start makes two, and the right password opens it at once."""
    lab_bmc.controller.lockout = Lockout(LockoutRule(threshold=3, seconds=600))

    def ipmi(host, credential):
        about = {"user": credential.user, "password": credential.password}
        return IpmiBmc.connect(host, credential.address, port=lab_bmc.port, **about)

    def stored(password):
        return BmcCredential(address="127.0.0.1", user="ADMIN", password=password, state="current")

    openers = Openers(ssh=lambda _at, _key: pytest.fail("no shell"), ipmi=ipmi)
    told = []
    edge = SimpleNamespace(bmc_login=lambda _host, _credential, result, **_more: told.append(result))
    with pytest.raises(Refused, match="takes no credential"):
        log_in(edge, "m1", [stored(word) for word in ("wrong", "wronger", "wrongest")], openers, owner="me")
    assert told == ["refused", "refused"]
    log_in(edge, "m1", [stored("factory")], openers, owner="me").close()
    assert [row["lockouts"] for row in lab_bmc.controller.lockout.report(0).values()] == [0]
