"""Thin pools: the commands, what a killed start leaves, and what real lvm says of a pool.

Making one needs a device mapper; a pool's metadata can be restored without (vgcfgrestore(8)).
"""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from metal.drivers.partitions import Target
from metal.drivers.storage.lvm import GroupWish, PhysicalVolume, VolumeWish
from metal.drivers.storage.opened import clear_links, close_group
from metal.drivers.storage.thin import PoolWish
from metal.errors import Refused
from specs.facts import LogicalVolumeFact, PhysicalVolumeFact, VolumeGroupFact
from tests.metal.drivers.conftest import Loop
from tests.metal.drivers.test_made_by_real_tools import groups_of

MIB = 1 << 20
PLACE = PhysicalVolume(Target("S1", 64 * MIB), 2, "P1", "LVM2_member", "P1")
WISH = GroupWish(
    "sys", 4 * MIB, (PLACE,), (VolumeWish("data", 50, None, "pool"),),
    pools=(PoolWish("pool", 10, 4 * MIB, 64 << 10),),
)  # fmt: skip


def volume(name: str, extents: int, layout: str, pool: str | None = None, *tags: str) -> LogicalVolumeFact:
    uuid, size_bytes = f"L-{name}", extents * 4 * MIB
    return LogicalVolumeFact(name=name, uuid=uuid, size_bytes=size_bytes, layout=layout, pool=pool, tags=tags)


def group(*volumes: LogicalVolumeFact) -> tuple[VolumeGroupFact, ...]:
    return (
        VolumeGroupFact(
            name="sys",
            uuid="V1",
            extent_bytes=4 * MIB,
            physical_volumes=(PhysicalVolumeFact(uuid="P1", device="/dev/sda2"),),
            logical_volumes=volumes,
        ),
    )


POOL = volume("pool", 10, "thin,pool")
DATA = volume("data", 50, "thin,sparse", "pool")


def test_the_pool_comes_before_its_volumes_and_both_stay_closed() -> None:
    made, thin = WISH.commands(group())
    assert made.argv[1:5] == ("lvcreate", "--yes", "--devices", "{disk0:p2}")
    for words in (("--type", "thin-pool"), ("--chunksize", "65536b"), ("--poolmetadatasize", "4194304b")):
        assert " ".join(words) in " ".join(made.argv)
    assert made.argv[-1] == thin.argv[-1] == "sys"
    assert " ".join(thin.argv).count("--virtualsize 209715200b --thinpool pool --name data") == 1
    assert all("--activate n" in " ".join(one.argv) for one in (made, thin))
    assert WISH.differences(group(POOL, DATA)) == ()
    assert list(WISH.commands(group(POOL, DATA))) == []


def test_what_has_a_partition_for_itself_is_made_before_a_pool_could_take_its_room() -> None:
    second = PhysicalVolume(Target("S2", 64 * MIB), 1, "P2", "LVM2_member", "P2")
    own, beside = VolumeWish("own", 15, 1), VolumeWish("beside", 2, None)
    wish = replace(WISH, physical_volumes=(PLACE, second), volumes=(beside, own, *WISH.volumes))
    made = [one.argv[one.argv.index("--name") + 1] for one in wish.commands(()) if one.argv[1] == "lvcreate"]
    assert made == ["own", "pool", "beside", "data"]


def test_what_a_killed_start_has_left_of_a_pool_is_removed_and_made_again() -> None:
    halves = group(volume("pool", 10, "linear"), volume("pool_tmeta", 1, "linear"))
    assert WISH.differences(halves)[:2] == (
        "logical volume sys/pool is left half made",
        "logical volume sys/pool_tmeta is left half made",
    )
    assert [(one.argv[1], one.argv[-1]) for one in WISH.commands(halves)] == [
        ("lvremove", "sys/pool"),
        ("lvremove", "sys/pool_tmeta"),
        ("lvcreate", "sys"),
        ("lvcreate", "sys"),
    ]


def test_nothing_is_removed_that_bears_a_mark_or_stands_in_a_group_that_stays() -> None:
    marked = volume("other", 1, "linear", None, "rackflow.fs.11111111-2222-4333-8444-555555555555")
    assert [one.argv[1] for one in WISH.commands(group(marked))] == ["lvcreate", "lvcreate"]
    kept = GroupWish("sys", 4 * MIB, (PLACE,), (), kept="V1", pools=WISH.pools)
    assert kept.halves(group(volume("x", 1, "linear"))[0]) == ()


def test_a_volume_in_another_pool_is_refused() -> None:
    with pytest.raises(Refused, match="sys/data has 209715200 bytes in pool other, expected 209715200"):
        WISH.differences(group(POOL, volume("data", 50, "thin,sparse", "other")))


def test_a_pool_is_closed_from_the_top_and_no_other_group_s() -> None:
    text = """
LVM-V1aaaa-tdata sys-pool_tdata
LVM-V1bbbb-tpool sys-pool-tpool
LVM-V2cccc other-data
LVM-V1bbbb-pool sys-pool
LVM-V1dddd-tmeta sys-pool_tmeta
LVM-V1eeee sys-data
"""
    names = [one.argv[-1] for one in close_group(text, "V-1")]
    assert names == ["sys-data", "sys-pool", "sys-pool-tpool", "sys-pool_tdata", "sys-pool_tmeta"]
    assert list(close_group("No devices found", "V-1")) == []


SEGMENTS = """
logical_volumes {
 pool { id="aaaaaa-bbbb-cccc-dddd-eeee-ffff-aaaaa1" status=["READ","WRITE","VISIBLE"] flags=[] segment_count=1
  segment1 { start_extent=0 extent_count=10 type="thin-pool" metadata="pool_tmeta" pool="pool_tdata"
   transaction_id=1 chunk_size=128 discards="passdown" zero_new_blocks=1 } }
 data { id="aaaaaa-bbbb-cccc-dddd-eeee-ffff-aaaaa2" status=["READ","WRITE","VISIBLE"] flags=[] segment_count=1
  segment1 { start_extent=0 extent_count=50 type="thin" thin_pool="pool" transaction_id=0 device_id=1 } }
 lvol0_pmspare { id="aaaaaa-bbbb-cccc-dddd-eeee-ffff-aaaaa3" status=["READ","WRITE"] flags=[] segment_count=1
  segment1 { start_extent=0 extent_count=1 type="striped" stripe_count=1 stripes=["pv0",0] } }
 pool_tmeta { id="aaaaaa-bbbb-cccc-dddd-eeee-ffff-aaaaa4" status=["READ","WRITE"] flags=[] segment_count=1
  segment1 { start_extent=0 extent_count=1 type="striped" stripe_count=1 stripes=["pv0",1] } }
 pool_tdata { id="aaaaaa-bbbb-cccc-dddd-eeee-ffff-aaaaa5" status=["READ","WRITE"] flags=[] segment_count=1
  segment1 { start_extent=0 extent_count=10 type="striped" stripe_count=1 stripes=["pv0",2] } }
}
"""


def ran(*argv: str) -> None:
    argv = (*argv[:2], "--driverloaded", "n", *argv[2:])
    done = subprocess.run(argv, capture_output=True, text=True, check=False, close_fds=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("lvm") is None, reason="no lvm")
def test_real_lvm_tells_pool_and_volume_as_they_are_wished(loop: Loop, tmp_path: Path) -> None:
    device, backup = loop(100), tmp_path / "group"
    only = ("--yes", "--devices", device)
    ran("lvm", "pvcreate", *only, "--dataalignment", "1m", device)
    ran("lvm", "vgcreate", *only, "--physicalextentsize", "4194304b", "sys", device)
    ran("lvm", "vgcfgbackup", *only[1:], "--file", str(backup), "sys")
    text = backup.read_text()
    inside = text.rindex("}")
    backup.write_text(text[:inside] + SEGMENTS + text[inside:])
    ran("lvm", "vgcfgrestore", *only, "--force", "--file", str(backup), "sys")

    (seen,) = groups_of(device)
    told = {(one.name, one.layout, one.pool, one.size_bytes // (4 * MIB)) for one in seen.logical_volumes}
    assert told == {("pool", "thin,pool", None, 10), ("data", "thin,sparse", "pool", 50)}
    place = PhysicalVolume(Target("S1", 100 * MIB), 1, seen.physical_volumes[0].uuid)
    wish = GroupWish("sys", 4 * MIB, (place,), WISH.volumes, pools=WISH.pools)
    assert wish.differences(groups_of(device)) == ()
    # What is made beside its data is what the plan has taken for it: metadata, and as much for a repair.
    free = re.search(r"(\d+)", subprocess.run(
        ["lvm", "vgs", "--driverloaded", "n", "--noheadings", "--devices", device, "-o", "vg_free_count"],
        capture_output=True, text=True, check=True).stdout)  # fmt: skip
    assert free is not None
    assert int(free[1]) == (100 - 1) // 4 - 10 - 2

    ran("lvm", "lvremove", *only, "--force", "sys/pool")
    assert groups_of(device)[0].logical_volumes == ()


def test_links_of_closed_volumes_go_and_those_of_open_ones_stay(tmp_path: Path) -> None:
    """The folder itself goes where nothing is left in it: LVM makes no group of a name that is in /dev."""
    dmsetup = tmp_path / "bin" / "dmsetup"
    dmsetup.parent.mkdir()
    dmsetup.write_text('#!/bin/sh\n[ "$1 $2" = "info sys-open" ]\n')
    dmsetup.chmod(0o755)
    where = f"{dmsetup.parent}:{os.environ['PATH']}"
    for group, left in (("closed", False), ("open", True)):
        folder = tmp_path / group
        folder.mkdir()
        (folder / group).symlink_to(f"/dev/mapper/sys-{group}")
        argv = [*clear_links(group).argv[:-1], str(folder)]
        subprocess.run(argv, check=True, env={"PATH": where})
        assert folder.exists() == left
