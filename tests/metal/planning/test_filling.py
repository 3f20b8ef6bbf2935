"""What a new file system would hide is taken over into it, after everything else was written to the root."""

from collections.abc import Mapping
from typing import Any

import pytest

from metal.planning.plan import Plan
from metal.planning.steps import make_plan
from metal.testing.fake_host import FakeHost
from specs.model import Host
from specs.phases import Phase
from tests.metal.planning.conftest import IMAGE, NOW

KEY = {"luks": {"key": {"secret": "ops-password"}}}
MADE = {"size": "1GiB", "filesystem": "ext4"}


@pytest.fixture
def planned(make_order, observe, hardware, hosts):
    def plan(*parts: Mapping[str, Any], **more: Any) -> tuple[Plan, FakeHost, Any]:
        root = {"name": "root", "size": "2GiB", "mount": "/"}
        body = hosts["db-01"].model_dump(mode="json") | more
        spec = Host.model_validate(body | {"disks": [{"device": "root", "partitions": [root, *parts]}]})
        order = make_order("db-01", spec=spec)
        made = make_plan(order, observe(hardware["db-01"]))
        assert made.blocked is None, [step.reason for step in made.steps if step.blocked_by]
        return made, FakeHost("id-db-01", hardware["db-01"], IMAGE), order

    return plan


def fills(plan: Plan) -> list[tuple[str, list[list[str]]]]:
    return [(step.id, step.args["folders"]) for step in plan.steps if step.kind == "fill"]


def test_homes_and_what_the_distribution_keeps_are_taken_over(planned) -> None:
    subvolumes = [{"name": "@home", "mount": "/home"}, {"name": "@x", "mount": "/srv/x"}]
    plan, _, _ = planned(
        MADE | {"name": "var", "mount": "/var", "options": ["noatime"]} | KEY,
        MADE | {"name": "pool", "filesystem": "btrfs", "mount": "/srv/pool", "subvolumes": subvolumes},
        MADE | {"name": "data", "mount": "/data"},
        MADE | {"name": "swap", "filesystem": "swap", "size": "64MiB"},
        MADE | {"name": "drop", "filesystem": "vfat", "mount": "/opt/drop"},
    )
    assert fills(plan) == [
        ("fill:var", [["/var", "defaults"]]),
        ("fill:pool", [["/home", "subvol=/@home"]]),
    ]
    kinds = [step.kind for step in plan.steps]
    last = max(n for n, kind in enumerate(kinds) if kind in ("users", "files", "management", "fstab"))
    assert last < kinds.index("fill") < kinds.index("host-key")
    step = plan.step("fill:var")
    assert step.args["luks"]["secret"] == "secret:ops-password@3"
    assert step.args["root"] == plan.step("write-image").args["target"]
    assert not step.destructive


def test_a_file_of_the_spec_reaches_the_file_system_that_is_mounted_over_it(planned, make_order) -> None:
    """Without the step it lies below the mount, and the installed system has no such file."""
    users = [{"name": "ops", "ssh_keys": ["ssh-ed25519 AAAAops"]}]
    plan, machine, order = planned(
        MADE | {"name": "data", "mount": "/data"},
        MADE | {"name": "home", "mount": "/home"},
        files=[{"path": "/data/conf/a", "content": "a"}],
        users=users,
    )
    assert [step_id for step_id, _ in fills(plan)] == ["fill:data", "fill:home"]
    machine.run(plan)
    machine.seen_from = "running-os"
    host = order.host.model_copy(update={"phase": Phase.ACTIVE})
    seen = machine.observe(NOW, refs=["secret:ops-password@3"])
    again = make_plan(order.model_copy(update={"host": host}), seen)
    assert (again.steps, again.drift) == ((), ())


def test_what_is_preserved_takes_nothing_over(planned, make_order, observe, hardware, hosts) -> None:
    from tests.metal.planning.test_preserve import of_a_disk, on_a_disk  # noqa: PLC0415 - its disk

    home = {"name": "data", "size": "rest", "filesystem": "xfs", "mount": "/home", "preserve": True}
    part = {"name": "data", "filesystem": "xfs", "fs_uuid": "5f0e8f2e-0000-4000-8000-000000000001"}
    seen = on_a_disk(hardware["db-01"], part)
    plan = make_plan(make_order("db-01", spec=of_a_disk(hosts, home)), observe(seen))
    assert plan.blocked is None
    assert fills(plan) == []
