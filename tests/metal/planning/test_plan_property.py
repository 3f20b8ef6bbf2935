"""Apply a plan to a fake host, observe: the next plan is empty, and only disks that it named were touched."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from metal.planning.basis import moved
from metal.planning.report import erased_disks
from metal.planning.steps import make_plan
from metal.testing.fake_host import FakeHost
from specs.facts import Disk, Hardware, Nic, PartitionFact, RaidArray
from specs.model import Host
from specs.phases import Phase
from specs.records import HostRecord, ImageRecord, WorkOrder

MIB, GIB = 1 << 20, 1 << 30
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LEVELS = {"raid0": 2, "raid1": 2, "raid5": 3, "raid6": 4, "raid10": 4}
REF = "secret:pw@1"
NICS = tuple(Nic(name=f"eth{n}", mac=f"52:54:00:00:00:0{n}") for n in range(4))

foreign = st.sampled_from([(), ("gpt with 1 partition",), ("ext4 labelled x",)])


def _disk(number: int, gib: int, found: tuple[str, ...], *, removable: bool = False) -> Disk:
    return Disk(
        device=f"/dev/sd{number}",
        serial=f"S{number:02}",
        size_bytes=gib * GIB + number * 512,
        transport="sata",
        found=found,
        removable=removable,
        partitions=(PartitionFact(number=1, device="x", start_bytes=MIB, size_bytes=GIB),) if found else (),
    )


@st.composite
def layouts(draw: st.DrawFn, prefix: str, *, root: bool) -> list[dict[str, object]]:
    """Partitions of one disk: any filesystems, at most one rest, the root anywhere among them."""
    names = [f"{prefix}{n}" for n in range(draw(st.integers(0, 3)))]
    parts: list[dict[str, object]] = []
    for name in names:
        kind = draw(st.sampled_from(["ext4", "xfs", "btrfs", "vfat", "swap", None]))
        mounted = kind not in (None, "swap")
        least = {"xfs": 300, "btrfs": 128}.get(kind or "", 16)
        size = f"{draw(st.integers(least, 320))}MiB"
        part = {"name": name, "size": size, "filesystem": kind, "mount": f"/{name}" if mounted else None}
        if mounted:
            part["options"] = draw(st.sampled_from([[], ["noatime"], ["noatime", "nodev"]]))
        if kind is not None and draw(st.integers(0, 3)) == 0:
            tpm2 = draw(st.sampled_from(["off", "prefer", "require"]))
            part["luks"] = {"key": {"secret": "pw"}, "tpm2": tpm2}
            part["size"] = f"{least + 16}MiB"
        if kind == "btrfs":
            part["subvolumes"] = [
                {"name": f"@{n}", "mount": f"/{name}.{n}"} for n in range(draw(st.integers(0, 2)))
            ]
        parts.append(part)
    if root and (parts or draw(st.booleans())):
        parts.insert(draw(st.integers(0, len(parts))), {"name": "root", "size": "2GiB", "mount": "/"})
    if parts and draw(st.booleans()):
        parts[draw(st.integers(0, len(parts) - 1))]["size"] = draw(st.sampled_from(["rest", "60%"]))
    return parts


def tpms(layout: list[dict[str, object]]) -> st.SearchStrategy[str]:
    """A TPM 2.0 where a partition requires one, else any or none."""
    luks = [part["luks"] for one in layout for part in one["partitions"] if part.get("luks")]
    required = any(one["tpm2"] == "require" for one in luks)
    return st.just("2.0") if required else st.sampled_from(["none", "1.2", "2.0"])


@st.composite
def links(draw: st.DrawFn) -> dict[str, object]:
    """One to four NICs, some of them as a bond, some with a VLAN on top."""
    count = draw(st.integers(1, 4))
    nics = {f"n{n}": {"match": {"macaddress": NICS[n].mac}} for n in range(count)}
    network: dict[str, object] = {"ethernets": nics}
    if count > 1 and draw(st.booleans()):
        bond = {
            "interfaces": list(nics)[:2],
            "parameters": {"mode": "active-backup"},
            "addresses": ["10.0.0.9/24"],
        }
        network["bonds"] = {"bond0": bond}
    else:
        nics["n0"]["addresses"] = ["10.0.0.9/24", "10.0.1.9/24"]
    if draw(st.booleans()):
        network["vlans"] = {"v7": {"id": 7, "link": "n0", "addresses": [{"pool": "os"}]}}
    return network


def _group(draw: st.DrawFn, layout: list[dict[str, Any]]) -> dict[str, object]:
    """A group over the root disk's end and a part of the last layout's disk; half of it is enough for XFS."""
    layout[0]["partitions"] = [
        {"name": "root", "size": "2GiB", "mount": "/"},
        {"name": "pv0", "size": f"{draw(st.integers(640, 900))}MiB", "lvm": {"vg": "sys"}},
    ]
    own = {"name": "pv1", "size": "400MiB", "lvm": {"vg": "sys"}}
    if draw(st.booleans()):
        own |= {"filesystem": "ext4", "mount": "/own"}
    layout[-1]["partitions"] = [own, *layout[-1]["partitions"]]
    sizes = draw(st.sampled_from([("320MiB", "rest"), ("50%", "50%"), ("rest", "64MiB")]))
    kinds = draw(st.sampled_from([("xfs", "ext4"), ("btrfs", "swap"), ("ext4", None)]))
    group: dict[str, Any] = {"name": "sys", "logicalVolumes": [
        {"name": f"lv{n}", "size": size, "filesystem": kind,
         "mount": f"/lv{n}" if kind not in (None, "swap") else None}
        for n, (size, kind) in enumerate(zip(sizes, kinds, strict=True))
    ]}  # fmt: skip
    if draw(st.booleans()):
        thin = {"name": "thin", "size": "5GiB", "thinPool": "pool", "filesystem": "xfs", "mount": "/thin"}
        group["thinPools"] = [{"name": "pool", "size": "24MiB"}]
        group["logicalVolumes"].insert(draw(st.integers(0, 2)), thin)
    return group


@st.composite
def machines(draw: st.DrawFn) -> tuple[Host, Hardware]:
    """A spec and hardware on which it can be had, with more disks than it names."""
    mirror = draw(st.booleans())
    level = draw(st.sampled_from([None, *LEVELS]))
    count = LEVELS[level] if level else 0
    wanted = (2 if mirror else 1) + count
    extra = draw(st.integers(0, 3))
    disks = [_disk(n, draw(st.integers(4, 9)), draw(foreign)) for n in range(wanted + extra)]
    disks.append(_disk(90, 4, ("iso9660",), removable=True))
    raid = []
    if mirror:
        raid.append({"name": "system", "level": "raid1", "drives": {"serials": ["S00", "S01"], "count": 2}})
    if level:
        serials = [f"S{n:02}" for n in range(wanted - count, wanted)]
        raid.append({"name": "data", "level": level, "drives": {"serials": serials, "count": count}})
    layout = [{"device": "root", "partitions": draw(layouts("r", root=True))}]
    if level:
        table = draw(st.sampled_from(["gpt", "mbr"]))
        parts = draw(layouts("d", root=False))
        layout.append({"device": {"raid": "data"}, "table": table, "partitions": parts})
    members = ("S00", "S01")
    array = RaidArray(
        name="before", driver="md", uuid="old", level="raid1", device=None, size_bytes=GIB, members=members
    )
    groups = [_group(draw, layout)] if draw(st.booleans()) else []
    spec = {
        "metadata": {"name": "h"},
        "image": "img",
        "volumeGroups": groups,
        "raid": raid,
        "rootDevice": {"raid": "system"} if mirror else {"serial": "S00"},
        "disks": layout,
        "network": draw(links()),
        "users": [{"name": "ops", "sudo": draw(st.booleans()), "passwordFrom": {"secret": "pw"}}],
        "files": [{"path": "/a", "content": draw(st.text(max_size=5))}, {"path": "/s", "secret": "pw"}],
        "management": draw(st.booleans()),
    }
    hardware = Hardware(
        tpm=draw(tpms(layout)),
        firmware=draw(st.sampled_from(["bios", "uefi"])),
        nics=NICS,
        disks=tuple(draw(st.permutations(disks))),
        raids=(array,) if mirror and draw(st.booleans()) else (),
    )
    return Host.model_validate(spec), hardware


def order_for(spec: Host, image: ImageRecord, phase: Phase) -> WorkOrder:
    return WorkOrder(
        host=HostRecord(id="id", name="h", phase=phase),
        spec=spec,
        specset="s",
        image=image.model_copy(update={"name": "img"}),
        addresses={"v7/0": "10.7.0.9/24"},
        secrets={"pw": 1},
        management_key="ssh-ed25519 AAAA",
        phone_home_url="https://edge/home",
    )


@settings(deadline=None)  # a shared machine stalls for longer than any step takes
@given(machines())
def test_after_applying_nothing_is_left_to_do(image: ImageRecord, made: tuple[Host, Hardware]) -> None:
    spec, hardware = made
    machine = FakeHost("id", hardware, image)
    before = machine.observe(NOW, [REF])
    plan = make_plan(order_for(spec, image, Phase.READY), before)
    assert plan.blocked is None
    assert moved(plan, before) == []
    machine.run(plan)
    again = make_plan(order_for(spec, image, Phase.ACTIVE), machine.observe(NOW, [REF]))
    assert (again.steps, again.drift) == ((), ())

    # What was touched was named, and what was not named is as it was.
    erased = set(erased_disks(plan))
    assert machine.touched == erased
    after = {disk.serial: disk for disk in machine.observe(NOW).hardware.disks}
    untouched = [disk for disk in hardware.disks if disk.serial not in erased]
    assert all(after[disk.serial] == disk for disk in untouched)
    assert "S90" not in erased


@settings(deadline=None)  # a shared machine stalls for longer than any step takes
@given(machines(), st.sampled_from(["hostname", "users", "files", "network", "management"]))
def test_what_was_changed_by_hand_is_repaired_in_place(
    image: ImageRecord, made: tuple[Host, Hardware], lost: str
) -> None:
    spec, hardware = made
    machine = FakeHost("id", hardware, image)
    machine.run(make_plan(order_for(spec, image, Phase.READY), machine.observe(NOW, [REF])))
    assert machine.system is not None
    setattr(
        machine.system,
        "management_key" if lost == "management" else lost,
        {"hostname": "x", "management": None}.get(lost, {}),
    )
    plan = make_plan(order_for(spec, image, Phase.ACTIVE), machine.observe(NOW, [REF]))
    expected = [] if lost == "management" and not spec.management else [lost]
    assert [step.kind for step in plan.steps] == expected
    assert not plan.destructive
    assert plan.drift == ()
    machine.run(plan)
    assert make_plan(order_for(spec, image, Phase.ACTIVE), machine.observe(NOW, [REF])).in_sync


@settings(deadline=None)  # a shared machine stalls for longer than any step takes
@given(machines())
def test_a_reinstall_keeps_what_is_to_be_preserved(image: ImageRecord, made: tuple[Host, Hardware]) -> None:
    spec, hardware = made
    data = [layout for layout in spec.disks if layout.device != "root" and layout.partitions]
    machine = FakeHost("id", hardware, image)
    machine.run(make_plan(order_for(spec, image, Phase.READY), machine.observe(NOW, [REF])))
    kept = [
        layout.model_copy(
            update={
                # A group that lies on the root's disk too is made anew, its partition beside them as well.
                "partitions": tuple(
                    p.model_copy(update={"preserve": p.lvm is None}) for p in layout.partitions
                )
            }
        )
        for layout in data
    ]
    spec = spec.model_copy(update={"disks": (spec.disks[0], *kept)})
    before = {a.name: a for a in machine.observe(NOW).hardware.raids}
    machine.touched.clear()
    machine.job = 2
    again = make_plan(order_for(spec, image, Phase.ACTIVE), machine.observe(NOW, [REF]), reinstall=True)
    assert again.blocked is None
    machine.run(again)
    if any(part.preserve for layout in kept for part in layout.partitions):
        members = set(before["data"].members)
        assert spec.volume_groups or not members & (machine.touched | set(erased_disks(again)))
        assert {a.name: a for a in machine.observe(NOW).hardware.raids}["data"] == before["data"]
    left = make_plan(order_for(spec, image, Phase.ACTIVE), machine.observe(NOW, [REF]))
    assert (left.steps, left.drift) == ((), ())
