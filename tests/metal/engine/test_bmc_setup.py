"""The BMC's set-up: order, twins, what a site leaves alone, the spec's own password only after the proof."""

from datetime import UTC, datetime

import pytest

from metal.engine.bmc_setup import setup_bmc
from metal.engine.claim import Claim
from metal.engine.connect import boot_os
from metal.errors import LeaseLost, Refused
from metal.protocols import Output
from pxe_edge.registry import credentials, hosts
from pxe_edge.registry.registry import open_registry
from specs.model import Host
from tests.metal.engine.sim_bmc import ADDRESS, CredentialEdge, SimBmc, sessions

CLAIM = Claim("web-01", 7, "run-1", 4)
T0 = datetime(2026, 11, 26, tzinfo=UTC)
OWN = Host.model_validate({"metadata": {"name": "web-01"}, "bmc": {"passwordFrom": {"secret": "bmc"}}})


@pytest.fixture
def edge(tmp_path):
    registry = open_registry(tmp_path, clock=lambda: T0)
    yield CredentialEdge(registry, "web-01")
    registry.db.close()


@pytest.fixture
def clock():
    """A clock that sleeping moves."""
    now = [1000.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return {"clock": lambda: now[0], "sleep": sleep}


def proven_current(edge, address: str = ADDRESS) -> None:
    edge.bmc_candidate("web-01", epoch=4, address=address, user="rackflow", password="known-1")
    edge.bmc_promote("web-01", epoch=4, user="rackflow")
    edge.death.trace.clear()


def states(edge) -> list[tuple[str, str]]:
    return [(c.state, c.password) for c in edge.known()]


def test_the_candidate_is_stored_before_it_is_set_and_promoted_after_the_proof(edge, clock):
    bmc = SimBmc()
    held, shell = sessions(edge, bmc)

    outcome = setup_bmc(edge, CLAIM, sessions=held, **clock)

    assert (outcome.state, outcome.proven, outcome.address) == ("verified", True, ADDRESS)
    order = [what for what in edge.death.trace if what in ("lock", "candidate", "proof", "promote", "unlock")]
    assert order == ["lock", "candidate", "proof", "promote", "unlock"]
    first_change = edge.death.trace.index("candidate")
    assert not any(what.startswith("in band set") for what in edge.death.trace[:first_change])
    assert outcome.writes == len(shell.sent) > 2
    assert states(edge) == [("current", bmc.users[3].password)]
    assert len(bmc.users[3].password) == 16
    assert bmc.users[3].password not in repr(shell.sent)
    assert bmc.logins == [(bmc.users[3].password, True)]
    assert held.is_proven(boot_os(edge.host("web-01")))


def test_a_bmc_that_is_so_already_gets_no_write(edge, clock):
    proven_current(edge)
    held, shell = sessions(edge, SimBmc().given("rackflow", "known-1"))
    assert setup_bmc(edge, CLAIM, sessions=held, **clock).writes == 0
    assert shell.sent == []
    assert "candidate" not in edge.death.trace


def test_a_site_that_only_inspects_leaves_the_bmc_of_an_unclaimed_machine_alone(edge, clock):
    """`discovery: inspect` changes nothing on disk or BMC; a spec that claims the machine does."""
    plain = edge.order
    edge.order = lambda name: plain(name).model_copy(update={"discovery": "inspect"})
    held, shell = sessions(edge, SimBmc())
    assert setup_bmc(edge, CLAIM, sessions=held, **clock).state == "none"
    assert (shell.sent, states(edge)) == ([], [])


def test_a_lost_lease_sets_nothing(edge, clock):
    edge.epoch_lost()
    held, shell = sessions(edge, SimBmc())
    with pytest.raises(LeaseLost):
        setup_bmc(edge, CLAIM, sessions=held, **clock)
    assert shell.sent == []


@pytest.mark.parametrize("field", ["guid_text", "mac"])
def test_another_bmc_on_the_address_is_refused_and_nothing_is_promoted(edge, clock, field):
    inside, outside = SimBmc(), SimBmc()
    setattr(outside, field, "02:bc:00:00:00:99")
    held, _ = sessions(edge, inside, outside)
    plain = held.openers.ipmi

    def same_account(host, credential):
        outside.given(credential.user, credential.password)
        return plain(host, credential)

    object.__setattr__(held.openers, "ipmi", same_account)
    with pytest.raises(Refused) as caught:
        setup_bmc(edge, CLAIM, sessions=held, **clock)
    assert caught.value.reason == "bmc-mismatch"
    assert [state for state, _ in states(edge)] == ["candidate"]


def test_a_machine_under_another_hosts_name_gets_no_password_and_costs_no_wrong_login(edge, clock):
    """It claims UUID, serial, MAC and even the BMC's GUID; its BMC is not set up like the host's."""
    proven_current(edge)
    impostor, real = SimBmc(), SimBmc().given("rackflow", "known-1")
    held, shell = sessions(edge, impostor, real)

    with pytest.raises(Refused) as caught:
        setup_bmc(edge, CLAIM, sessions=held, **clock)

    assert caught.value.reason == "identity-unproven"
    assert edge.reported[-1] == ("proof", "differs")
    assert not any(line.startswith("raw 0x06 0x47") for line in shell.told)
    assert real.logins == [("known-1", True)]
    assert states(edge) == [("current", "known-1")]


@pytest.mark.parametrize("is_it", [True, False])
def test_a_host_that_was_registered_by_its_bmc_is_proven_by_that_account(edge, clock, is_it):
    """`rackflow host add --bmc`: the operator's account says which BMC is the host's, before ours exists."""
    named = SimBmc(address="10.77.9.200", static=True)
    with edge.registry.db.write() as session:
        row = hosts.get(session, "web-01")
        about = {"address": "10.77.9.200", "user": "ADMIN", "password": "factory"}
        credentials.factory(session, T0, edge.registry.seal, row, **about)
    held, shell = sessions(edge, named if is_it else SimBmc(), named)
    if is_it:
        assert setup_bmc(edge, CLAIM, sessions=held, **clock).proven
        assert states(edge)[0] == ("current", named.users[3].password)
        return
    with pytest.raises(Refused) as caught:
        setup_bmc(edge, CLAIM, sessions=held, **clock)
    assert caught.value.reason == "identity-unproven"
    assert [line for line in shell.told if not line.startswith("raw 0x06 0x58")] == []


def test_a_bmc_that_moved_is_set_up_again_after_the_proof_under_its_known_password(edge, clock):
    proven_current(edge, address="10.77.9.99")
    bmc = SimBmc().given("rackflow", "known-1", address="10.77.9.99")
    held, _ = sessions(edge, bmc)
    assert setup_bmc(edge, CLAIM, sessions=held, **clock).proven
    assert [state for state, _ in states(edge)] == ["current", "previous"]
    assert bmc.address == ADDRESS


def test_the_specs_own_password_goes_out_only_after_the_proof_under_a_generated_one(edge, clock):
    edge.spec = OWN
    bmc = SimBmc()
    held, shell = sessions(edge, bmc)

    setup_bmc(edge, CLAIM, sessions=held, **clock)

    own = [n for n, line in enumerate(shell.told) if _sets(line, b"Spec")]
    proof = next(n for n, line in enumerate(shell.told) if line.startswith("raw 0x06 0x58"))
    assert len(own) == 1
    assert proof < own[0]
    assert bmc.users[3].password == "Spec-chosen-1"
    assert states(edge)[0] == ("current", "Spec-chosen-1")
    assert states(edge)[1][0] == "previous"
    assert setup_bmc(edge, CLAIM, sessions=held, **clock).writes == 0


@pytest.mark.parametrize(("trust", "gets_it"), [("proof", False), ("lan", True)])
def test_a_bmc_without_a_place_for_a_value_gets_the_specs_password_only_where_the_lan_is_trusted(
    edge, clock, trust, gets_it
):
    edge.spec, edge.trust = OWN, trust
    bmc = SimBmc(value=None)
    held, shell = sessions(edge, bmc)
    if gets_it:
        assert not setup_bmc(edge, CLAIM, sessions=held, **clock).proven
    else:
        with pytest.raises(Refused, match="trust: lan") as caught:
            setup_bmc(edge, CLAIM, sessions=held, **clock)
        assert caught.value.reason == "identity-unproven"
    assert any(_sets(line, b"Spec") for line in shell.told) is gets_it
    assert states(edge)[0] == ("current", bmc.users[3].password)


def test_a_password_that_the_bmc_did_not_take_is_found_in_band_and_costs_no_login(edge, clock):
    """Where `exec` reports its last line's status alone, the line refused before is seen by reading back."""
    bmc = SimBmc(refuses="raw 0x06 0x47 0x03 0x02")
    held, _ = sessions(edge, bmc)
    with pytest.raises(Refused, match="password of rackflow is not the one"):
        setup_bmc(edge, CLAIM, sessions=held, **clock)
    assert bmc.logins == []
    assert [state for state, _ in states(edge)] == ["candidate"]


def test_a_bmc_that_never_answers_is_unverified_after_a_deadline(edge, clock):
    held, _ = sessions(edge, SimBmc(), SimBmc())
    with pytest.raises(Refused, match="does not log in over the LAN") as caught:
        setup_bmc(edge, CLAIM, sessions=held, **clock)
    assert caught.value.reason == "bmc-unverified"
    assert "promote" not in edge.death.trace


def test_a_machine_without_a_bmc_is_said_to_have_none(edge, clock):
    held, shell = sessions(edge, SimBmc())
    said = "Could not open device at /dev/ipmi0 or /dev/ipmi/0: No such file or directory"
    shell.bmc.answers = lambda: {argv: Output(argv, 1, "", said) for argv in SimBmc().answers()}
    assert setup_bmc(edge, CLAIM, sessions=held, **clock).state == "none"
    assert edge.death.trace[-1] == "condition"


def _sets(line: str, start: bytes) -> bool:
    """Whether a line sets a password that begins so."""
    words = " ".join(f"0x{byte:02x}" for byte in start)
    return line.startswith("raw 0x06 0x47") and f" 0x02 {words}" in line
