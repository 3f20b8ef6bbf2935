"""No secret goes to a machine that is not proven to be the host; nothing is erased before that is known."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete

from metal.engine import proof
from metal.engine.claim import Claim
from metal.engine.steps import run_step
from metal.engine.wiped import attest
from metal.errors import Refused
from metal.planning.plan import Plan, Step
from metal.planning.restarts import declared
from pxe_edge.registry.registry import open_registry
from pxe_edge.registry.tables import CredentialRow
from specs.erasure import WipeWish
from tests.metal.engine.sim_bmc import ADDRESS, CredentialEdge, SimBmc, sessions

CLAIM = Claim("web-01", 7, "run-1", 4)
T0 = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.fixture
def edge(tmp_path):
    ticks = itertools.count()
    registry = open_registry(tmp_path, clock=lambda: T0 + timedelta(seconds=next(ticks)))
    made = CredentialEdge(registry, "web-01")
    made.bmc_candidate("web-01", epoch=4, address=ADDRESS, user="rackflow", password="known-1")
    made.bmc_promote("web-01", epoch=4, user="rackflow")
    yield made
    registry.db.close()


def ours() -> SimBmc:
    return SimBmc().given("rackflow", "known-1")


def test_a_boot_is_proven_once_and_the_next_boot_anew(edge):
    held, shell = sessions(edge, ours())
    assert [proof.require(edge, CLAIM, sessions=held) for _ in range(3)] == [1, 0, 0]
    edge.boot_no = 2
    assert proof.require(edge, CLAIM, sessions=held) == 1
    assert edge.reported == [("proof", "proven")] * 2
    assert shell.bmc.logins == [("known-1", True)] * 2


def test_power_that_was_changed_ends_what_was_proven(edge):
    held, _ = sessions(edge, ours())
    proof.require(edge, CLAIM, sessions=held)
    held.drop("web-01")
    assert proof.require(edge, CLAIM, sessions=held) == 1


@pytest.mark.parametrize("kept", ["", "aB3dE6gH9jK2mN"])
def test_a_machine_under_another_hosts_name_is_refused_and_shown(edge, kept):
    """Also where the host's own BMC still shows the value of an earlier proof."""
    impostor, real = SimBmc(), ours()
    real.value = kept
    held, _ = sessions(edge, impostor, real)
    with pytest.raises(Refused, match="switch port") as caught:
        proof.require(edge, CLAIM, sessions=held)
    assert caught.value.reason == "identity-unproven"
    assert edge.reported == [("proof", "differs")]


@pytest.mark.parametrize("trust", ["proof", "lan"])
@pytest.mark.parametrize("lacking", ["on the LAN", "in band", "no BMC"])
def test_what_can_not_be_proven_is_trusted_only_where_the_site_says_so(edge, trust, lacking):
    edge.trust = trust
    inside, outside = ours(), ours()
    if lacking == "no BMC":
        with edge.registry.db.write() as session:
            session.execute(delete(CredentialRow))
    elif lacking == "on the LAN":
        outside.value = None
    else:
        inside.value = None
    held, _ = sessions(edge, inside, outside)
    if trust == "lan":
        proof.require(edge, CLAIM, sessions=held)
        return
    with pytest.raises(Refused, match="trust: lan") as caught:
        proof.require(edge, CLAIM, sessions=held)
    assert caught.value.reason == "identity-unproven"


@pytest.mark.parametrize("noisy", [0, 2])
def test_a_bmc_without_system_info_is_proven_by_its_event_log(edge, noisy):
    bmc = ours()
    bmc.value, bmc.events, bmc.noisy = None, [], noisy
    held, _ = sessions(edge, bmc)
    assert proof.require(edge, CLAIM, sessions=held) == 1 + noisy
    assert edge.reported == [("proof", "proven")]


def test_another_machines_event_log_proves_nothing(edge):
    inside, outside = ours(), ours()
    for bmc in (inside, outside):
        bmc.value, bmc.events = None, [bytes(16)]
    held, _ = sessions(edge, inside, outside)
    with pytest.raises(Refused, match="event log of the host's BMC"):
        proof.require(edge, CLAIM, sessions=held)
    assert edge.reported == [("proof", "differs")]


def test_a_bmc_that_may_not_be_asked_now_is_no_reason_to_trust(edge):
    """Its credential was refused a moment ago: that is not a machine without a BMC."""
    edge.trust = "lan"
    edge.json("POST", "/x/login", json=_refused())
    held, shell = sessions(edge, ours())
    with pytest.raises(Refused) as caught:
        proof.require(edge, CLAIM, sessions=held)
    assert caught.value.reason == "bmc-unverified"
    assert shell.bmc.logins == []


def test_a_running_system_is_known_by_its_host_key(edge):
    held, shell = sessions(edge, SimBmc(), ours())
    assert proof.require(edge, CLAIM, where="running-os", sessions=held) == 0
    assert shell.sent == []


def step(kind: str, *, where="boot-os", destructive=False, **args) -> Step:
    return Step(id=kind, kind=kind, field=kind, reason="r", where=where, destructive=destructive, args=args)


def plan(*steps: Step) -> Plan:
    return Plan(
        host="web-01", host_id="h", specset=None, spec=None, observed_at=None, seen_from=None, steps=steps
    )


WIPE = step("wipe", destructive=True)
HASH = step("users", users=[{"name": "ops", "password": "secret:ops@1"}])
KEYS = step("users", users=[{"name": "ops", "password": None}])
FILE = step("files", files=[{"path": "/etc/key", "secret": "secret:key@1"}])
PLAIN = step("files", files=[{"path": "/etc/motd", "content": "hi"}])
TOKEN = step("phone-home")
KEY = step("host-key")


@pytest.mark.parametrize(
    ("first", "rest", "needed"),
    [
        (WIPE, (TOKEN,), True),
        (WIPE, (HASH,), True),
        (WIPE, (KEYS, PLAIN), False),
        (WIPE, (), False),
        (HASH, (), True),
        (KEYS, (), False),
        (FILE, (), True),
        (PLAIN, (), False),
        (TOKEN, (), True),
        (KEY, (), True),
        (step("hostname"), (TOKEN,), False),
        (HASH.model_copy(update={"where": "running-os"}), (), False),
        (step("power", where="bmc"), (TOKEN,), False),
    ],
)
def test_a_step_waits_for_the_proof_if_it_sends_a_secret_or_erases_for_one(first, rest, needed):
    assert proof.needs_proof(plan(first, *rest), first) is needed


def test_a_wipe_erases_nothing_before_the_proof_though_it_sends_no_secret():
    wiping = plan(WIPE, step("boot-order", where="bmc")).model_copy(update={"wipe": WipeWish()})
    assert [proof.needs_proof(wiping, one) for one in wiping.steps] == [True, False]


def _refused():
    about = {"owner": "r", "address": ADDRESS, "user": "rackflow", "state": "current"}
    return about | {"result": "refused", "fresh": False}


@pytest.fixture
def impostor(rig):
    """Another machine has booted under the host's name."""
    rig.around.sessions.is_proven = lambda _at: False
    rig.bmc.proof = "of-another-job"
    rig.edge.json = lambda _method, _path, **_more: {"may_send_secrets": False}
    return rig


def sent(rig) -> list[tuple[str, ...]]:
    return [one.change.argv[:4] for one in rig.machine.sent]


def test_a_step_that_erases_is_not_begun_on_a_machine_that_is_not_proven(impostor):
    """The refusal stands in the journal, and nothing was sent."""
    rig = impostor
    image = {"image_digest": "sha256:1", "manifest_sha256": "ab", "manifest_url": "http://e/m"}
    disk = {"identity": "RF-D0", "size_bytes": 8 << 30}
    erase = declared(step("write-image", destructive=True, target=disk, size_bytes=1 << 30, **image))
    with pytest.raises(Refused, match="switch port") as caught:
        run_step(rig.edge, CLAIM, plan(erase, TOKEN), "write-image", log=rig.said.append, around=rig.around)
    assert caught.value.reason == "identity-unproven"
    assert rig.edge.calls[-1] == "journal write-image failed"
    assert sent(rig) == [("ipmitool", "raw", "0x06", "0x58")]


def test_another_machine_under_the_hosts_name_is_not_wiped(impostor):
    rig = impostor
    disk = {"identity": "RF-D0", "size_bytes": 8 << 30}
    erase = declared(step("wipe", destructive=True, target=disk, attest=True))
    wiping = plan(erase).model_copy(update={"wipe": WipeWish()})
    with pytest.raises(Refused, match="switch port") as caught:
        run_step(rig.edge, CLAIM, wiping, "wipe", log=rig.said.append, around=rig.around)
    assert caught.value.reason == "identity-unproven"
    assert sent(rig) == [("ipmitool", "raw", "0x06", "0x58")]


def test_another_machines_blank_disks_do_not_attest_that_the_hosts_were_erased(impostor):
    rig = impostor
    with pytest.raises(Refused, match="switch port") as caught:
        attest(rig.edge, CLAIM, plan(), around=rig.around)
    assert caught.value.reason == "identity-unproven"
    assert "observation" not in rig.edge.put


def test_disks_are_attested_in_the_boot_that_was_proven(rig):
    """Another boot OS reports in while the disks are read: what was read may be either's."""
    first = rig.edge.record.boot
    put = rig.edge.put_observation

    def report_in(host, observation, **more):
        if first == rig.edge.record.boot:
            newer = {"boot_no": first.boot_no + 1, "ssh_host_key": "ssh-ed25519 OTHER"}
            update = {"boot": first.model_copy(update=newer)}
            rig.edge.record = rig.edge.record.model_copy(update=update)
        return put(host, observation, **more)

    proven = []
    rig.around.sessions.is_proven = lambda at: proven.append(at.host_key) or True
    rig.edge.put_observation = report_in
    assert attest(rig.edge, CLAIM, plan(), around=rig.around) == ()
    assert proven == [first.ssh_host_key, "ssh-ed25519 OTHER"]


def test_the_boot_that_gets_the_secret_is_the_one_that_is_proven(rig):
    """The host itself reports in after an impostor, before the step that was begun in the impostor's boot."""
    begun_in = rig.edge.record.boot
    asked = []
    rig.around.sessions.is_proven = lambda at: asked.append(at) or True
    journal = rig.edge.journal

    def report_in(host, **row):
        newer = {"boot_no": begun_in.boot_no + 1, "address": "10.77.1.99", "ssh_host_key": "ssh-ed25519 HOST"}
        if row["phase"] == "intent":
            rig.edge.record = rig.edge.record.model_copy(update={"boot": begun_in.model_copy(update=newer)})
        return journal(host, **row)

    rig.edge.journal = report_in
    rig.machine.disks["RF-D0"]["signature"] = "ext4"
    disk = {"identity": "RF-D0", "size_bytes": 8 << 30}
    erase = declared(step("wipe", destructive=True, target=disk))
    run_step(rig.edge, CLAIM, plan(erase, TOKEN), "wipe", log=rig.said.append, around=rig.around)
    assert {(at.address, at.host_key) for at in asked} == {(begun_in.address, begun_in.ssh_host_key)}
