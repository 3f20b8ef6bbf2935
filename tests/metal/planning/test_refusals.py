"""What stands in the way blocks a plan before anything is erased, and the plan says what was seen."""

import pytest

from metal.errors import SpecError
from metal.planning.steps import make_plan
from pxe_edge.jobs import rules
from specs.facts import RaidArray
from specs.model import Host
from specs.phases import Phase
from specs.reasons import REASONS


def changed(spec: Host, **fields: object) -> Host:
    return Host.model_validate({**spec.model_dump(mode="json"), **fields})


def without(info: dict[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in info.items() if name != key}


@pytest.mark.parametrize(
    ("fields", "order", "reason", "message"),
    [
        ({"root_device": {"serial": "X"}}, {}, "no-matching-disk", "{serial X} matches no disk; seen: /dev"),
        ({"raid": [], "root_device": {"transport": "sata"}}, {}, "ambiguous-disk", "matches 2 disks: /dev/"),
        (
            {"raid": [{"name": "system", "level": "raid1", "drives": {"count": 3}}]},
            {},
            "not-enough-drives",
            "volume system: software RAID: 3 drives are asked for, 2 fit; seen: ",
        ),
        ({}, {"image": None}, "image-missing", "image debian-12 is not in the store"),
        ({"image": "other"}, {}, "image-mismatch", "the spec asks for other, the order carries debian-12"),
        ({"firmware": {"boot_mode": "bios"}}, {}, "image-unfit", "boot mode bios, the machine started by"),
        (
            {"disks": [{"device": "root", "partitions": [{"name": "root", "size": "9GiB", "mount": "/"}]}]},
            {},
            "layout-impossible",
            "(root 9 GiB, 8 GiB in all)",
        ),
        (
            {"disks": [{"device": "root", "wipe": "sanitize"}]},
            {},
            "unsupported",
            "system: wipe sanitize; known: metadata",
        ),
        (
            {
                "disks": [
                    {
                        "device": "root",
                        "partitions": [{"name": "root", "size": "rest", "mount": "/", "lvm": {"vg": "sys"}}],
                    }
                ]
            },
            {},
            "unsupported",
            "partition root asks for lvm",
        ),
        ({}, {"secrets": {}}, "secret-missing", "no secret is called ops-password"),
        ({}, {"management_key": ""}, "secret-missing", "the site has no management key"),
        ({"network": {"ethernets": {"eth9": {}}}}, {}, "no-matching-nic", "name eth9 fits 0 NICs; seen: eth"),
    ],
)  # fmt: skip
def test_a_blocked_plan_says_why(
    fields, order, reason: str, message: str, make_order, observe, hardware, hosts
) -> None:
    spec = changed(hosts["web-01"], **fields)
    plan = make_plan(make_order("web-01", spec=spec, **order), observe(hardware["web-01"]))
    blocked = [step for step in plan.steps if step.blocked_by]
    assert [step.blocked_by for step in blocked] == [reason]
    assert message in blocked[0].reason
    assert reason in REASONS
    if reason not in ("secret-missing", "no-matching-nic"):
        assert plan.steps == tuple(blocked), "no other step where the disks are not decided"


def test_a_generated_password_of_a_user_is_refused_before_erasing(
    make_order, observe, hardware, hosts
) -> None:
    spec = changed(hosts["db-01"], users=[{"name": "ops", "password_from": "generated"}])
    plan = make_plan(make_order("db-01", spec=spec), observe(hardware["db-01"]))
    assert [step.blocked_by for step in plan.steps if step.blocked_by] == ["unsupported"]


def test_an_image_without_esp_is_unfit_for_uefi(make_order, observe, hardware, image) -> None:
    bare = image.model_copy(update={"info": without(image.info, "has_esp")})
    plan = make_plan(make_order("web-01", image=bare), observe(hardware["web-01"]))
    assert plan.blocked == "image-unfit"


def test_an_image_without_a_partition_table_is_refused_by_name(make_order, observe, hardware, image) -> None:
    bare = image.model_copy(update={"info": {**image.info, "partition_table": None, "partitions": []}})
    plan = make_plan(make_order("web-01", image=bare), observe(hardware["web-01"]))
    assert plan.blocked == "image-unfit"
    assert "image debian-12 has no partition table" in plan.steps[0].reason


def test_a_root_of_another_file_system_than_the_spec_says_is_refused(
    make_order, observe, hardware, hosts, image
) -> None:
    root = {"name": "root", "size": "rest", "mount": "/", "filesystem": "xfs"}
    spec = changed(hosts["web-01"], disks=[{"device": "root", "partitions": [root]}])
    held = image.model_copy(update={"info": {**image.info, "root_filesystem": "ext4"}})
    plan = make_plan(make_order("web-01", spec=spec, image=held), observe(hardware["web-01"]))
    assert plan.blocked == "image-unfit"
    assert "the spec asks for xfs on /, the root of debian-12 is ext4" in plan.steps[0].reason


def test_all_reasons_come_at_once(make_order, observe, hardware, hosts) -> None:
    spec = changed(hosts["db-01"], root_device={"serial": "X"})
    order = make_order("db-01", spec=spec, image=None, secrets={})
    plan = make_plan(order, observe(hardware["db-01"]))
    assert [step.blocked_by for step in plan.steps] == ["image-missing", "no-matching-disk", "secret-missing"]


def test_an_array_that_also_lies_on_other_disks_is_not_broken(make_order, observe, hardware, hosts) -> None:
    array = RaidArray(
        name="old",
        driver="md",
        uuid="u",
        level="raid1",
        device=None,
        size_bytes=1,
        members=("RF-M2-D0", "RF-M2-D1"),
    )
    seen = hardware["web-01"].model_copy(update={"raids": (array,)})
    spec = changed(hosts["web-01"], raid=[], root_device={"serial": "RF-M2-D0"})
    plan = make_plan(make_order("web-01", spec=spec), observe(seen))
    assert plan.blocked == "foreign-content"
    assert "RF-M2-D1" in plan.steps[0].reason
    whole = make_plan(make_order("web-01"), observe(seen))
    assert [step.id for step in whole.steps[:2]] == ["raid-delete:old", "raid-create:system"]
    assert [one.serial for one in whole.steps[0].destroys] == ["RF-M2-D0", "RF-M2-D1"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spec": None}, "no-spec"),
        ({"phase": Phase.RETIRED}, "no-work-due"),
        ({"seen": None}, "unreachable"),
        ({"hardware": None}, "disks-unread"),
    ],
)
def test_without_anything_to_plan_with_there_is_no_plan(
    change, reason: str, make_order, observe, hardware
) -> None:
    order = make_order("db-01", phase=change.get("phase", Phase.READY))
    order = order.model_copy(update={"spec": None}) if "spec" in change else order
    seen = None if "seen" in change else observe(hardware["db-01"])
    seen = seen.model_copy(update={"hardware": None}) if seen and "hardware" in change else seen
    with pytest.raises(SpecError) as raised:
        make_plan(order, seen)
    assert raised.value.reason == reason
    assert raised.value.host == "db-01"


@pytest.mark.parametrize(
    ("phase", "reinstall", "hint"),
    [
        (Phase.READY, False, "rackflow inspect db-01"),
        (Phase.PROVISION_FAILED, True, "rackflow inspect db-01"),
        (Phase.ACTIVE, True, "rackflow power off db-01"),
        (Phase.ADOPTED, True, "rackflow power off db-01"),
    ],
)
def test_disks_that_were_not_read_are_read_by_a_command_that_this_phase_takes(
    phase: Phase, *, reinstall: bool, hint: str, make_order, observe, hardware
) -> None:
    silent = {"hardware": None, "unknown": {"hardware": "no SSH"}, "seen_from": "bmc"}
    seen = observe(hardware["db-01"]).model_copy(update=silent)
    with pytest.raises(SpecError, match="not known: no SSH") as raised:
        make_plan(make_order("db-01", phase=phase), seen, reinstall=reinstall)
    assert raised.value.hint == f"{hint}, then ask again: the boot OS reads them"
    inspects = rules.post([], verb="inspect", by="ops", phase=phase)
    assert isinstance(inspects, rules.New) == ("inspect" in hint)


def test_a_host_without_image_has_nothing_to_install(make_order, observe, hardware, hosts) -> None:
    plan = make_plan(
        make_order("db-01", spec=changed(hosts["db-01"], image=None)), observe(hardware["db-01"])
    )
    assert plan.in_sync
    assert plan.notes == ("the spec names no image: nothing to install",)


def test_outside_the_boot_os_the_first_step_is_to_boot_it(make_order, observe, hardware) -> None:
    seen = observe(hardware["db-01"]).model_copy(update={"seen_from": "running-os"})
    plan = make_plan(make_order("db-01", phase=Phase.ACTIVE), seen, reinstall=True)
    assert (plan.steps[0].kind, plan.reinstall) == ("boot-os", True)
