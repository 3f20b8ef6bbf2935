"""The lease's keeper, and waiting for machines, by a clock that is turned by hand."""

import threading
from datetime import timedelta

import pytest

from metal.engine.claim import Claim, LeaseKeeper, check
from metal.engine.waits import until_reached, wait_boot_os, wait_os
from metal.errors import Cancelled, LeaseLost, Refused, Unreachable

CLAIM = Claim("web-01", 7, "run-1", 4)


def test_a_lease_that_could_not_be_renewed_for_a_minute_stops_the_run_before_its_next_step(rig):
    keeper = LeaseKeeper(rig.edge, CLAIM, clock=lambda: rig.clock[0])
    rig.edge.silent = True
    rig.clock[0] += 59
    keeper.renew()
    keeper.must_stop()
    rig.clock[0] += 2
    with pytest.raises(LeaseLost, match="61 s"):
        keeper.must_stop()
    rig.edge.silent = False
    keeper.renew()
    keeper.must_stop()


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


def waiting(rig, wait, since, **more):
    around = {"clock": rig.around.clock, "sleep": rig.around.sleep}
    return wait(rig.edge, "web-01", since=since, may_go_on=lambda: check(rig.edge, CLAIM), **around, **more)


def test_a_report_in_before_the_wait_began_is_not_the_one_waited_for(rig):
    since = rig.edge.record.boot.reported_at + timedelta(seconds=1)
    with pytest.raises(Refused, match="600 s") as caught:
        waiting(rig, wait_boot_os, since)
    assert caught.value.reason == "boot-os-timeout"
    assert waiting(rig, wait_boot_os, since - timedelta(seconds=1)).boot_no == 1


def test_waiting_for_a_system_outlives_a_restart_of_the_edge_and_has_a_deadline(rig):
    plain, answers = rig.edge.host, iter([Unreachable("restarting"), Unreachable("restarting")])
    up = rig.edge.record.boot.model_copy(update={"kind": "os"})

    def host(name):
        for error in answers:
            raise error
        rig.edge.record = rig.edge.record.model_copy(update={"os": up})
        return plain(name)

    rig.edge.host = host
    assert waiting(rig, wait_os, up.reported_at).kind == "os"
    rig.edge.host = plain
    with pytest.raises(Refused) as caught:
        waiting(rig, wait_os, up.reported_at + timedelta(hours=1), deadline_s=5)
    assert caught.value.reason == "os-timeout"


def test_a_cancelled_job_ends_its_wait(rig):
    rig.edge.cancelling = True
    with pytest.raises(Cancelled):
        waiting(rig, wait_os, rig.edge.now)


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
