"""The lease and its keeper, waits in the process and at the edge, and how a job is wound down.

By a clock that is turned by hand; the edge's own clock is another.
"""

import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from metal.engine.cancel import wind_down
from metal.engine.claim import HOLDER, Claim, LeaseKeeper, check, claim_host
from metal.engine.connect import Openers
from metal.engine.in_boot_os import in_boot_os
from metal.engine.verify import SSH_LOOK_S, await_os, verify
from metal.engine.waits import LOOK_S, until_reached, wait_for
from metal.errors import Cancelled, JobWaits, LeaseLost, Refused, Unreachable
from metal.planning.plan import Plan, Step
from metal.protocols import BootFlags
from specs.records import LeaseGrant, LeaseRecord

T0 = datetime(2026, 11, 25, 12, tzinfo=UTC)
CLAIM = Claim("web-01", 7, "run-1", 4)


@pytest.mark.parametrize(("ttl_s", "stops_after_s"), [(90.0, 60), (9.0, 6)])
def test_a_lease_that_could_not_be_renewed_for_two_thirds_of_its_life_stops_the_run(
    rig, ttl_s, stops_after_s
):
    """Before its next step, and before the edge may give the lease to another."""
    keeper = LeaseKeeper(rig.edge, replace(CLAIM, ttl_s=ttl_s), clock=lambda: rig.clock[0])
    rig.edge.silent = True
    rig.clock[0] += stops_after_s - 1
    keeper.renew()
    keeper.must_stop()
    rig.clock[0] += 2
    with pytest.raises(LeaseLost, match=f"{stops_after_s + 1} s"):
        keeper.must_stop()
    rig.edge.silent = False
    keeper.renew()
    keeper.must_stop()


class EdgeWithLeases:
    """The lease rule that makes a second process of one run the only one: another word, another epoch."""

    def __init__(self):
        self.epoch, self.holder = 0, ""

    def lease(self, host, *, job, run_id, holder):
        if holder != self.holder:
            self.epoch, self.holder = self.epoch + 1, holder
        return LeaseGrant(epoch=self.epoch, ttl_s=90)

    def renew(self, host, *, epoch, run_id):
        if epoch < self.epoch:
            raise LeaseLost("held under a higher epoch", host=host, reason="lease-lost")
        return LeaseGrant(epoch=epoch, ttl_s=90)


def test_of_two_processes_of_one_run_the_earlier_starts_no_further_step(rig):
    """Prefect started the run again while the first process lived on."""
    edge = EdgeWithLeases()
    first = claim_host(edge, "web-01", job=7, run_id="run-1", holder="a")
    assert claim_host(edge, "web-01", job=7, run_id="run-1", holder="a") == first
    check(edge, first)
    second = claim_host(edge, "web-01", job=7, run_id="run-1", holder="b")
    with pytest.raises(LeaseLost):
        check(edge, first)
    keeper = LeaseKeeper(edge, first, clock=lambda: rig.clock[0])
    keeper.renew()
    with pytest.raises(LeaseLost):
        keeper.must_stop()
    check(edge, second)


def test_each_process_has_a_word_of_its_own():
    told = [sys.executable, "-c", "from metal.engine.claim import HOLDER; print(HOLDER)"]
    other = subprocess.run(told, capture_output=True, text=True, check=True).stdout.strip()
    assert len(other) == len(HOLDER) == 16
    assert other != HOLDER


@pytest.mark.parametrize(
    ("field", "value", "family"), [("epoch", 5, LeaseLost), ("cancelling", True, Cancelled)]
)
def test_what_the_edge_says_at_a_renewal_is_kept(rig, field, value, family):
    keeper = LeaseKeeper(rig.edge, CLAIM, clock=lambda: rig.clock[0])
    setattr(rig.edge, field, value)
    keeper.renew()
    with pytest.raises(family):
        keeper.must_stop()
    with pytest.raises(family):
        check(rig.edge, CLAIM)


def test_the_keeper_renews_by_itself_and_ends_with_its_block(rig):
    renewed = threading.Event()
    plain = rig.edge.renew

    def renew(host, **asked):
        renewed.set()
        return plain(host, **asked)

    rig.edge.renew = renew
    with LeaseKeeper(rig.edge, CLAIM, clock=lambda: rig.clock[0], every_s=0.01):
        assert renewed.wait(10)
    assert not [thread for thread in threading.enumerate() if thread.name == "lease-web-01"]


@dataclass
class AnsweringEdge:
    """What a wait asks of the edge: the rig's edge, with a lease, and waits that it registers."""

    rig: Any
    seen: list[bool] = field(default_factory=list)
    waits: list[dict[str, Any]] = field(default_factory=list)
    at_look: list[float] = field(default_factory=list)

    def __post_init__(self):
        self.began = self.rig.clock[0]
        self.rig.edge.wait = self.wait

    @property
    def now(self) -> datetime:
        return T0 + timedelta(seconds=self.rig.clock[0] - self.began)

    def host(self, name):
        lease = LeaseRecord(epoch=4, job=7, run_id="run-1", expires=self.now + timedelta(seconds=90))
        return self.rig.edge.record.model_copy(update={"lease": lease})

    def wait(self, name, number, **asked):
        self.waits.append(asked)
        return self.seen.pop(0) if self.seen else False

    def look(self):
        self.at_look.append(self.rig.clock[0] - self.began)


@pytest.fixture
def edge(rig):
    """The edge's clock is another than this machine's: days away."""
    answering = AnsweringEdge(rig)
    rig.edge.host = answering.host
    return answering


def waiting(edge, event="boot-os", *, after_s=1.0, **more):
    rig, since = edge.rig, T0 + timedelta(seconds=after_s)
    around = {"clock": rig.around.clock, "sleep": rig.around.sleep, "look": edge.look}
    given = {"since": since, "deadline": since + timedelta(seconds=600), "message": "waits for a boot"}
    may_go_on = {"may_go_on": lambda: check(rig.edge, CLAIM)}
    return wait_for(rig.edge, CLAIM, event=event, **(around | given | may_go_on | more))


def test_a_run_waits_a_minute_then_the_edge_waits_and_looks_every_two(edge, monkeypatch):
    monkeypatch.delenv("RACKFLOW_HOLD_S", raising=False)
    with pytest.raises(JobWaits) as caught:
        waiting(edge)

    assert 60 <= edge.rig.clock[0] - edge.began < 61
    (told,) = edge.waits
    since = T0 + timedelta(seconds=1)
    assert (told["event"], told["since"], told["epoch"], told["run_id"]) == ("boot-os", since, 4, "run-1")
    assert told["deadline"] == edge.now + timedelta(seconds=LOOK_S)
    assert caught.value.wait.deadline == told["deadline"]
    assert told["message"] == "waits for a boot, until 12:10:01 UTC at the latest"
    assert edge.at_look == [0.0]


def test_the_last_look_is_at_the_overall_deadline_which_is_the_same_for_every_run(edge, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", "5")
    edge.rig.clock[0] += 550
    with pytest.raises(JobWaits) as caught:
        waiting(edge)
    assert caught.value.wait.deadline == T0 + timedelta(seconds=601)

    edge.rig.clock[0] += 60
    with pytest.raises(Refused, match="within 600 s") as late:
        waiting(edge)
    assert late.value.reason == "boot-os-timeout"
    assert len(edge.waits) == 1


def test_what_came_while_no_run_lived_is_found_first_also_after_the_deadline(edge):
    edge.rig.clock[0] += 5000
    assert waiting(edge, after_s=0).boot_no == 1
    assert edge.at_look == []


def test_an_event_that_comes_while_the_wait_is_registered_lets_the_run_go_on(edge):
    """Between the last poll and the registration: the edge says so, and nothing is registered."""
    edge.seen = [True]
    up = edge.rig.edge.record.boot.model_copy(update={"boot_no": 2, "reported_at": T0 + timedelta(seconds=9)})
    register = edge.wait

    def wait(*args, **asked):
        edge.rig.edge.record = edge.rig.edge.record.model_copy(update={"boot": up})
        return register(*args, **asked)

    edge.rig.edge.wait = wait
    assert waiting(edge, after_s=5).boot_no == 2


def test_a_long_hold_looks_at_the_machine_every_two_minutes(edge):
    with pytest.raises(Refused):
        waiting(edge, "os", hold_s=3600)
    assert edge.at_look == [0, 120, 240, 360, 480, 600]


def test_waiting_outlives_a_restart_of_the_edge_and_ends_with_the_lease(edge):
    plain, answers = edge.host, iter([Unreachable("restarting"), Unreachable("restarting")])
    up = edge.rig.edge.record.boot.model_copy(update={"kind": "os"})

    def host(name):
        for error in answers:
            raise error
        edge.rig.edge.record = edge.rig.edge.record.model_copy(update={"os": up})
        return plain(name)

    edge.rig.edge.host = host
    assert waiting(edge, "os", after_s=0).kind == "os"

    def silent(name):
        raise Unreachable("no edge")

    edge.rig.edge.host = silent
    began = edge.rig.clock[0]
    with pytest.raises(LeaseLost, match="has not answered"):
        waiting(edge, hold_s=3600)
    assert edge.rig.clock[0] - began == pytest.approx(CLAIM.stop_after_s, abs=1)


def test_a_cancelled_job_ends_its_wait(edge):
    edge.rig.edge.cancelling = True
    with pytest.raises(Cancelled):
        waiting(edge)


def test_a_discovery_goes_on_in_the_boot_os_that_reported_in_long_ago(rig, edge):
    edge.rig.clock[0] += 5000
    assert in_boot_os(rig.edge, CLAIM, lambda: "done", log=rig.said.append, around=rig.around) == "done"
    assert rig.edge.rows == []


def test_a_machine_that_lost_its_power_in_its_discovery_is_waited_for_and_not_failed(rig, edge, monkeypatch):
    """No BMC is known yet: somebody, or the power that comes back, has to start it."""
    monkeypatch.setenv("RACKFLOW_HOLD_S", "5")
    rig.edge.record = rig.edge.record.model_copy(update={"bmc_address": None})
    gone = Unreachable("no route", host="web-01")

    def set_up():
        def ssh(_at, _key):
            raise gone

        rig.around.sessions.drop("h1")
        rig.around.sessions.openers = Openers(ssh=ssh, ipmi=rig.bmc.log_in)
        raise gone

    for _ in range(2):
        with pytest.raises(JobWaits) as caught:
            in_boot_os(rig.edge, CLAIM, set_up, log=rig.said.append, around=rig.around)
    assert caught.value.wait.event == "boot-os"
    assert caught.value.wait.since > rig.edge.record.boot.reported_at

    up = rig.edge.record.boot.model_copy(update={"boot_no": 2, "reported_at": edge.now})
    rig.edge.record = rig.edge.record.model_copy(update={"boot": up})
    rig.around.sessions.openers = Openers(ssh=lambda _at, _key: rig.machine, ipmi=rig.bmc.log_in)
    assert in_boot_os(rig.edge, CLAIM, lambda: "done", log=rig.said.append, around=rig.around) == "done"


def test_a_new_boot_os_that_shows_its_key_before_it_reports_in_is_waited_for(rig, edge, monkeypatch):
    """Its SSH server is up a second before the report-in that says which key it has."""
    monkeypatch.setenv("RACKFLOW_HOLD_S", "5")
    rig.edge.record = rig.edge.record.model_copy(update={"bmc_address": None})
    other = Refused("10.77.1.50 shows another host key than the one on record", host="web-01")

    def ssh(_at, _key):
        raise other

    def set_up():
        rig.around.sessions.drop("h1")
        rig.around.sessions.openers = Openers(ssh=ssh, ipmi=rig.bmc.log_in)
        raise other

    with pytest.raises(JobWaits) as caught:
        in_boot_os(rig.edge, CLAIM, set_up, log=rig.said.append, around=rig.around)
    assert caught.value.wait.event == "boot-os"


@pytest.mark.parametrize("family", [Unreachable, Refused])
def test_what_fails_while_the_boot_os_answers_is_no_loss_of_it(rig, edge, family):
    def set_up():
        raise family("no IPMI session", host="web-01")

    with pytest.raises(family, match="no IPMI"):
        in_boot_os(rig.edge, CLAIM, set_up, log=rig.said.append, around=rig.around)


# --- the first boot of an installed system ----------------------------------------------------------------


def started(rig, *, installs=True):
    """A plan whose power step was sent at T0 + 2 s."""
    power = Step(id="power", kind="power", field="power", reason="r", reboot=True, where="bmc")
    phones = Step(id="phone-home", kind="phone-home", field="os", reason="r", where="boot-os")
    steps = (phones, power) if installs else (power,)
    about = {"specset": "s", "spec": "web-01", "observed_at": None, "seen_from": "bmc"}
    plan = Plan(host="web-01", host_id="h1", steps=steps, **about)
    for detail in ({"says": "r"}, {"sent": "cycle"}):
        told = {"epoch": 4, "job": 7, "step": "power", "kind": "power", "plan": plan.hash}
        rig.edge.journal("web-01", phase="intent", detail=detail, **told)
    return plan


def first_boot(rig, plan, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", "5")
    with pytest.raises(JobWaits) as caught:
        await_os(rig.edge, CLAIM, plan, log=rig.said.append, around=rig.around)
    return caught.value.wait


def test_a_machine_whose_power_was_cut_in_its_first_boot_is_switched_on_and_that_is_written_before(
    rig, edge, monkeypatch
):
    plan = started(rig)
    rig.bmc.state = "off"
    sent_after = []
    switch = rig.bmc.set_power
    rig.bmc.set_power = lambda action: (sent_after.append(rig.edge.rows[-1]), switch(action))
    wait = first_boot(rig, plan, monkeypatch)

    assert rig.bmc.sent == ["on"]
    assert (sent_after[0].step, sent_after[0].phase) == ("power-again", "intent")
    assert (wait.event, wait.since) == ("os", T0 + timedelta(seconds=2))
    first_boot(rig, plan, monkeypatch)
    assert rig.bmc.sent == ["on"], "one that is on is left alone"


def test_a_system_that_a_reset_started_before_the_power_step_has_phoned_home(rig, edge, monkeypatch):
    """The token lies on the disk since the phone-home step: its word counts from there on."""
    told = {"epoch": 4, "job": 7, "step": "phone-home", "kind": "phone-home", "plan": "p"}
    installed = rig.edge.journal("web-01", phase="done", **told)
    plan = started(rig)
    home = rig.edge.record.boot.model_copy(update={"kind": "os", "reported_at": installed.at})
    rig.edge.record = rig.edge.record.model_copy(update={"os": home})

    assert await_os(rig.edge, CLAIM, plan, log=rig.said.append, around=rig.around) == home.address


def test_a_system_that_was_merely_switched_on_is_waited_for_over_ssh_and_looked_for_often(
    rig, edge, monkeypatch
):
    """Its phone-home token was used up when it was installed: nobody will call, so no event will come."""
    plan = started(rig, installs=False)
    up = {"ssh_host_key": "ssh-ed25519 AAAAinstaller", "address": "10.77.1.21"}
    rig.edge.record = rig.edge.record.model_copy(update={"boot": None, "installed": up})
    answers = [False, False, True]

    def ssh(at, _key):
        if not answers.pop(0):
            raise Unreachable("no route", host=at.host)
        return rig.machine

    rig.around.sessions.openers = Openers(ssh=ssh, ipmi=rig.bmc.log_in)
    assert await_os(rig.edge, CLAIM, plan, log=rig.said.append, around=rig.around) == "10.77.1.21"

    queued = ("71 srv-old.mount stop running", "112 var-log.mount start waiting", "9 x.timer start waiting")
    rig.machine.queued = "\n".join(queued)
    wait = first_boot(rig, plan, monkeypatch)
    assert wait.deadline == edge.now + timedelta(seconds=SSH_LOOK_S)
    assert rig.said[-1] == "web-01 is up and still mounts: var-log.mount"

    rig.around.sessions.drop("h1")
    answers = [False] * 99
    wait = first_boot(rig, plan, monkeypatch)
    assert wait.deadline == edge.now + timedelta(seconds=SSH_LOOK_S)


def test_a_first_boot_has_ten_minutes_from_the_first_power_intent_whatever_was_switched_on_again(
    rig, edge, monkeypatch
):
    plan = started(rig)
    edge.rig.clock[0] += 590
    assert first_boot(rig, plan, monkeypatch).deadline == T0 + timedelta(seconds=601)
    edge.rig.clock[0] += 30
    with pytest.raises(Refused) as caught:
        await_os(rig.edge, CLAIM, plan, log=rig.said.append, around=rig.around)
    assert caught.value.reason == "os-timeout"


def test_a_bmc_that_does_not_answer_is_asked_again_at_the_next_look(rig, edge, monkeypatch):
    plan = started(rig)
    rig.bmc.passwords.clear()
    first_boot(rig, plan, monkeypatch)
    assert "could not be looked at" in rig.said[0]


def test_a_system_that_went_away_after_it_phoned_home_is_switched_on_and_waited_for(rig, edge, monkeypatch):
    monkeypatch.setenv("RACKFLOW_HOLD_S", "5")
    started(rig)
    up = {"ssh_host_key": "ssh-ed25519 AAAAinstaller", "address": "10.77.1.21"}
    rig.edge.record = rig.edge.record.model_copy(update={"boot": None, "installed": up})
    rig.bmc.state = "off"

    def ssh(at, _key):
        raise Unreachable("no route", host=at.host)

    rig.around.sessions.openers = Openers(ssh=ssh, ipmi=rig.bmc.log_in)
    for _ in range(2):
        with pytest.raises(JobWaits) as caught:
            verify(rig.edge, CLAIM, around=rig.around)
    assert rig.bmc.sent == ["on"]
    lost = [row for row in rig.edge.rows if row.step == "await-ssh"]
    assert [row.phase for row in lost] == ["intent"]
    assert caught.value.wait.since == lost[0].at


# --- the end of a job that does not go to its end ---------------------------------------------------------


def begun(rig, *steps):
    """Journal rows of the job, as `step phase` each."""
    for told in steps:
        step, phase = told.split()
        rig.edge.journal("web-01", epoch=3, job=7, step=step, kind=step, phase=phase)
    rig.edge.job = lambda *_: SimpleNamespace(plan=None, host="web-01", no=7)


def test_a_cancelled_job_fences_the_machine_clears_its_flag_and_says_what_is_left(rig):
    begun(rig, "boot-os intent", "boot-os done", "wipe intent", "wipe failed", "write-image intent")
    rig.bmc.flags = BootFlags("pxe", persistent=False, efi=True)
    told = wind_down(rig.edge, CLAIM, log=rig.said.append, around=rig.around)

    assert told == "finished: boot-os; failed: wipe; begun without an outcome: write-image"
    (fence,) = rig.machine.sent
    assert (fence.change.argv, fence.epoch) == (("true",), 4)
    assert rig.bmc.flags.target == "none"


@pytest.mark.parametrize(
    ("steps", "flags"),
    [
        (("wipe intent",), BootFlags("pxe", persistent=False, efi=True)),
        (("boot-os intent",), BootFlags("pxe", persistent=True, efi=True)),
        (("boot-os intent",), BootFlags("disk", persistent=False, efi=True)),
    ],
    ids=["nobody of this job set it", "it is not for one boot", "it is not PXE"],
)
def test_a_boot_flag_that_this_job_did_not_set_for_one_boot_is_left(rig, steps, flags):
    begun(rig, *steps)
    rig.bmc.flags = flags
    wind_down(rig.edge, CLAIM, log=rig.said.append, around=rig.around)
    assert rig.bmc.flags == flags


def test_a_machine_that_answers_nowhere_keeps_no_job_from_ending(rig):
    begun(rig, "boot-os intent")
    rig.edge.record = rig.edge.record.model_copy(update={"boot": None})
    rig.bmc.passwords.clear()
    told = wind_down(rig.edge, CLAIM, log=rig.said.append, around=rig.around)
    assert told == "begun without an outcome: boot-os"
    assert [line.partition(":")[0] for line in rig.said] == [
        "web-01 was not fenced",
        "a one-time boot flag of web-01 may be set still",
    ]


def test_a_call_is_repeated_while_nothing_answers_and_a_refusal_is_not(rig):
    answers = iter([Unreachable("not yet"), Unreachable("not yet"), None])

    def call():
        if error := next(answers):
            raise error
        return "up"

    around = {"clock": rig.around.clock, "sleep": rig.around.sleep}
    assert until_reached(call, deadline_s=5, **around) == "up"

    def refuse():
        raise Refused("another host key")

    with pytest.raises(Refused):
        until_reached(refuse, deadline_s=5, **around)

    def silent():
        raise Unreachable("no")

    with pytest.raises(Unreachable):
        until_reached(silent, deadline_s=5, **around)
