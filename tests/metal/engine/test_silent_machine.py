"""A machine that falls silent in a command: its BMC says whether waiting for it makes sense."""

import pytest

from metal.engine.claim import Claim
from metal.engine.work import Work
from metal.errors import LeaseLost
from metal.planning.plan import Plan, Step
from metal.protocols import Command

CLAIM = Claim("web-01", 7, "run-1", 4)
WRITE = Command(("true",), "write")


@pytest.fixture
def asked(rig):
    """Send one change; give what the connection is told when it asks, during it, after the machine."""
    step = Step(id="mkfs:data", kind="mkfs", field="x", reason="as the spec asks", args={})
    plan = Plan(
        host="web-01", host_id="h1", specset="set-1", spec="web-01", observed_at=None,
        seen_from="boot-os", steps=(step,), basis={},
    )  # fmt: skip
    obeys = rig.machine.change

    def ask():
        told = []

        def change(change, *, gone, **more):
            told.append(gone())
            return obeys(change, **more)

        rig.machine.change = change
        Work(rig.edge, CLAIM, plan, step, rig.around, rig.said.append).send([WRITE])
        return told[0]

    return ask


@pytest.mark.parametrize(("state", "told"), [("off", "its BMC says that its power is off"), ("on", None)])
def test_the_bmc_is_asked(rig, asked, state, told):
    rig.bmc.state = state
    assert asked() == told


def test_a_bmc_that_does_not_answer_says_nothing(rig, asked):
    rig.bmc.passwords = set()
    assert asked() is None
    assert "its power cannot be read" in rig.said[-1]


def test_without_a_bmc_nobody_is_asked(rig, asked):
    rig.edge.record = rig.edge.record.model_copy(update={"bmc_address": None})
    rig.bmc.state = "off"
    assert asked() is None
    assert rig.said == []


def test_a_lost_lease_ends_the_run_here_too(rig, asked, monkeypatch):
    def lost(*_args, **_more):
        raise LeaseLost("another run has it", host="web-01", reason="lease-lost")

    monkeypatch.setattr(rig.edge, "bmc_lock", lost)
    with pytest.raises(LeaseLost):
        asked()
