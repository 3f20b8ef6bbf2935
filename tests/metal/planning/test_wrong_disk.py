"""The disk that a rule meant is not the one that is there: each case is refused, or right, with its message.

Everything here goes through the planner; what happens after the plan is in engine/test_wrong_disk.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from metal.planning.plan import Plan
from metal.planning.steps import make_plan
from specs.facts import Disk, Hardware
from specs.model import Host
from specs.phases import Phase

GIB = 1 << 30
BY_PATH = "/dev/disk/by-path/pci-0000:00:1f.2-ata-"


def disk(letter: str, serial: str | None, size_gib: int = 8, **more: Any) -> Disk:
    facts = {"transport": "sata", "medium": "ssd"} | more
    return Disk(device=f"/dev/sd{letter}", serial=serial, size_bytes=size_gib * GIB, **facts)


@dataclass(frozen=True)
class Case:
    """Disks seen, rule, what the registry says of the last installation; and the outcome."""

    rule: dict[str, str]
    disks: tuple[Disk, ...]
    gives: str = ""
    reason: str = ""
    says: str = ""
    was: tuple[str, ...] = ()


A, B, C = disk("a", "AAA1"), disk("b", "BBB2"), disk("c", "CCC3", 100)
STICK = disk("d", "STICK4", transport="usb", removable=True)
FIXED_STICK = disk("d", "STICK4", transport="usb")
CDROM = disk("e", "AAAABBBBCCCC1", 1, transport="usb", vendor="AMI", model="Virtual HDisk0")
PATHS = tuple(disk(letter, "SAS5", wwn="5000c500aaaa0001", transport="sas") for letter in "fg")
NAMESPACES = tuple(
    Disk(device=f"/dev/nvme0n{n}", wwn=f"eui.000000000000010{n}", drive_serial="NVM6", size_bytes=8 * n * GIB,
         medium="nvme", transport="nvme", logical_block_bytes=4096)
    for n in (1, 2)
)  # fmt: skip

CASES = {
    "identical disks": Case(
        {"media": "ssd", "maxSize": "10GiB"}, (A, B),
        reason="ambiguous-disk",
        says="{maxSize 10 GiB, media ssd} matches 2 disks: /dev/sda AAA1 8 GiB sata ssd, blank; "
        "/dev/sdb BBB2 8 GiB sata ssd, blank",
    ),
    "identical disks, one named": Case({"serial": "BBB2"}, (A, B), gives="BBB2"),
    "swapped order": Case(
        {"serial": "AAA1"},
        (disk("a", "BBB2"), disk("b", "AAA1")), gives="AAA1", was=("AAA1",),
    ),
    "swapped cables, by path": Case(
        {"byPath": "pci-0000:00:1f.2-ata-1"},
        (disk("a", "BBB2", by_path=f"{BY_PATH}1"), disk("b", "AAA1", by_path=f"{BY_PATH}2")), was=("AAA1",),
        reason="root-disk-changed",
        says="root disk changed: was AAA1, is BBB2 (/dev/sda BBB2 8 GiB sata ssd, blank); "
        "/dev/sdb AAA1 8 GiB sata ssd, blank is still there; "
        "if that is meant, name the new one by serial or wwn in rootDevice",
    ),
    "by path, by the second name of udev": Case(
        {"byPath": f"{BY_PATH}1.0"},
        (disk("a", "AAA1", by_path=f"{BY_PATH}1", other_paths=(f"{BY_PATH}1.0",)), B), gives="AAA1",
    ),
    "disk replaced in its slot": Case(
        {"byPath": f"{BY_PATH}1"}, (disk("a", "NEW9", by_path=f"{BY_PATH}1"),), was=("AAA1",),
        reason="root-disk-changed",
        says="root disk changed: was AAA1, is NEW9 (/dev/sda NEW9 8 GiB sata ssd, blank); "
        "the old one is not seen; if that is meant, name the new one by serial or wwn in rootDevice",
    ),
    "disk replaced, and the new one named": Case(
        {"serial": "NEW9"}, (disk("a", "NEW9"),), gives="NEW9", was=("AAA1",)
    ),
    "root disk removed, a data disk fits": Case(
        {"minSize": "4GiB"}, (C,), was=("AAA1",),
        reason="root-disk-changed",
        says="root disk changed: was AAA1, is CCC3 (/dev/sdc CCC3 100 GiB sata ssd, blank); the old one is "
        "not seen; if that is meant, name the new one by serial or wwn in rootDevice",
    ),
    "root disk removed, by serial": Case(
        {"serial": "AAA1"}, (C,), was=("AAA1",),
        reason="no-matching-disk",
        says="{serial AAA1} matches no disk; seen: /dev/sdc CCC3 100 GiB sata ssd, blank",
    ),
    "larger disk added": Case({"maxSize": "10GiB"}, (A, C), gives="AAA1", was=("AAA1",)),
    "USB stick present": Case({"minSize": "4GiB"}, (STICK, A), gives="AAA1"),
    "USB stick that calls itself fixed": Case({"minSize": "4GiB"}, (FIXED_STICK, A), gives="AAA1"),
    "only a USB stick": Case(
        {"minSize": "4GiB"}, (FIXED_STICK,),
        reason="no-matching-disk",
        says="{minSize 4 GiB} matches no disk that may be used; seen: /dev/sdd STICK4 8 GiB usb ssd, "
        "blank [on USB, which the rule does not ask for]",
    ),
    "a USB disk that is asked for": Case({"transport": "usb"}, (FIXED_STICK, A), gives="STICK4"),
    "a removable one by its serial": Case(
        {"serial": "STICK4"}, (STICK, A),
        reason="no-matching-disk",
        says="{serial STICK4} matches no disk that may be used; seen: "
        "/dev/sdd STICK4 8 GiB usb ssd, blank [removable]; /dev/sda AAA1 8 GiB sata ssd, blank",
    ),
    "virtual media present": Case({"maxSize": "10GiB"}, (CDROM, A), gives="AAA1"),
    "virtual media by its serial": Case(
        {"serial": "AAAABBBBCCCC1"}, (CDROM,),
        reason="no-matching-disk",
        says="{serial AAAABBBBCCCC1} matches no disk that may be used; seen: "
        "/dev/sde AAAABBBBCCCC1 1 GiB usb ssd, blank [virtual media]",
    ),
    "multipath duplicate": Case(
        {"transport": "sas"}, (*PATHS, A),
        reason="no-matching-disk",
        says="{transport sas} matches no disk that may be used; seen: /dev/sdf SAS5 8 GiB sas ssd, blank "
        "[one disk seen 2 times, as /dev/sdf, /dev/sdg: leave one path]; /dev/sdg SAS5 8 GiB sas ssd, blank "
        "[one disk seen 2 times, as /dev/sdf, /dev/sdg: leave one path]; /dev/sda AAA1 8 GiB sata ssd, blank",
    ),
    "multipath duplicate beside the disk meant": Case({"maxSize": "10GiB"}, (*PATHS, A), gives="AAA1"),
    "two disks of one serial": Case(
        {"serial": "SAME7"}, (disk("a", "SAME7"), disk("b", "SAME7")),
        reason="no-matching-disk",
        says="{serial SAME7} matches no disk that may be used; seen: /dev/sda SAME7 8 GiB sata ssd, blank "
        "[its identity is not unique]; /dev/sdb SAME7 8 GiB sata ssd, blank [its identity is not unique]",
    ),
    "a disk of a SAN": Case(
        {"minSize": "4GiB"}, (disk("a", "LUN8", transport="iscsi"),),
        reason="no-matching-disk",
        says="{minSize 4 GiB} matches no disk that may be used; seen: /dev/sda LUN8 8 GiB iscsi ssd, "
        "blank [on a SAN]",
    ),
    "NVMe namespaces by the drive's serial": Case(
        {"serial": "NVM6"}, NAMESPACES,
        reason="ambiguous-disk",
        says="{serial NVM6} matches 2 disks: /dev/nvme0n1 eui.0000000000000101 8 GiB nvme nvme 4Kn namespace "
        "of NVM6, blank; /dev/nvme0n2 eui.0000000000000102 16 GiB nvme nvme 4Kn namespace of NVM6, blank",
    ),
    "an NVMe namespace by WWN": Case(
        {"wwn": "nvme-eui.0000000000000102", "serial": "NVM6"}, NAMESPACES, gives="eui.0000000000000102",
    ),
    "read-only": Case(
        {"minSize": "4GiB"}, (disk("a", "AAA1", read_only=True),),
        reason="no-matching-disk",
        says="{minSize 4 GiB} matches no disk that may be used; seen: /dev/sda AAA1 8 GiB sata ssd, "
        "blank [read-only]",
    ),
}  # fmt: skip


def planned(case: Case, make_order: Callable[..., Any], observe: Any, hosts: dict[str, Host]) -> Plan:
    wish = {"raid": [], "root_device": case.rule, "disks": [], "firmware": {"boot_mode": "bios"}}
    spec = Host.model_validate({**hosts["db-01"].model_dump(mode="json"), **wish})
    order = make_order("db-01", spec=spec, phase=Phase.ACTIVE if case.was else Phase.READY)
    installed = {"root_disks": list(case.was), "disk_serials": [*case.was, "OTHER"]} if case.was else None
    order = order.model_copy(update={"host": order.host.model_copy(update={"installed": installed})})
    nics = [{"name": "eth0", "mac": f"52:54:00:77:01:0{n}"} for n in range(2)]
    seen = Hardware.model_validate({"firmware": "bios", "nics": nics, "disks": case.disks})
    return make_plan(order, observe(seen), reinstall=True)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_gives_the_right_disk_or_is_refused(name: str, make_order, observe, hosts, image) -> None:
    case = CASES[name]
    plan = planned(case, make_order, observe, hosts)
    blocked = [(step.blocked_by, step.reason) for step in plan.steps if step.blocked_by]
    if case.gives and case.disks[0] not in NAMESPACES:
        assert blocked == []
        assert plan.root_disks == (case.gives,)
        assert {one.serial for step in plan.steps for one in step.destroys} == {case.gives}
        assert plan.step("install-record").args["root_disks"] == [case.gives]
    elif case.gives:
        # The tests' image is made for sectors of 512 bytes: said for the right disk, before anything else.
        assert plan.root_disks == (case.gives,)
        assert [one[0] for one in blocked] == ["image-unfit"]
    else:
        assert blocked == [(case.reason, case.says)]
        assert all(step.blocked_by for step in plan.steps), "nothing else where the root disk is not decided"


MIRROR = {"name": "system", "level": "raid1", "drives": {"count": 2, "maxSize": "10GiB"}}


@pytest.mark.parametrize(
    ("disks", "drives", "says"),
    [
        ((A, B), {}, ""),
        ((A, disk("b", "NEW9")), {}, ""),
        (
            (disk("a", "NEW8"), disk("b", "NEW9")),
            {},
            (
                "root disk changed: was AAA1, BBB2, is NEW8, NEW9 (/dev/sda NEW8 8 GiB sata ssd, blank; "
                "/dev/sdb NEW9 8 GiB sata ssd, blank); the old one is not seen; "
                "if that is meant, name the drives of volume system by drives.serials"
            ),
        ),
        ((disk("a", "NEW8"), disk("b", "NEW9")), {"serials": ["NEW8", "NEW9"]}, ""),
        (
            (disk("a", "AAA0"), A, B),
            {},
            (
                "root disk changed: was AAA1, BBB2, is AAA0, AAA1 (/dev/sda AAA0 8 GiB sata ssd, blank; "
                "/dev/sda AAA1 8 GiB sata ssd, blank); /dev/sdb BBB2 8 GiB sata ssd, blank is still there; "
                "if that is meant, name the drives of volume system by drives.serials"
            ),
        ),
    ],
    ids=["the same", "one replaced", "both replaced", "both replaced and named", "one pushed out"],
)
def test_a_mirror_may_lose_a_member_and_not_its_identity(
    disks, drives, says: str, make_order, observe, hosts
) -> None:
    volume = {**MIRROR, "drives": MIRROR["drives"] | drives}
    wish = {"raid": [volume], "root_device": {"raid": "system"}, "disks": []}
    spec = Host.model_validate({**hosts["db-01"].model_dump(mode="json"), **wish})
    order = make_order("db-01", spec=spec, phase=Phase.ACTIVE)
    installed = {"root_disks": ["AAA1", "BBB2"]}
    order = order.model_copy(update={"host": order.host.model_copy(update={"installed": installed})})
    nics = [{"name": "eth0", "mac": f"52:54:00:77:01:0{n}"} for n in range(2)]
    seen = Hardware.model_validate({"firmware": "bios", "nics": nics, "disks": disks})
    plan = make_plan(order, observe(seen), reinstall=True)
    assert [step.reason for step in plan.steps if step.blocked_by] == ([says] if says else [])


@pytest.mark.parametrize(
    ("level", "count", "refused"),
    [("raid1", 2, True), ("raid10", 2, False), ("raid1", 4, False)],
    ids=["as it was", "another level", "more drives"],
)
def test_a_spec_that_asks_for_another_array_may_take_other_drives(
    level: str, count: int, refused, make_order, observe, hosts
) -> None:
    volume = {"name": "system", "level": "raid1", "drives": {"count": 2, "transport": "sata"}}
    wish = {"raid": [volume], "root_device": {"raid": "system"}, "disks": []}
    spec = Host.model_validate({**hosts["db-01"].model_dump(mode="json"), **wish})
    order = make_order("db-01", spec=spec, phase=Phase.ACTIVE)
    installed = {"root_disks": ["AAA1", "BBB2"]}
    order = order.model_copy(update={"host": order.host.model_copy(update={"installed": installed})})
    old = {"name": "any:system", "driver": "md", "uuid": "u", "device": None, "size_bytes": GIB}
    array = {**old, "level": level, "members": ["AAA1", "BBB2", "CCC3", "DDD4"][:count]}
    nics = [{"name": "eth0", "mac": f"52:54:00:77:01:0{n}"} for n in range(2)]
    disks = (
        disk("a", "NEW8"),
        disk("b", "NEW9"),
        *(disk("c", one, transport="sas") for one in array["members"]),
    )
    seen = Hardware.model_validate({"firmware": "bios", "nics": nics, "disks": disks, "raids": [array]})
    plan = make_plan(order, observe(seen), reinstall=True)
    assert ("root-disk-changed" in {step.blocked_by for step in plan.steps}) is refused
    assert refused or set(plan.root_disks) == {"NEW8", "NEW9"}


def test_a_running_host_says_that_its_rule_gives_another_disk(make_order, observe, hosts) -> None:
    spec = Host.model_validate(
        {**hosts["db-01"].model_dump(mode="json"), "raid": [], "root_device": {"min_size": "50GiB"}}
    )
    order = make_order("db-01", spec=spec, phase=Phase.ACTIVE)
    order = order.model_copy(
        update={"host": order.host.model_copy(update={"installed": {"disk_serials": ["AAA1"]}})}
    )
    seen = observe(Hardware(disks=(A, C))).model_copy(update={"seen_from": "running-os"})
    told = "rootDevice: is the rule gives /dev/sdc CCC3 100 GiB sata ssd, blank, wished AAA1, installed on"
    assert told in make_plan(order, seen).drift
    gone = seen.model_copy(update={"hardware": Hardware(disks=(A,))})
    assert not any(line.startswith("rootDevice") for line in make_plan(order, gone).drift)


ALL = ("nvme-crypto", "discard")


@pytest.mark.parametrize(
    ("method", "erases", "problem", "says"),
    [
        ("sanitize", ALL, None, ""),
        ("discard", ALL, None, ""),
        ("overwrite", (), "it is frozen", ""),
        ("metadata", (), "it is frozen", ""),
        ("sanitize", None, None, ""),
        (
            "sanitize",
            ALL,
            "it is frozen",
            "wipe sanitize is not possible: it is frozen; wipe: overwrite is for",
        ),
        ("sanitize", ("discard",), None, "wipe sanitize is not possible: the disk knows no way to; wipe: "),
        ("discard", ("ata-crypto",), None, "wipe discard is not possible: the disk knows no way to; wipe: "),
    ],
)
def test_what_a_disk_cannot_do_is_refused_before_anything(
    method: str, erases, problem, says: str, make_order, observe, hosts
) -> None:
    seen = disk("a", "AAA1", erases=erases, erase_problem=problem)
    wish = {"raid": [], "root_device": {"serial": "AAA1"}, "disks": [{"device": "root", "wipe": method}]}
    spec = Host.model_validate({**hosts["db-01"].model_dump(mode="json"), **wish})
    nics = [{"name": "eth0", "mac": f"52:54:00:77:01:0{n}"} for n in range(2)]
    hardware = Hardware.model_validate({"firmware": "bios", "nics": nics, "disks": [seen]})
    plan = make_plan(make_order("db-01", spec=spec), observe(hardware))
    blocked = [(step.blocked_by, step.reason) for step in plan.steps if step.blocked_by]
    if says:
        assert [one[0] for one in blocked] == ["wipe-impossible"]
        assert f"/dev/sda AAA1 8 GiB sata ssd, blank: {says}" in blocked[0][1]
    else:
        assert blocked == []
        assert plan.step("wipe:AAA1").args["method"] == method
