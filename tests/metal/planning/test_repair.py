"""In-place differences: what is repaired, what is only reported, what is unknown."""

import hashlib

import pytest

from metal.planning.basis import moved
from metal.planning.diff import same_fs_uuid
from metal.planning.plan import Plan
from metal.planning.steps import make_plan
from metal.testing.fake_host import FakeHost
from specs.facts import Observation, RaidController, SystemFacts
from specs.phases import Phase

REF = "secret:ops-password@3"
MOTD = "/etc/motd"


@pytest.fixture
def installed(make_order, hardware, image, observe):
    """A fake host with web-01 on it, and its reading."""
    order = make_order("web-01")
    machine = FakeHost(order.host.id, hardware["web-01"], image)
    machine.run(make_plan(order, observe(hardware["web-01"])))
    return machine.observe(observe(hardware["web-01"]).at, [REF])


def plan(make_order, seen: Observation, **order):
    return make_plan(make_order("web-01", phase=Phase.ACTIVE, **order), seen)


def with_system(seen: Observation, **changes) -> Observation:
    assert seen.system is not None
    return seen.model_copy(update={"system": seen.system.model_copy(update=changes)})


def test_just_installed_is_in_sync(make_order, installed) -> None:
    found = plan(make_order, installed)
    assert (found.steps, found.drift, found.in_sync) == ((), (), True)


def edited(system: SystemFacts, kind: str, **changes) -> tuple:
    first, *rest = getattr(system, kind)
    return (first.model_copy(update=changes), *rest)


@pytest.mark.parametrize(
    ("change", "step", "old"),
    [
        (lambda _: {"hostname": "x"}, "hostname", "hostname x"),
        (lambda _: {"users": ()}, "users", "users.ops absent"),
        (lambda s: {"users": edited(s, "users", sudo=False)}, "users", "users.ops.sudo False"),
        (lambda s: {"users": edited(s, "users", ssh_keys=())}, "users", "users.ops.sshKeys none"),
        (lambda s: {"users": edited(s, "users", shell="/bin/sh")}, "users", "users.ops.shell /bin/sh"),  # noqa: S604
        (
            lambda s: {"users": edited(s, "users", password_is={REF: False})},
            "users",
            "users.ops.password another value",
        ),
        (lambda _: {"files": ()}, "files", f"files:{MOTD} absent"),
        (lambda s: {"files": edited(s, "files", mode="0600")}, "files", f"files:{MOTD}.mode 0600"),
        (lambda s: {"files": edited(s, "files", sha256="0" * 64)}, "files", f"files:{MOTD} {'0' * 12}"),
        (
            lambda _: {"network_files": {}},
            "network",
            "network:/etc/systemd/network/10-rackflow-nic0.network absent",
        ),
        (
            lambda s: {
                "network_files": {**s.network_files, "/etc/systemd/network/10-rackflow-old.network": "ab"}
            },
            "network",
            "network:/etc/systemd/network/10-rackflow-old.network ab",
        ),
        (lambda _: {"addresses": {"ens3": ("10.0.0.1/8",)}}, "network", "network.nic0.addresses 10.0.0.1/8"),
        (lambda _: {"management_key": False}, "management", "management absent"),
    ],
)
def test_adjustable_drift_is_one_step_in_the_running_system(change, step, old, make_order, installed) -> None:
    seen = with_system(installed, **change(installed.system))
    found = plan(make_order, seen)
    assert [one.id for one in found.steps] == [step]
    assert (found.steps[0].old, found.steps[0].where, found.steps[0].destructive) == (
        old,
        "running-os",
        False,
    )
    assert found.drift == ()


@pytest.mark.parametrize(
    ("change", "drift"),
    [
        (lambda _: {"record": None}, "image: is no install record, wished debian-12"),
        (
            lambda s: {"record": s.record.model_copy(update={"image_digest": "sha256:old"})},
            f"image: is sha256:old, wished sha256:{'a' * 64}",
        ),
        (lambda s: {"record": s.record.model_copy(update={"layout_hash": "h"})}, "disks: is h of job 1"),
        (lambda s: {"record": s.record.model_copy(update={"host": "x"})}, "image: is installed for host x"),
        (lambda s: {"mounts": s.mounts[:1]}, "disks.data: is not mounted, wished mounted on /data"),
        (
            lambda s: {"mounts": (s.mounts[0], s.mounts[1].model_copy(update={"fs_uuid": "other"}))},
            "disks.data: is file system other",
        ),
        (
            lambda _: {"fstab": ("UUID=x /data xfs ro,nofail 0 0",)},
            "disks.data.options: is ro,nofail, wished ",
        ),
    ],
)  # fmt: skip
def test_creation_only_drift_is_reported_and_never_repaired(change, drift, make_order, installed) -> None:
    found = plan(make_order, with_system(installed, **change(installed.system)))
    assert found.steps == ()
    assert len(found.drift) == 1
    assert found.drift[0].startswith(drift)


def test_a_new_layout_or_image_in_the_spec_is_drift(make_order, installed, hosts, image) -> None:
    raid = hosts["web-01"].raid[0].model_copy(update={"name": "other"})
    spec = hosts["web-01"].model_copy(update={"raid": (raid,)})
    assert [one.split(":")[0] for one in plan(make_order, installed, spec=spec).drift] == [
        "disks",
        "raid.other",
    ]
    newer = image.model_copy(update={"digest": "sha256:" + "c" * 64})
    assert [one.split(":")[0] for one in plan(make_order, installed, image=newer).drift] == ["image"]


@pytest.mark.parametrize(
    ("seen", "drift"),
    [
        (lambda o: o.model_copy(update={"system": None, "unknown": {"system": "no sudo"}}),
         "system: unknown (no sudo), wished to be read"),
        (lambda o: with_system(o, hostname=None), "hostname: unknown (not read), wished web-01"),
        (lambda o: with_system(o, users=edited(o.system, "users", password_is={})),
         f"users.ops.password: unknown (not compared), wished {REF}"),
        (lambda o: with_system(o, users=()).model_copy(update={"unknown": {"system.users": "no sudo"}}),
         "users: unknown (no sudo), wished to be read"),
        (lambda o: with_system(o, management_key=None),
         "management: unknown (not read), wished the site's key"),
    ],
)  # fmt: skip
def test_unknown_is_neither_repaired_nor_in_sync(seen, drift, make_order, installed) -> None:
    found = plan(make_order, seen(installed))
    assert (found.steps, found.drift, found.in_sync) == ((), (drift,), False)


def test_a_machine_that_is_off_is_switched_on(make_order, installed) -> None:
    off = Observation(at=installed.at, seen_from="bmc", bmc=installed.bmc.model_copy(update={"power": "off"}))
    found = plan(make_order, off)
    assert [(one.id, one.args, one.where) for one in found.steps] == [("power", {"action": "on"}, "bmc")]
    assert found.drift == ("system: unknown (seen from bmc only), wished to be read",)


def test_an_adopted_host_has_no_image_drift(make_order, installed) -> None:
    seen = with_system(installed, record=None)
    found = make_plan(make_order("web-01", phase=Phase.ADOPTED), seen)
    assert (found.steps, found.drift) == ((), ())
    assert found.notes == ("adopted: image and layout are not ours and not compared",)


def told(made: Plan, seen: Observation) -> list[str]:
    return [str(one) for one in moved(made, seen)]


def test_the_basis_moves_with_what_was_read_and_with_nothing_else(
    make_order, installed, hardware, observe
) -> None:
    repair = plan(make_order, with_system(installed, hostname="x"))
    assert told(repair, with_system(installed, hostname="x")) == []
    assert told(repair, installed) == ["system.hostname: was x, is web-01"]
    assert told(repair, installed.model_copy(update={"system": None}))[0].endswith("is unknown")
    fresh = observe(hardware["web-01"])
    install = make_plan(make_order("web-01"), fresh)
    first, second = hardware["web-01"].disks
    first = first.model_copy(update={"found": ("ext4 labelled x", "mounted at /mnt"), "device": "/dev/sdq"})
    written = hardware["web-01"].model_copy(update={"disks": (second, first)})
    assert told(install, fresh) == []
    assert told(install, observe(written)) == [
        "hardware.disks.RF-M2-D0.found: was [], is ['ext4 labelled x']"
    ]
    gone = hardware["web-01"].model_copy(update={"disks": (second,)})
    assert [one.split(": ")[1][:3] for one in told(install, observe(gone))] == ["was"]


def test_network_files_are_compared_by_the_digest_that_observers_report(make_order, installed) -> None:
    step = plan(make_order, with_system(installed, network_files={})).step("network")
    digests = {path: hashlib.sha256(text.encode()).hexdigest() for path, text in step.args["files"].items()}
    assert digests == installed.system.network_files


def test_vfat_has_room_for_a_part_of_an_id() -> None:
    assert same_fs_uuid("1a2b3c4d-0000-5000-8000-000000000000", "1A2B-3C4D")
    assert not same_fs_uuid("1a2b3c4d-0000-5000-8000-000000000000", "1A2B-3C4E")


def test_a_machine_that_is_off_as_the_spec_asks_is_in_sync_and_its_system_no_drift(
    hosts, make_order, installed
) -> None:
    wished = hosts["web-01"].model_copy(update={"power": "off"})
    off = Observation(at=installed.at, seen_from="bmc", bmc=installed.bmc.model_copy(update={"power": "off"}))
    assert plan(make_order, off, spec=wished).in_sync
    assert [step.id for step in plan(make_order, installed, spec=wished).steps] == ["power"]


def test_a_user_of_the_management_users_name_is_refused_before_anything_is_erased(
    hosts, make_order, observe, hardware
) -> None:
    """Two steps would write its keys in turn, and the second reading never agree."""
    (user, *_) = hosts["web-01"].users
    spec = hosts["web-01"].model_copy(update={"users": (user.model_copy(update={"name": "rackflow"}),)})
    found = make_plan(make_order("web-01", spec=spec), observe(hardware["web-01"]))
    assert found.blocked == "unsupported"


def with_hardware(seen: Observation, **changes) -> Observation:
    assert seen.hardware is not None
    return seen.model_copy(update={"hardware": seen.hardware.model_copy(update=changes)})


def test_a_member_that_failed_is_drift_that_no_step_repairs(make_order, installed) -> None:
    (array,) = installed.hardware.raids
    gone = array.members[1]
    lost = array.model_copy(update={"members": array.members[:1], "failed": (gone,), "state": "degraded"})
    found = plan(make_order, with_hardware(installed, raids=(lost,)))
    assert found.steps == ()
    (drift,) = found.drift
    assert drift.startswith(f"raid.{array.name}: drive {gone} at ")
    assert drift.endswith("has failed; replace it")
    assert found.notes == (f"volume {array.name}: is degraded",)


def test_what_another_life_left_on_further_drives_is_no_drift(make_order, installed) -> None:
    (array,) = installed.hardware.raids
    more = {"name": "any:old", "uuid": "0:0", "members": ("SN-X",), "failed": ("SN-X",), "state": "inactive"}
    other = array.model_copy(update=more)
    found = plan(make_order, with_hardware(installed, raids=(array, other)))
    assert (found.steps, found.drift) == ((), ())


def test_a_rebuild_is_told_and_no_drift(make_order, installed) -> None:
    (array,) = installed.hardware.raids
    busy = array.model_copy(update={"state": "rebuilding", "progress": 12.5})
    found = plan(make_order, with_hardware(installed, raids=(busy,)))
    assert found.in_sync
    assert found.notes == (f"volume {array.name}: is rebuilding (12.5 %)",)


def test_a_volume_that_no_tool_of_the_running_system_shows_is_unknown_and_no_drift(
    make_order, installed
) -> None:
    blind = RaidController(driver="storcli", pci="0000:5e:00.0", problem="tool missing: storcli64")
    found = plan(make_order, with_hardware(installed, raids=(), controllers=(blind,)))
    assert found.in_sync
    (note,) = found.notes
    assert "not known: storcli at 0000:5e:00.0 of the running system: tool missing: storcli64" in note
    gone = plan(make_order, with_hardware(installed, raids=()))
    assert [one.partition(":")[0] for one in gone.drift] == ["raid.system"]
