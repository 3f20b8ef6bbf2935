"""lsblk in all its forms: one reading for the machines' own facts and for any capture."""

import json

import pytest

from metal.drivers.storage.disks import parse_lsblk
from metal.drivers.storage.lsblk import parse, printed_bytes
from metal.drivers.storage.lsblk_text import read_rows
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

JSON = json.dumps(
    {
        "blockdevices": [
            {
                "name": "sda",
                "kname": "sda",
                "type": "disk",
                "size": "447.1G",
                "model": "KIOXIA  KHK6 ",
                "serial": "00000000",
                "wwn": "0x58CE38EE00AA0001",
                "tran": "sata",
                "rota": "0",
                "rm": False,
                "ro": None,
                "children": [{"name": "sda1", "kname": "sda1", "type": "part", "size": 1048576, "ro": True}],
            },
            {"kname": "/dev/nvme0n1", "size": 0},
        ]
    },
    indent=1,
)
TREE = """\
root@rack7:~# lsblk -o name,maj:min,size,rota,model,type,mountpoints
NAME              MAJ:MIN   SIZE ROTA MODEL          TYPE  MOUNTPOINTS
sdb                 8:16    3,6T    1 ST4000NM0035-1 disk
├─sdb1              8:17    512M    1                part  /boot/efi
└─sdb2              8:18    3.6T    1                part
  ├─vg-root       253:0      50G    1                lvm   /
  │                                                        /srv
  └─vg-swap       253:1       4G    1                lvm   [SWAP]
nvme0n1           259:0   953.9G    0 Some SSD 1TB X disk
lsblk: /dev/sdz: not a block device
"""
OLD = """\
NAME                       MAJ:MIN RM   SIZE RO TYPE MOUNTPOINT
vda                        252:0    0    20G  0 disk
`-vda1                     252:1    0    19G  0 part
  |-vg_old-root (dm-0)     253:0    0    10G  0 lvm  /
"""
LIST = """\
KNAME  TYPE          SIZE SERIAL
sdc    disk 1000204886016 WD-1A2B
sdc1   part       1048576
"""
RAW = """\
NAME KNAME RM SIZE TYPE MOUNTPOINT MODEL
sda sda 0 20G disk  Some\\x20Disk
sda1 sda1 0 1G part /boot
"""
PAIRS = """\
lsblk: warning: something else
NAME="sda" KNAME="sda" PKNAME="" TYPE="disk" SIZE="1G" MODEL="A\\x09B\\xc3\\xa9" SERIAL="S1" RM="1"
NAME="sda1" KNAME="sda1" PKNAME="sda" TYPE="part" SIZE="1023M" LOG-SEC="512" MODEL="" RM="1" SERIAL=""
NAME="md0" KNAME="md0" PKNAME="sda1" TYPE="raid1" SIZE="1022M" LOG-SEC="512" MODEL="" RM="0" SERIAL=""
NAME="sdb" KNAME="sdb" PKNAME="" TYPE="disk" SIZE="1G" LOG-SEC="512" MODEL="" RM="0" SERIAL="S2"
NAME="md0" KNAME="md0" PKNAME="sdb" TYPE="raid1" SIZE="1022M" LOG-SEC="512" MODEL="" RM="0" SERIAL=""
"""
SAMPLES = (JSON, TREE, OLD, LIST, RAW, PAIRS)


def shape(devices):
    return {device.name: shape(device.children) for device in devices}


def by_name(devices):
    found = {}
    for device in devices:
        found |= {device.name: device, **by_name(device.children)}
    return found


def test_json_of_old_and_new_util_linux():
    parsed = parse(JSON)
    sda, nvme = parsed.value.devices
    assert (sda.size_bytes, sda.model, sda.wwn) == (round(447.1 * 2**30), "KIOXIA KHK6", "58ce38ee00aa0001")
    assert (sda.rotational, sda.removable, sda.read_only, sda.transport) == (False, False, None, "sata")
    assert (sda.serial, parsed.placeholders) == (None, ("devices[0].serial",))
    assert (sda.children[0].size_bytes, sda.children[0].read_only) == (1048576, True)
    assert (nvme.name, nvme.size_bytes, nvme.type, nvme.rotational) == ("/dev/nvme0n1", 0, None, None)


def test_a_tree_with_blanks_in_cells_and_two_mountpoints():
    parsed = parse(TREE)
    assert shape(parsed.value.devices) == {
        "sdb": {"sdb1": {}, "sdb2": {"vg-root": {}, "vg-swap": {}}},
        "nvme0n1": {},
    }
    found = by_name(parsed.value.devices)
    assert (found["sdb"].model, found["sdb"].rotational, found["sdb"].type) == (
        "ST4000NM0035-1",
        True,
        "disk",
    )
    assert (found["nvme0n1"].model, found["nvme0n1"].rotational) == ("Some SSD 1TB X", False)
    assert found["sdb"].size_bytes == round(3.6 * 2**40)
    assert found["sdb1"].model is None
    assert parsed.ignored[1] == "lsblk: /dev/sdz: not a block device"


def test_mapper_devices_of_an_old_lsblk():
    devices = parse(OLD).value.devices
    assert shape(devices) == {"vda": {"vda1": {"vg_old-root": {}}}}
    (vda,) = parse_lsblk(OLD.replace("0G", "00").replace("9G", "99"))
    assert vda.children[0].children[0].kname == "dm-0"


def test_a_list_has_no_depth():
    first, second = parse(LIST).value.devices
    assert (first.name, first.size_bytes, first.serial) == ("sdc", 1000204886016, "WD-1A2B")
    assert (second.name, second.serial, second.children) == ("sdc1", None, ())


def test_a_padded_revision_and_a_column_asked_for_twice():
    wide = (
        "NAME TRAN  REV VENDOR   SIZE SIZE TYPE\n"
        "sda  spi  1.0  MAKER, I  20G  20G disk\n"
        "sdb  sata 2.00 OTHER      5G   5G disk\n"
        "dm-0                      4G   4G lvm\n"
    )
    rows = read_rows(wide).found
    assert [(row.values["tran"], row.values["rev"], row.values["vendor"]) for row in rows] == [
        ("spi", "1.0", "MAKER, I"),
        ("sata", "2.00", "OTHER"),
        (None, None, None),
    ]
    assert [row.values["size"] for row in rows] == ["20G", "5G", "4G"]


def test_raw_cells_are_one_blank_apart():
    sda, part = parse(RAW).value.devices
    assert (sda.model, sda.type, part.type, part.model) == ("Some Disk", "disk", "part", None)


def test_pairs_hang_below_their_pkname():
    parsed = parse(PAIRS)
    assert shape(parsed.value.devices) == {"sda": {"sda1": {"md0": {}}}, "sdb": {"md0": {}}}
    sda = parsed.value.devices[0]
    assert (sda.model, sda.removable, sda.serial) == ("A Bé", True, "S1")
    assert parsed.ignored == ("lsblk: warning: something else",)


def test_keys_for_a_shell_are_the_same_columns():
    (sda,) = parse('NAME="sda" MAJ_MIN="8:0" LOG_SEC="512" SIZE="5" TYPE="disk" RM\n').value.devices
    assert (sda.size_bytes, sda.type) == (5, "disk")


def test_the_last_listing_of_a_session_counts():
    later = JSON.replace("KIOXIA", "OTHER")
    assert parse(f"$ lsblk -J\n{JSON}\n$ lsblk -J\n{later}").value.devices[0].model == "OTHER KHK6"
    once, twice = 'NAME="sda" SIZE="1G"\n', 'NAME="sda" SIZE="2G"\n'
    (sda,) = parse(f"$ lsblk -P\n{once}$ lsblk -P\n{twice}").value.devices
    assert sda.size_bytes == 2 << 30


def test_nothing_there_is_an_empty_listing():
    assert parse('{"blockdevices": []}').value.devices == ()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("512B", 512),
        ("1024", 1024),
        ("1.5T", 3 << 39),
        ("1,5K", 1536),
        ("big", None),
        (None, None),
    ],
)
def test_sizes(text, size):
    assert printed_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shred: /dev/sda: pass 1/2 (random)...", "line 1: expected column names"),
        ("NAME SIZE\n", "line 1: expected devices below"),
        (TREE[: TREE.index("part  /boot")], "line 4: expected a device with its TYPE"),
        (JSON[:-30], "expected JSON"),
        ('{"devices": []}', "line 1: expected an object with blockdevices"),
        ('{"blockdevices": [3]}', "expected a device with its columns, found 'int'"),
        ('{"blockdevices": [{"size": 1}]}', "expected a device's NAME or KNAME"),
        (
            '{"blockdevices": ' + '[{"name": "a", "children": ' * 80 + "[]" + "}]" * 80 + "}",
            "expected a list",
        ),
        ('NAME="sda" SIZE="1G\n', "line 1: expected KEY="),
        ("NAME  TYPE\nsdabcdefgh disk\n", "line 2: expected cells below"),
    ],
)
def test_refusals_say_where(text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


@pytest.mark.parametrize("row", [{"name": "sda", "type": "disk", "size": "1G"}, {"name": "sda", "size": 5}])
def test_our_own_call_must_give_bytes_and_a_type(row):
    with pytest.raises(Unparsable, match="lsblk: line 1: expected a device with its name, type and size"):
        parse_lsblk(json.dumps({"blockdevices": [row]}))


def test_as_json_a_device_has_the_fields_of_the_contract():
    device = value_or_refusal("lsblk", parse, LIST)["devices"][1]
    assert list(device) == [
        "name",
        "type",
        "size_bytes",
        "model",
        "serial",
        "wwn",
        "transport",
        "rotational",
        "removable",
        "read_only",
        "children",
    ]


test_nothing_but_a_value_or_a_refusal = never_anything_else("lsblk", parse, SAMPLES)
test_our_own_reading_gives_nothing_else = never_anything_else(
    "lsblk", lambda text: value_of(parse_lsblk(text)), SAMPLES
)


def value_of(nodes):
    class Value:
        @staticmethod
        def as_json():
            return [node.kname for node in nodes]

    return Value


def test_the_end_of_a_session_is_no_device():
    assert parse(TREE + "[root@rf ~]# exit\nlogout\n").value == parse(TREE).value
