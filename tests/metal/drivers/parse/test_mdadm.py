"""mdadm's texts and /proc/mdstat: each form, each state, and what is refused."""

import pytest

from metal.drivers.raid.md_array import array_bytes, lacking_state, level_of, member_state, state_of
from metal.drivers.raid.md_text import parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

DETAIL = """\
/dev/md3:
           Version : 1.2
     Creation Time : Mon Mar  4 10:00:00 2024
        Raid Level : raid6
        Array Size : 3907020800 (3.64 TiB 4.00 TB)
      Raid Devices : 4
     Total Devices : 5
             State : active, degraded, recovering
    Active Devices : 3
   Working Devices : 4
    Failed Devices : 1
     Spare Devices : 1
    Rebuild Status : 41% complete
              Name : rack7:store  (local to host rack7)
              UUID : 11112222:33334444:55556666:77778888
    Number   Major   Minor   RaidDevice State
       0       8        1        0      active sync   /dev/sda1
       5       8       65        1      spare rebuilding   /dev/sde1
       2       8       33        2      active sync writemostly   /dev/sdc1
       3       8       49        3      active sync   /dev/sdd1
       1       8       17        -      faulty   /dev/sdb1
"""
HALF = """\
mdadm: Unknown keyword INACTIVE-ARRAY
/dev/md/half:
        Raid Level : raid1
      Raid Devices : 2
             State : clean, degraded
    Number   Major   Minor   RaidDevice State
       0       8        1        0      active sync   /dev/sda1
       -       0        0        1      removed
       4       8       17        1      spare   /dev/sdb1
"""
CONTAINER = """\
/dev/md127:
           Version : imsm
        Raid Level : container
     Total Devices : 2
   Working Devices : 2
              UUID : aaaa0000:bbbb1111:cccc2222:dddd3333
     Member Arrays : /dev/md/Volume0
    Number   Major   Minor   RaidDevice
       -       8        0        -        /dev/sda
       -       8       16        -        /dev/sdb
"""
EXAMINE = """\
/dev/sdb1:
          Magic : a92b4efc
        Version : 1.2
     Array UUID : 11112222:33334444:55556666:77778888
           Name : rack7:store
     Raid Level : raid5
   Raid Devices : 3
     Array Size : 405504 KiB (396.00 MiB 415.24 MB)
          State : clean
   Device Role : Active device 1
   Array State : AA. ('A' == active, '.' == missing, 'R' == replacing)
"""
OLD_EXAMINE = """\
/dev/sda1:
          Magic : a92b4efc
        Version : 00.90.00
           UUID : 57219006:b1527c59:de32536d:bb88a27f (local to host rack7)
     Raid Level : raid1
     Array Size : 102336 (99.94 MiB 104.79 MB)
   Raid Devices : 2
          State : clean
 Active Devices : 1
      Number   Major   Minor   RaidDevice State
this     0       8        1        0      active sync   /dev/sda1
   0     0       8        1        0      active sync   /dev/sda1
   1     1       0        0        1      faulty removed
"""
SLOTS = """\
/dev/sdc1:
          Magic : a92b4efc
        Version : 1.1
     Array UUID : 11112222:33334444:55556666:77778888
     Raid Level : raid1
   Raid Devices : 2
     Array Size : 202752 (99.00 MiB 103.81 MB)
          State : active
    Array Slot : 2 (0, failed, 1)
   Array State : uU 1 failed
"""
DDF = """\
/dev/sda:
          Magic : DE11DE11
        Version : 01.02.00
  Virtual Disks : 2

      VD GUID[0] : 4C696E75:782D4D44:DEADBEEF:00000000:11112222:33334444
                  (Linux-MD 03/04/24 10:00:00)
        state[0] : Degraded, Consistent
   init state[0] : Fully Initialised
         Name[0] : fast
 Raid Devices[0] : 2 (0@0K 1@0K)
   Raid Level[0] : RAID1
   Array Size[0] : 786432

        state[1] : Optimal, Not Consistent
   init state[1] : QuickInit in Progress
         Name[1] : slow
 Raid Devices[1] : 2 (0@786432K --@786432K)
   Raid Level[1] : CONCAT
   Array Size[1] : 2048

 Physical Disks : 2
      Number    RefNo      Size       Device      Type/State
         0    dea45f7a   1015808K /dev/sda         active/Online
         1    3c5d0f11   1015808K                  active/Failed, Missing
"""
IMSM = """\
/dev/sdb:
          Magic : Intel Raid ISM Cfg Sig.
        Version : 1.1.00
           UUID : aaaa0000:bbbb1111:cccc2222:dddd3333
   RAID Devices : 1

[Volume0]:
           UUID : 99998888:77776666:55554444:33332222
     RAID Level : 1 <-- 1
        Members : 2 <-- 2
      This Slot : 1 (out-of-sync)
     Array Size : 1953513472 (931.51 GiB 1000.20 GB)
  Migrate State : rebuild
      Map State : normal <-- degraded
    Dirty State : clean
"""
EXPORT = """\
MD_LEVEL=raid1
MD_DEVICES=2
MD_METADATA=1.0
MD_UUID=11112222:33334444:55556666:77778888
MD_DEVNAME=root
MD_NAME=any:root
MD_DEVICE_dev_nvme0n1_ROLE=0
MD_DEVICE_dev_nvme0n1_DEV=/dev/nvme0n1
MD_DEVICE__dev_sdc_ROLE=spare
MD_DEVICE__dev_sdc_DEV=/dev/sdc
MD_LEVEL=container
MD_METADATA=ddf
MD_UUID=aaaa0000:bbbb1111:cccc2222:dddd3333
"""
SCAN = """\
ARRAY /dev/md/store level=raid5 num-devices=3 name=rack7:store UUID=11112222:33334444:55556666:77778888
   spares=1   devices=/dev/sda1,/dev/sdb1
INACTIVE-ARRAY /dev/md9 metadata=1.2 UUID=01010101:02020202:03030303:04040404
"""
MDSTAT = """\
Personalities : [raid1] [raid6] [raid5] [raid4] [raid0] [linear]
md10 : active raid5 sdd1[4] sdc1[2] sdb1[1](F) sda1[0]
      1000 blocks super 1.2 level 5, 512k chunk, algorithm 2 [3/2] [U_U]
      [=>...]  recovery =  8.5% (1/2) finish=1.0min speed=1K/sec
      bitmap: 1/1 pages [4KB], 65536KB chunk

md11 : active (auto-read-only) raid1 cciss/c0d0p1[0](W) dm-3[1]
      2000 blocks [2/2] [UU]
        resync=PENDING

md12 : active raid0 sde[0] sdf[1]
      3000 blocks super 1.1 512k chunks

md13 : active raid5 sdg[0] sdh[1](F) sdi[2](F) sdj[3](S)
      4000 blocks super 1.2 level 5, 64k chunk, algorithm 2 [3/1] [U__]

md14 : active linear sdk[0]
      5000 blocks super 1.2 0k rounding

md15 : active raid1 sdl[0] sdm[1]
      6000 blocks super external:/md127/0 [2/2] [UU]
      [==>..]  check = 12.5% (1/8) finish=1.0min speed=1K/sec

md127 : inactive sdm[1](S) sdl[0](S)
      5288 blocks super external:imsm

md16 : inactive sdn[0]
      7000 blocks super 1.2

md17 : active raid6 sdo[0] sdp[1] sdq[2] sdr[3]
      8000 blocks super 1.2 level 6, 64k chunk [4/4] [UUUU]
      [==>..]  reshape = 50.0% (1/2) finish=1.0min speed=1K/sec

unused devices: <none>
"""
SAMPLES = (DETAIL, HALF, CONTAINER, EXAMINE, OLD_EXAMINE, SLOTS, DDF, IMSM, EXPORT, SCAN, MDSTAT)


def arrays(text):
    return {array.device or array.name or array.uuid: array for array in parse(text).value.arrays}


def members(array):
    return [(member.device, member.number, member.role, member.state) for member in array.members]


def test_detail_with_a_running_rebuild():
    (array,) = parse(DETAIL).value.arrays
    assert (array.device, array.level, array.state, array.progress) == (
        "/dev/md3",
        "raid6",
        "rebuilding",
        41.0,
    )
    assert (array.name, array.size_bytes) == ("rack7:store", 3907020800 * 1024)
    assert (array.raid_devices, array.active, array.working, array.failed, array.spare) == (4, 3, 4, 1, 1)
    assert members(array) == [
        ("/dev/sda1", 0, 0, "active"),
        ("/dev/sde1", 5, 1, "rebuilding"),
        ("/dev/sdc1", 2, 2, "active"),
        ("/dev/sdd1", 3, 3, "active"),
        ("/dev/sdb1", 1, None, "failed"),
    ]


def test_an_empty_place_has_a_role_and_a_spare_has_none():
    parsed = parse(HALF)
    (array,) = parsed.value.arrays
    assert (array.state, array.uuid, array.progress) == ("degraded", None, None)
    assert members(array)[1:] == [(None, None, 1, "removed"), ("/dev/sdb1", 4, None, "spare")]
    assert parsed.ignored == ("mdadm: Unknown keyword INACTIVE-ARRAY",)


def test_a_container_has_members_and_no_state():
    (array,) = parse(CONTAINER).value.arrays
    assert (array.level, array.metadata, array.state, array.size_bytes) == ("container", "imsm", None, None)
    assert members(array) == [("/dev/sda", None, None, None), ("/dev/sdb", None, None, None)]


def test_a_ddf_container_is_known_by_its_guid():
    text = CONTAINER.replace("UUID :", "Container GUID :").replace(": imsm", ": ddf")
    (array,) = parse(text).value.arrays
    assert (array.uuid, array.metadata) == ("aaaa0000:bbbb1111:cccc2222:dddd3333", "ddf")


def test_a_superblock_tells_of_its_own_device_and_of_missing_ones():
    (array,) = parse(EXAMINE).value.arrays
    assert (array.device, array.state, array.raw_state) == (None, "degraded", "clean")
    assert members(array) == [("/dev/sdb1", None, 1, "active")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Active device 1", "spare", (None, "spare")),
        ("Active device 1", "Journal", (None, "active")),
        ("State : clean\n", "State : clean\nRecovery Offset : 8 sectors\n", (1, "rebuilding")),
    ],
)
def test_roles_of_a_superblock(old, new, expected):
    (array,) = parse(EXAMINE.replace(old, new)).value.arrays
    assert (array.members[0].role, array.members[0].state) == expected


def test_a_reshape_is_seen_in_the_superblock():
    told = EXAMINE.replace("AA.", "AAA").replace("State : clean\n", "State : clean\nReshape pos'n : 64\n")
    assert parse(told).value.arrays[0].state == "migrating"


def test_superblocks_of_one_array_are_one_array():
    second = EXAMINE.replace("sdb1", "sda1").replace("Active device 1", "Active device 0")
    (array,) = parse(EXAMINE + second).value.arrays
    assert [member.device for member in array.members] == ["/dev/sdb1", "/dev/sda1"]


def test_metadata_0_90_lists_all_members():
    (array,) = parse(OLD_EXAMINE).value.arrays
    assert (array.device, array.metadata, array.state) == (None, "00.90.00", "degraded")
    assert array.uuid == "57219006:b1527c59:de32536d:bb88a27f"
    assert members(array) == [("/dev/sda1", 0, 0, "active"), (None, 1, 1, "removed")]


def test_array_slots_of_early_version_1():
    (array,) = parse(SLOTS).value.arrays
    assert members(array) == [("/dev/sdc1", 2, 1, "active")]
    assert array.size_bytes == 202752 * 512  # sectors: 99 MiB


def test_ddf_gives_an_array_for_each_virtual_disk():
    fast, slow = parse(DDF).value.arrays
    assert (fast.level, fast.state, fast.name, fast.size_bytes) == ("raid1", "degraded", "fast", 786432 << 10)
    assert members(fast) == [("/dev/sda", 0, 0, "active"), (None, 1, 1, "removed")]
    assert (slow.level, slow.state, slow.metadata) == ("concat", "initialising", "ddf")
    assert members(slow)[1] == (None, None, 1, "removed")


def test_ddf_of_a_version_that_counts_the_room_in_the_table():
    roomy = DDF.replace("Disks : 2", "Disks : 1023")
    assert parse(roomy).value == parse(DDF).value
    with pytest.raises(Unparsable, match="expected the table of physical disks"):
        parse(roomy[: roomy.index("         1    3c5d")])


def test_imsm_counts_sectors():
    (array,) = parse(IMSM).value.arrays
    assert (array.level, array.state, array.name, array.raid_devices) == ("raid1", "rebuilding", "Volume0", 2)
    assert array.size_bytes == 1953513472 * 512
    assert members(array) == [("/dev/sdb", None, 1, "active")]


def test_exports_one_after_the_other():
    root, container = parse(EXPORT).value.arrays
    assert (root.device, root.name, root.metadata, root.raid_devices) == (
        "/dev/md/root",
        "any:root",
        "1.0",
        2,
    )
    assert members(root) == [("/dev/nvme0n1", None, 0, "active"), ("/dev/sdc", None, None, "spare")]
    assert (container.device, container.level) == (None, "container")


def test_array_lines_and_their_continuation():
    store, nine = parse(SCAN).value.arrays
    assert (store.device, store.level, store.spare, store.state) == ("/dev/md/store", "raid5", 1, None)
    assert [member.device for member in store.members] == ["/dev/sda1", "/dev/sdb1"]
    assert (nine.device, nine.state) == ("/dev/md9", "offline")


def test_mdstat_states():
    seen = {name.removeprefix("/dev/"): (a.level, a.state, a.progress) for name, a in arrays(MDSTAT).items()}
    assert seen == {
        "md10": ("raid5", "rebuilding", 8.5),
        "md11": ("raid1", "optimal", None),
        "md12": ("raid0", "optimal", None),
        "md13": ("raid5", "failed", None),
        "md14": ("concat", "optimal", None),
        "md15": ("raid1", "optimal", 12.5),
        "md127": ("container", None, None),
        "md16": (None, "offline", None),
        "md17": ("raid6", "migrating", 50.0),
    }


def test_mdstat_members():
    found = arrays(MDSTAT)
    assert members(found["/dev/md10"]) == [
        ("/dev/sdd1", 4, None, "rebuilding"),
        ("/dev/sdc1", 2, None, "active"),
        ("/dev/sdb1", 1, None, "failed"),
        ("/dev/sda1", 0, None, "active"),
    ]
    assert [member.device for member in found["/dev/md11"].members] == ["/dev/cciss/c0d0p1", "/dev/dm-3"]
    assert found["/dev/md13"].members[3].state == "spare"
    assert (found["/dev/md15"].metadata, found["/dev/md127"].metadata) == (None, "imsm")
    assert (found["/dev/md12"].raid_devices, found["/dev/md12"].size_bytes) == (None, 3000 << 10)


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        ("clean", "optimal"),
        ("active, checking", "optimal"),
        ("clean, resyncing", "initialising"),
        ("active, degraded, resyncing", "rebuilding"),
        ("clean, degraded, recovering (DELAYED)", "degraded"),
        ("clean, resyncing (PENDING)", "optimal"),
        ("clean, resyncing (REMOTE)", "initialising"),
        ("clean, reshaping", "migrating"),
        ("active, FAILED, Not Started", "failed"),
        ("active, degraded, Not Started", "offline"),
        ("inactive", "offline"),
        ("surprising", None),
        (None, None),
    ],
)
def test_states(raw, state):
    assert state_of(raw) == state


def test_words_of_levels_and_members():
    assert [level_of(text) for text in ("raid10", "RAID1E", "5", "linear", "-unknown-", None)] == [
        "raid10",
        "raid1e",
        "raid5",
        "concat",
        None,
        None,
    ]
    told = ("active sync set-A", "spare rebuilding", "faulty spare", "removed", "spare", "blocked")
    assert [member_state(text) for text in told] == [
        "active",
        "rebuilding",
        "failed",
        "removed",
        "spare",
        None,
    ]


@pytest.mark.parametrize(
    ("level", "wanted", "present", "state"),
    [
        ("raid6", 6, 4, "degraded"),
        ("raid6", 6, 3, "failed"),
        ("raid10", 4, 1, "degraded"),
        ("raid1", 2, 0, "failed"),
        ("raid0", 2, 1, "failed"),
    ],
)
def test_how_many_members_a_level_may_lack(level, wanted, present, state):
    assert lacking_state(level, wanted, present) == state


def test_a_bare_size_is_kib_and_bad_ones_are_unknown():
    assert [array_bytes(text) for text in ("8", "8 KiB", "8 sectors (4.00 KiB 4.10 KB)", "none", None)] == [
        8192,
        8192,
        4096,
        None,
        None,
    ]


def test_a_later_reading_in_a_session_wins():
    after = DETAIL.replace("active, degraded, recovering", "clean").replace(
        "    Rebuild Status : 41% complete\n", ""
    )
    parsed = parse(f"[root@rack7 ~]# mdadm -D /dev/md3\n{DETAIL}[root@rack7 ~]# mdadm -D /dev/md3\n{after}")
    (array,) = parsed.value.arrays
    assert (array.state, array.raw_state, array.progress) == ("optimal", "clean", None)
    assert parsed.ignored == ("[root@rack7 ~]# mdadm -D /dev/md3",) * 2


@pytest.mark.parametrize(
    "text",
    [
        "mdadm: No md superblock detected on /dev/sda.",
        "mdadm: /dev/sda does not appear to be an md device",
        "/dev/sda:\n   MBR Magic : aa55\nPartition[0] :   2048 sectors at  2048 (type fd)\n",
        "Personalities : \nunused devices: <none>\n",
    ],
)
def test_no_array_is_an_empty_listing(text):
    assert parse(text).value.arrays == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mdadm: cannot open /dev/md9: No such file or directory", "line 1"),
        (DETAIL[: DETAIL.index("    Number")], "line 15: expected the table of the 4 members"),
        (DETAIL[: DETAIL.index("       3  ")], "line 19: expected the table of the 4 members"),
        ("/dev/md3:\n", "line 1: expected the fields"),
        (EXAMINE[: EXAMINE.index("   Device Role")], "line 9: expected the 'Device Role'"),
        (OLD_EXAMINE[: OLD_EXAMINE.index("   1     1")], "line 12: expected the members"),
        (DDF[: DDF.index("         1    3c5d")], "expected the table of physical disks"),
        (
            DDF[: DDF.index("         1    3c5d")].replace("Disks : 2", "Disks : 1023"),
            "expected the table of physical disks",
        ),
        (IMSM[: IMSM.index("[Volume0]")], "expected the volumes"),
        (EXAMINE.replace("a92b4efc", "12345678"), "expected the magic"),
        ("Personalities : [raid1]\nmd0 : active raid1 sda[0]\n", "line 2: expected 'blocks' of md0"),
        (MDSTAT[: MDSTAT.index("unused")].rstrip("\n"), "expected 'unused devices:' at the end"),
        ("Personalities : [raid1]\n", "line 1: expected an array or 'unused devices:'"),
        ("ARRAY /dev/md0 level=raid1\n", "line 1: expected UUID="),
        ("MD_DEVICES=2\n", "line 1: expected MD_LEVEL or MD_UUID"),
        ("NAME SIZE\nsda 1G\n", "line 1: expected '/dev/…:'"),
    ],
)
def test_refusals_say_where(text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


def test_as_json_a_member_has_the_fields_of_the_contract():
    (array,) = value_or_refusal("mdadm", parse, HALF)["arrays"]
    assert array["members"][1] == {"device": None, "number": None, "role": 1, "state": "removed"}


test_nothing_but_a_value_or_a_refusal = never_anything_else("mdadm", parse, SAMPLES)
