"""What stays and hides homes and files of the root gets accounts and files of the spec, and nothing else."""

import pytest

from metal.planning.steps import make_plan
from metal.testing.fake_host import FakeHost
from specs.model import Host
from specs.phases import Phase
from tests.metal.planning.conftest import IMAGE, NOW

USERS = [{"name": "ops", "ssh_keys": ["ssh-ed25519 AAAAops"]}, {"name": "root", "shell": "/bin/sh"}]
HOME = {"name": "home", "size": "1GiB", "filesystem": "xfs", "mount": "/home", "preserve": True}
REFS = ["secret:ops-password@3"]


@pytest.fixture
def reinstalled(make_order, observe, hardware, hosts):
    """Install a spec with a second disk, and plan its reinstallation on what that has left."""

    def plan(parts, **more):
        seen = hardware["db-01"]
        disk = seen.disks[0].model_copy(update={"device": "/dev/sdz", "serial": "Z", "by_path": None})
        seen = seen.model_copy(update={"disks": (*seen.disks, disk)})
        body = hosts["db-01"].model_dump(mode="json") | {"root_device": {"serial": "RF-M1-D0"}} | more
        spec = Host.model_validate(body | {"disks": [{"device": {"serial": "Z"}, "partitions": parts}]})
        machine = FakeHost("id-db-01", seen, IMAGE)
        machine.run(make_plan(make_order("db-01", spec=spec), observe(seen)))
        order = make_order("db-01", spec=spec, phase=Phase.ACTIVE)
        machine.job = 2
        again = make_plan(order, machine.observe(NOW, refs=REFS), reinstall=True)
        assert again.blocked is None, [step.reason for step in again.steps if step.blocked_by]
        return again, machine, order

    return plan


def told(plan):
    return {
        step.id: [one.get("path") or one["name"] for one in (*step.args["accounts"], *step.args["files"])]
        for step in plan.steps
        if step.kind == "in-mount" and not step.id.startswith("mounts:")
    }


def test_after_a_reinstallation_accounts_and_files_are_there_although_what_stays_hides_the_roots(
    reinstalled,
) -> None:
    """The management user's key among them: without it nobody could log in and see."""
    data = HOME | {"name": "data", "mount": "/data", "size": "rest"}
    files = [{"path": "/data/conf/a", "content": "a"}, {"path": "/etc/b", "content": "b"}]
    plan, machine, order = reinstalled([HOME, data], users=USERS, files=files)
    assert told(plan) == {"accounts-in:home": ["ops", "rackflow"], "files-in:data": ["/data/conf/a"]}
    step = plan.step("accounts-in:home")
    assert step.args["target"] == {"identity": "Z", "size_bytes": machine.hardware.disks[-1].size_bytes}
    assert step.args["folders"] == [["/home", "defaults"]]
    assert not step.destructive
    kinds = [step.id for step in plan.steps]
    assert kinds.index("fstab") < kinds.index("accounts-in:home") < kinds.index("users")
    checks = [number for number, step_id in enumerate(kinds) if step_id.startswith("mounts:")]
    assert [kinds[number] for number in checks] == ["mounts:home", "mounts:data"]
    assert max(checks) < min(number for number, step in enumerate(plan.steps) if step.destructive)
    assert kinds.index("management") < kinds.index("files-in:data") < kinds.index("host-key")
    machine.run(plan)
    after = make_plan(order, machine.observe(NOW, refs=REFS))
    assert (after.steps, after.drift) == ((), ())


def test_a_first_installation_has_nothing_that_stays(reinstalled, make_order, observe) -> None:
    _, machine, order = reinstalled([HOME | {"size": "rest"}], users=USERS)
    first = make_plan(make_order("db-01", spec=order.spec), observe(machine.hardware))
    assert told(first) == {}
    assert [step.id for step in first.steps if step.kind == "fill"] == ["fill:home"]


def test_each_home_is_set_in_the_file_system_that_shows_it(reinstalled) -> None:
    parts = [
        {"name": "all", "size": "1GiB", "filesystem": "btrfs", "preserve": True,
         "subvolumes": [{"name": "@home", "mount": "/home"}, {"name": "@root", "mount": "/root"}]},
        {"name": "ops", "size": "rest", "filesystem": "ext4", "mount": "/home/ops"},
    ]  # fmt: skip
    plan, _, _ = reinstalled(parts, users=USERS)
    assert told(plan) == {"accounts-in:all": ["root", "rackflow"]}
    assert plan.step("accounts-in:all").args["folders"] == [
        ["/home", "subvol=/@home"],
        ["/root", "subvol=/@root"],
    ]
    assert [step.id for step in plan.steps if step.kind == "fill"] == ["fill:ops"]


def test_a_vfat_gets_the_files_that_it_could_not_take_over(reinstalled) -> None:
    drop = {"name": "drop", "size": "rest", "filesystem": "vfat", "mount": "/drop"}
    files = [{"path": "/drop/a", "content": "a", "mode": "0755"}]
    plan, machine, order = reinstalled([drop], files=files)
    assert told(plan) == {"files-in:drop": ["/drop/a"]}
    assert [step.kind for step in plan.steps if step.kind == "fill"] == []
    machine.run(plan)
    after = make_plan(order, machine.observe(NOW, refs=REFS))
    assert (after.steps, after.drift) == ((), ())


def test_what_belongs_into_an_encrypted_file_system_never_lies_on_the_root(reinstalled) -> None:
    key = {"luks": {"key": {"secret": "ops-password"}}}
    parts = [
        HOME | {"name": "new", "mount": "/opt/new", "preserve": False} | key,
        HOME | {"name": "old", "mount": "/vault", "size": "rest"} | key,
    ]
    secret = {"secret": "ops-password", "mode": "0600"}
    files = [{"path": f"{folder}/key"} | secret for folder in ("/opt/new", "/vault", "/etc")]
    plan, machine, order = reinstalled(parts, files=files)
    assert told(plan) == {"files-in:new": ["/opt/new/key"], "files-in:old": ["/vault/key"]}
    assert [file["path"] for file in plan.step("files").args["files"]] == ["/etc/key"]
    ids = [step.id for step in plan.steps]
    assert ids.index("fill:new") < ids.index("files-in:new") < ids.index("host-key")
    assert plan.step("files-in:new").args["luks"]["secret"] == "secret:ops-password@3"
    machine.run(plan)
    after = make_plan(order, machine.observe(NOW, refs=REFS))
    assert (after.steps, after.drift) == ((), ())


def test_what_no_reading_shows_must_mount_before_anything_is_erased(reinstalled) -> None:
    """Plain partitions show what they are; what is in volumes, encrypted or in subvolumes does not."""
    kept = {"filesystem": "ext4", "size": "1GiB", "preserve": True}
    key = {"luks": {"key": {"secret": "ops-password"}}}
    parts = [
        kept | {"name": "plain", "mount": "/plain"},
        kept | {"name": "locked", "mount": "/locked"} | key,
        kept | {"name": "trees", "filesystem": "btrfs", "subvolumes": [{"name": "@a", "mount": "/a"}]},
        kept | {"name": "swapped", "filesystem": "swap"} | key,
        {"name": "pv", "size": "rest", "lvm": {"vg": "sys"}},
    ]
    volumes = [kept | {"name": "volume", "mount": "/volume"}, kept | {"name": "unused"}]
    plan, _, _ = reinstalled(parts, volume_groups=[{"name": "sys", "logical_volumes": volumes}])
    ids = [step.id for step in plan.steps]
    checks = [one for one in ids if one.startswith("mounts:")]
    assert checks == ["mounts:locked", "mounts:trees", "mounts:volume"]
    assert max(map(ids.index, checks)) < next(n for n, step in enumerate(plan.steps) if step.destructive)
