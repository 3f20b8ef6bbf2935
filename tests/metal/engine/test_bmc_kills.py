"""A run dies before any of its calls; the next ones find a BMC that they can log in to, not a locked one."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

import pytest

from metal.engine.bmc_setup import setup_bmc
from metal.engine.claim import Claim
from pxe_edge.registry import credentials, hosts
from pxe_edge.registry.registry import open_registry
from specs.model import Host
from tests.metal.engine.sim_bmc import ADDRESS, CredentialEdge, Death, Killed, SimBmc, sessions

CLAIM = Claim("web-01", 7, "run-1", 4)
OWN = Host.model_validate({"metadata": {"name": "web-01"}, "bmc": {"passwordFrom": {"secret": "bmc"}}})
MOST_CALLS = 80
"""More than any of these set-ups makes; a kill after the last call is no kill."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    now = [datetime(2026, 11, 26, tzinfo=UTC)]
    memory = Path("/dev/shm")  # noqa: S108 - in memory: thousands of commits, each fsynced
    folder = Path(mkdtemp(dir=memory if memory.is_dir() else tmp_path_factory.getbasetemp()))
    opened = open_registry(folder, clock=lambda: now[0])
    opened.tick = lambda: now.__setitem__(0, now[0] + timedelta(seconds=30))
    yield opened
    opened.db.close()
    rmtree(folder)


def fresh(registry, name):
    """A machine from the factory."""
    return CredentialEdge(registry, name), SimBmc()


def own_password(registry, name):
    """A machine from the factory whose spec names the password."""
    return CredentialEdge(registry, name, spec=OWN), SimBmc()


def rotated(registry, name):
    """A host with a current credential, whose spec now names the password."""
    edge = CredentialEdge(registry, name, spec=OWN)
    known(edge)
    return edge, SimBmc().given("rackflow", "known-1")


def reset(registry, name):
    """A host with a current credential, whose BMC was reset to an account that we do not know."""
    edge = CredentialEdge(registry, name)
    known(edge)
    return edge, SimBmc().given("rackflow", "somebody's")


def moved(registry, name):
    """A host whose BMC is at another address than the site wants."""
    edge = CredentialEdge(registry, name)
    known(edge, "10.77.9.99")
    return edge, SimBmc().given("rackflow", "known-1", address="10.77.9.99")


def named(registry, name):
    """A host that an operator registered by its BMC."""
    edge = CredentialEdge(registry, name)
    with registry.db.write() as session:
        about = {"address": "10.77.9.200", "user": "ADMIN", "password": "factory"}
        row = hosts.get(session, name)
        credentials.factory(session, registry.now(), registry.seal, row, **about)
    return edge, SimBmc(address="10.77.9.200", static=True)


def known(edge, address=ADDRESS) -> None:
    edge.bmc_candidate(edge.name, epoch=4, address=address, user="rackflow", password="known-1")
    edge.bmc_promote(edge.name, epoch=4, user="rackflow")


def run(edge, bmc, death: Death):
    """One start of one process."""
    now = [0.0]
    edge.death = death
    edge.registry.tick()
    held, _ = sessions(edge, bmc)
    claim = Claim(edge.name, 7, "run-1", 4)
    sleep = lambda seconds: now.__setitem__(0, now[0] + seconds)  # noqa: E731
    return setup_bmc(edge, claim, sessions=held, clock=lambda: now[0], sleep=sleep)


def promoted_are_proven(edge, bmc) -> None:
    for credential in edge.known():
        if credential.state == "current" and credential.password != "known-1":
            assert (credential.password, True) in bmc.logins
            assert ("proof", "proven") in edge.reported


def not_lost(edge, bmc) -> None:
    """What the BMC has is stored, or was never ours."""
    password = bmc.users[3].password
    assert password in ("", "somebody's") or password in [c.password for c in edge.known()]


def effects(counted: Death) -> list[int]:
    """The calls that change something; dying before a reading is dying before the next of these."""
    readings = {"host", "renew", "management key", "secret", "in band read"}
    readings |= {"lan read_proof", "lan guid", "lan lan_mac"}
    return [number for number, what in enumerate(counted.trace) if what not in readings]


SCENES = [fresh, own_password, rotated, reset, moved, named]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("times", [1, 2])
def test_a_run_killed_before_any_call_loses_and_locks_nothing(registry, scene, times):
    """At each call number: the process dies there (`times` in a row), then a run goes to its end."""
    counted = Death()
    edge, bmc = scene(registry, f"{scene.__name__}-{times}-all")
    run(edge, bmc, counted)
    assert 10 < counted.calls < MOST_CALLS
    for number in effects(counted):
        edge, bmc = scene(registry, f"{scene.__name__}-{times}-{number}")
        for _ in range(times):
            with suppress(Killed):  # a start after the first may be over before that call
                run(edge, bmc, Death(before=number))
            assert not bmc.ever_locked, f"killed before call {number}: {counted.trace[number]}"
            not_lost(edge, bmc)
            promoted_are_proven(edge, bmc)
        run(edge, bmc, Death())
        assert not bmc.ever_locked, number
        current = edge.known()[0]
        assert (current.state, current.password) == ("current", bmc.users[3].password), number
        promoted_are_proven(edge, bmc)
        assert run(edge, bmc, Death()).writes == 0
