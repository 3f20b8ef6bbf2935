"""The BMC's lock, which credentials are tried and how often, and power that is read before and after."""

import threading

import pytest

from metal.edge_client.wire import Conflict
from metal.engine import connect
from metal.engine.claim import Claim
from metal.engine.connect import BMC_LOCK_S, BmcLock, Openers, bmc, log_in
from metal.engine.power import power, power_once, set_boot
from metal.errors import LeaseLost, Refused, Unreachable
from metal.protocols import BootFlags
from specs.records import BmcCredential


@pytest.fixture
def rig(rig):
    """The edge takes reports of logins, and the lock's epoch."""
    rig.edge.reported, rig.edge.epochs = [], []

    def lock(_host, *, owner, ttl_s, epoch=None):
        rig.edge.calls.append("lock")
        rig.edge.epochs.append(epoch)
        return list(rig.edge.credentials_)

    rig.edge.json = lambda _method, _path, *, json: rig.edge.reported.append((json["state"], json["result"]))
    rig.edge.bmc_lock = lock
    return rig


def account(state: str, password: str, address: str = "10.77.9.50") -> BmcCredential:
    return BmcCredential(address=address, user="rackflow", password=password, state=state)


def answering(error: Exception) -> tuple[Openers, list[BmcCredential]]:
    """BMCs that say this to every login, and the logins."""
    asked: list[BmcCredential] = []

    def ipmi(_host, credential):
        asked.append(credential)
        raise error

    return Openers(ssh=lambda _at, _key: pytest.fail("no shell is needed"), ipmi=ipmi), asked


def test_each_credential_is_tried_once_and_two_refusals_end_a_start(rig):
    openers, asked = answering(Refused("no", reason="bmc-unverified"))
    known = [account("current", "a"), account("candidate", "b"), account("previous", "c")]
    with pytest.raises(Refused, match=r"\(current\), rackflow@10\.77\.9\.50 \(candidate\)"):
        log_in(rig.edge, "web-01", known, openers, owner="me")
    assert [credential.password for credential in asked] == ["a", "b"]
    assert rig.edge.reported == [("current", "refused"), ("candidate", "refused")]


def test_an_address_that_is_silent_is_not_waited_for_again(rig):
    openers, asked = answering(Unreachable("silent", reason="unreachable"))
    known = [account("current", "a"), account("previous", "b"), account("factory", "c", "10.77.9.99")]
    with pytest.raises(Unreachable, match="silent"):
        log_in(rig.edge, "web-01", known, openers, owner="me")
    assert [credential.address for credential in asked] == ["10.77.9.50", "10.77.9.99"]
    assert rig.edge.reported == []


def test_the_lock_is_taken_under_the_epoch_of_the_claim_and_given_back(rig):
    with bmc(rig.edge, "web-01", owner="me", sessions=rig.around.sessions, epoch=4) as session:
        assert session.power() == "on"
    assert rig.edge.epochs == [4]
    assert (rig.edge.calls[0], rig.edge.calls[-1]) == ("lock", "unlock")


@pytest.mark.parametrize("said", [Conflict("another holds it"), LeaseLost("epoch 5 holds the host")])
def test_a_session_whose_lock_is_lost_changes_nothing(rig, said):
    """A run that stood still: the edge gave the lock, or the host, to another meanwhile."""
    with bmc(rig.edge, "web-01", owner="me", sessions=rig.around.sessions, epoch=4) as session:

        def refuse(*_args, **_more):
            raise said

        rig.edge.bmc_lock = refuse
        session.lock.prolong()
        with pytest.raises(type(said)):
            session.set_power("off")
        with pytest.raises(type(said)):
            session.set_boot_flags(BootFlags("pxe", persistent=False, efi=True))
        assert session.power() == "on"
    assert rig.bmc.sent == []


def test_a_lock_that_could_not_be_prolonged_in_time_is_no_lock():
    now, answers = [0.0], [True]

    def take():
        if not answers[0]:
            raise Unreachable("no edge")
        return []

    lock = BmcLock(take, "web-01", [], lambda: now[0], held_at=0.0)
    now[0] = BMC_LOCK_S - 1
    lock.prolong()
    now[0] += BMC_LOCK_S - 1
    answers[0] = False
    lock.prolong()
    lock.must_hold()
    now[0] += 2
    with pytest.raises(Unreachable, match="could not be prolonged"):
        lock.must_hold()


def test_the_lock_is_prolonged_while_it_is_held(rig, monkeypatch):
    monkeypatch.setattr(connect, "BMC_LOCK_RENEW_S", 0.001)
    enough, plain = threading.Event(), rig.edge.bmc_lock

    def counted(*args, **more):
        if len(rig.edge.epochs) > 3:
            enough.set()
        return plain(*args, **more)

    rig.edge.bmc_lock = counted
    with bmc(rig.edge, "web-01", owner="me", sessions=rig.around.sessions):
        assert enough.wait(5)
    taken = len(rig.edge.epochs)
    assert rig.edge.calls[-1] == "unlock"
    assert len(rig.edge.epochs) == taken


@pytest.mark.parametrize(
    ("state", "action", "sent"),
    [
        ("on", "on", []),
        ("off", "on", ["on"]),
        ("off", "off", []),
        ("on", "off", ["off"]),
        ("on", "cycle", ["cycle"]),
        ("off", "cycle", ["on"]),
        ("off", "reset", ["on"]),
        ("on", "soft", ["soft"]),
        ("on", "status", []),
    ],
)
def test_power_is_read_before_acting(rig, state, action, sent):
    rig.bmc.state = state
    outcome = power(
        rig.edge, "web-01", action, owner="me", sessions=rig.around.sessions, sleep=rig.around.sleep
    )
    assert rig.bmc.sent == sent
    assert outcome.writes == len(sent)
    assert rig.edge.calls[0] == "lock"
    assert rig.edge.calls[-1] == "unlock"


def test_a_cycle_after_which_the_bmc_goes_silent_is_not_sent_again(rig):
    """Its task is tried again, in this process and in the job's next run."""
    claim, shown = Claim("web-01", 7, "run-1", 4), rig.bmc.power

    def silent():
        if rig.bmc.sent:
            raise Unreachable("the BMC does not answer", host="web-01", reason="unreachable")
        return shown()

    def once():
        return power_once(rig.edge, claim, "cycle", sessions=rig.around.sessions, sleep=rig.around.sleep)

    rig.bmc.power = silent
    with pytest.raises(Unreachable):
        once()
    rig.bmc.power = shown
    outcome = once()
    assert rig.bmc.sent == ["cycle"]
    assert (outcome.after, outcome.changed) == ("on", True)
    rig.bmc.state = "off"
    once()
    assert rig.bmc.sent == ["cycle", "on"]


def test_a_machine_that_does_not_follow_is_refused_after_a_deadline(rig):
    rig.bmc.obeys, rig.bmc.state = False, "off"
    with pytest.raises(Refused, match="still off after 30 s"):
        power(rig.edge, "web-01", "on", owner="me", sessions=rig.around.sessions, sleep=rig.around.sleep)
    assert rig.edge.calls[-1] == "unlock"


def test_boot_flags_are_set_once_and_read_back(rig):
    wished = BootFlags("disk", persistent=True, efi=True)
    assert set_boot(rig.bmc, "web-01", wished) == 1
    assert set_boot(rig.bmc, "web-01", wished) == 0
    rig.bmc.obeys = False
    with pytest.raises(Refused, match="read back"):
        set_boot(rig.bmc, "web-01", BootFlags("pxe", persistent=False, efi=True))


def test_no_credential_that_fits_names_those_that_were_tried(rig):
    rig.bmc.passwords.clear()
    with pytest.raises(Refused, match=r"tried rackflow@10\.77\.9\.50 \(current\)") as caught:
        power(rig.edge, "web-01", "on", owner="me", sessions=rig.around.sessions, sleep=rig.around.sleep)
    assert caught.value.reason == "bmc-unverified"
    assert "good" not in str(caught.value)
