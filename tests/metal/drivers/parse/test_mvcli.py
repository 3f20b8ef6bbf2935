"""mvcli and mnv_cli: adapters, disks, volumes, blocks, what is no listing, sessions, refusals."""

import pytest

from metal.drivers.raid.listing import Condition, Outcome
from metal.drivers.raid.mvcli import parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else

BANNER = "SG driver version 3.5.36.\n\n"


def keys(**values):
    return "".join(f"{key + ':':<20} {value}\n" for key, value in values.items() if value is not None) + "\n"


def named(values, more):
    return keys(**(values | {key.replace("_", " "): value for key, value in more.items()}))


def hba(**more):
    values = {
        "Adapter ID": "0",
        "Product": "1b4b-9230",
        "Firmware version": "2.5.13.3024",
        "Supported RAID mode": "RAID0 RAID1 JBOD ",
        "Image health": "Healthy",
    }
    return named(values, more)


def disk(pd="0", blocks="", **more):
    values = {
        "Adapter": "0",
        "PD ID": pd,
        "Type": "SATA PD",
        "Linked at": "HBA port 0",
        "Size": "234431064 K",
        "model": "RACKFLOW M2 240            ",
        "Serial": "RF0000421",
        "Firmware version": " RF07",
        "SSD Type": "SSD",
        "block ids": blocks,
        "PD valid size": "234365528 K",
    }
    return named(values, more)


def disks(*all_of_them):
    head = "Physical Disk Information\n----------------------------\n"
    return f"{head}{''.join(all_of_them)}\nTotal # of PD:       {len(all_of_them)}\n"


def volume(**more):
    values = {
        "id": "0",
        "name": "boot",
        "status": "functional",
        "Stripe size": "64",
        "RAID mode": "RAID1",
        "Cache mode": "Not Support",
        "size": "228818 M",
        "BGA status": "not running",
        "Block ids": "0 4",
        "# of PDs": "2",
        "PD RAID setup": "0 1",
        "Running OS": "no",
    }
    return named(values, more)


def volumes(*all_of_them):
    head = "Virtual Disk Information\n-------------------------\n"
    return f"{head}{''.join(all_of_them)}Total # of VD:       {len(all_of_them)}\n"


MNV_VOLUME = """VD ID:               1
Name:                VD_1
Status:              {status}
Importable:          {importable}
RAID Mode:           RAID1
size:                447 GB
PD Count:            2
PDs:                 0 1
Stripe Block Size:   128K
Sector Size:         512 bytes
{progress}
Total # of VD:       1
"""
MNV_DISK = """
PD ID:                           3
Model:                           RACKFLOW NVME 960
Serial:                          RF0000422
Sector Size:                     512 bytes
LBA:                             1875385008
Size:                            894 GB
Firmware version:                RF30
Status:                          {status}
Assigned:                        {assigned}
SMART Critical Warning:          {warning}

Total # of PD:          1
"""
MNV_ADAPTER = """NVMe Controller ID                   6
Bus Device Fun:                      e5:00.00
Device:                              /dev/nvme6
Firmware Version:                    1.0.20.1049
Supported RAID Mode:                 RAID0 RAID1
Root Complex:                        0
  Link width:                        1x

Total # of HBA:      1
"""


def only(text):
    (controller,) = parse(text).value.controllers
    return controller


def test_an_adapter():
    controller = only(BANNER + hba())
    assert (controller.index, controller.model, controller.firmware) == ("0", "1b4b-9230", "2.5.13.3024")
    assert (controller.levels, controller.jbod, controller.conditions) == (("raid0", "raid1"), True, ())


def test_an_adapter_of_older_versions_with_a_damaged_image():
    text = hba(Supported_RAID_mode="RAID1", Image_health="Damaged").replace(
        "Adapter ID:   ", "controller ID:"
    )
    controller = only(text)
    assert (controller.index, controller.levels, controller.jbod) == ("0", ("raid1",), None)
    assert controller.conditions == (Condition("other", "image health: Damaged"),)


def test_an_nvme_adapter():
    controller = only(MNV_ADAPTER)
    assert (controller.index, controller.firmware, controller.pci) == ("6", "1.0.20.1049", "0000:e5:00.0")
    assert (controller.model, controller.levels) == (None, ("raid0", "raid1"))


def test_disks():
    first, second = only(BANNER + disks(disk("1"), disk("3", "0 4", SSD_Type="Not SSD"))).drives
    assert (first.address, first.state, first.volume, first.raw_state) == ("1", "unconfigured", None, None)
    assert (first.model, first.serial, first.firmware) == ("RACKFLOW M2 240", "RF0000421", "RF07")
    assert (first.interface, first.media, first.size_bytes) == ("sata", "ssd", 234431064 << 10)
    assert (second.address, second.state, second.media) == ("3", "online", "hdd")


def test_disks_of_two_adapters_are_two_lists():
    found = parse(disks(disk("0"), disk("0", Adapter="1"))).value.controllers
    assert [(one.index, [drive.address for drive in one.drives]) for one in found] == [
        ("0", ["0"]),
        ("1", ["0"]),
    ]


@pytest.mark.parametrize(
    ("status", "assigned", "state"),
    [
        ("Idle", "Yes", "online"),
        ("Idle", "No", "unconfigured"),
        ("Offline", "Yes", "offline"),
        ("Rebuilding", "Yes", "rebuilding"),
        ("Idle", "", None),
    ],
)
def test_nvme_disks(status, assigned, state):
    controller = only(MNV_DISK.format(status=status, assigned=assigned, warning="No"))
    (found,) = controller.drives
    assert (controller.index, found.address, found.state, found.raw_state) == (None, "3", state, status)
    assert (found.interface, found.media, found.sector_size) == ("nvme", "ssd", 512)
    assert found.size_bytes == 1875385008 * 512, "GB is rounded, LBA is exact"


def test_a_warning_of_smart_is_a_condition():
    controller = only(MNV_DISK.format(status="Idle", assigned="Yes", warning="Yes"))
    assert [one.kind for one in controller.conditions] == ["predictive-failure"]


@pytest.mark.parametrize(
    ("more", "state", "progress"),
    [
        ({}, "optimal", None),
        ({"VD_status": "optimal"}, "optimal", None),
        ({"status": "degraded"}, "degraded", None),
        ({"status": "offline"}, "offline", None),
        ({"status": "foreign"}, "offline", None),
        ({"status": "degraded", "BGA_progress": "rebuilding is 15% done"}, "rebuilding", 15.0),
        ({"BGA_progress": "initialization is 3% done"}, "initialising", 3.0),
        ({"BGA_progress": "migration is 3% done"}, "migrating", 3.0),
        ({"BGA_progress": "media patrol is 3% done"}, "optimal", None),
        ({"status": "odd"}, None, None),
    ],
)
def test_volumes(more, state, progress):
    controller = only(volumes(volume(**more)))
    (found,) = controller.volumes
    assert (controller.index, found.id, found.name, found.level) == (None, "0", "boot", "raid1")
    assert (found.state, found.progress) == (state, progress)
    assert (found.size_bytes, found.stripe_bytes, found.members) == (228818 << 20, 64 << 10, ("0", "1"))


def test_a_degraded_nvme_volume_that_rebuilds():
    text = MNV_VOLUME.format(
        status="Degrade", importable="No", progress="BGA progress:        Rebuilding is running in 21%"
    )
    controller = only(text)
    (found,) = controller.volumes
    assert (found.id, found.state, found.raw_state, found.progress) == ("1", "rebuilding", "Degrade", 21.0)
    assert (found.size_bytes, found.stripe_bytes) == (447 << 30, 128 << 10)
    assert controller.conditions == (Condition("rebuild", "volume 1: Degrade"),)


def test_an_importable_volume_is_foreign():
    text = MNV_VOLUME.format(status="Functional", importable="Yes", progress="")
    assert [one.kind for one in only(text).conditions] == ["foreign-config"]


def test_blocks_give_their_disk_with_its_volume():
    block = "Block id:   {}\nPD id:      {}\nVD id:      {}\nBlock status:    assigned\nSize: 5 K\n\n"
    text = "Block Information\n-----------------\n" + block.format(0, 2, 0) + block.format(4, 3, 0)
    controller = only(text)
    assert [(one.address, one.state, one.volume) for one in controller.drives] == [
        ("2", "online", "0"),
        ("3", "online", "0"),
    ]
    assert controller.volumes == ()


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (BANNER, None),
        ("CLI Version: 4.1.0.9   RaidAPI Version: 5.0.0.1024\nWelcome to Marvell RAID.\n\n> exit\n", None),
        ("No adapter found.\n", None),
        (BANNER + volumes(), None),
        (BANNER + "SMART STATUS RETURN: OK.\n\nSmart Info\n01      Read Error Rate   200   OK\n", None),
        (BANNER + "Sequence:     1\nLevel:        [ERROR]\nDescription:  VD 0 failed\n", None),
        (BANNER + "Error: Failed to create VD.\n", Outcome(ok=False, message="Failed to create VD.")),
        (BANNER + "VD 0 does not exist.\n", Outcome(ok=False, message="VD 0 does not exist.")),
        (BANNER + "Delete VD 0? (y/n): y\nDelete VD 0 successfully.\n", Outcome(ok=True)),
    ],
)
def test_texts_without_a_listing(text, outcome):
    read = parse(text).value
    assert (read.outcome, read.controllers) == (outcome, ())


def test_what_is_said_twice_is_known_once():
    text = volumes(volume(**{"VD status": "degraded", "BGA progress": "rebuilding is 15% done"}))
    assert only(text + text).conditions == only(text).conditions


def test_noise_before_the_data_is_read_past():
    noise = "ls: cannot access '/dev/sd*': No such file\ncli :error opening SG device /dev/sg0: none\n"
    read = parse(noise + "Wait for SG driver ready.\n\n" + volumes(volume()))
    assert (read.value.outcome, len(read.value.controllers)) == (None, 1)
    assert read.ignored[1].startswith("cli :error")


def test_a_session_joins_disks_and_volumes_and_keeps_the_last_list():
    text = (
        "root@node7:~# mvcli info -o hba\n"
        + hba()
        + "root@node7:~# mvcli info -o vd\n"
        + volumes(volume(), volume(id="1"))
        + "root@node7:~# mvcli delete -o vd -i 1\n"
        + "root@node7:~# mvcli info -o vd\n"
        + volumes(volume())
        + "root@node7:~# mvcli info -o pd\n"
        + disks(disk("0", "0"), disk("1", "4"), disk("2"))
    )
    controller = only(text)
    assert (controller.index, [one.id for one in controller.volumes]) == ("0", ["0"])
    assert [(one.address, one.volume) for one in controller.drives] == [("0", "0"), ("1", "0"), ("2", None)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Smart Array P420 in Slot 2\n", "line 1: expected blocks of adapters, disks or volumes"),
        ("Virtual Disk\n", "line 1: expected blocks"),
        (disks(disk()).split("Size:")[0], "'size' in the block from line 3"),
        (volumes(volume()).split("RAID mode")[0], "'raid mode' in the block from line 3"),
        (BANNER + disks(disk()).split(" K\n")[0], "a size with its unit"),
        (volumes(volume()).split(" M\n")[0], "a size with its unit"),
        ("Physical Disk Information\n-----", "what the title announces"),
        ("SG driver version 3.5.36.\n\nVirtual Disk Information\n", "what the title announces"),
        (disks(disk()).split("\n\nTotal")[0].rstrip(), "'Total # of …' at the end"),
        ("Virtual Disk Information\n----\n\nTotal # of VD:       2\n", "line 4: expected 2 blocks before it"),
    ],
)
def test_refusals(text, told):
    with pytest.raises(Unparsable) as refused:
        parse(text)
    assert refused.value.message.startswith("mvcli: line ")
    assert told in refused.value.message


SAMPLES = (
    BANNER + hba() + disks(disk(), disk("1", "0")) + volumes(volume()),
    MNV_ADAPTER + MNV_VOLUME + MNV_DISK,
)

test_any_text_is_read_or_refused = never_anything_else("mvcli", parse, SAMPLES)
